//! What a control server may heap up with one change after another.

use hearthgate_client::{ControlError, Netmap};
use hearthgate_tailcfg::MapResponse;
use jiff::Timestamp;
use serde_json::{Value, json};

fn apply(map: &mut Netmap, message: Value) -> Result<(), ControlError> {
    let message: MapResponse = serde_json::from_value(message).expect("a message");
    map.apply(message, Timestamp::UNIX_EPOCH).map(drop)
}

fn begun() -> Netmap {
    let mut map = Netmap::default();
    let key = format!("nodekey:{}", "01".repeat(32));
    apply(&mut map, json!({ "Node": { "ID": 1, "Key": key, "Name": "a.t.example." } })).expect("a first message");
    map
}

#[test]
fn parts_of_the_filter_are_bounded() {
    let mut map = begun();
    let rounds = (0..100_000).map(|n| apply(&mut map, json!({ "PacketFilters": { format!("part{n}"): [] } })));
    let taken = rounds.take_while(Result::is_ok).count();
    assert_eq!(taken, 1024);
    assert_eq!(map.filters.as_ref().map(|parts| parts.len()), Some(1024), "and nothing of what was refused");
    apply(&mut map, json!({ "PacketFilters": { "part0": [{ "SrcIPs": ["*"] }] } }))
        .expect("those that are there can change");
    assert_eq!(map.rules().map(|rules| rules.len()), Some(1));
}

#[test]
fn messages_for_people_are_bounded_and_those_that_are_there_can_change() {
    let mut map = begun();
    for n in 0..1000 {
        let message = json!({ "Title": "t", "Text": "x" });
        apply(&mut map, json!({ "DisplayMessages": { format!("m{n}"): message } })).expect("taken or left out");
    }
    assert!(map.messages.len() <= 64, "{}", map.messages.len());
    apply(&mut map, json!({ "DisplayMessages": { "m0": { "Title": "t", "Text": "new" } } })).expect("taken");
    assert_eq!(map.messages.get("m0").map(|message| message.text.as_str()), Some("new"));
}
