//! Names and tags against the official code (`vectors/names.json`).

use hearthgate_core::names::{fqdn, free_label, is_label, is_tag, sanitize_hostname, sanitize_label};
use serde_json::Value;

#[test]
fn sanitising_and_tags_match_the_official_code() {
    let v: Value = serde_json::from_str(include_str!("vectors/names.json")).unwrap();
    let mut cases = 0;
    for case in v["sanitize"].as_array().unwrap() {
        let text = case["in"].as_str().unwrap();
        assert_eq!(sanitize_hostname(text), case["sanitize_hostname"], "{case}");
        assert_eq!(sanitize_label(text), case["sanitize_label"], "{case}");
        if let Some(valid) = case["input_as_label"].as_str() {
            assert_eq!(is_label(text), valid == "valid", "{case}");
        }
        cases += 1;
    }
    for case in v["tags"].as_array().unwrap() {
        assert_eq!(is_tag(case["in"].as_str().unwrap()), case["result"] == "valid", "{case}");
        cases += 1;
    }
    assert!(cases > 20);
}

#[test]
fn labels_stay_within_dns_limits() {
    let long = "x".repeat(300);
    assert_eq!(free_label(&long, |_| false).len(), 63);
    let second = free_label(&long, |l| !l.contains('-'));
    assert!(second.len() <= 63 && second.ends_with("-1"));
    assert_eq!(free_label("我的电脑", |_| false), "node");
    assert!(fqdn(&"x".repeat(63), &"y".repeat(200)).len() <= 254);
}
