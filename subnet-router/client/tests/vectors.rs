//! A session recorded from the official client: message by message our map must become what its map became.

use hearthgate_client::{ControlError, Netmap};
use hearthgate_tailcfg::{MapResponse, Node};
use jiff::Timestamp;
use serde_json::{Value, json};

fn recorded() -> Value {
    serde_json::from_str(include_str!("../../../control/tailcfg/tests/vectors/map-session.json")).unwrap()
}

fn short(node: &Node) -> String {
    node.key.to_string().trim_start_matches("nodekey:")[..8].to_owned()
}

/// The official client's summary of a map, of ours.
fn summary(map: &Netmap) -> Value {
    let own = map.own.as_ref().unwrap();
    let caps = |node: &Node| -> Vec<String> { node.cap_map.iter().flatten().map(|(name, _)| name.clone()).collect() };
    let peers: Vec<Value> = map
        .peers
        .values()
        .map(|peer| {
            json!({
                "ID": peer.id, "Key": short(peer), "Name": peer.name, "HomeDERP": peer.home_derp, "Online": peer.online,
                "AllowedIPs": peer.allowed_ips, "Endpoints": peer.endpoints, "Caps": caps(peer),
                "KeyExpiryZero": peer.key_expiry.is_none(), "LastSeenSet": !peer.last_seen.is_none(),
            })
        })
        .collect();
    json!({
        "collect_services": map.collect_services, "domain": map.domain, "magicdns_suffix": map.magic_suffix(),
        "derp_regions": map.derp.regions.keys().collect::<Vec<_>>(),
        "dns_domains": map.dns.domains, "dns_proxied": map.dns.proxied,
        "packet_filter_rules": map.rules(), "peers": peers,
        "self_caps": caps(own), "self_name": own.name,
        "display_messages": map.messages.values().map(|m| m.text.clone()).collect::<Vec<_>>(),
    })
}

/// The official summary with `null` for empty lists taken out, and without what a router has no use for.
fn expected(after: &Value) -> Value {
    let mut after = after.clone();
    for unused in ["ssh_rules", "tka_enabled", "user_profiles"] {
        after.as_object_mut().unwrap().remove(unused);
    }
    for list in ["packet_filter_rules", "peers", "self_caps", "display_messages"] {
        if after[list].is_null() {
            after[list] = json!([]);
        }
    }
    for message in after["display_messages"].as_array_mut().unwrap() {
        let text = message.as_str().unwrap();
        let text = text.split_once(": ").map_or(text, |(_, text)| text);
        *message = text.trim_start_matches("The coordination server is reporting a health issue: ").into();
    }
    for peer in after["peers"].as_array_mut().unwrap() {
        for list in ["Endpoints", "Caps"] {
            if peer[list].is_null() {
                peer[list] = json!([]);
            }
        }
        if peer["LastSeenSet"].is_null() {
            peer["LastSeenSet"] = json!(false);
        }
    }
    after
}

#[test]
fn our_map_is_the_official_clients_map_after_every_message() {
    let mut map = Netmap::default();
    let mut compared = 0;
    for step in recorded()["steps"].as_array().unwrap() {
        let message: MapResponse = serde_json::from_value(step["message"].clone()).unwrap();
        let changes = map.apply(message, Timestamp::now()).unwrap();
        let after = &step["netmap_after"];
        if after.is_object() {
            assert_eq!(summary(&map), expected(after), "{}", step["note"]);
            compared += 1;
        } else {
            assert!(!changes.any(), "{}", step["note"]);
        }
    }
    assert!(compared >= 15, "{compared}");
}

#[test]
fn a_stream_that_begins_with_a_change_is_refused() {
    let mut map = Netmap::default();
    let change: MapResponse = serde_json::from_value(json!({ "PeersRemoved": [1] })).unwrap();
    assert!(matches!(map.apply(change, Timestamp::now()), Err(ControlError::NoSelf)));
}

#[test]
fn telling_something_twice_changes_nothing() {
    let mut map = Netmap::default();
    let first = recorded()["steps"][1]["message"].clone();
    let message = || serde_json::from_value::<MapResponse>(first.clone()).unwrap();
    assert!(map.apply(message(), Timestamp::now()).unwrap().own);
    let again = map.apply(message(), Timestamp::now()).unwrap();
    assert!(!again.any(), "{again:?}");
}

#[test]
fn a_map_survives_flash() {
    let mut map = Netmap::default();
    for step in recorded()["steps"].as_array().unwrap().iter().take(6) {
        map.apply(serde_json::from_value(step["message"].clone()).unwrap(), Timestamp::now()).unwrap();
    }
    let stored = serde_json::to_vec(&map).unwrap();
    assert_eq!(serde_json::from_slice::<Netmap>(&stored).unwrap(), map);
}
