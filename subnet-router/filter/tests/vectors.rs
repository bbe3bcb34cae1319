//! Decisions of the official filter on raw packets (`wgengine/filter` of tailscale.com v1.104.5), replayed.

use hearthgate_filter::{Decision, Filter, Range, compile};
use hearthgate_tailcfg::FilterRule;
use ipnet::IpNet;
use proptest::prelude::*;
use serde_json::Value;
use std::net::IpAddr;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/data-packet-filter.json")).expect("JSON")
}

fn local(vectors: &Value) -> Vec<Range> {
    let nets: Vec<IpNet> = serde_json::from_value(vectors["local_nets"].clone()).expect("prefixes");
    nets.into_iter().map(Range::from).collect()
}

fn filter(vectors: &Value) -> Filter {
    let rules: Vec<FilterRule> = serde_json::from_value(vectors["rules"].clone()).expect("rules");
    let holders = |cap: &str| match cap {
        "example.com/cap/admin" => vec!["100.64.0.9".parse().expect("address")],
        _ => vec![],
    };
    compile(&rules, &local(vectors), holders).expect("compiles")
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("text");
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect()
}

fn check(filter: &Filter, cases: &Value) -> usize {
    let cases = cases.as_array().expect("list").iter().filter(|case| case["dir"] == "in");
    cases
        .map(|case| {
            let expected = case["result"] == "Accept";
            let decision = filter.decide(&bytes(&case["packet"]));
            assert_eq!(decision == Decision::Accept, expected, "{}: {decision:?}", case["name"]);
        })
        .count()
}

#[test]
fn official_decisions() {
    let vectors = vectors();
    assert_eq!(check(&filter(&vectors), &vectors["independent"]), 48);
    assert_eq!(check(&Filter::shields_up(&local(&vectors)), &vectors["shields_up"]), 5);
}

#[test]
fn closed_lets_nothing_in() {
    let vectors = vectors();
    for case in vectors["independent"].as_array().expect("list") {
        let packet = bytes(&case["packet"]);
        let fragment = packet.len() > 20 && packet[0] >> 4 == 4 && (packet[6] & 0x1f | packet[7]) != 0;
        if !packet.is_empty() && !fragment {
            assert_eq!(Filter::closed().decide(&packet), Decision::Drop, "{}", case["name"]);
        }
    }
}

#[test]
fn obscure_rules_are_refused() {
    for json in [
        r#"[{"SrcIPs":["nonsense"],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":1}}]}]"#,
        r#"[{"SrcIPs":["*"],"DstPorts":[{"IP":"10.0.0.9-10.0.0.1","Ports":{"First":0,"Last":1}}]}]"#,
        r#"[{"SrcIPs":["*"],"DstPorts":[{"IP":"*","Ports":{"First":9,"Last":1}}]}]"#,
        r#"[{"SrcIPs":["*"],"IPProto":[256],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":1}}]}]"#,
    ] {
        let rules: Vec<FilterRule> = serde_json::from_str(json).expect("JSON");
        assert!(compile(&rules, &[Range::V4], |_| vec![]).is_err(), "{json}");
    }
}

fn small_ip() -> impl Strategy<Value = IpAddr> {
    (0_u8..12).prop_map(|last| IpAddr::from([10, 0, 0, last]))
}

type Plain = (Range, Range, (u16, u16), bool);

fn plain_rule() -> impl Strategy<Value = Plain> {
    let range = || (small_ip(), small_ip()).prop_map(|(a, b)| Range { first: a.min(b), last: a.max(b) });
    let ports = (0_u16..9, 0_u16..9).prop_map(|(a, b)| (a.min(b), a.max(b)));
    (range(), range(), ports, any::<bool>())
}

proptest! {
    /// The compiled form agrees with the rules taken one by one, and its pieces do not overlap.
    #[test]
    fn compiled_is_the_rules(rules in prop::collection::vec(plain_rule(), 0..12)) {
        let json: Vec<Value> = rules.iter().map(|(from, to, ports, tcp)| serde_json::json!({
            "SrcIPs": [format!("{}-{}", from.first, from.last)],
            "IPProto": [if *tcp { 6 } else { 17 }],
            "DstPorts": [{"IP": format!("{}-{}", to.first, to.last), "Ports": {"First": ports.0, "Last": ports.1}}],
        })).collect();
        let parsed: Vec<FilterRule> = serde_json::from_value(Value::Array(json)).expect("rules");
        let filter = compile(&parsed, &[Range::V4], |_| vec![]).expect("compiles");
        for from in 0..12 {
            let from = IpAddr::from([10, 0, 0, from]);
            prop_assert!(filter.sources.iter().filter(|(range, _)| range.contains(from)).count() <= 1);
            for to in 0..12 {
                let to = IpAddr::from([10, 0, 0, to]);
                for port in 0..10 {
                    for tcp in [true, false] {
                        let expected = rules.iter().any(|(f, t, p, is_tcp)| {
                            f.contains(from) && t.contains(to) && (p.0..=p.1).contains(&port) && *is_tcp == tcp
                        });
                        let proto = if tcp { 6 } else { 17 };
                        prop_assert_eq!(filter.allows(from, to, proto, port), expected);
                        for class in &filter.classes {
                            let doors = class.iter().filter(|door| {
                                door.proto == proto && door.to.contains(to) && (door.ports.0..=door.ports.1).contains(&port)
                            });
                            prop_assert!(doors.count() <= 1);
                        }
                    }
                }
            }
        }
    }

    /// Nothing that comes out of the tunnel makes it panic.
    #[test]
    fn any_bytes(packet in prop::collection::vec(any::<u8>(), 0..80)) {
        let vectors = vectors();
        let _ = filter(&vectors).decide(&packet);
    }
}
