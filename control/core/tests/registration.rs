//! Joining, coming back, leaving: what real clients do, in the order they do it.

mod support;

use hearthgate_core::{AuthId, CoreError, Fact, NewPreAuthKey, PREAUTH_MAX, RegisterMethod, Registration};
use hearthgate_tailcfg::{Hostinfo, Service};
use jiff::ToSpan;
use support::{Lab, machine, node_key, request};

fn reusable(user: hearthgate_core::UserId) -> NewPreAuthKey {
    NewPreAuthKey { user: Some(user), reusable: true, ..Default::default() }
}

#[test]
fn a_single_use_key_lets_one_node_in_and_that_node_back_in() {
    let mut lab = Lab::new();
    let user = lab.user("alice");
    let (id, key) = lab.key(NewPreAuthKey { user: Some(user), ..Default::default() });
    let node = lab.join(1, &key);
    assert_eq!(lab.answer(2, &request(2, Some(&key))).error, "authkey already used");
    // A restarted client sends the same request again, even when the key is gone.
    lab.world.delete_preauth_key(id).unwrap();
    assert_eq!(lab.join(1, &key), node);
    assert_eq!(lab.world.nodes().count(), 1);
}

#[test]
fn a_machine_is_known_while_a_node_is_on_it() {
    let mut lab = Lab::new();
    let user = lab.user("alice");
    let (_, key) = lab.key(reusable(user));
    lab.answer(1, &request(1, None));
    assert!(!lab.world.view().knows_machine(&machine(1)), "a login that waits is a stranger's");
    let node = lab.join(1, &key);
    assert!(lab.world.view().knows_machine(&machine(1)) && !lab.world.view().knows_machine(&machine(2)));
    lab.world.delete_node(node).unwrap();
    assert!(!lab.world.view().knows_machine(&machine(1)));
}

#[test]
fn wrong_expired_and_half_keys_are_refused() {
    let mut lab = Lab::new();
    let user = lab.user("alice");
    let expiration = Some(lab.now.wall.checked_add(1.hour()).unwrap());
    let (_, key) = lab.key(NewPreAuthKey { expiration, ..reusable(user) });
    let wrong = format!("{}0", &key[..key.len() - 1]);
    for bad in ["", "hskey-auth-", "tskey-auth-abc", &key[..30], &wrong] {
        let answer = lab.answer(1, &request(1, Some(bad)));
        assert!(bad.is_empty() || answer.error == "invalid pre auth key", "{bad}: {answer:?}");
    }
    lab.pass(3_600_001);
    assert_eq!(lab.answer(1, &request(1, Some(&key))).error, "authkey expired");
}

#[test]
fn a_node_key_belongs_to_one_machine() {
    let mut lab = Lab::new();
    let user = lab.user("alice");
    let (_, key) = lab.key(reusable(user));
    lab.join(1, &key);
    assert_eq!(lab.answer(9, &request(1, Some(&key))).error, "this node key belongs to another machine");
    assert_eq!(lab.answer(9, &request(1, None)).error, "this node key belongs to another machine");
}

#[test]
fn a_login_waits_for_a_person_and_is_held_meanwhile() {
    let mut lab = Lab::new();
    let user = lab.user("alice");
    let url = lab.answer(1, &request(1, None)).auth_url;
    let id = AuthId::find_in(&url).unwrap();
    assert_eq!(url, format!("http://127.0.0.1:8080/register/{id}"));
    let mut again = request(1, None);
    again.followup = url.clone();
    assert_eq!(lab.send(1, &again), Registration::Hold(id.clone()));
    // The same client asking anew gets the same login, so strangers cannot fill the list with one key.
    assert_eq!(lab.answer(1, &request(1, None)).auth_url, url);
    lab.world.take_batch();
    let registered =
        lab.world.approve_login(&id, user, RegisterMethod::Cli, lab.now, &mut |b: &mut [u8]| b.fill(1)).unwrap();
    let facts = lab.world.take_batch().facts;
    assert!(facts.contains(&Fact::LoginFinished(id.clone())), "{facts:?}");
    let answer = lab.answer(1, &again);
    assert!(answer.machine_authorized && answer.login.login_name == "alice@hearthgate.internal");
    assert_eq!(lab.id(1), registered.id);
    assert!(lab.world.approve_login(&id, user, RegisterMethod::Cli, lab.now, &mut |b: &mut [u8]| b.fill(1)).is_err());
}

