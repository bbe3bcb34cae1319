//! Requests and answers of the official code (`vectors/data-stun.json`).

use hearthgate_stun::{parse_request, parse_response, request, response};
use serde_json::Value;

fn hex(v: &Value) -> Vec<u8> {
    let s = v.as_str().unwrap();
    (0..s.len()).step_by(2).map(|i| u8::from_str_radix(&s[i..i + 2], 16).unwrap()).collect()
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/data-stun.json")).unwrap()
}

#[test]
fn requests_and_responses_match_byte_for_byte() {
    let v = vectors();
    let txid = hex(&v["txid"]).try_into().unwrap();
    assert_eq!(request(&txid), hex(&v["request"]));
    for r in v["responses"].as_array().unwrap() {
        let addr = r["addr"].as_str().unwrap().parse().unwrap();
        assert_eq!(response(&txid, addr), hex(&r["response"]), "{r}");
        assert_eq!(parse_response(&hex(&r["response"])).unwrap(), (txid, addr));
    }
}

#[test]
fn the_same_requests_are_accepted_and_refused() {
    for case in vectors()["request_validation"].as_array().unwrap() {
        assert_eq!(parse_request(&hex(&case["bytes"])).is_ok(), case["result"] == "accepted", "{case}");
    }
}

#[test]
fn the_same_responses_are_understood() {
    for case in vectors()["response_parsing"].as_array().unwrap() {
        let got = parse_response(&hex(&case["bytes"]));
        match case["addr"].as_str().filter(|a| !a.is_empty()) {
            Some(addr) => assert_eq!(got.unwrap().1.to_string(), addr, "{case}"),
            None => assert!(got.is_err(), "{case}"),
        }
    }
}

#[test]
fn no_cut_or_changed_packet_panics() {
    let good = request(&[7; 12]);
    for len in 0..good.len() {
        assert!(parse_request(&good[..len]).is_err());
        let _ = parse_response(&good[..len]);
    }
    for at in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[at / 8] ^= 1 << (at % 8);
        assert!(parse_request(&bad).is_err() || (8..20).contains(&(at / 8)), "bit {at}");
    }
}
