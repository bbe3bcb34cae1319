//! Who serves a prefix.

mod support;

use hearthgate_core::{NewPreAuthKey, NodeId};
use ipnet::IpNet;
use support::Lab;

const LAN: &str = "192.168.7.0/24";

fn lan() -> IpNet {
    LAN.parse().unwrap()
}

/// Two online routers that advertise the same approved prefix.
fn two_routers() -> (Lab, NodeId, NodeId) {
    let mut lab = Lab::new();
    let user = lab.user("alice");
    let (_, key) = lab.key(NewPreAuthKey { user: Some(user), reusable: true, ..Default::default() });
    let (a, b) = (lab.join(1, &key), lab.join(2, &key));
    for n in [1, 2] {
        lab.update(n, |r| r.hostinfo.as_mut().unwrap().routable_ips = vec![lan()]);
    }
    for id in [a, b] {
        lab.world.stream_opened(id);
        lab.world.approve_routes(id, &[lan()]).unwrap();
    }
    (lab, a, b)
}

fn primary(lab: &Lab) -> Vec<NodeId> {
    lab.world.nodes().filter(|n| n.primary_routes.contains(&lan())).map(|n| n.id).collect()
}

#[test]
fn one_router_serves_and_the_other_takes_over_without_going_back() {
    let (mut lab, a, b) = two_routers();
    assert_eq!(primary(&lab), [a]);
    lab.world.stream_closed(a, lab.now);
    lab.pass(9_000);
    assert_eq!(primary(&lab), [a], "within the grace time");
    lab.pass(1_001);
    assert_eq!(primary(&lab), [b]);
    lab.world.stream_opened(a);
    assert_eq!(primary(&lab), [b], "a router that came back does not take the prefix back");
}

#[test]
fn a_router_that_does_not_answer_loses_the_prefix_unless_all_are_dead() {
    let (mut lab, a, b) = two_routers();
    assert_eq!(lab.world.routers_to_probe(), [a, b]);
    lab.world.router_health(a, false);
    assert_eq!(primary(&lab), [b]);
    lab.world.router_health(b, false);
    assert_eq!(primary(&lab), [b], "moving to another dead router helps nobody");
    lab.world.router_health(a, true);
    assert_eq!(primary(&lab), [a]);
}

#[test]
fn a_route_needs_advertisement_and_approval_and_approval_outlives_withdrawal() {
    let (mut lab, a, b) = two_routers();
    lab.world.approve_routes(b, &[]).unwrap();
    lab.update(1, |_| ());
    assert_eq!(primary(&lab), []);
    assert_eq!(lab.world.node(a).unwrap().approved_routes, [lan()]);
    lab.update(1, |r| r.hostinfo.as_mut().unwrap().routable_ips = vec![lan()]);
    assert_eq!(primary(&lab), [a]);
}

#[test]
fn default_routes_are_approved_in_pairs_and_have_no_primary() {
    let (mut lab, a, _) = two_routers();
    lab.update(1, |r| {
        r.hostinfo.as_mut().unwrap().routable_ips = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]
    });
    lab.world.approve_routes(a, &["0.0.0.0/0".parse().unwrap()]).unwrap();
    let node = lab.world.node(a).unwrap();
    assert_eq!(node.approved_routes.len(), 2);
    assert!(node.primary_routes.is_empty());
    let allowed = hearthgate_core::map::self_node(&lab.world.view(), node).allowed_ips.unwrap();
    assert!(allowed.iter().filter(|r| r.prefix_len() == 0).count() == 2, "{allowed:?}");
}
