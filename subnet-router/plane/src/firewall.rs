//! Our nftables table: packet filter, forwarding, source NAT, segment size.
//!
//! One `inet` table named after the interface holds everything, so it is replaced in one transaction and gone in one.
//! Rules in the tables of others are never touched.
//!
//! Rules are written for the path that most packets take: interfaces by number (one comparison of four bytes), one look
//! at the family, then the answers of running TCP connections.
//!
//! Places: the filter sits before routing, after connection tracking and before destination NAT, so that it sees what
//! comes to this host and what passes through it, with the addresses of the rules.

use crate::{
    Desired,
    host::MARK_MASK,
    nft::{Base, Batch, Chain, Element, Expr, Hook, Key, Rule, SetKind, Verdict, ct, meta},
    via::POOL,
};
use hearthgate_filter::{Door, Filter, Range, proto};
use std::net::{IpAddr, SocketAddr};

/// Mark of packets that came out of the tunnel and pass through.
const SUBNET_MARK: u32 = 0x4_0000;
/// After connection tracking (-200), before destination NAT (-100).
const FILTER: i32 = -150;
/// With other mangling.
const MANGLE: i32 = -150;
/// With other source NAT.
const SOURCE_NAT: i32 = 100;

const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

/// The table's name for an interface.
pub(crate) fn table(interface: &str) -> String {
    format!("hearthgate-{interface}")
}

/// Writes the whole table for the interface of this number; without a state, it lets nothing out of the tunnel. `via` is
/// the number of the translator's device.
pub(crate) fn write(batch: &mut Batch, index: u32, via: Option<u32>, desired: Option<&Desired>) {
    let closed = Filter::closed();
    batch.base_chain("from_tunnel", Chain { kind: "filter", hook: Hook::Prerouting, priority: FILTER });
    let open = desired.map_or([].as_slice(), |desired| &desired.open);
    filter(batch, index, desired.map_or(&closed, |desired| &desired.filter), open);
    if let Some(desired) = desired {
        forward(batch, index, via, desired);
    }
}

fn from_tunnel(index: u32) -> Rule {
    vec![Expr::Meta(meta::IIF), Expr::Eq(index.to_ne_bytes().to_vec())]
}

fn to_tunnel(index: u32) -> Rule {
    vec![Expr::Meta(meta::OIF), Expr::Eq(index.to_ne_bytes().to_vec())]
}

fn family(v4: bool) -> Rule {
    vec![Expr::Meta(meta::NFPROTO), Expr::Eq(vec![if v4 { NFPROTO_IPV4 } else { NFPROTO_IPV6 }])]
}

fn protocol(number: u8) -> Rule {
    vec![Expr::Meta(meta::L4PROTO), Expr::Eq(vec![number])]
}

/// Offset and length of an address in its header.
const fn source(v4: bool) -> (u32, u32) {
    if v4 { (12, 4) } else { (8, 16) }
}

const fn destination(v4: bool) -> (u32, u32) {
    if v4 { (16, 4) } else { (24, 16) }
}

const fn key(v4: bool) -> Key {
    if v4 { Key::V4 } else { Key::V6 }
}

fn then(verdict: Verdict) -> Rule {
    vec![Expr::Then(verdict)]
}

fn join(parts: &[Rule]) -> Rule {
    parts.concat()
}

/// The decisions of [`Filter::decide`], in the kernel.
fn filter(batch: &mut Batch, index: u32, filter: &Filter, open: &[SocketAddr]) {
    batch.chain("filter");
    batch.rule("from_tunnel", &join(&[from_tunnel(index), then(Verdict::Goto("filter".into()))]));
    for v4 in [true, false] {
        for (class, doors) in filter.classes.iter().enumerate() {
            class_chain(batch, v4, class, doors);
        }
        sets(batch, v4, filter);
        family_chain(batch, v4, open);
        let chain = Verdict::Goto(family_name(v4).into());
        batch.rule("filter", &join(&[family(v4), then(chain)]));
    }
}

const fn family_name(v4: bool) -> &'static str {
    if v4 { "filter4" } else { "filter6" }
}

