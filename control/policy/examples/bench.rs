//! Processor time and memory of the policy engine on a large tailnet, as JSON:
//! `cargo run --release -p hearthgate-policy --example bench [-- NODES RULES GROUPS]`.
//!
//! Nodes are spread over users and tags by fixed arithmetic, so that every run measures the same tailnet.

use hearthgate_policy::{Engine, Machine, Person, Policy, Role, Tailnet};
use serde_json::json;
use std::{
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

/// Times that each change is made.
const ROUNDS: usize = 50;
/// Tags in the policy.
const TAGS: usize = 100;

fn main() {
    let given: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let size = |i: usize, usual: usize| given.get(i).copied().unwrap_or(usual);
    let (nodes, rules, groups) = (size(0, 10_000), size(1, 1_000), size(2, 200));
    let text = policy_text(nodes, rules, groups);
    let net = Arc::new(tailnet(nodes));

    let (parse, policy) = timed(|| Arc::new(Policy::parse(&text).expect("the benchmark's policy is fine")));
    let before = memory_kib();
    let engine = Engine::new(policy.clone(), net.clone());
    let held = memory_kib().saturating_sub(before);
    let compile = average(|| Engine::new(policy.clone(), net.clone()));

    let mut more = (*net).clone();
    more.machines.push(Arc::new(machine(nodes, Some(7), Vec::new())));
    let more = Arc::new(more);
    let join = average(|| engine.on(more.clone()));
    let mut retagged = (*net).clone();
    Arc::make_mut(&mut retagged.machines[nodes / 2]).tags = vec![tag(3)];
    let retagged = Arc::new(retagged);
    let retag = average(|| engine.on(retagged.clone()));
    let filters = average(|| (0..100).map(|i| engine.filter(i * nodes / 100).len()).sum::<usize>());
    let visible_to = || (0..nodes).filter(|m| engine.sees(engine.class_of(0).unwrap_or(0), *m)).count();
    let (sees, visible) = (average(visible_to), visible_to());

    let ms = |d: Duration| (d.as_secs_f64() * 100_000.0).round() / 100.0;
    println!(
        "{:#}",
        json!({
            "nodes": nodes, "rules": rules, "groups": groups, "policy_bytes": text.len(), "classes": engine.class_count(),
            "parse_ms": ms(parse), "compile_ms": ms(compile), "one_node_joins_ms": ms(join),
            "one_node_retagged_ms": ms(retag), "filters_of_100_nodes_ms": ms(filters),
            "visible_to_one_ms": ms(sees), "peers_of_one": visible, "engine_kib": held,
        })
    );
}

fn timed<T>(f: impl FnOnce() -> T) -> (Duration, T) {
    let started = cpu_time();
    let made = f();
    (cpu_time().saturating_sub(started), made)
}

/// Processor time of this thread, which a busy machine does not stretch as it does the time on the wall; that where the
/// system does not tell.
fn cpu_time() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|t| t.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// One run's share of many: the system counts processor time in steps of some milliseconds. What the runs make is
/// dropped outside the measurement.
fn average<T>(run: impl Fn() -> T) -> Duration {
    let (all, made) = timed(|| (0..ROUNDS).map(|_| run()).collect::<Vec<_>>());
    drop(made);
    all / u32::try_from(ROUNDS).unwrap_or(1)
}

fn tag(n: usize) -> String {
    format!("tag:t{}", n % TAGS)
}

fn user(n: usize, users: usize) -> String {
    format!("u{}@example.com", n % users)
}

fn users_of(nodes: usize) -> usize {
    (nodes / 5).max(1)
}

fn policy_text(nodes: usize, rules: usize, groups: usize) -> String {
    let users = users_of(nodes);
    let mut text = String::from("{\"groups\": {");
    for g in 0..groups {
        let members: Vec<String> = (0..20).map(|i| format!("{:?}", user(g * 37 + i * 101, users))).collect();
        let _ = write!(text, "\"group:g{g}\": [{}],", members.join(","));
    }
    text.push_str("}, \"tagOwners\": {");
    for t in 0..TAGS {
        let _ = write!(text, "{:?}: [\"autogroup:admin\"],", tag(t));
    }
    text.push_str("}, \"acls\": [");
    for r in 0..rules {
        let group = r * 7 % groups.max(1);
        let (src, dst) = match r % 4 {
            0 => (format!("group:g{group}"), format!("{}:22,443", tag(r * 13))),
            1 => (user(r * 31, users), format!("group:g{}:{}", (group + 1) % groups.max(1), 1000 + r)),
            2 => (tag(r * 3), format!("{}:{}", tag(r * 5 + 1), 5000 + r)),
            _ => (format!("group:g{group}"), format!("10.{}.{}.0/24:*", r / 250, r % 250)),
        };
        let _ = write!(text, "{{\"action\": \"accept\", \"src\": [{src:?}], \"dst\": [{dst:?}]}},");
    }
    text.push_str("]}");
    text
}

fn machine(n: usize, owner: Option<usize>, tags: Vec<String>) -> Machine {
    let n32 = u32::try_from(n).unwrap_or(0);
    let v4 = Ipv4Addr::from(0x6440_0001 + n32);
    let v6 = Ipv6Addr::from(0xfd7a_115c_a1e0_0000_0000_0000_0000_0001 + u128::from(n32));
    let subnets = if n % 100 == 1 {
        vec![format!("10.{}.{}.0/24", n / 25_000, n / 100 % 250).parse().expect("a prefix")]
    } else {
        Vec::new()
    };
    Machine { name: format!("n{n}"), owner, tags, ips: vec![v4.into(), v6.into()], subnets, ..Machine::default() }
}

fn tailnet(nodes: usize) -> Tailnet {
    let users = users_of(nodes);
    let person = |i: usize| Person {
        id: i as u64 + 1,
        name: format!("u{i}"),
        email: user(i, users),
        provider_id: String::new(),
        role: Role::Member,
        groups: Vec::new(),
    };
    let one = |n: usize| match n % 3 {
        0 => machine(n, None, vec![tag(n / 3)]),
        _ => machine(n, Some(n * 17 % users), Vec::new()),
    };
    Tailnet {
        people: (0..users).map(person).collect(),
        machines: (0..nodes).map(one).map(Arc::new).collect(),
        ..Tailnet::default()
    }
}

/// Resident memory of this process in KiB; 0 where the system does not tell.
fn memory_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}
