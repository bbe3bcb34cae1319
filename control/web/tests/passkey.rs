//! Passkeys: answers of good authenticators are believed, and each of them no more once one thing is wrong.
//!
//! The authenticator here signs with ring. The RSA answer was made with `openssl dgst -sha256 -sign`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hearthgate_core::{AllowAll, CoreError, Now, Settings, Stored, World};
use hearthgate_tailcfg::DerpMap;
use hearthgate_web::passkey::{
    self, AuthenticatorData, Challenge, PASSKEYS_MAX, Passkey, PasskeyError, PublicKey, Registered, Registration, Site,
};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use sha2::{Digest, Sha256};
use std::sync::Arc;

const CHALLENGE: Challenge = [9; 32];
const NOW: Now = Now { wall: jiff::Timestamp::UNIX_EPOCH, mono_ms: 0 };
/// Present, verified; a new key is in it.
const PERSON: u8 = 0x05;
const NEW_KEY: u8 = 0x40;
const HANDLE: &str = "aGFuZGxl";

fn site() -> Site {
    Site::of("box.example.org", true).expect("a name over TLS")
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn client_data(kind: &str, challenge: &[u8], origin: &str) -> String {
    let challenge = text(challenge);
    format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#)
}

enum Key {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl Key {
    fn both() -> [Self; 2] {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &rng).expect("a key");
        let es = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &rng).expect("a key");
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&rng).expect("a key");
        [Self::Es256(es), Self::EdDsa(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key"))]
    }

    fn number(&self) -> u8 {
        // Negative integers of CBOR: -7 and -8.
        if matches!(self, Self::Es256(_)) { 0x26 } else { 0x27 }
    }

    fn cose(&self) -> Vec<u8> {
        match self {
            Self::Es256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (&point[1..33], &point[33..]);
                [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32][..], x, &[0x22, 0x58, 32], y].concat()
            }
            Self::EdDsa(pair) => {
                [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32][..], pair.public_key().as_ref()].concat()
            }
        }
    }

    fn sign(&self, authenticator_data: &[u8], client_data: &str) -> Vec<u8> {
        let message = [authenticator_data, &Sha256::digest(client_data)].concat();
        match self {
            Self::Es256(pair) => pair.sign(&SystemRandom::new(), &message).expect("a signature").as_ref().to_vec(),
            Self::EdDsa(pair) => pair.sign(&message).as_ref().to_vec(),
        }
    }

    fn passkey(&self, counter: u32) -> Passkey {
        let (id, cose) = (b"id".to_vec(), self.cose());
        let mut world = world();
        let new = Registered { id, cose, counter, syncable: false };
        passkey::add(&mut world, "anna", "phone", "box.example.org", &new, &CHALLENGE, NOW).expect("added");
        let mut made = passkey::mine(&world, "anna").pop().expect("one");
        assert_eq!(made.handle, text(CHALLENGE), "the first passkey's handle is random");
        HANDLE.clone_into(&mut made.handle);
        made
    }
}

fn world() -> World {
    World::load(Stored::default(), Settings::default(), Arc::new(AllowAll), DerpMap::default(), NOW)
}

fn authenticator_data(name: &str, flags: u8, counter: u32, rest: &[u8]) -> Vec<u8> {
    [&Sha256::digest(name)[..], &[flags], &counter.to_be_bytes(), rest].concat()
}

fn new_key(key: &Key) -> Vec<u8> {
    [&[0; 16][..], &[0, 2], b"id", &key.cose()].concat()
}

/// An attestation object with this statement, which is CBOR.
fn attestation(format: &str, statement: &[u8], data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("short").to_be_bytes();
    [
        &[0xa3, 0x63][..],
        b"fmt",
        &[0x60 + u8::try_from(format.len()).expect("short")],
        format.as_bytes(),
        &[0x67],
        b"attStmt",
        statement,
        &[0x68],
        b"authData",
        &[0x59],
        &length,
        data,
    ]
    .concat()
}

fn register(object: &[u8], client_data: &str) -> Result<Registered, PasskeyError> {
    let (client_data, attestation) = (text(client_data), text(object));
    passkey::register(&Registration { client_data: &client_data, attestation: &attestation }, &site(), &CHALLENGE)
}