fn family_chain(batch: &mut Batch, v4: bool, open: &[SocketAddr]) {
    let chain = family_name(v4);
    batch.chain(chain);
    let mut rule = |parts: &[Rule]| batch.rule(chain, &join(parts));
    let drop = || then(Verdict::Drop);
    let accept = || then(Verdict::Accept);
    let (at, length) = destination(v4);
    let prefix = |mask: Vec<u8>, value: Vec<u8>| {
        let length = u32::try_from(mask.len()).unwrap_or(4);
        vec![Expr::Load(Base::Network, at, length), Expr::And(mask), Expr::Eq(value)]
    };
    for to in open.iter().filter(|to| to.is_ipv4() == v4) {
        let port = vec![Expr::Load(Base::Transport, 2, 2), Expr::Eq(to.port().to_be_bytes().to_vec())];
        let address = vec![Expr::Load(Base::Network, at, length), Expr::Eq(octets(to.ip()))];
        rule(&[protocol(proto::TCP), port, address, accept()]);
    }
    let outside =
        vec![Expr::Load(Base::Network, at, length), Expr::In(if v4 { "local4" } else { "local6" }.into(), true)];
    rule(&[outside, drop()]);
    // Multicast and link-local never come out of a tunnel; 169.254.169.254 is a service of clouds.
    if v4 {
        rule(&[prefix(vec![0xf0, 0, 0, 0], vec![224, 0, 0, 0]), drop()]);
        let metadata = vec![Expr::Load(Base::Network, at, 4), Expr::Ne(vec![169, 254, 169, 254])];
        rule(&[prefix(vec![255, 255, 0, 0], vec![169, 254, 0, 0]), metadata, drop()]);
    } else {
        rule(&[prefix(vec![255, 0, 0, 0], vec![255, 0, 0, 0]), drop()]);
        rule(&[prefix(vec![0xff, 0xc0, 0, 0], vec![0xfe, 0x80, 0, 0]), drop()]);
    }
    let flags = vec![Expr::Load(Base::Transport, 13, 1), Expr::And(vec![0x12]), Expr::Ne(vec![0x02])];
    rule(&[protocol(proto::TCP), flags, accept()]);
    rule(&[protocol(proto::TSMP), accept()]);
    for (number, kinds) in [(proto::ICMP, [0, 3, 11, 12].as_slice()), (proto::ICMPV6, &[1, 2, 3, 4, 129])] {
        for kind in kinds {
            let kind = vec![Expr::Load(Base::Transport, 0, 1), Expr::Eq(vec![*kind])];
            rule(&[protocol(number), kind, accept()]);
        }
    }
    for number in [proto::UDP, proto::SCTP] {
        // Direction 1: an answer to what went out first.
        rule(&[protocol(number), vec![Expr::Ct(ct::DIRECTION), Expr::Eq(vec![1])], accept()]);
    }
    let (offset, length) = source(v4);
    let map = if v4 { "sources4" } else { "sources6" };
    rule(&[vec![Expr::Load(Base::Network, offset, length), Expr::Map(map.into())]]);
    rule(&[vec![Expr::Counter], drop()]);
}

fn class_name(v4: bool, class: usize) -> String {
    format!("class{}-{class}", if v4 { 4 } else { 6 })
}

/// What a class may reach in one family: one look-up in its own set.
fn class_chain(batch: &mut Batch, v4: bool, class: usize, doors: &[Door]) {
    let doors: Vec<&Door> = doors.iter().filter(|door| door.to.is_v4() == v4).collect();
    if doors.is_empty() {
        return;
    }
    let (chain, set) = (class_name(v4, class), format!("doors{}-{class}", if v4 { 4 } else { 6 }));
    let elements: Vec<Element> = doors
        .iter()
        .map(|door| {
            let end = |ip: IpAddr, port: u16| {
                let port = port.to_be_bytes();
                [&[door.proto, 0, 0, 0], octets(ip).as_slice(), &[port[0], port[1], 0, 0]].concat()
            };
            Element { first: end(door.to.first, door.ports.0), last: end(door.to.last, door.ports.1), verdict: None }
        })
        .collect();
    batch.set(&set, SetKind::Doors(key(v4)), &elements);
    batch.chain(&chain);
    let (offset, length) = destination(v4);
    let rule = vec![
        Expr::MetaAt(0, meta::L4PROTO),
        Expr::LoadAt(1, Base::Network, offset, length),
        // Where ports are; for ICMP and the rest any value is in the range of all ports.
        Expr::LoadAt(1 + length / 4, Base::Transport, 2, 2),
        Expr::InAt0(set),
        Expr::Then(Verdict::Accept),
    ];
    batch.rule(&chain, &rule);
    batch.rule(&chain, &vec![Expr::Counter, Expr::Then(Verdict::Drop)]);
}

