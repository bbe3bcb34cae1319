//! Two data planes in two network namespaces: packets of a real network stack, direct and relayed.
//!
//! Needs root and `ip` (to make the namespaces); fails without. The kernel's WireGuard is not
//! on every machine: `ci/vm/run` has it, and sets `HEARTHGATE_KERNEL_WIREGUARD=1`, so that nothing is left out there.

mod common;

use common::{Net, Node, eventually, kernel_mode};
use hearthgate_plane::{Endpoint, Kind, Mode, PlaneEvent};
use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

#[test]
fn userspace() {
    scenario("hgu", Mode::Userspace, Mode::Userspace);
}

#[test]
fn kernel() {
    if let Some(kernel) = kernel_mode() {
        scenario("hgk", kernel, kernel);
    }
}

#[test]
fn kernel_and_userspace() {
    if let Some(kernel) = kernel_mode() {
        scenario("hgm", kernel, Mode::Userspace);
    }
}

fn scenario(prefix: &str, mode_a: Mode, mode_b: Mode) {
    let Some(net) = Net::new(prefix) else { return };
    let a = Node::start(&net.a, mode_a, 1);
    let b = Node::start(&net.b, mode_b, 2);
    assert_eq!(a.plane.kind() == Kind::Kernel, mode_a == Mode::Kernel);
    a.knows(&b, Endpoint::Relayed);
    b.knows(&a, Endpoint::Relayed);

    // Through the relay, which is this test: both ways.
    let relay = common::relay(&a, &b);
    assert!(net.a.ping("100.64.0.2"), "relayed ping");
    assert!(relay.carried() >= 4, "handshake and ping went through the relay");
    let counters = a.plane.counters().expect("counters");
    assert_eq!((counters.len(), counters[0].key, counters[0].endpoint), (1, b.key(), Endpoint::Relayed));
    assert!(counters[0].tx_bytes > 148 && counters[0].rx_bytes > 92, "{counters:?}");
    assert!(counters[0].last_handshake.is_some());

    // Direct: the relay carries nothing any more, the session is the same.
    a.plane.set_endpoint(&b.key(), Endpoint::Direct(b.addr(&net.b))).expect("endpoint");
    b.plane.set_endpoint(&a.key(), Endpoint::Direct(a.addr(&net.a))).expect("endpoint");
    assert!(net.a.ping("100.64.0.2"), "direct ping");
    let before = relay.carried();
    assert!(net.a.ping("fd7a:115c:a1e0::2"), "direct ping, IPv6 inside");
    assert_eq!(relay.carried(), before, "nothing was relayed");

    // One side still sends through the relay: the other is not drawn away from its direct path.
    b.plane.set_endpoint(&a.key(), Endpoint::Relayed).expect("endpoint");
    let before = (relay.carried(), relay.carried_from(&a));
    for _ in 0..5 {
        b.plane.set_endpoint(&a.key(), Endpoint::Relayed).expect("endpoint");
        net.b.try_run("ping -n -c 1 -W 1 100.64.0.1");
    }
    assert!(relay.carried() > before.0, "the other side did use the relay");
    assert_eq!(relay.carried_from(&a), before.1, "this side did not");
    let counters = a.plane.counters().expect("counters");
    assert_eq!(counters[0].endpoint, Endpoint::Direct(b.addr(&net.b)));

    // Both ways at once: the relay gets a copy of each packet.
    a.plane.set_endpoint(&b.key(), Endpoint::Both(b.addr(&net.b))).expect("endpoint");
    let before = relay.carried_from(&a);
    assert!(net.a.ping("100.64.0.2"), "ping on both paths");
    assert!(relay.carried_from(&a) > before, "the relay had a copy");
    a.plane.set_endpoint(&b.key(), Endpoint::Direct(b.addr(&net.b))).expect("endpoint");
    b.plane.set_endpoint(&a.key(), Endpoint::Direct(a.addr(&net.a))).expect("endpoint");

    // What is not WireGuard's comes out beside it, and is sent from its port; both ways, both families.
    let disco = [b"TS\xf0\x9f\x92\xac".as_slice(), &[7; 80]].concat();
    let stun = [&[1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[9; 12]].concat();
    for packet in [disco, stun] {
        for (from, to) in [((&a, &net.a), (&b, &net.b)), ((&b, &net.b), (&a, &net.a))] {
            for v6 in [false, true] {
                let (source, target) = (from.0.wire(from.1, v6), to.0.wire(to.1, v6));
                from.0.plane.send_udp(target, &packet).expect("send");
                let event = to.0.side(Duration::from_secs(5)).expect("side packet");
                let PlaneEvent::Side { from, bytes } = event else { panic!("{event:?}") };
                assert_eq!((from, bytes), (source, packet.clone()));
            }
        }
    }
    assert!(net.a.ping("100.64.0.2"), "WireGuard was not disturbed");

    // Direct over IPv6.
    a.plane.set_endpoint(&b.key(), Endpoint::Direct(b.wire(&net.b, true))).expect("endpoint");
    b.plane.set_endpoint(&a.key(), Endpoint::Direct(a.wire(&net.a, true))).expect("endpoint");
    assert!(net.a.ping("100.64.0.2"), "direct ping, IPv6 outside");

    // A source that is not the peer's does not come in.
    b.forgets_addresses_of(&a);
    assert!(!net.a.ping("100.64.0.2"), "source is not in the allowed addresses any more");

    drop((a, b));
    for ns in [&net.a, &net.b] {
        assert!(!ns.has_interface("tailscale0"), "gone after stop");
        assert!(!ns.run("ip rule; ip -6 rule").contains("52"), "rules are gone");
        assert!(!ns.run("nft list tables").contains("hearthgate"), "table is gone");
    }
}

#[test]
fn healing() {
    for mode in [Some(Mode::Userspace), kernel_mode()].into_iter().flatten() {
        let Some(net) = Net::new("hgh") else { return };
        let a = Node::start(&net.a, mode, 1);
        let b = Node::start(&net.b, mode, 2);
        a.knows(&b, Endpoint::Direct(b.addr(&net.b)));
        b.knows(&a, Endpoint::Direct(a.addr(&net.a)));
        assert!(net.a.ping("100.64.0.2"));
        let table = || net.a.run("nft list tables").contains("hearthgate-tailscale0");
        assert!(table());
        for damage in [
            "nft flush ruleset",
            "ip rule del pref 5270",
            "ip -6 rule del pref 5270",
            "ip route flush table 52",
            "ip addr del 100.64.0.1/32 dev tailscale0",
        ] {
            let whole =
                net.a.run("nft list ruleset; ip rule; ip -6 rule; ip route show table 52; ip -4 addr show tailscale0");
            net.a.run(damage);
            let now = || {
                net.a.run("nft list ruleset; ip rule; ip -6 rule; ip route show table 52; ip -4 addr show tailscale0")
            };
            let limit = if std::env::var_os("HEARTHGATE_SLOW_MACHINE").is_some() { 10 } else { 1 };
            let strip = |text: String| {
                text.lines().filter(|line| !line.contains("counter")).map(str::to_owned).collect::<Vec<_>>()
            };
            let whole = strip(whole);
            let took = eventually(damage, Duration::from_secs(limit), || strip(now()) == whole);
            eprintln!("{}: `{damage}` healed in {} ms", a.plane.kind().name(), took.as_millis());
        }
        assert!(net.a.ping("100.64.0.2"));
    }
}

/// What asks another service of this machine must not find that address among the machine's own: dnsmasq would ask nobody.
#[test]
fn a_service_answers_at_an_address_that_no_interface_has() {
    let Some(net) = Net::new("hgv") else { return };
    let node = Node::start(&net.a, Mode::Userspace, 1);
    let services = ["100.100.100.100", "fd7a:115c:a1e0::53"];
    let answers = |to: &'static str| {
        net.a.enter(move || {
            let at = SocketAddr::new(to.parse().expect("address"), 5300);
            let domain = socket2::Domain::for_address(at);
            let server = socket2::Socket::new(domain, socket2::Type::DGRAM, None).expect("socket");
            if at.is_ipv4() { server.set_freebind_v4(true) } else { server.set_freebind_v6(true) }.expect("freebind");
            server.bind(&at.into()).expect("bind");
            let (server, client) =
                (UdpSocket::from(server), UdpSocket::bind(if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }));
            let client = client.expect("client");
            for socket in [&server, &client] {
                socket.set_read_timeout(Some(Duration::from_millis(300))).expect("timeout");
            }
            let mut buffer = [0; 8];
            let mut exchange = || -> std::io::Result<SocketAddr> {
                client.send_to(b"question", at)?;
                let (_, from) = server.recv_from(&mut buffer)?;
                server.send_to(b"answer", from)?;
                Ok(client.recv_from(&mut [0; 8])?.1)
            };
            exchange().is_ok_and(|from| from == at)
        })
    };
    node.change(|desired| desired.service_addresses = services.map(|ip| ip.parse().expect("address")).to_vec());
    for service in services {
        assert!(answers(service), "{service}");
    }
    let addresses = net.a.run("ip addr");
    assert!(!services.iter().any(|service| addresses.contains(service)), "{addresses}");
    net.a.run("ip route del local 100.100.100.100 table local");
    let limit = if std::env::var_os("HEARTHGATE_SLOW_MACHINE").is_some() { 10 } else { 1 };
    eventually("it is there again", Duration::from_secs(limit), || answers(services[0]));
    node.change(|desired| desired.service_addresses.clear());
    assert!(!net.a.run("ip route show table local; ip -6 route show table local").contains("100.100.100.100"));
}

