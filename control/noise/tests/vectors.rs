//! Recorded handshakes and records of the official code (`vectors/noise.json`).

use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, aead::Aead};
use hearthgate_keys::{MachinePrivate, MachinePublic, decode_fixed};
use hearthgate_noise::{Initiator, MAX_PLAINTEXT, encode_early, parse_early_head, respond, respond_with_ephemeral};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn hex(v: &Value) -> Vec<u8> {
    let s = v.as_str().unwrap();
    (0..s.len()).step_by(2).map(|i| u8::from_str_radix(&s[i..i + 2], 16).unwrap()).collect()
}

fn key(v: &Value) -> [u8; 32] {
    decode_fixed(v.as_str().unwrap()).unwrap()
}

fn handshakes() -> Vec<Value> {
    let v: Value = serde_json::from_str(include_str!("vectors/noise.json")).unwrap();
    v["handshakes"].as_array().unwrap().clone()
}

#[test]
fn both_roles_make_the_recorded_bytes() {
    for h in handshakes() {
        let client = MachinePrivate::from_bytes(key(&h["client_static_private"]));
        let server = MachinePrivate::from_bytes(key(&h["server_static_private"]));
        assert_eq!(server.public(), MachinePublic::from_bytes(key(&h["server_static_public"])));
        let version = u16::try_from(h["protocol_version"].as_u64().unwrap()).unwrap();
        let (initiator, initiation) =
            Initiator::start(&client, &server.public(), version, Some(&key(&h["client_ephemeral_private"]))).unwrap();
        assert_eq!(initiation.to_vec(), hex(&h["initiation_hex"]));
        let mut accepted = respond_with_ephemeral(&server, &initiation, &key(&h["server_ephemeral_private"])).unwrap();
        assert_eq!(accepted.response.to_vec(), hex(&h["response_hex"]));
        assert_eq!(accepted.machine, client.public());
        assert_eq!(accepted.version, version);
        let mut session = initiator.finish(&accepted.response).unwrap();
        let mut checked = 0;
        for r in h["records"].as_array().unwrap() {
            let (Some(wire), Some(plain)) = (r["wire_hex"].as_str(), r["plaintext_hex"].as_str()) else { continue };
            let (wire, plain) = (hex(&wire.into()), hex(&plain.into()));
            let to_server = r["direction"] == "client->server";
            let (sealer, opener) = if to_server {
                (&mut session.sealer, &mut accepted.session.opener)
            } else {
                (&mut accepted.session.sealer, &mut session.opener)
            };
            let mut out = Vec::new();
            sealer.seal(&plain, &mut out).unwrap();
            assert_eq!(out, wire, "{r}");
            let mut opened = Vec::new();
            let mut at = 0;
            while let Some((used, text)) = opener.open(&mut out[at..]).unwrap() {
                opened.extend_from_slice(&out[at..][text]);
                at += used;
            }
            assert_eq!(opened, plain);
            checked += 1;
        }
        assert!(checked >= 3);
    }
}

/// Both ends of a recorded handshake.
fn recorded(h: &Value) -> (hearthgate_noise::Session, hearthgate_noise::Accepted) {
    let client = MachinePrivate::from_bytes(key(&h["client_static_private"]));
    let server = MachinePrivate::from_bytes(key(&h["server_static_private"]));
    let version = u16::try_from(h["protocol_version"].as_u64().unwrap()).unwrap();
    let (initiator, initiation) =
        Initiator::start(&client, &server.public(), version, Some(&key(&h["client_ephemeral_private"]))).unwrap();
    let accepted = respond_with_ephemeral(&server, &initiation, &key(&h["server_ephemeral_private"])).unwrap();
    (initiator.finish(&accepted.response).unwrap(), accepted)
}

#[test]
fn a_long_write_is_cut_as_the_official_code_cuts_it() {
    for h in handshakes() {
        let (mut session, mut accepted) = recorded(&h);
        let mut long = 0;
        for r in h["records"].as_array().unwrap() {
            let sealer =
                if r["direction"] == "client->server" { &mut session.sealer } else { &mut accepted.session.sealer };
            let mut out = Vec::new();
            let Some(sum) = r["wire_sha256"].as_str() else {
                sealer.seal(&hex(&r["plaintext_hex"]), &mut out).unwrap();
                continue;
            };
            assert_eq!(r["plaintext_rule"], "byte i = i mod 251");
            let plain: Vec<u8> = (0..r["plaintext_len"].as_u64().unwrap()).map(|i| (i % 251) as u8).collect();
            sealer.seal(&plain, &mut out).unwrap();
            assert_eq!(out.len() as u64, r["wire_len"].as_u64().unwrap());
            assert_eq!(hearthgate_keys::encode(&Sha256::digest(&out)), sum);
            let mut at = 0;
            for head in r["record_headers_hex"].as_array().unwrap() {
                assert_eq!(out[at..at + 3].to_vec(), hex(head));
                at += 3 + usize::from(u16::from_be_bytes([out[at + 1], out[at + 2]]));
            }
            assert_eq!(at, out.len());
            long += 1;
        }
        assert_eq!(long, 1);
    }
}