#[test]
fn a_new_passkey_is_taken_with_no_attestation_and_with_its_own() {
    for key in Key::both() {
        let good = client_data("webauthn.create", &CHALLENGE, "https://box.example.org");
        let data = authenticator_data("box.example.org", PERSON | NEW_KEY, 3, &new_key(&key));
        let new = register(&attestation("none", &[0xa0], &data), &good).expect("believed");
        assert_eq!((new.id.as_slice(), new.cose, new.counter), (&b"id"[..], key.cose(), 3));

        let statement = |number: u8, signature: &[u8]| {
            let length = u8::try_from(signature.len()).expect("short");
            [&[0xa2, 0x63][..], b"alg", &[number], &[0x63], b"sig", &[0x58, length], signature].concat()
        };
        let signature = key.sign(&data, &good);
        assert!(register(&attestation("packed", &statement(key.number(), &signature), &data), &good).is_ok());
        let other = client_data("webauthn.create", &CHALLENGE, "https://box.example.org ");
        let wrong = key.sign(&data, &other);
        let refused = register(&attestation("packed", &statement(key.number(), &wrong), &data), &good);
        assert_eq!(refused, Err(PasskeyError::Signature));
        let refused = register(&attestation("packed", &statement(0x38, &signature), &data), &good);
        assert!(refused.is_err(), "another algorithm than the key's");
        for (format, statement) in [("tpm", &[0xa0][..]), ("none", &[0xa1, 0x61, b'x', 0x01]), ("packed", &[0xa0])] {
            let refused = register(&attestation(format, statement, &data), &good);
            assert_eq!(refused, Err(PasskeyError::Attestation), "{format}");
        }
    }
}

#[test]
fn a_new_passkey_with_one_thing_wrong_is_refused() {
    let [key, _] = Key::both();
    let client = |kind, challenge: &[u8], origin| client_data(kind, challenge, origin);
    let object = |name, flags, rest: &[u8]| attestation("none", &[0xa0], &authenticator_data(name, flags, 0, rest));
    let good = object("box.example.org", PERSON | NEW_KEY, &new_key(&key));
    let (create, origin) = ("webauthn.create", "https://box.example.org");
    for (client, why) in [
        (client("webauthn.get", &CHALLENGE, origin), PasskeyError::Type),
        (client(create, &[8; 32], origin), PasskeyError::Challenge),
        (client(create, &CHALLENGE[..31], origin), PasskeyError::Challenge),
        (client(create, &CHALLENGE, "https://evil.example"), PasskeyError::Origin),
        (client(create, &CHALLENGE, "http://box.example.org"), PasskeyError::Origin),
        (client(create, &CHALLENGE, "https://box.example.org:8443"), PasskeyError::Origin),
        (client(create, &CHALLENGE, origin).replace("false", "true"), PasskeyError::Origin),
        ("[".repeat(3000), PasskeyError::Malformed("client data")),
    ] {
        assert_eq!(register(&good, &client), Err(why), "{client}");
    }
    let client = client(create, &CHALLENGE, origin);
    assert!(register(&good, &client).is_ok());
    let with_more = [new_key(&key), vec![0]].concat();
    let mut no_point = new_key(&key);
    no_point.truncate(no_point.len() - 1);
    for (object, why) in [
        (object("evil.example", PERSON | NEW_KEY, &new_key(&key)), PasskeyError::RelyingParty),
        (object("box.example.org", 0x01 | NEW_KEY, &new_key(&key)), PasskeyError::Person),
        (object("box.example.org", 0x04 | NEW_KEY, &new_key(&key)), PasskeyError::Person),
        (object("box.example.org", PERSON | 0x10 | NEW_KEY, &new_key(&key)), PasskeyError::Backup),
        (object("box.example.org", PERSON, &[]), PasskeyError::Malformed("no key in it")),
        (object("box.example.org", PERSON | NEW_KEY, &with_more), PasskeyError::Malformed("bytes behind the end")),
        (object("box.example.org", PERSON | NEW_KEY, &no_point), PasskeyError::Malformed("CBOR")),
        (good[..good.len() - 1].to_vec(), PasskeyError::Malformed("CBOR")),
        ([&good[..], &[0]].concat(), PasskeyError::Malformed("bytes behind the end")),
    ] {
        assert_eq!(register(&object, &client), Err(why));
    }
}

struct Answer {
    client: String,
    data: Vec<u8>,
    signature: Vec<u8>,
    handle: String,
}