/// mwan3 sends marked packets to its own tables from rule 2001 on: ours go before them while it is there.
#[test]
fn rules_go_before_those_of_mwan3() {
    let Some(net) = Net::new("hgm") else { return };
    let node = Node::start(&net.a, Mode::Userspace, 1);
    let limit = Duration::from_secs(if std::env::var_os("HEARTHGATE_SLOW_MACHINE").is_some() { 10 } else { 1 });
    let begin_at = |base: u32, other: u32| {
        let rules = ["ip rule", "ip -6 rule"].map(|list| net.a.run(list));
        [10, 30, 50, 70].iter().all(|n| {
            let has = |rules: &String, base: u32| rules.contains(&format!("{}:", base + n));
            rules.iter().all(|rules| has(rules, base) && !has(rules, other))
        })
    };
    assert!(begin_at(5200, 1300));
    net.a.run("ip rule add pref 2001 fwmark 0x100/0x3f00 lookup 1");
    eventually("before mwan3's", limit, || begin_at(1300, 5200));
    net.a.run("ip rule flush; ip rule add pref 32766 lookup main; ip rule add pref 2002 fwmark 0x200/0x3f00 lookup 2");
    eventually("still before", limit, || begin_at(1300, 5200));
    net.a.run("ip rule del pref 2002");
    eventually("mwan3 is gone", limit, || begin_at(5200, 1300));
    net.a.run("ip rule add pref 2001 fwmark 0x100/0x3f00 lookup 1");
    eventually("and is there again", limit, || begin_at(1300, 5200));
    drop(node);
    let rules = net.a.run("ip rule; ip -6 rule");
    assert!(!rules.contains("52") && !rules.contains("13"), "{rules}");
}

