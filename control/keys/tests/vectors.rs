//! The text forms against values that the official Go code produced (`vectors/keys.json`).

use hearthgate_keys::{
    ChallengePublic, DiscoPublic, MachinePrivate, MachinePublic, NlPublic, NodePrivate, NodePublic, decode_fixed,
};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/keys.json")).unwrap()
}

#[test]
fn text_forms_match_the_official_ones() {
    let v = vectors();
    let raw: [u8; 32] = decode_fixed(v["raw_public_hex"].as_str().unwrap()).unwrap();
    let text = &v["text"];
    assert_eq!(NodePublic::from_bytes(raw).to_string(), text["node_public"]);
    assert_eq!(MachinePublic::from_bytes(raw).to_string(), text["machine_public"]);
    assert_eq!(DiscoPublic::from_bytes(raw).to_string(), text["disco_public"]);
    assert_eq!(ChallengePublic::from_bytes(raw).to_string(), text["challenge_public"]);
    assert_eq!(MachinePrivate::from_bytes(raw).reveal(), text["machine_private"]);
    assert_eq!(NodePublic::from_bytes(raw).short(), v["short_strings"]["node_public"]);
    assert_eq!(MachinePublic::from_bytes(raw).short(), v["short_strings"]["machine_public"]);
    assert_eq!(DiscoPublic::from_bytes(raw).short(), v["short_strings"]["disco_public"]);
    assert_eq!(NodePublic::ZERO.to_string(), v["zero_keys"]["node_public"]);
    assert_eq!(MachinePublic::ZERO.to_string(), v["zero_keys"]["machine_public"]);
    assert_eq!(DiscoPublic::ZERO.to_string(), v["zero_keys"]["disco_public"]);
    let lock = &v["network_lock"];
    let nl: NlPublic = lock["nlpub"].as_str().unwrap().parse().unwrap();
    assert_eq!(hearthgate_keys::encode(nl.as_bytes()), lock["key_id_hex"]);
}

#[test]
fn parsing_accepts_and_refuses_what_the_official_code_does() {
    let v = vectors();
    for case in v["parse_node_public"].as_array().unwrap() {
        let got = case["in"].as_str().unwrap().parse::<NodePublic>().map_or("error".into(), |k| k.to_string());
        assert_eq!(got, case["out"], "{case}");
    }
    for case in v["parse_machine_public"].as_array().unwrap() {
        let got = case["in"].as_str().unwrap().parse::<MachinePublic>().map_or("error".into(), |k| k.to_string());
        assert_eq!(got, case["out"], "{case}");
    }
}

#[test]
fn boxes_open_only_between_their_keys() {
    let (a, b, c) =
        (NodePrivate::from_random([1; 32]), NodePrivate::from_random([2; 32]), NodePrivate::from_random([3; 32]));
    let sealed = a.seal_to(&b.public(), [9; 24], b"hello");
    assert_eq!(b.open_from(&a.public(), &sealed).unwrap(), b"hello");
    assert!(c.open_from(&a.public(), &sealed).is_err());
    assert!(b.open_from(&a.public(), &sealed[..10]).is_err());
}

#[test]
fn secrets_do_not_print() {
    let key = NodePrivate::from_bytes([0xab; 32]);
    let machine = MachinePrivate::from_bytes([0xab; 32]);
    let secret = hearthgate_keys::Secret::new("hunter2".into());
    let printed = format!("{key:?} {machine:?} {secret:?}");
    assert!(!printed.contains("abab") && !printed.contains("hunter2"), "{printed}");
    assert_eq!(NodePrivate::parse(&key.reveal()).unwrap().secret_bytes(), key.secret_bytes());
}