fn sets(batch: &mut Batch, v4: bool, filter: &Filter) {
    let element = |range: &Range, verdict| Element { first: octets(range.first), last: octets(range.last), verdict };
    let local: Vec<Element> =
        filter.local.iter().filter(|range| range.is_v4() == v4).map(|range| element(range, None)).collect();
    batch.set(if v4 { "local4" } else { "local6" }, SetKind::Ranges(key(v4)), &local);
    let has_doors =
        |class: usize| filter.classes.get(class).is_some_and(|doors| doors.iter().any(|door| door.to.is_v4() == v4));
    let sources: Vec<Element> = filter
        .sources
        .iter()
        .filter(|(range, class)| range.is_v4() == v4 && has_doors(*class))
        .map(|(range, class)| element(range, Some(Verdict::Goto(class_name(v4, *class)))))
        .collect();
    batch.set(if v4 { "sources4" } else { "sources6" }, SetKind::VerdictMap(key(v4)), &sources);
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// What passes through: a mark for what came out of the tunnel, source NAT for it, and the tunnel's segment size.
fn forward(batch: &mut Batch, index: u32, via: Option<u32>, desired: &Desired) {
    let place = Chain { kind: "filter", hook: Hook::Forward, priority: MANGLE };
    batch.base_chain("forward", place);
    // LAN hosts send segments for 1500 bytes; the tunnel has less, and not every host hears ICMP.
    let syn = vec![Expr::Load(Base::Transport, 13, 1), Expr::And(vec![0x02]), Expr::Ne(vec![0])];
    let clamp = vec![Expr::RouteMss, Expr::SwapMss, Expr::ClampMss];
    batch.rule("forward", &join(&[to_tunnel(index), protocol(proto::TCP), syn, clamp]));
    if !desired.forward {
        return;
    }
    let mark = vec![
        Expr::Meta(meta::MARK),
        Expr::AndOr((!MARK_MASK).to_ne_bytes().to_vec(), SUBNET_MARK.to_ne_bytes().to_vec()),
        Expr::SetMark,
    ];
    batch.rule("forward", &join(&[from_tunnel(index), mark]));
    if let Some(via) = via {
        // Only answers go back into the translator: the addresses there are nobody's to begin with.
        let begins = vec![Expr::Ct(ct::DIRECTION), Expr::Eq(vec![0])];
        batch.rule("forward", &join(&[to_tunnel(via), family(true), begins, then(Verdict::Drop)]));
        // And only what has passed the filter is translated: not what the LAN, or another tunnel, sends there.
        let elsewhere = vec![Expr::Meta(meta::IIF), Expr::Ne(index.to_ne_bytes().to_vec())];
        batch.rule("forward", &join(&[to_tunnel(via), family(false), elsewhere, then(Verdict::Drop)]));
    }
    if desired.snat || desired.snat6 || desired.masquerade_lan || via.is_some() {
        let place = Chain { kind: "nat", hook: Hook::Postrouting, priority: SOURCE_NAT };
        batch.base_chain("postrouting", place);
    }
    if via.is_some() {
        // Whatever source NAT is for other routes, these addresses end here.
        let (offset, length) = source(true);
        let net = vec![
            Expr::Load(Base::Network, offset, length),
            Expr::And(POOL.netmask().octets().to_vec()),
            Expr::Eq(POOL.network().octets().to_vec()),
        ];
        batch.rule("postrouting", &join(&[family(true), net, vec![Expr::Masquerade]]));
    }
    for v4 in [true, false].into_iter().filter(|v4| if *v4 { desired.snat } else { desired.snat6 }) {
        let marked = vec![
            Expr::Meta(meta::MARK),
            Expr::And(MARK_MASK.to_ne_bytes().to_vec()),
            Expr::Eq(SUBNET_MARK.to_ne_bytes().to_vec()),
        ];
        // The translator has to see who asks.
        let outside = [Some(index), via].into_iter().flatten();
        let outside = outside.flat_map(|index| [Expr::Meta(meta::OIF), Expr::Ne(index.to_ne_bytes().to_vec())]);
        batch.rule("postrouting", &join(&[family(v4), marked, outside.collect(), vec![Expr::Masquerade]]));
    }
    if desired.masquerade_lan {
        // Peers know this node's addresses, not those of its LAN. Its own packets have such an address already.
        for v4 in [true, false] {
            batch.rule("postrouting", &join(&[family(v4), to_tunnel(index), vec![Expr::Masquerade]]));
        }
    }
}
