//! The engine against an evaluator that is as simple as the language's documentation: for every pair of machines, every
//! address and port, what the compiled filters let through and who sees whom.

use hearthgate_policy::{Comparison, Engine, Policy, Tailnet};
use hearthgate_tailcfg::FilterRule;
use ipnet::IpNet;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{net::IpAddr, sync::Arc};

const USERS: [&str; 3] = ["ann", "bob", "cy"];
const TAGS: [&str; 2] = ["tag:a", "tag:b"];
const SUBNETS: [&str; 3] = ["10.1.0.0/16", "10.1.2.0/24", "10.9.0.0/24"];
/// One address in each place that rules and routes of this test tell apart.
const PLACES: [&str; 4] = ["10.1.2.5", "10.1.9.9", "10.9.0.1", "8.8.8.8"];
const SOURCES: [&str; 14] = [
    "*",
    "ann@example.com",
    "bob@",
    "group:g",
    "group:empty",
    "tag:a",
    "tag:b",
    "autogroup:member",
    "autogroup:tagged",
    "autogroup:admin",
    "host",
    "100.64.0.0/30",
    "10.1.2.0/24",
    "ipset:s",
];
/// Sources that may stand beside `autogroup:self`.
const PEOPLE: [&str; 4] = ["ann@example.com", "bob@", "group:g", "autogroup:member"];
const TARGETS: [&str; 14] = [
    "*",
    "ann@example.com",
    "group:g",
    "tag:a",
    "tag:b",
    "autogroup:member",
    "autogroup:tagged",
    "autogroup:internet",
    "host",
    "lan",
    "100.64.0.0/30",
    "10.1.2.0/24",
    "fd7a:115c:a1e0::2",
    "ipset:s",
];
const PORTS: [&str; 3] = ["*", "22", "80-90,443"];
const PROBES: [(i32, u16); 5] = [(6, 22), (6, 85), (17, 443), (6, 7), (1, 0)];

fn net(text: &str) -> IpNet {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).unwrap()
}

#[derive(Debug, Clone)]
struct Node {
    owner: usize,
    tag: Option<usize>,
    subnets: Vec<&'static str>,
    exit: bool,
}

#[derive(Debug, Clone)]
struct Rule {
    grant: bool,
    src: Vec<&'static str>,
    dst: Vec<&'static str>,
    ports: &'static str,
    proto: &'static str,
}

fn node() -> impl Strategy<Value = Node> {
    let subnets = proptest::sample::subsequence(&SUBNETS[..], 0..=1);
    (0..USERS.len(), proptest::option::weighted(0.4, 0..TAGS.len()), subnets, proptest::bool::weighted(0.2))
        .prop_map(|(owner, tag, subnets, exit)| Node { owner, tag, subnets, exit })
}

fn rule() -> impl Strategy<Value = Rule> {
    let pick = |from: &'static [&'static str]| proptest::collection::vec(proptest::sample::select(from), 1..3);
    let others = (pick(&SOURCES), pick(&TARGETS));
    let own = (pick(&PEOPLE), pick(&TARGETS)).prop_map(|(src, mut dst)| {
        dst.push("autogroup:self");
        (src, dst)
    });
    let ends = prop_oneof![3 => others, 1 => own];
    (
        any::<bool>(),
        ends,
        proptest::sample::select(&PORTS[..]),
        proptest::sample::select(&["", "tcp", "udp", "icmp"][..]),
    )
        .prop_map(|(grant, (src, dst), ports, proto)| {
            let ports = if proto == "icmp" { "*" } else { ports };
            Rule { grant, src, dst, ports, proto }
        })
}

fn policy_of(rules: &[Rule]) -> Value {
    let (mut acls, mut grants) = (Vec::new(), Vec::new());
    for r in rules {
        if r.grant {
            let proto = if r.proto.is_empty() { String::new() } else { format!("{}:", r.proto) };
            // A grant takes one range at a time.
            let ip: Vec<String> = r.ports.split(',').map(|p| format!("{proto}{p}")).collect();
            grants.push(json!({ "src": r.src, "dst": r.dst, "ip": ip }));
        } else {
            let dst: Vec<String> = r
                .dst
                .iter()
                .map(|d| if d.contains("::") { format!("[{d}]:{}", r.ports) } else { format!("{d}:{}", r.ports) })
                .collect();
            acls.push(json!({ "action": "accept", "src": r.src, "dst": dst, "proto": r.proto }));
        }
    }
    json!({
        "groups": { "group:g": ["ann@example.com", "cy@example.com"], "group:empty": [] },
        "hosts": { "host": "100.64.0.2", "lan": "10.1.0.0/16" },
        "ipsets": { "ipset:s": ["add 10.1.0.0/16", "remove 10.1.2.0/24", "add host"] },
        "tagOwners": { "tag:a": [], "tag:b": [] },
        "acls": acls,
        "grants": grants,
        "ssh": [{ "action": "accept", "src": ["group:g", "tag:b"], "dst": ["tag:a"], "users": ["root"] },
            { "action": "check", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["autogroup:nonroot"] }],
        "nodeAttrs": [{ "target": ["tag:a", "bob@"], "attr": ["funnel"] }],
    })
}