/// Somebody removes, changes and adds peers with `wg`: a look at the counters, as each three seconds, undoes it.
#[test]
fn peers_that_were_changed_by_hand() {
    let Some(mode) = kernel_mode() else { return };
    let Some(net) = Net::new("hgw") else { return };
    let a = Node::start(&net.a, mode, 1);
    let b = Node::start(&net.b, mode, 2);
    a.knows(&b, Endpoint::Direct(b.addr(&net.b)));
    b.knows(&a, Endpoint::Direct(a.addr(&net.a)));
    assert!(net.a.ping("100.64.0.2"));
    let shown = || net.a.run("wg show tailscale0 peers; wg show tailscale0 allowed-ips; wg show tailscale0 endpoints");
    let whole = shown();
    let keys = net.a.run("wg show tailscale0 peers");
    let (peer, stranger) = (keys.trim(), "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=");
    for damage in [
        format!("peer {peer} remove"),
        format!("peer {peer} allowed-ips 10.1.2.0/24"),
        format!("peer {peer} allowed-ips 100.64.0.2/32"),
        format!("peer {stranger} allowed-ips 100.64.0.2/32"),
        format!("peer {stranger}"),
    ] {
        net.a.run(&format!("wg set tailscale0 {damage}"));
        assert_ne!(shown(), whole, "{damage}");
        a.plane.counters().expect("a look after");
        assert_eq!(shown(), whole, "{damage}");
        assert!(net.a.ping("100.64.0.2"), "{damage}");
    }
}