#[test]
fn a_login_of_a_router_again_takes_nothing_away() {
    let mut lab = Lab::new();
    let user = lab.user("alice");
    let (_, key) = lab.key(reusable(user));
    let node = lab.join(1, &key);
    let routes: Vec<ipnet::IpNet> = (0..200).map(|n| format!("10.7.{n}.0/24").parse().unwrap()).collect();
    let full = |h: &mut Hostinfo| {
        h.services = vec![Service { proto: "peerapi4".into(), port: 5000, ..Default::default() }];
        h.ssh_host_keys = vec!["ssh-ed25519 AAAA".into()];
        h.routable_ips = routes.clone();
    };
    lab.update(1, |r| full(r.hostinfo.as_mut().unwrap()));
    lab.world.stream_opened(node);
    lab.world.approve_routes(node, &routes).unwrap();
    let before = lab.world.node(node).unwrap().clone();
    assert_eq!(before.primary_routes.len(), 200);

    let mut again = request(2, None);
    full(again.hostinfo.as_mut().unwrap());
    again.hostinfo.as_mut().unwrap().os = "freebsd".into();
    let id = AuthId::find_in(&lab.answer(1, &again).auth_url).unwrap();
    lab.world.approve_login(&id, user, RegisterMethod::Cli, lab.now, &mut |b: &mut [u8]| b.fill(1)).unwrap();
    let after = lab.world.node(node).unwrap();
    assert_eq!((after.node_key, after.hostinfo.os.as_str()), (node_key(2), "freebsd"));
    assert_eq!(after.hostinfo.services, before.hostinfo.services);
    assert_eq!(after.hostinfo.ssh_host_keys, before.hostinfo.ssh_host_keys);
    assert_eq!(after.hostinfo.routable_ips, routes);
    assert_eq!(after.primary_routes, before.primary_routes);
}

#[test]
fn a_rejected_login_says_so_and_an_unknown_one_starts_anew() {
    let mut lab = Lab::new();
    let url = lab.answer(1, &request(1, None)).auth_url;
    lab.world.reject_login(&AuthId::find_in(&url).unwrap(), lab.now).unwrap();
    let mut again = request(1, None);
    again.followup = url;
    assert_eq!(lab.answer(1, &again).error, "login was rejected");
    again.followup = "http://x/register/hskey-authreq-0123456789abcdef01234567".into();
    assert!(lab.answer(1, &again).auth_url.contains("/register/hskey-authreq-"));
}

#[test]
fn logout_expires_the_node_and_login_brings_it_back() {
    let mut lab = Lab::new();
    let user = lab.user("alice");
    let (_, key) = lab.key(reusable(user));
    let node = lab.join(1, &key);
    let ips: Vec<_> = lab.world.node(node).unwrap().ips().collect();
    let mut logout = request(1, Some(&key));
    logout.expiry = "1970-01-01T00:02:03Z".parse::<jiff::Timestamp>().unwrap().into();
    assert!(lab.answer(1, &logout).node_key_expired);
    assert_eq!(lab.world.node(node).unwrap().expiry, Some(lab.now.wall), "clamped to now");
    assert!(lab.answer(1, &request(1, None)).node_key_expired, "a restart while logged out");
    let mut back = request(7, Some(&key));
    back.old_node_key = node_key(1);
    assert_eq!(lab.answer(1, &back).error, "");
    let after = lab.world.node(node).unwrap();
    assert_eq!((after.node_key, after.expiry), (node_key(7), None));
    assert_eq!(after.ips().collect::<Vec<_>>(), ips);
}

#[test]
fn another_user_on_the_same_machine_is_another_node() {
    let mut lab = Lab::new();
    let (alice, bob) = (lab.user("alice"), lab.user("bob"));
    let ((_, a), (_, b)) = (lab.key(reusable(alice)), lab.key(reusable(bob)));
    let first = lab.join(1, &a);
    assert_eq!(lab.answer(1, &request(2, Some(&b))).error, "");
    let second = lab.id(2);
    assert_ne!(first, second);
    assert_eq!(lab.world.node(first).unwrap().user, alice);
    assert_eq!(lab.world.node(second).unwrap().user, bob);
}

#[test]
fn ephemeral_nodes_go_some_time_after_they_are_gone() {
    let mut lab = Lab::new();
    let user = lab.user("alice");
    let (_, key) = lab.key(NewPreAuthKey { ephemeral: true, ..reusable(user) });
    let node = lab.join(1, &key);
    lab.world.stream_opened(node);
    lab.pass(1_000_000);
    assert!(lab.world.node(node).is_ok(), "it is online");
    lab.world.stream_closed(node, lab.now);
    lab.pass(9_000);
    assert!(lab.world.node(node).unwrap().path.online, "within the grace time");
    lab.world.stream_opened(node);
    lab.pass(200_000);
    lab.world.stream_closed(node, lab.now);
    lab.pass(10_000);
    assert!(!lab.world.node(node).unwrap().path.online);
    lab.pass(119_000);
    assert!(lab.world.node(node).is_ok());
    lab.pass(1_001);
    assert!(lab.world.node(node).is_err());
}