impl Answer {
    fn of(key: &Key, flags: u8, counter: u32) -> Self {
        let client = client_data("webauthn.get", &CHALLENGE, "https://box.example.org");
        let data = authenticator_data("box.example.org", flags, counter, &[]);
        let signature = key.sign(&data, &client);
        Self { client, data, signature, handle: HANDLE.into() }
    }

    fn check(&self, passkey: &Passkey, site: &Site) -> Result<u32, PasskeyError> {
        let [client, data, signature] = [text(&self.client), text(&self.data), text(&self.signature)];
        let answer = passkey::Assertion {
            client_data: &client,
            authenticator_data: &data,
            signature: &signature,
            user_handle: &self.handle,
        };
        passkey::assert(&answer, passkey, site, &CHALLENGE)
    }
}

#[test]
fn a_login_is_believed_with_the_right_key_and_a_counter_that_grows() {
    for key in Key::both() {
        let passkey = key.passkey(4);
        assert_eq!(Answer::of(&key, PERSON, 5).check(&passkey, &site()), Ok(5));
        for stale in [0, 3, 4] {
            assert_eq!(Answer::of(&key, PERSON, stale).check(&passkey, &site()), Err(PasskeyError::Counter));
        }
        assert_eq!(Answer::of(&key, PERSON, 0).check(&key.passkey(0), &site()), Ok(0), "it does not count");

        let changed = |change: &dyn Fn(&mut Answer)| {
            let mut answer = Answer::of(&key, PERSON, 5);
            change(&mut answer);
            answer.check(&passkey, &site())
        };
        assert_eq!(changed(&|a| a.signature[9] ^= 1), Err(PasskeyError::Signature));
        assert_eq!(changed(&|a| a.signature.clear()), Err(PasskeyError::Signature));
        assert_eq!(changed(&|a| a.signature = vec![0; 513]), Err(PasskeyError::Malformed("signature")));
        assert_eq!(changed(&|a| a.data[36] ^= 2), Err(PasskeyError::Signature));
        assert_eq!(changed(&|a| a.client.push(' ')), Err(PasskeyError::Signature));
        assert_eq!(changed(&|a| a.client = a.client.replace("get", "create")), Err(PasskeyError::Type));
        assert_eq!(changed(&|a| a.handle = "eA".into()), Err(PasskeyError::RelyingParty));
        assert_eq!(changed(&|a| a.handle.clear()), Err(PasskeyError::RelyingParty));
        assert_eq!(Answer::of(&key, 0x01, 5).check(&passkey, &site()), Err(PasskeyError::Person));
        assert_eq!(Answer::of(&key, PERSON | 0x08, 5).check(&passkey, &site()), Err(PasskeyError::Backup));
        let [other, _] = Key::both();
        assert_eq!(Answer::of(&other, PERSON, 5).check(&passkey, &site()), Err(PasskeyError::Signature));
        let elsewhere = Site::of("other.example.org", true).expect("a name");
        assert_eq!(Answer::of(&key, PERSON, 5).check(&passkey, &elsewhere), Err(PasskeyError::RelyingParty));
    }
}

/// Modulus of an RSA key whose private half is forgotten, and a login signed with it.
const RSA_MODULUS: &str = "67lLoZPQkfrtsSWIE2exTwUL6zvkjn2d6VMkJInQt7y5eZrtbOespygUGzu9G92Al6vo3gjy8L0WFeVtafsFUjcEKKJxcMO\
uoSZh_ka3P95ypOtT_GhrLcqIlxgwtG89ubpIFxNV1ZbUaeIvc2HJOlDUdqO97wpEpWsFfJS80uPS6SMbSzhmNYBZMCPYjoqcDAKLV7YFnqM9GddNCY4DDSwci\
2CRKwebBNtuvf99aqj15NE7mkMF0MOEaR9fxfM1AHYo74lUWOjTFDHvheRAxbln_4drJ-nx7GyM1Xbf5qo3NLu67Ijzs1UtnSxlxSZQiXqHwTcXhiNu1E5pL9jC\
0w";
const RSA_SIGNATURE: &str = "NmEie54SqEt0tGKhwpkSp1UgSY4YHt8-ul1NtoyAPeWDMfEKkGZOIbH1jM55ttAlCkC_2iQy6n4f_9LmxZzk_dlXiTY5g1\
-o1Ch7N8eWJxB4xavPZNTjRLCKz10LKyydG1qH7RuAniXrl6S2XHyOfPo8_9WP_4tmgsV3Wv0N7fnWekfKgsXJVyAYOFPN7oI1KbR4RaVsaj9BnM6v-3GVYarV\
t7NmW-zB-gBZDPFaC9uBBdshBb5AAj09f_r4pSD3Eg5FAW6R0oUoy9zUZpSmN-QqgeqbdCImIj_tuNMiugMvNT6S_lbZf556m2CrCsdraY-xCSG-LDEcqqulXym\
PYA";

