//! Decisions of the official filter (`wgengine/filter` of tailscale.com v1.104.5), replayed through the kernel's rules:
//! each packet travels through a tunnel into a namespace whose table was compiled from the rules.

mod common;

use common::{Net, Node, Ns, eventually, kernel_mode};
use hearthgate_filter::{Filter, Range, compile};
use hearthgate_plane::{Endpoint, Mode};
use hearthgate_tailcfg::FilterRule;
use ipnet::IpNet;
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use std::{net::IpAddr, time::Duration};

/// A Tailscale message (protocol 99), which the filter always lets in: shows that what went before it has arrived.
const MARKER: &str = "4500001d00000000406300006440000264400001700000000000000000";

#[test]
fn official_decisions_in_the_kernel() {
    // Both planes have the same rules; a machine with WireGuard is a slow one.
    let mode = kernel_mode().unwrap_or(Mode::Userspace);
    let Some(net) = Net::new("hgf") else { return };
    let (sender, receiver) = (Node::start(&net.a, mode, 2), Node::start(&net.b, mode, 1));
    let all: Vec<IpNet> = ["0.0.0.0/0", "::/0"].map(|text| text.parse().expect("prefix")).to_vec();
    for (node, other, ns) in [(&sender, &receiver, &net.b), (&receiver, &sender, &net.a)] {
        node.knows(other, Endpoint::Direct(other.addr(ns)));
        node.change(|desired| {
            desired.peers[0].allowed_ips.clone_from(&all);
            desired.routes.clone_from(&all);
        });
    }
    // Counts what has passed the filter, and lets it go no further.
    net.b.run(
        "nft 'add table inet watch; add chain inet watch c { type filter hook prerouting priority -140; }; \
         add counter inet watch n; add rule inet watch c iifname tailscale0 counter name n drop'",
    );
    let vectors: Value =
        serde_json::from_str(include_str!("../../filter/tests/vectors/data-packet-filter.json")).expect("JSON");
    let nets: Vec<IpNet> = serde_json::from_value(vectors["local_nets"].clone()).expect("prefixes");
    let local: Vec<Range> = nets.into_iter().map(Range::from).collect();
    let rules: Vec<FilterRule> = serde_json::from_value(vectors["rules"].clone()).expect("rules");
    let holders = |_: &str| vec![IpAddr::from([100, 64, 0, 9])];
    let filter = compile(&rules, &local, holders).expect("compiles");
    receiver.change(|desired| desired.filter = filter);
    let replayed = replay(&net, &vectors["independent"]) + replay(&net, &vectors["udp_state_sequence"]);
    assert_eq!(replayed, 49, "cases replayed");
    receiver.change(|desired| desired.filter = Filter::shields_up(&local));
    assert_eq!(replay(&net, &vectors["shields_up"]), 5);
}

fn replay(net: &Net, cases: &Value) -> usize {
    let mut count = 0;
    for case in cases.as_array().expect("list") {
        let name = case["name"].as_str().expect("name");
        let packet = bytes(case["packet"].as_str().expect("hex"));
        // Connection tracking puts fragments together before any rule; keepalives and rubbish never leave WireGuard;
        // what goes out is not filtered.
        let impossible = name.contains("later ip fragment") || packet.len() < 20;
        let outbound = case["dir"] == "out";
        if impossible || (outbound && name != "we send") {
            continue;
        }
        count += 1;
        if outbound {
            send(&net.b, packet);
            continue;
        }
        let before = passed(&net.b);
        send(&net.a, packet);
        send(&net.a, bytes(MARKER));
        eventually(name, Duration::from_secs(20), || passed(&net.b) > before);
        // The marker may have been counted between two packets only if the packet itself was not.
        let mut accepted = passed(&net.b) - before == 2;
        if !accepted && case["result"] == "Accept" {
            std::thread::sleep(Duration::from_millis(300));
            accepted = passed(&net.b) - before == 2;
        } else if !accepted {
            let marked = passed(&net.b);
            send(&net.a, bytes(MARKER));
            eventually(name, Duration::from_secs(20), || passed(&net.b) > marked);
            accepted = passed(&net.b) - before != 2;
        }
        assert_eq!(accepted, case["result"] == "Accept", "{name}");
    }
    count
}

fn passed(ns: &Ns) -> u64 {
    let text = ns.run("nft list counter inet watch n");
    let number = text.split("packets ").nth(1).and_then(|rest| rest.split(' ').next());
    number.and_then(|number| number.parse().ok()).expect("counter")
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect()
}

/// Sends an IP packet as it is (the kernel puts in IPv4's checksum).
fn send(ns: &Ns, packet: Vec<u8>) {
    ns.enter(move || {
        let v4 = packet[0] >> 4 == 4;
        let (domain, to) = if v4 {
            (Domain::IPV4, IpAddr::from([packet[16], packet[17], packet[18], packet[19]]))
        } else {
            let octets: [u8; 16] = packet[24..40].try_into().expect("16 bytes");
            (Domain::IPV6, IpAddr::from(octets))
        };
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(255))).expect("raw socket");
        // Multicast too goes into the tunnel.
        socket.bind_device(Some(b"tailscale0")).expect("device");
        socket.send_to(&packet, &std::net::SocketAddr::new(to, 0).into()).expect("sent");
    });
}
