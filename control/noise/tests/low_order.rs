//! A client whose static key is a point of small order needs no private key: every agreement with it is zero. The
//! official code refuses such a client (`crypto/ecdh` errors on the zero result), so do we.

use hearthgate_keys::MachinePrivate;
use hearthgate_noise::{Initiator, respond};
use snow::{
    Builder, Error,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::{CryptoResolver, DefaultResolver},
    types::{Cipher, Dh, Hash, Random},
};

/// The encodings below 2^255 of points of order 1, 2, 4 or 8, those that are not reduced included.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// An attacker's key pair: the key that is `set` (the static one) has a public key of its choice and agrees on zero;
/// the one that is `generate`d (the ephemeral one) is honest.
struct Forged {
    inner: Box<dyn Dh>,
    public: [u8; 32],
    forged: bool,
}

impl Dh for Forged {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn pub_len(&self) -> usize {
        self.inner.pub_len()
    }
    fn priv_len(&self) -> usize {
        self.inner.priv_len()
    }
    fn set(&mut self, privkey: &[u8]) {
        self.forged = true;
        self.inner.set(privkey);
    }
    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        self.inner.generate(rng)
    }
    fn pubkey(&self) -> &[u8] {
        if self.forged { &self.public } else { self.inner.pubkey() }
    }
    fn privkey(&self) -> &[u8] {
        self.inner.privkey()
    }
    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        if self.forged {
            out[..32].fill(0);
            return Ok(());
        }
        self.inner.dh(pubkey, out)
    }
}

struct Attacker([u8; 32]);

impl CryptoResolver for Attacker {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        DefaultResolver.resolve_rng()
    }
    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        Some(Box::new(Forged { inner: DefaultResolver.resolve_dh(choice)?, public: self.0, forged: false }))
    }
    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }
    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

fn forged_initiation(server: &MachinePrivate, public: [u8; 32]) -> Vec<u8> {
    let params = "Noise_IK_25519_ChaChaPoly_BLAKE2s".parse().unwrap();
    let mut state = Builder::with_resolver(params, Box::new(Attacker(public)))
        .prologue(b"Tailscale Control Protocol v148")
        .unwrap()
        .local_private_key(&[1; 32])
        .unwrap()
        .remote_public_key(server.public().as_bytes())
        .unwrap()
        .build_initiator()
        .unwrap();
    let mut message = vec![0, 148, 1, 0, 96];
    message.resize(101, 0);
    state.write_message(&[], &mut message[5..]).unwrap();
    message
}

#[test]
fn a_client_without_a_private_key_is_refused() {
    let server = MachinePrivate::from_random([8; 32]);
    for point in SMALL_ORDER {
        let public = hearthgate_keys::decode_fixed(point).unwrap();
        assert!(respond(&server, &forged_initiation(&server, public)).is_err(), "{point}");
    }
}

#[test]
fn a_server_key_of_small_order_is_refused() {
    let client = MachinePrivate::from_random([7; 32]);
    for point in SMALL_ORDER {
        let server = hearthgate_keys::MachinePublic::from_bytes(hearthgate_keys::decode_fixed(point).unwrap());
        assert!(Initiator::start(&client, &server, 148, None).is_err(), "{point}");
    }
}
