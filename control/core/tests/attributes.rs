//! Values and facts of nodes that postures of a policy ask about.

mod support;

use hearthgate_core::{ATTRIBUTES_MAX, Attribute, NewPreAuthKey, NodeId};
use jiff::SignedDuration;
use serde_json::{Value, json};
use support::Lab;

const POLICY: &str = r#"{
    "postures": {"posture:good": ["node:os == 'macos'", "custom:tier == 'gold'"]},
    "acls": [{"action": "accept", "src": ["*"], "dst": ["*:22"], "srcPosture": ["posture:good"]}],
}"#;

fn value(value: impl Into<Value>) -> Option<Attribute> {
    Some(Attribute { value: value.into(), expiry: None })
}

/// A Mac and a server under [`POLICY`].
fn lab() -> (Lab, NodeId, NodeId) {
    let mut lab = Lab::new();
    let user = lab.user("alice");
    let key = lab.key(NewPreAuthKey { user: Some(user), reusable: true, ..Default::default() }).1;
    let (mac, server) = (lab.join(1, &key), lab.join(2, &key));
    let now = lab.now;
    lab.world.set_policy_text(POLICY, "t", now).unwrap();
    lab.update(1, |r| {
        let host = r.hostinfo.as_mut().unwrap();
        (host.os, host.ipn_version) = ("macOS".into(), "1.103.12-t0a1b2c3d".into());
    });
    lab.world.take_batch();
    (lab, mac, server)
}

fn gets_in(lab: &Lab, server: NodeId) -> bool {
    let view = lab.world.view();
    !view.policy.filters(view.node(server).unwrap()).is_empty()
}

fn set(lab: &mut Lab, id: NodeId, name: &str, to: Option<Attribute>) -> Result<(), hearthgate_core::CoreError> {
    let now = lab.now;
    let done = lab.world.set_node_attributes(id, vec![(name.into(), to)], now);
    lab.world.take_batch();
    done
}

#[test]
fn facts_are_in_the_words_of_policies() {
    let (lab, mac, _) = lab();
    let facts = lab.world.node(mac).unwrap().posture();
    assert_eq!(facts["node:os"], "macos");
    assert_eq!(facts["node:tsVersion"], "1.103.12");
    assert_eq!(facts["node:tsReleaseTrack"], "unstable");
    assert_eq!(facts["node:tsAutoUpdate"], json!(false));
    assert!(!facts.contains_key("node:tsStateEncrypted"), "an old client does not say");
}

#[test]
fn a_value_opens_the_door_and_its_end_closes_it() {
    let (mut lab, mac, server) = lab();
    assert!(!gets_in(&lab, server));
    set(&mut lab, mac, "custom:tier", value("gold")).unwrap();
    assert!(gets_in(&lab, server));
    set(&mut lab, mac, "custom:tier", value("tin")).unwrap();
    assert!(!gets_in(&lab, server));

    let until = lab.now.wall.checked_add(SignedDuration::from_secs(60)).unwrap();
    set(&mut lab, mac, "custom:tier", Some(Attribute { value: "gold".into(), expiry: Some(until) })).unwrap();
    assert!(gets_in(&lab, server));
    lab.pass(59_000);
    assert!(gets_in(&lab, server));
    lab.pass(31_000);
    lab.world.take_batch();
    assert!(!gets_in(&lab, server));
    assert!(lab.world.node(mac).unwrap().attributes.is_empty());
}

#[test]
fn all_changes_of_a_request_or_none() {
    let (mut lab, mac, _) = lab();
    let now = lab.now;
    let changes = vec![("custom:a".into(), value(1)), ("node:os".into(), value("linux"))];
    assert!(lab.world.set_node_attributes(mac, changes, now).is_err());
    assert!(lab.world.node(mac).unwrap().attributes.is_empty());
    let many = (0..=ATTRIBUTES_MAX).map(|n| (format!("custom:n{n}"), value(n))).collect();
    assert!(lab.world.set_node_attributes(mac, many, now).is_err());
    let past = Some(Attribute { value: true.into(), expiry: Some(now.wall) });
    assert!(set(&mut lab, mac, "custom:a", past).is_err());
    set(&mut lab, mac, "custom:none", None).unwrap();
    assert!(set(&mut lab, NodeId(99), "custom:a", value(1)).is_err());
}

#[test]
fn values_come_back_from_flash() {
    let (mut lab, mac, _) = lab();
    set(&mut lab, mac, "custom:tier", value(7.5)).unwrap();
    let record = serde_json::to_vec(&lab.world.node(mac).unwrap().record).unwrap();
    let back: hearthgate_core::NodeRecord = serde_json::from_slice(&record).unwrap();
    assert_eq!(back.attributes["custom:tier"].value, json!(7.5));
}
