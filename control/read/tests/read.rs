//! What is read, what is refused, and in which words.

use hearthgate_read::struct_of;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};

#[derive(Debug, Default, PartialEq)]
struct Inner {
    name: String,
    numbers: Vec<u8>,
}
struct_of!(Inner { name: "Name", numbers: "Numbers" });

#[derive(Debug, Default, PartialEq)]
struct Outer {
    on: bool,
    small: u16,
    large: i64,
    ratio: f64,
    maybe: Option<Vec<Inner>>,
    inner: Inner,
    any: Option<Vec<Value>>,
    addresses: Vec<IpAddr>,
    socket: Option<SocketAddr>,
}
struct_of!(Outer {
    on: "On",
    small: "Small",
    large: "Large",
    ratio: "Ratio",
    maybe: "Maybe",
    inner: "inner",
    any: "Any",
    addresses: "Addresses",
    socket: "Socket",
});

fn read(text: &str) -> Result<Outer, String> {
    serde_json::from_slice(text.as_bytes()).map_err(|e| e.to_string())
}

#[test]
fn all_kinds_of_values_arrive_in_any_order() {
    let text = r#"{"Socket":"[::1]:5","On":true,"Unknown":{"a":[1,{"b":null}]},"Small":65535,
        "Large":-9223372036854775808,"Ratio":1,"Maybe":[{"Numbers":[0,255]},{"Name":"\u00e4"}],"inner":{"Name":"x"},
        "Any":[null,1,-1,0.5,"t",{"k":[true]}],"Addresses":["192.0.2.1","::1"]}"#;
    let outer = read(text).unwrap();
    let inner = |name: &str, numbers: &[u8]| Inner { name: name.into(), numbers: numbers.into() };
    let expected = Outer {
        on: true,
        small: 65535,
        large: i64::MIN,
        ratio: 1.0,
        maybe: Some(vec![inner("", &[0, 255]), inner("ä", &[])]),
        inner: inner("x", &[]),
        any: Some(vec![json!(null), json!(1), json!(-1), json!(0.5), json!("t"), json!({"k": [true]})]),
        addresses: vec!["192.0.2.1".parse().unwrap(), "::1".parse().unwrap()],
        socket: "[::1]:5".parse().ok(),
    };
    assert_eq!(outer, expected);
    // From a value and from a text it is the same.
    assert_eq!(serde_json::from_value::<Outer>(serde_json::from_str(text).unwrap()).unwrap(), expected);
    assert_eq!(serde_json::from_str::<Outer>(text).unwrap(), expected);
}

#[test]
fn absent_null_and_empty_are_three_things() {
    assert_eq!(read("{}").unwrap(), Outer::default());
    let nulls = r#"{"On":null,"Small":null,"Maybe":null,"inner":null,"Addresses":null,"Socket":null}"#;
    assert_eq!(read(nulls).unwrap(), Outer::default());
    assert_eq!(read(r#"{"Maybe":[]}"#).unwrap().maybe, Some(Vec::new()));
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    for (text, words) in [
        (r#"{"On":1}"#, "invalid type: integer `1`, expected a boolean at line 1 column 7"),
        (r#"{"Small":65536}"#, "invalid type: integer `65536`, expected u16 at line 1 column 14"),
        (r#"{"Small":-1}"#, "integer `-1`, expected u16"),
        (r#"{"Small":1.0}"#, "floating point `1.0`, expected u16"),
        (r#"{"Large":9223372036854775808}"#, "expected i64"),
        (r#"{"inner":[]}"#, "invalid type: sequence, expected struct Inner"),
        (r#"{"inner":"x"}"#, "invalid type: string \"x\", expected struct Inner"),
        (r#"{"Maybe":[null]}"#, "invalid type: null, expected an element"),
        (r#"{"Maybe":{}}"#, "invalid type: map, expected a sequence"),
        (r#"{"Addresses":["here"]}"#, "invalid IP address syntax"),
        (r#"{"On":true,"Small":1,"On":false}"#, "duplicate field `On`"),
        (r#"{"On":true"#, "EOF while parsing"),
        (r#"{"On":true}}"#, "trailing characters"),
        ("[]", "expected struct Outer"),
    ] {
        let found = read(text).unwrap_err();
        assert!(found.contains(words), "{text}: {found}");
    }
}

#[test]
fn depth_is_bounded() {
    let deep = format!(r#"{{"Any":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    assert!(read(&deep).unwrap_err().contains("recursion limit"));
}

#[test]
fn it_may_be_part_of_what_serde_reads() {
    #[derive(Deserialize)]
    struct Derived {
        all: Vec<Outer>,
    }
    let derived: Derived = serde_json::from_str(r#"{"all":[{"Small":7}]}"#).unwrap();
    assert_eq!(derived.all[0].small, 7);
}

#[derive(Debug, Default, PartialEq, Clone, Copy)]
enum Colour {
    #[default]
    Red,
    Green,
}
hearthgate_read::names_of!(Colour { "red" => Self::Red, "green" => Self::Green });

#[derive(Debug, Default, PartialEq)]
struct Strict {
    id: u64,
    name: String,
    colour: Colour,
    end: Option<String>,
    noted: bool,
}
struct_of!(Strict;
must { id: "id", name: "name" }
may { colour: "colour", end: "end" }
not { noted });

#[test]
fn what_must_be_there_is_and_null_is_no_value() {
    // The reader that serde's derive makes, which says the same.
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Derived {
        id: u64,
        name: String,
        #[serde(default)]
        colour: serde::de::IgnoredAny,
        end: Option<String>,
    }
    let strict = |text: &str| serde_json::from_str::<Strict>(text).map_err(|e| e.to_string());
    let words = |error: &str| error.split(" at line").next().unwrap_or_default().replace("a string", "string");
    let derived = |text: &str| serde_json::from_str::<Derived>(text).map_err(|e| e.to_string());
    let all = r#"{"name":"n","colour":"green","end":null,"noted":true,"id":7}"#;
    let expected = Strict { id: 7, name: "n".into(), colour: Colour::Green, ..Strict::default() };
    assert_eq!(strict(all).unwrap(), expected);
    assert!(derived(all).is_ok());
    for text in [r#"{}"#, r#"{"id":7}"#, r#"{"name":"n"}"#, r#"{"id":7,"name":null}"#, r#"{"id":7,"id":8,"name":"n"}"#]
    {
        let (ours, theirs) = (strict(text).unwrap_err(), derived(text).unwrap_err());
        // The place of a null is told as before it by one and behind it by the other.
        assert_eq!(words(&ours), words(&theirs), "{text}");
    }
    let error = strict(r#"{"id":7,"name":"n","colour":"blue"}"#).unwrap_err();
    assert!(error.starts_with("unknown variant `blue`, expected one of `red`, `green`"), "{error}");
    assert!(strict(r#"{"id":7,"name":"n","colour":null}"#).is_err());
    assert!(strict("null").is_err() && derived("null").is_err());
    assert!(serde_json::from_str::<Colour>("null").is_err());
    // Within others, too.
    assert!(serde_json::from_str::<Vec<Strict>>(&format!("[{all}]")).is_ok());
    assert!(serde_json::from_str::<Vec<Strict>>(r#"[{"id":7}]"#).is_err());
}