#[test]
fn tags_come_from_the_key_and_cannot_be_asked_for() {
    let mut lab = Lab::new();
    let user = lab.user("alice");
    let (_, tagged) = lab.key(NewPreAuthKey { tags: vec!["tag:web".into()], ..reusable(user) });
    let node = lab.join(1, &tagged);
    assert_eq!(lab.world.node(node).unwrap().tags, ["tag:web"]);
    assert_eq!(lab.world.node(node).unwrap().owner(), hearthgate_core::TAGGED_DEVICES);
    let (_, plain) = lab.key(reusable(user));
    let mut greedy = request(2, Some(&plain));
    greedy.hostinfo.as_mut().unwrap().request_tags = vec!["tag:web".into()];
    assert_eq!(lab.answer(2, &greedy).error, "requested tags [tag:web] are invalid or not permitted");
}

#[test]
fn names_are_unique_and_a_chosen_one_sticks() {
    let mut lab = Lab::new();
    let user = lab.user("alice");
    let (_, key) = lab.key(reusable(user));
    for n in 1..=3 {
        let mut req = request(n, Some(&key));
        req.hostinfo.as_mut().unwrap().hostname = "Anna's Phone.local".into();
        assert_eq!(lab.answer(n, &req).error, "");
    }
    let names: Vec<_> = lab.world.nodes().map(|n| n.given_name.clone()).collect();
    assert_eq!(names, ["annas-phone", "annas-phone-1", "annas-phone-2"]);
    let first = lab.id(1);
    assert!(lab.world.rename_node(first, "annas-phone-1").is_err());
    assert!(lab.world.rename_node(first, "-x").is_err());
    lab.world.rename_node(first, "Office").unwrap();
    lab.update(1, |_| ());
    assert_eq!(lab.world.node(first).unwrap().given_name, "office");
    lab.update(2, |_| ());
    assert_eq!(lab.world.node(lab.id(2)).unwrap().given_name, "host2", "a name nobody chose follows the host name");
}

#[test]
fn a_member_does_not_wear_out_the_flash() {
    use hearthgate_keys::DiscoPublic;
    let mut lab = Lab::new();
    let user = lab.user("alice");
    let (_, key) = lab.key(reusable(user));
    for n in [1, 2] {
        lab.join(n, &key);
    }
    lab.world.take_batch();
    let written = |lab: &mut Lab, n: u8, times: u8| {
        let mut batches = 0;
        for i in 0..times {
            lab.update(n, |req| {
                req.disco_key = DiscoPublic::from_bytes([i + 1; 32]);
                req.hostinfo.as_mut().unwrap().hostname = format!("name{i}");
            });
            batches += usize::from(!lab.world.take_batch().writes.is_empty());
        }
        batches
    };
    let many = written(&mut lab, 1, 100);
    assert!((1..=8).contains(&many), "{many} writes");
    assert_eq!(written(&mut lab, 2, 1), 1, "another node is not held up");
    assert_eq!(written(&mut lab, 1, 10), 0);
    // What was not written rides along, and an hour later there is room again.
    lab.user("bob");
    let text = format!("{:?}", lab.world.take_batch().writes.iter().map(|w| &w.key).collect::<Vec<_>>());
    assert!(text.contains("node/"), "{text}");
    lab.pass(3_620_000);
    assert_eq!(written(&mut lab, 1, 1), 1);
}

#[test]
fn keys_are_bounded_and_those_of_no_use_make_room() {
    let mut lab = Lab::new();
    let user = lab.user("alice");
    let expiration = Some(lab.now.wall.checked_add(1.hour()).unwrap());
    let (first, used) = lab.key(NewPreAuthKey { user: Some(user), ..Default::default() });
    let node = lab.join(1, &used);
    for n in 1..PREAUTH_MAX {
        // The rest works for an hour.
        let new = NewPreAuthKey { expiration, ..reusable(user) };
        let made = lab.world.create_preauth_key(new, lab.now, &mut |b: &mut [u8]| b.fill(n as u8));
        assert!(made.is_ok(), "{n}");
    }
    let another = |lab: &mut Lab| {
        let made = lab.world.create_preauth_key(reusable(user), lab.now, &mut |b: &mut [u8]| b.fill(9));
        made.map(|(key, _)| key.id)
    };
    assert!(another(&mut lab).is_ok() && lab.world.preauth_keys().all(|k| k.id != first), "the used one went");
    assert_eq!(lab.join(1, &used), node, "who came in by it stays in");
    assert!(matches!(another(&mut lab), Err(CoreError::Full(_))));
    lab.pass(3_600_001);
    assert!(another(&mut lab).is_ok());
    assert_eq!(lab.world.preauth_keys().count(), PREAUTH_MAX);
}
