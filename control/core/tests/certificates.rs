//! HTTPS certificates: who is told of a name, and what may be written for it.

mod support;

use hearthgate_core::{CoreError, Node, NodeId, Settings, cert_domain, challenge_record, map, map::Delta};
use hearthgate_sorted::SortedSet;
use hearthgate_tailcfg::SetDnsRequest;
use support::Lab;

const ANSWER: &str = "LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmtoM";

fn settings(base: &str, zone: Option<&str>) -> Settings {
    Settings { base_domain: base.into(), certificate_zone: zone.map(Into::into), ..Settings::default() }
}

fn lab(base: &str, zone: Option<&str>) -> (Lab, NodeId) {
    let mut lab = Lab::new();
    lab.world.set_settings(settings(base, zone));
    let user = lab.user("alice");
    let (_, key) = lab.key(hearthgate_core::NewPreAuthKey { user: Some(user), ..Default::default() });
    let id = lab.join(1, &key);
    (lab, id)
}

fn node(lab: &Lab, id: NodeId) -> Node {
    Node::clone(lab.world.view().node(id).unwrap())
}

/// Names in the whole map of a node, and whether it has the capability.
fn told(lab: &Lab, id: NodeId) -> (Vec<String>, bool) {
    let head = map::head(&lab.world.view(), id, &SortedSet::new(), lab.now.wall).unwrap();
    (head.dns_config.unwrap().cert_domains, head.node.unwrap().cap_map.unwrap().contains_key("https"))
}

#[test]
fn only_names_in_the_zone_are_told() {
    let name = || vec!["host1.net.example.org".to_owned()];
    for (base, zone, want) in [
        ("net.example.org", Some("net.example.org"), name()),
        ("net.example.org", Some("example.org"), name()),
        ("net.example.org", Some("t.example.org"), vec![]),
        ("net.example.org", Some("et.example.org"), vec![]),
        ("net.example.org", None, vec![]),
    ] {
        let (lab, id) = lab(base, zone);
        let has = !want.is_empty();
        assert_eq!(told(&lab, id), (want, has), "{base} {zone:?}");
    }
    let base = format!("{}.{}.example.org", "x".repeat(63), "y".repeat(63));
    let (lab, id) = lab(&base, Some("example.org"));
    let mut long = node(&lab, id);
    assert!(cert_domain(lab.world.settings(), &long).is_some());
    long.record.given_name = "z".repeat(63);
    let wide = settings(&format!("{}.{base}", "w".repeat(40)), Some("example.org"));
    assert_eq!(cert_domain(&wide, &long), None, "no room for the challenge");
    long.record.given_name = "z".into();
    long.record.waiting = true;
    assert_eq!(cert_domain(lab.world.settings(), &long), None, "not approved");
}

#[test]
fn a_renamed_node_is_told_its_new_name_and_no_other() {
    let (mut lab, id) = lab("net.example.org", Some("net.example.org"));
    let user = lab.user("bob");
    let (_, key) = lab.key(hearthgate_core::NewPreAuthKey { user: Some(user), ..Default::default() });
    let other = lab.join(2, &key);
    lab.world.take_batch();
    let before = lab.world.publish().unwrap().seq;
    lab.world.rename_node(id, "printer").unwrap();
    lab.world.take_batch();
    let snap = lab.world.publish().unwrap();
    let delta = Delta::since(&snap, before).unwrap();
    assert!(!delta.resync);
    let own = delta.private(&snap, snap.node(id).unwrap(), lab.now.wall);
    let names = |r: &hearthgate_tailcfg::MapResponse| r.dns_config.as_ref().map(|d| d.cert_domains.clone());
    assert_eq!(own.iter().find_map(names), Some(vec!["printer.net.example.org".to_owned()]));
    let class = snap.policy.class_of(snap.node(other).unwrap());
    assert_eq!(delta.shared(&snap, class, lab.now.wall).iter().find_map(names), None, "others keep what they have");
}

#[test]
fn only_the_answer_to_ones_own_challenge_may_be_written() {
    let (lab, id) = lab("net.example.org", Some("example.org"));
    let (settings, node) = (lab.world.settings(), node(&lab, id));
    let ask = |name: &str, kind: &str, value: &str| {
        let request = SetDnsRequest { name: name.into(), kind: kind.into(), value: value.into(), ..Default::default() };
        challenge_record(settings, &node, &request, lab.now.wall)
    };
    let own = "_acme-challenge.host1.net.example.org";
    assert_eq!(ask(own, "TXT", ANSWER).as_deref(), Ok(own));
    assert_eq!(ask("_acme-challenge.HOST1.net.example.org.", "TXT", ANSWER).as_deref(), Ok(own));
    for name in [
        "host1.net.example.org",
        "_acme-challenge.host2.net.example.org",
        "_acme-challenge.net.example.org",
        "_acme-challenge.x.host1.net.example.org",
        "",
    ] {
        assert!(matches!(ask(name, "TXT", ANSWER), Err(CoreError::Denied(_))), "{name}");
    }
    assert!(matches!(ask(own, "A", "192.0.2.1"), Err(CoreError::Denied(_))));
    for value in ["", "v=spf1 -all", &ANSWER[1..], &format!("{}=", &ANSWER[1..]), &"a".repeat(4096)] {
        assert!(matches!(ask(own, "TXT", value), Err(CoreError::Invalid(_))), "{value}");
    }
    let mut expired = Node::clone(&node);
    expired.record.expiry = Some(lab.now.wall);
    let request = SetDnsRequest { name: own.into(), kind: "TXT".into(), value: ANSWER.into(), ..Default::default() };
    let before = lab.now.wall - jiff::SignedDuration::from_secs(1);
    assert!(challenge_record(settings, &expired, &request, before).is_ok());
    let said = challenge_record(settings, &expired, &request, lab.now.wall);
    assert!(matches!(said, Err(CoreError::Denied(why)) if why.contains("expired")));
    let off = self::settings("net.example.org", None);
    let said = challenge_record(&off, &node, &request, lab.now.wall).unwrap_err().to_string();
    assert!(said.contains("certificates.provider") && said.contains("dns.base_domain"), "{said}");
}
