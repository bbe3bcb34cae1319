//! A small tailnet that the cases of the language are tried on.
#![allow(dead_code, reason = "each test file uses a part")]

use hearthgate_policy::{Tailnet, check_answer, eval_answer};
use serde_json::{Value, json};

/// Three people (ann owns the tailnet), six machines: a phone and a laptop of ann's, one laptop each of bob's and
/// eve's (who is at another company), a web server, a router for 10.20.0.0/16, an exit node.
pub fn tailnet() -> Value {
    let node = |user: &str, tags: &[&str], n: u8, routes: &[&str]| {
        json!({
            "hostname": "x", "user": user, "tags": tags, "ipv4": format!("100.64.0.{n}"), "ipv6": format!("fd7a:115c:a1e0::{n:x}"),
            "routable_ips": routes, "approved_routes": routes,
        })
    };
    json!({
        "users": [
            { "id": 1, "name": "ann", "email": "ann@home.example" },
            { "id": 2, "name": "bob", "email": "bob@home.example", "role": "it-admin" },
            { "id": 3, "name": "eve", "email": "eve@work.example" },
        ],
        "nodes": {
            "phone": node("ann", &[], 10, &[]),
            "desk": node("ann", &[], 20, &[]),
            "bobs": node("bob@home.example", &[], 30, &[]),
            "eves": node("eve", &[], 40, &[]),
            "web": node("", &["tag:web"], 50, &[]),
            "router": node("", &["tag:router"], 60, &["10.20.0.0/16"]),
            "exit": node("", &["tag:exit"], 70, &["0.0.0.0/0", "::/0"]),
        },
    })
}

/// The sections that most cases share, with `more` in front.
pub fn policy(more: &str) -> String {
    format!(
        "{{ {more}
        \"groups\": {{ \"group:family\": [\"ann@\", \"bob@home.example\", \"gone@home.example\"], \"group:empty\": [] }},
        \"tagOwners\": {{ \"tag:web\": [\"ann@\"], \"tag:router\": [\"group:family\"], \"tag:exit\": [\"tag:router\"] }},
        \"hosts\": {{ \"nas\": \"100.64.0.50\", \"lan\": \"10.20.0.0/16\" }}, }}"
    )
}

pub fn topology() -> Tailnet {
    Tailnet::parse(&tailnet().to_string()).unwrap()
}

/// The refusal of a policy with these sections; empty when it is taken.
pub fn refusal(more: &str) -> String {
    let answer = check_answer(&policy(more), Some(&topology()));
    answer["message"].as_str().unwrap_or_default().to_owned()
}

/// What the policy gives all machines.
pub fn eval(more: &str) -> Value {
    let answer = eval_answer(&policy(more), &topology(), None);
    assert!(answer.get("nodes").is_some(), "{answer}");
    answer["nodes"].clone()
}

/// The rules of one machine.
pub fn rules(more: &str, node: &str) -> Value {
    eval(more)[node]["packet_filter_rules"].clone()
}

/// A filter rule; `dst` as `ip:first-last`.
pub fn rule(src: &[&str], dst: &[(&str, u16, u16)], proto: &[u8]) -> Value {
    let dst: Vec<Value> =
        dst.iter().map(|(ip, a, b)| json!({ "IP": ip, "Ports": { "First": a, "Last": b } })).collect();
    let mut rule = json!({ "SrcIPs": src, "DstPorts": dst });
    if !proto.is_empty() {
        rule["IPProto"] = json!(proto);
    }
    rule
}

/// `*` as a source here: the tailnet's ranges and the approved subnet.
pub const STAR: [&str; 4] =
    ["10.20.0.0/16", "100.115.94.0-100.127.255.255", "100.64.0.0-100.115.91.255", "fd7a:115c:a1e0::/48"];
