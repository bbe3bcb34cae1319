//! Two data planes in two network namespaces: packets of a real network stack, direct and relayed.
//!
//! Needs root and `ip` (to make the namespaces); says so and stops where there is none.

mod common;

use common::{Net, Node};
use hearthgate_plane::{Endpoint, Mode, PlaneEvent};
use std::time::Duration;

#[test]
fn direct_relayed_and_side_channel() {
    let Some(net) = Net::new("hgu") else { return };
    let a = Node::start(&net.a, Mode::Userspace, 1);
    let b = Node::start(&net.b, Mode::Userspace, 2);
    a.knows(&b, Endpoint::Relayed);
    b.knows(&a, Endpoint::Relayed);

    // Through the relay, which is this test: both ways.
    let relay = common::relay(&a, &b);
    assert!(net.a.ping("100.64.0.2"), "relayed ping");
    assert!(relay.carried() >= 4, "handshake and ping went through the relay");
    let a_counters = a.plane.counters().expect("counters");
    assert!(a_counters[0].tx_bytes > 148 && a_counters[0].rx_bytes > 92, "{a_counters:?}");
    assert!(a_counters[0].last_handshake.is_some());

    // Direct: the relay carries nothing any more, the session is the same.
    a.plane.set_endpoint(&b.key(), Endpoint::Direct(b.addr(&net.b))).expect("endpoint");
    b.plane.set_endpoint(&a.key(), Endpoint::Direct(a.addr(&net.a))).expect("endpoint");
    let before = relay.carried();
    assert!(net.a.ping("100.64.0.2"), "direct ping");
    assert!(net.a.ping("fd7a:115c:a1e0::2"), "direct ping, IPv6 inside");
    assert_eq!(relay.carried(), before, "nothing was relayed");

    // What is not WireGuard's comes out beside it, and is sent from its port.
    let disco = [b"TS\xf0\x9f\x92\xac".as_slice(), &[7; 80]].concat();
    a.plane.send_udp(b.addr(&net.b), &disco).expect("send");
    let side = b.side(Duration::from_secs(3)).expect("side packet");
    let PlaneEvent::Side { from, bytes } = side else { panic!("{side:?}") };
    assert_eq!((from, bytes), (a.addr(&net.a), disco));

    // A source that is not the peer's does not come in.
    b.forgets_addresses_of(&a);
    assert!(!net.a.ping("100.64.0.2"), "source is not in the allowed addresses any more");

    drop((a, b));
    assert!(!net.a.has_interface("tailscale0"), "gone after stop");
    assert!(!net.a.run("ip rule").contains("5270"), "rules are gone");
}
