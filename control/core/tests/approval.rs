//! Device approval: who waits, who does not, and what those who wait are told.

mod support;

use hearthgate_core::{AuthId, EventKind, Fact, NewPreAuthKey, NodeId, RegisterMethod, Settings, UserId, map};
use hearthgate_sorted::SortedSet;
use support::{Lab, request};

fn lab() -> (Lab, UserId) {
    let mut lab = Lab::new();
    let user = lab.user("alice");
    (lab, user)
}

fn switch_on(lab: &mut Lab) {
    let settings = Settings { device_approval: true, ..Settings::clone(lab.world.settings()) };
    lab.world.set_settings(settings);
}

fn key(lab: &mut Lab, user: UserId, preauthorized: bool) -> String {
    lab.key(NewPreAuthKey { user: Some(user), reusable: true, preauthorized, ..Default::default() }).1
}

fn waits(lab: &Lab, id: NodeId) -> bool {
    lab.world.node(id).unwrap().waiting
}

/// How many peers a node's whole map has, and whether it is told that it is let in.
fn told(lab: &Lab, id: NodeId) -> (usize, bool) {
    let view = lab.world.view();
    let head = map::head(&view, id, &SortedSet::new(), lab.now.wall).unwrap();
    let class = view.policy.class_of(view.node(id).unwrap());
    let peers = view.nodes().filter(|n| n.id != id && view.policy.sees(class, n)).count();
    (peers, head.node.unwrap().machine_authorized)
}

#[test]
fn new_devices_wait_and_those_that_were_there_do_not() {
    let (mut lab, user) = lab();
    let key = key(&mut lab, user, false);
    let old = lab.join(1, &key);
    switch_on(&mut lab);
    assert!(!waits(&lab, old));
    assert!(lab.answer(1, &request(1, Some(&key))).machine_authorized, "one that is in stays in");

    let answer = lab.answer(2, &request(2, Some(&key)));
    assert!(answer.error.is_empty() && answer.auth_url.is_empty() && !answer.machine_authorized);
    let new = lab.id(2);
    assert_eq!((told(&lab, old), told(&lab, new)), ((0, true), (0, false)));
    assert!(!lab.answer(2, &request(2, None)).machine_authorized, "a restart changes nothing");

    lab.world.set_node_approved(new, true).unwrap();
    assert_eq!((told(&lab, old), told(&lab, new)), ((1, true), (1, true)));
    assert!(lab.answer(2, &request(2, None)).machine_authorized);
    lab.world.set_node_approved(new, false).unwrap();
    assert_eq!((told(&lab, old), told(&lab, new)), ((0, true), (0, false)));
    assert!(lab.world.set_node_approved(NodeId(99), true).is_err());
}

#[test]
fn keys_may_say_that_their_devices_need_not_wait() {
    let (mut lab, user) = lab();
    switch_on(&mut lab);
    let (plain, free) = (key(&mut lab, user, false), key(&mut lab, user, true));
    let first = lab.join(1, &free);
    assert!(!waits(&lab, first));
    assert!(!lab.answer(2, &request(2, Some(&plain))).machine_authorized);
    // The same device comes again with a better key.
    assert!(lab.answer(2, &request(2, Some(&free))).machine_authorized);
    assert!(!waits(&lab, lab.id(2)));
}

#[test]
fn a_login_let_in_by_hand_is_approved_and_one_by_a_provider_is_not() {
    let (mut lab, user) = lab();
    switch_on(&mut lab);
    for (n, method, waiting) in [(1, RegisterMethod::Cli, false), (2, RegisterMethod::Oidc, true)] {
        let id = AuthId::find_in(&lab.answer(n, &request(n, None)).auth_url).unwrap();
        let made = lab.world.approve_login(&id, user, method, lab.now, &mut |b: &mut [u8]| b.fill(n)).unwrap();
        assert_eq!(waits(&lab, made.id), waiting, "{method:?}");
    }
}

#[test]
fn under_a_policy_too_and_a_router_that_waits_serves_nothing() {
    let (mut lab, user) = lab();
    let now = lab.now;
    lab.world.set_policy_text(r#"{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}"#, "t", now).unwrap();
    let key = key(&mut lab, user, false);
    let old = lab.join(1, &key);
    switch_on(&mut lab);
    lab.answer(2, &request(2, Some(&key)));
    let new = lab.id(2);
    lab.update(2, |r| r.hostinfo.as_mut().unwrap().routable_ips = vec!["192.168.7.0/24".parse().unwrap()]);
    lab.world.approve_routes(new, &["192.168.7.0/24".parse().unwrap()]).unwrap();
    lab.world.take_batch();
    assert_eq!((told(&lab, old), told(&lab, new)), ((0, true), (0, false)));
    assert!(lab.world.node(new).unwrap().primary_routes.is_empty());
    let view = lab.world.view();
    assert!(view.policy.filters(view.node(new).unwrap()).is_empty());

    lab.world.set_node_approved(new, true).unwrap();
    lab.world.take_batch();
    assert_eq!((told(&lab, old), told(&lab, new)), ((1, true), (1, true)));
    assert_eq!(lab.world.node(new).unwrap().primary_routes.len(), 1);
}

/// Kinds of events of the last batch, with the names of their nodes.
fn events(lab: &mut Lab) -> Vec<(EventKind, String)> {
    let told = |fact| match fact {
        Fact::Happened(event) => Some((event.kind, event.node.map(|n| n.name).unwrap_or_default())),
        _ => None,
    };
    lab.world.take_batch().facts.into_iter().filter_map(told).collect()
}

#[test]
fn people_outside_hear_of_a_device_from_its_first_to_its_last_day() {
    let (mut lab, user) = lab();
    let key = key(&mut lab, user, false);
    lab.join(1, &key);
    let name = |n: u8| format!("host{n}.hearthgate.internal");
    assert_eq!(events(&mut lab), [(EventKind::NodeCreated, name(1))]);
    lab.join(1, &key);
    assert!(events(&mut lab).is_empty(), "a restart is no event");
    switch_on(&mut lab);
    lab.answer(2, &request(2, Some(&key)));
    assert_eq!(events(&mut lab), [(EventKind::NodeCreated, name(2)), (EventKind::NodeNeedsApproval, name(2))]);
    let id = lab.id(2);
    lab.world.set_node_approved(id, true).unwrap();
    lab.world.set_node_approved(id, true).unwrap();
    assert_eq!(events(&mut lab), [(EventKind::NodeApproved, name(2))]);
    lab.pass(1_000);
    lab.world.set_node_expiry(id, Some(lab.now.wall), lab.now).unwrap();
    lab.pass(40_000);
    lab.pass(40_000);
    assert_eq!(events(&mut lab), [(EventKind::NodeKeyExpired, name(2))]);
    lab.world.delete_node(id).unwrap();
    assert_eq!(events(&mut lab), [(EventKind::NodeDeleted, name(2))]);
    let now = lab.now;
    lab.world.set_policy_text("{}", "t", now).unwrap();
    assert_eq!(events(&mut lab), [(EventKind::PolicyUpdate, String::new())]);
}
