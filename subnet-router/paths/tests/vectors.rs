//! Answers of the official code: which path is better (`data-paths.json`), which STUN servers to ask and which relay
//! to call home (`data-netcheck.json`).

use hearthgate_paths::{
    Hop, Measured, Region, RegionNode, Report, is_better,
    netcheck::{Basis, Family, HomeChooser, plan},
    timing,
};
use hearthgate_sorted::SortedMap;
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};

fn paths() -> Value {
    serde_json::from_str(include_str!("vectors/data-paths.json")).unwrap()
}

fn netcheck() -> Value {
    serde_json::from_str(include_str!("vectors/data-netcheck.json")).unwrap()
}

fn measured(v: &Value) -> Option<Measured> {
    let addr: SocketAddr = v["addr"].as_str()?.parse().ok()?;
    let vni = v["vni"].as_u64().map(|vni| vni as u32);
    let latency = Duration::from_secs_f64(v["latency_ms"].as_f64()? / 1000.0);
    Some(Measured { hop: Hop { addr, vni }, latency, mtu: v["mtu"].as_u64()? as u16 })
}

#[test]
fn the_better_path_is_the_same() {
    let v = paths();
    let cases = v["better_addr"].as_array().unwrap();
    assert_eq!(cases.len(), 24);
    for case in cases {
        let better = match (measured(&case["a"]), measured(&case["b"])) {
            (Some(a), Some(b)) => is_better(&a, &b),
            (a, _) => a.is_some(),
        };
        assert_eq!(better, case["a_better_than_b"].as_bool().unwrap(), "{case}");
    }
}

#[test]
fn timings_are_the_official_ones() {
    let v = paths();
    let official = |name: &str| {
        let text = v["durations"][name].as_str().unwrap();
        let (number, unit) = match text.rsplit_once('m').filter(|(_, s)| s.ends_with('s') && s.len() > 1) {
            Some((minutes, seconds)) => {
                let seconds: f64 = seconds.trim_end_matches('s').parse().unwrap();
                return Duration::from_secs_f64(minutes.parse::<f64>().unwrap() * 60.0 + seconds);
            }
            None if text.ends_with("ms") => (text.trim_end_matches("ms"), 0.001),
            None => (text.trim_end_matches('s'), 1.0),
        };
        Duration::from_secs_f64(number.parse::<f64>().unwrap() * unit)
    };
    assert_eq!(timing::HEARTBEAT, official("heartbeatInterval"));
    assert_eq!(timing::TRUST, official("trustUDPAddrDuration"));
    assert_eq!(timing::SESSION_ACTIVE, official("sessionActiveTimeout"));
    assert_eq!(timing::UPGRADE, official("upgradeUDPDirectInterval"));
    assert_eq!(timing::GOOD_ENOUGH, official("goodEnoughLatency"));
    assert_eq!(timing::PING_INTERVAL, official("discoPingInterval"));
    assert_eq!(timing::PING_TIMEOUT, official("pingTimeoutDuration"));
    assert_eq!(timing::ENDPOINTS_FRESH, official("endpointsFreshEnoughDuration"));
}

/// The map of the vectors: five regions with two relays each, over both families.
fn regions() -> Vec<Region> {
    let node = |region: u16, n: u8| RegionNode {
        name: format!("{region}{}", if n == 1 { "a" } else { "b" }),
        v4: Some(SocketAddr::from(([192, 0, region as u8, n], 3478))),
        v6: Some(SocketAddr::from(([0x2001, 0xdb8, region, 0, 0, 0, 0, u16::from(n)], 3478))),
    };
    let region = |id| Region { id, avoid: false, no_measure: false, score: 1.0, nodes: vec![node(id, 1), node(id, 2)] };
    (1..=5).map(region).collect()
}

#[test]
fn the_same_servers_are_asked() {
    let regions = regions();
    let last = |v6| Report {
        v4: true,
        v6,
        latency: (1..=5).map(|id| (id, Duration::from_millis(u64::from(id) * 10))).collect(),
        ..Report::default()
    };
    let (v4_only, dual) = (last(false), last(true));
    for (name, last, home, v6) in [
        ("initial_v4", None, None, false),
        ("incremental_v4_home1", Some(&v4_only), Some(1), false),
        ("incremental_v4_home5", Some(&v4_only), Some(5), false),
        ("incremental_dual_home1", Some(&dual), Some(1), true),
    ] {
        let mut got: SortedMap<String, Vec<String>> = SortedMap::new();
        for probe in plan(&regions, Basis { last, home, v4: true, v6 }) {
            let family = if probe.family == Family::V4 { "v4" } else { "v6" };
            let node = &regions[usize::from(probe.region) - 1].nodes[probe.node];
            assert!(node.has(probe.to));
            let at = match probe.at.as_millis() {
                0 => "0s".to_owned(),
                ms => format!("{ms}ms"),
            };
            let line = format!("{family} {} @{at}", node.name);
            got.entry(format!("region-{}-{family}", probe.region)).or_default().push(line);
        }
        let wanted: SortedMap<String, Vec<String>> = serde_json::from_value(netcheck()["plans"][name].clone()).unwrap();
        assert_eq!(got, wanted, "{name}");
    }
}

#[test]
fn the_same_relay_is_home() {
    let v = netcheck();
    let cases = v["preferred"].as_array().unwrap();
    assert_eq!(cases.len(), 10);
    for case in cases {
        let mut chooser = HomeChooser::default();
        let step = Duration::from_secs(case["seconds_between"].as_u64().unwrap());
        let mut now = Duration::from_secs(10_000);
        let heard_ago = u64::try_from(case["home_heard_seconds_ago"].as_i64().unwrap()).ok().map(Duration::from_secs);
        let reports = case["reports_ms"].as_array().unwrap();
        for (report, wanted) in reports.iter().zip(case["preferred_after_each"].as_array().unwrap()) {
            let latency = report.as_object().unwrap().iter();
            let latency = latency.map(|(id, ms)| (id.parse().unwrap(), Duration::from_millis(ms.as_u64().unwrap())));
            let report = Report { latency: latency.collect(), ..Report::default() };
            let home = chooser.choose(now, &report, |_| heard_ago.map(|ago| now - ago), |_| 1.0);
            assert_eq!(u64::from(home.unwrap_or(0)), wanted.as_u64().unwrap(), "{case}");
            now += step;
        }
    }
}