#[test]
fn rsa_keys_of_windows_are_believed_too() {
    let n = URL_SAFE_NO_PAD.decode(RSA_MODULUS).expect("base64url");
    let cose = |n: &[u8]| {
        let length = u16::try_from(n.len()).expect("short").to_be_bytes();
        [&[0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59][..], &length, n, &[0x21, 0x43, 1, 0, 1]].concat()
    };
    let [other, _] = Key::both();
    let passkey = Passkey { key: text(cose(&n)), ..other.passkey(6) };
    let mut answer = Answer::of(&other, PERSON, 7);
    assert_eq!(answer.check(&passkey, &site()), Err(PasskeyError::Signature));
    answer.signature = URL_SAFE_NO_PAD.decode(RSA_SIGNATURE).expect("base64url");
    assert_eq!(answer.check(&passkey, &site()), Ok(7));
    for length in [0, 128, 255, 513] {
        assert_eq!(PublicKey::parse(&cose(&vec![0xff; length])), Err(PasskeyError::Key), "{length} bytes");
    }
}

#[test]
fn keys_of_another_kind_are_refused() {
    let [es, ed] = Key::both().map(|k| k.cose());
    assert!(PublicKey::parse(&es).is_ok() && PublicKey::parse(&ed).is_ok());
    let at = |cose: &[u8], place: usize, byte: u8| {
        let mut changed = cose.to_vec();
        changed[place] = byte;
        PublicKey::parse(&changed).map(|_| ())
    };
    assert_eq!(at(&es, 2, 3), Err(PasskeyError::Key), "another type");
    assert_eq!(at(&es, 4, 0x27), Err(PasskeyError::Key), "another algorithm");
    assert_eq!(at(&es, 6, 2), Err(PasskeyError::Key), "another curve");
    assert_eq!(at(&ed, 6, 4), Err(PasskeyError::Key), "another curve");
    assert_eq!(at(&es, 3, 1), Err(PasskeyError::Malformed("a key with a label twice")));
    assert_eq!(at(&es, 0, 0xbf), Err(PasskeyError::Malformed("CBOR")), "no length");
    assert!(AuthenticatorData::parse(&[0; 36]).is_err());
}

#[test]
fn passkeys_belong_to_one_account_and_go_with_it() {
    let mut world = world();
    let new = |n: u8| Registered { id: vec![n], cose: vec![], counter: 0, syncable: true };
    let add = |world: &mut World, account: &str, n: u8| {
        passkey::add(world, account, " my\nphone ", "box.lan", &new(n), &[n; 32], NOW)
    };
    assert_eq!(add(&mut world, "anna", 0).expect("added"), "myphone");
    assert!(matches!(add(&mut world, "bert", 0), Err(CoreError::Conflict(_))), "it is anna's");
    for n in 1..PASSKEYS_MAX {
        add(&mut world, "anna", u8::try_from(n).expect("few")).expect("added");
    }
    assert!(matches!(add(&mut world, "anna", 99), Err(CoreError::Full(_))));
    add(&mut world, "bert", 99).expect("added");
    let all = passkey::mine(&world, "anna");
    assert!(all.len() == PASSKEYS_MAX && all.iter().all(|p| p.handle == text([0; 32])), "one handle for all");

    let id = text([3]);
    assert!(passkey::remove(&mut world, "bert", &id).is_err(), "it is anna's");
    passkey::used(&mut world, &id, 2, NOW).expect("noted");
    assert!(passkey::used(&mut world, &id, 2, NOW).is_err(), "the same answer, raced");
    assert_eq!(passkey::with_id(&world, &id).and_then(|p| p.used), Some(NOW.wall));
    passkey::remove(&mut world, "anna", &id).expect("removed");
    assert_eq!(passkey::with_id(&world, &id), None);
    passkey::forget_all(&mut world, "anna");
    assert!(passkey::mine(&world, "anna").is_empty() && passkey::mine(&world, "bert").len() == 1);
}