#[test]
fn the_early_payload_and_the_header_are_the_recorded_ones() {
    for h in handshakes() {
        let said: Vec<u8> =
            h["records"].as_array().unwrap()[1..4].iter().flat_map(|r| hex(&r["plaintext_hex"])).collect();
        assert_eq!(encode_early(h["early_noise_json"].as_str().unwrap().as_bytes()), said);
        assert_eq!(parse_early_head(&said[..9].try_into().unwrap()), Some(said.len() - 9));
        let header = h["x_tailscale_handshake"].as_str().unwrap();
        assert_eq!(STANDARD.decode(header).unwrap(), hex(&h["initiation_hex"]));
    }
}

#[test]
fn an_empty_record_holds_nothing_and_is_no_end() {
    let h = &handshakes()[0];
    let (_, mut accepted) = recorded(h);
    let cipher = ChaCha20Poly1305::new(&key(&h["transport_key_client_to_server"]).into());
    let mut wire = Vec::new();
    for (counter, text) in [(0u64, &b""[..]), (1, b"after")] {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&counter.to_be_bytes());
        let sealed = cipher.encrypt(&nonce.into(), text).unwrap();
        wire.extend([4, 0, sealed.len() as u8]);
        wire.extend(sealed);
    }
    assert_eq!(accepted.session.opener.open(&mut wire).unwrap(), Some((19, 3..3)));
    assert_eq!(accepted.session.opener.open(&mut wire[19..]).unwrap(), Some((24, 3..8)));
    assert_eq!(&wire[22..27], b"after");
}

#[test]
fn a_long_write_is_split_into_full_records_and_comes_back_whole() {
    let (client, server) = (MachinePrivate::from_random([7; 32]), MachinePrivate::from_random([8; 32]));
    let (initiator, initiation) = Initiator::start(&client, &server.public(), 148, None).unwrap();
    let mut accepted = respond(&server, &initiation).unwrap();
    let mut session = initiator.finish(&accepted.response).unwrap();
    let plain: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
    let mut wire = Vec::new();
    accepted.session.sealer.seal(&plain, &mut wire).unwrap();
    let mut at = 0;
    let mut sizes = Vec::new();
    let mut opened = Vec::new();
    while let Some((used, text)) = session.opener.open(&mut wire[at..]).unwrap() {
        sizes.push(text.len());
        opened.extend_from_slice(&wire[at..][text]);
        at += used;
    }
    assert_eq!(sizes, [MAX_PLAINTEXT, MAX_PLAINTEXT, 10_000 - 2 * MAX_PLAINTEXT]);
    assert_eq!(opened, plain);
}

#[test]
fn strangers_and_changed_bytes_are_refused() {
    let (client, server) = (MachinePrivate::from_random([7; 32]), MachinePrivate::from_random([8; 32]));
    let (_, good) = Initiator::start(&client, &server.public(), 148, None).unwrap();
    for at in 0..good.len() {
        let mut bad = good;
        bad[at] ^= 1;
        assert!(respond(&server, &bad).is_err(), "byte {at}");
    }
    assert!(respond(&server, &good[..100]).is_err());
    assert!(respond(&server, &[]).is_err());
    let other = MachinePrivate::from_random([9; 32]);
    assert!(respond(&other, &good).is_err());
    let mut accepted = respond(&server, &good).unwrap();
    assert!(accepted.session.opener.open(&mut [4, 0xff, 0xff, 0]).is_err());
    assert!(accepted.session.opener.open(&mut [4, 0, 15, 0]).is_err());
    assert!(accepted.session.opener.open(&mut [3, 0, 16, 0]).is_err());
    assert_eq!(accepted.session.opener.open(&mut [4, 0]).unwrap(), None);
    let mut forged = vec![4, 0, 16];
    forged.extend([0; 16]);
    assert!(accepted.session.opener.open(&mut forged).is_err());
}
