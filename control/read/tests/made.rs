//! `json!` makes what serde_json's of the same name makes.

use serde::Serialize;
use std::net::IpAddr;

#[derive(Serialize)]
struct Derived {
    a: u8,
    b: Option<f64>,
}

macro_rules! same {
    ($($written:tt)+) => { assert_eq!(hearthgate_read::json!($($written)+), serde_json::json!($($written)+)) };
}

#[test]
fn the_same_as_serde_json_makes() {
    let (name, tags, none, address) =
        (String::from("x"), vec!["a".to_owned()], None::<u64>, IpAddr::from([1, 2, 3, 4]));
    let value = serde_json::json!({ "deep": [1, { "er": null }] });
    same!(null);
    same!(name);
    same!({});
    same!([]);
    same!({ "a": null });
    same!([1, "two", 3.5, null, [null], { "k": [] }, -4, true]);
    same!({
        "name": name, "tags": tags, "none": none, "address": address, "some": Some("t"), "value": value,
        "if": if name.is_empty() { "empty" } else { &name },
        "nested": { "list": [{ "a": 1 }, tags], "object": {} },
        "derived": Derived { a: 1, b: None },
        "all": [Derived { a: 2, b: Some(0.5) }],
        "several": vec![&name, &name], "slice": &tags[..], "option": Some(vec![1_u8]), "length": tags.len(),
        "lengths": tags.iter().map(String::len).collect::<Vec<_>>(), "negative": -7_i64, "big": u64::MAX,
    });
}