fn topology_of(nodes: &[Node]) -> Value {
    let users: Vec<Value> = USERS
        .iter()
        .enumerate()
        .map(|(i, u)| json!({ "id": i + 1, "name": u, "email": format!("{u}@example.com"), "role": if i == 0 { "owner" } else { "member" } }))
        .collect();
    let one = |(i, n): (usize, &Node)| {
        let mut routes: Vec<&str> = n.subnets.clone();
        if n.exit {
            routes.extend(["0.0.0.0/0", "::/0"]);
        }
        let node = json!({
            "hostname": format!("n{i}"), "user": USERS[n.owner], "tags": n.tag.map(|t| TAGS[t]).into_iter().collect::<Vec<_>>(),
            "ipv4": format!("100.64.0.{}", i + 1), "ipv6": format!("fd7a:115c:a1e0::{:x}", i + 1),
            "routable_ips": routes, "approved_routes": routes,
        });
        (format!("n{i}"), node)
    };
    let nodes: serde_json::Map<String, Value> = nodes.iter().enumerate().map(one).collect();
    json!({ "users": users, "nodes": nodes })
}

fn ips(i: usize) -> [IpAddr; 2] {
    [format!("100.64.0.{}", i + 1).parse().unwrap(), format!("fd7a:115c:a1e0::{:x}", i + 1).parse().unwrap()]
}

/// Whether a selector means this address, which is machine `at`'s own if that is given.
fn means(nodes: &[Node], selector: &str, address: IpAddr, at: Option<usize>, is_source: bool) -> bool {
    let untagged = |want: &dyn Fn(usize) -> bool| at.is_some_and(|i| nodes[i].tag.is_none() && want(nodes[i].owner));
    match selector {
        "*" if is_source => {
            let ranges = ["100.64.0.0/10", "fd7a:115c:a1e0::/48"];
            let routed = nodes.iter().flat_map(|n| &n.subnets).any(|s| net(s).contains(&address));
            routed || ranges.iter().any(|r| net(r).contains(&address))
        }
        "*" => true,
        "ann@example.com" => untagged(&|o| o == 0),
        "bob@" => untagged(&|o| o == 1),
        "group:g" => untagged(&|o| o == 0 || o == 2),
        "group:empty" => false,
        "autogroup:member" => untagged(&|_| true),
        "autogroup:admin" => untagged(&|o| o == 0),
        "autogroup:tagged" => at.is_some_and(|i| nodes[i].tag.is_some()),
        "autogroup:internet" => address == PLACES[3].parse::<IpAddr>().unwrap(),
        "host" => net("100.64.0.2").contains(&address),
        "lan" => net("10.1.0.0/16").contains(&address),
        "ipset:s" => {
            let lan = net("10.1.0.0/16").contains(&address) && !net("10.1.2.0/24").contains(&address);
            lan || net("100.64.0.2").contains(&address)
        }
        tag if tag.starts_with("tag:") => at.is_some_and(|i| nodes[i].tag.is_some_and(|t| TAGS[t] == tag)),
        literal => net(literal).contains(&address),
    }
}

/// An address and whose it is.
type Place = (IpAddr, Option<usize>);

/// Whether one rule connects two addresses.
fn connects(nodes: &[Node], rule: &Rule, from: Place, to: Place) -> bool {
    let source = rule.src.iter().any(|s| means(nodes, s, from.0, from.1, true));
    let own = || match (from.1, to.1) {
        (Some(a), Some(b)) => nodes[a].owner == nodes[b].owner && nodes[a].tag.is_none() && nodes[b].tag.is_none(),
        _ => false,
    };
    source && rule.dst.iter().any(|d| if *d == "autogroup:self" { own() } else { means(nodes, d, to.0, to.1, false) })
}

fn lets(rule: &Rule, (proto, port): (i32, u16)) -> bool {
    let proto_fits = match rule.proto {
        "tcp" => proto == 6,
        "udp" => proto == 17,
        "icmp" => proto == 1,
        _ => true,
    };
    let in_range = |p: &str| match p.split_once('-') {
        _ if p == "*" => true,
        Some((a, b)) => (a.parse().unwrap()..=b.parse::<u16>().unwrap()).contains(&port),
        None => p.parse() == Ok(port),
    };
    proto_fits && rule.ports.split(',').any(in_range)
}

