//! What a browser answers to the question for a passkey: CBOR, COSE and authenticator data in base64url, beside JSON.

use crate::Target;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hearthgate_web::passkey::{self, AuthenticatorData, PublicKey, Registration, Site};

/// An ES256 key as COSE; no point on the curve, which nobody notices before a signature is checked.
fn cose() -> Vec<u8> {
    [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32][..], &[1; 32], &[0x22, 0x58, 32], &[2; 32]].concat()
}

fn data(flags: u8, rest: &[u8]) -> Vec<u8> {
    // SHA-256 of "a.example" is not needed: what is behind it is read first.
    [&[0; 32][..], &[flags], &[0, 0, 0, 1], rest].concat()
}

fn with_key() -> Vec<u8> {
    data(0x45, &[&[0; 16][..], &[0, 2], b"id", &cose()].concat())
}

pub(crate) const ANSWERS: Target = Target {
    name: "passkey-answers",
    run: |bytes| {
        if let Ok(key) = PublicKey::parse(bytes) {
            assert!(key.verify(b"message", &[0; 64]).is_err(), "nothing was signed");
        }
        let _ = AuthenticatorData::parse(bytes);
        let site = Site::of("a.example", true).expect("a name over TLS");
        let good = URL_SAFE_NO_PAD.encode(format!(
            r#"{{"type":"webauthn.create","challenge":"{}","origin":"https://a.example"}}"#,
            URL_SAFE_NO_PAD.encode([0; 32])
        ));
        let own = URL_SAFE_NO_PAD.encode(bytes);
        let _ = passkey::register(&Registration { client_data: &good, attestation: &own }, &site, &[0; 32]);
        let _ = passkey::register(&Registration { client_data: &own, attestation: &own }, &site, &[0; 32]);
        if let Ok(text) = std::str::from_utf8(bytes) {
            let _ = passkey::register(&Registration { client_data: text, attestation: text }, &site, &[0; 32]);
            if let Ok(site) = Site::of(text, true) {
                assert!(Site::of(&site.name, true).is_ok_and(|s| s.name == site.name));
            }
        }
    },
    seeds: || {
        let none = [&b"\xa3cfmtdnonegattStmt\xa0hauthDataX\xa4"[..], &with_key()].concat();
        let packed = [&b"\xa3cfmtfpackedgattStmt\xa2calg&csigD1234hauthDataX\xa4"[..], &with_key()].concat();
        vec![
            cose(),
            [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32][..], &[3; 32]].concat(),
            [&[0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59, 1, 0][..], &[0xff; 256], &[0x21, 0x43, 1, 0, 1]].concat(),
            with_key(),
            data(0x05, &[]),
            data(0x85, &[0xa1, 0x61, b'x', 0xf5]),
            none,
            packed,
            br#"{"type":"webauthn.get","challenge":"AAAA","origin":"https://a.example","crossOrigin":false}"#.to_vec(),
            b"box.lan:8443".to_vec(),
        ]
    },
};