/// What a client does with its filter.
fn passes(filter: &[FilterRule], from: IpAddr, to: IpAddr, (proto, port): (i32, u16)) -> bool {
    let holds = |text: &str, ip: IpAddr| match text.split_once('-') {
        _ if text == "*" => true,
        Some((a, b)) => {
            let (a, b): (IpAddr, IpAddr) = (a.parse().unwrap(), b.parse().unwrap());
            a.is_ipv4() == ip.is_ipv4() && a <= ip && ip <= b
        }
        None => net(text).contains(&ip),
    };
    filter.iter().any(|r| {
        (r.ip_proto.is_empty() || r.ip_proto.contains(&proto))
            && r.src_ips.iter().any(|s| holds(s, from))
            && r.dst_ports.iter().any(|d| holds(&d.ip, to) && d.ports.first <= port && port <= d.ports.last)
    })
}

/// The addresses a machine stands for: its own, and those behind it.
fn behind(nodes: &[Node], i: usize, with_exit: bool) -> Vec<Place> {
    let mut all: Vec<Place> = ips(i).into_iter().map(|ip| (ip, Some(i))).collect();
    let routed = |p: &IpAddr| nodes[i].subnets.iter().any(|s| net(s).contains(p));
    all.extend(PLACES.iter().map(|p| p.parse::<IpAddr>().unwrap()).filter(routed).map(|p| (p, None)));
    if with_exit && nodes[i].exit {
        all.push((PLACES[3].parse().unwrap(), None));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn filters_and_visibility_are_what_the_language_says(
        nodes in proptest::collection::vec(node(), 1..6),
        rules in proptest::collection::vec(rule(), 0..5),
    ) {
        let policy = Policy::parse(&policy_of(&rules).to_string()).unwrap();
        let net = Tailnet::parse(&topology_of(&nodes).to_string()).unwrap();
        let engine = Engine::new(Arc::new(policy), Arc::new(net));
        for b in 0..nodes.len() {
            let filter = engine.filter(b);
            for a in (0..nodes.len()).filter(|a| *a != b) {
                for (from, owner) in behind(&nodes, a, false) {
                    for (to, whose) in behind(&nodes, b, true) {
                        if from.is_ipv4() != to.is_ipv4() {
                            continue;
                        }
                        for probe in PROBES {
                            let naive = rules.iter().any(|r| lets(r, probe) && connects(&nodes, r, (from, owner), (to, whose)));
                            prop_assert_eq!(
                                passes(&filter, from, to, probe), naive,
                                "{} of n{} to {} of n{} at {:?}: {:?}", from, a, to, b, probe, &filter
                            );
                        }
                    }
                }
                // Addresses of both families count: machines see each other as machines.
                let reaches = |x: usize, y: usize| rules.iter().any(|r| {
                    behind(&nodes, x, false).into_iter().any(|f| behind(&nodes, y, true).into_iter().any(|t| connects(&nodes, r, f, t)))
                });
                let seen = engine.class_of(a).is_some_and(|c| engine.sees(c, b));
                prop_assert_eq!(seen, reaches(a, b) || reaches(b, a), "whether n{} sees n{}", a, b);
            }
        }
    }

    #[test]
    fn a_changed_tailnet_is_as_one_made_anew(
        before in proptest::collection::vec(node(), 1..6),
        after in proptest::collection::vec(node(), 1..6),
        kept in 0usize..6,
        rules in proptest::collection::vec(rule(), 0..5),
    ) {
        // The first machines stay what they are.
        let mut after = after;
        let kept = kept.min(before.len()).min(after.len());
        after[..kept].clone_from_slice(&before[..kept]);
        let policy = Arc::new(Policy::parse(&policy_of(&rules).to_string()).unwrap());
        let read = |nodes: &[Node]| Arc::new(Tailnet::parse(&topology_of(nodes).to_string()).unwrap());
        let first = Engine::new(policy.clone(), read(&before));
        let mut next = (*read(&after)).clone();
        // As a server does: what did not change is the same object.
        for (m, was) in next.machines.iter_mut().zip(&first.tailnet().machines) {
            if *m == *was {
                *m = was.clone();
            }
        }
        let moved = first.on(Arc::new(next));
        let anew = Engine::new(policy, read(&after));
        let changes = Comparison::new(&moved, &first);
        for b in 0..after.len() {
            prop_assert_eq!(moved.filter(b), anew.filter(b), "the filter of n{}", b);
            prop_assert_eq!(moved.ssh_rules(b, ""), anew.ssh_rules(b, ""), "the SSH rules of n{}", b);
            prop_assert_eq!(moved.capabilities(b), anew.capabilities(b), "the capabilities of n{}", b);
            for a in 0..after.len() {
                let sees = |e: &Engine| e.class_of(a).is_some_and(|c| e.sees(c, b));
                prop_assert_eq!(sees(&moved), sees(&anew), "whether n{} sees n{}", a, b);
            }
            if b < before.len() && !changes.own_part_changed(b, b) {
                prop_assert_eq!(moved.filter(b), first.filter(b), "an unchanged filter of n{}", b);
                prop_assert_eq!(moved.ssh_rules(b, ""), first.ssh_rules(b, ""));
            }
        }
    }
}
