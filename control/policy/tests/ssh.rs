//! SSH rules, node attributes, and the policy's own tests.

mod support;
use serde_json::{Value, json};
use support::{eval, refusal};

fn ssh(node: &str, body: &str) -> Value {
    eval(&format!("\"ssh\": [{body}],"))[node]["ssh_rules"].clone()
}

fn action() -> Value {
    json!({ "accept": true, "allowAgentForwarding": true, "allowLocalPortForwarding": true, "allowRemotePortForwarding": true })
}

#[test]
fn a_rule_names_addresses_and_logins() {
    let body = r#"{"action": "accept", "src": ["bob@"], "dst": ["tag:web"], "users": ["autogroup:nonroot", "deploy"], "acceptEnv": ["GIT_*"]}"#;
    let want = json!([{
        "principals": [{ "nodeIP": "100.64.0.30" }, { "nodeIP": "fd7a:115c:a1e0::1e" }],
        "sshUsers": { "*": "=", "deploy": "deploy", "root": "" },
        "action": action(),
        "acceptEnv": ["GIT_*"],
    }]);
    assert_eq!(ssh("web", body), want);
    assert_eq!(ssh("phone", body), json!([]));
}

#[test]
fn checks_come_first_and_say_where_to_ask() {
    let body = r#"{"action": "accept", "src": ["bob@"], "dst": ["tag:web"], "users": ["root"]},
        {"action": "check", "src": ["bob@"], "dst": ["tag:web"], "users": ["root"], "checkPeriod": "20h"},
        {"action": "check", "src": ["ann@"], "dst": ["tag:web"], "users": ["root"], "checkPeriod": "always"}"#;
    let rules = ssh("web", body);
    assert_eq!(rules[0]["action"]["sessionDuration"], 72_000_000_000_000_i64);
    assert!(
        rules[0]["action"]["holdAndDelegate"]
            .as_str()
            .unwrap()
            .contains("/machine/ssh/action/from/$SRC_NODE_ID/to/$DST_NODE_ID")
    );
    assert!(rules[1]["action"].get("sessionDuration").is_none());
    assert_eq!(rules[2]["action"]["accept"], true);
}

#[test]
fn own_devices_and_local_parts() {
    let rules = ssh(
        "phone",
        r#"{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["root"]}"#,
    );
    let ips: Vec<_> =
        rules[0]["principals"].as_array().unwrap().iter().map(|p| p["nodeIP"].as_str().unwrap()).collect();
    assert_eq!(ips, ["100.64.0.10", "100.64.0.20", "fd7a:115c:a1e0::a", "fd7a:115c:a1e0::14"]);
    let rules = ssh(
        "web",
        r#"{"action": "accept", "src": ["autogroup:member"], "dst": ["tag:web"], "users": ["localpart:*@home.example"]}"#,
    );
    let users: Vec<_> = rules.as_array().unwrap().iter().map(|r| r["sshUsers"].clone()).collect();
    assert_eq!(
        users,
        [
            json!({ "root": "" }),
            json!({ "ann": "ann" }),
            json!({ "root": "" }),
            json!({ "bob": "bob" }),
            json!({ "root": "" })
        ]
    );
}

#[test]
fn attributes_add_up() {
    let nodes = eval(
        r#""nodeAttrs": [{"target": ["*"], "attr": ["nextdns:abc"]}, {"target": ["tag:web"], "attr": ["funnel", "nextdns:abc"]},
            {"target": ["ann@"], "app": {"a.example/x": [{"y": 1}]}}], "randomizeClientPort": true,"#,
    );
    let has = |node: &str, cap: &str| nodes[node]["capmap"].get(cap).is_some();
    assert!(has("web", "funnel") && has("web", "nextdns:abc") && has("bobs", "nextdns:abc") && !has("bobs", "funnel"));
    assert_eq!(nodes["phone"]["capmap"]["a.example/x"], json!([{ "y": 1 }]));
    assert!(has("exit", "randomize-client-port"));
}

#[test]
fn own_tests() {
    let acls = r#""acls": [{"action": "accept", "src": ["group:family"], "dst": ["nas:80"]},
        {"action": "accept", "proto": "udp", "src": ["ann@"], "dst": ["autogroup:self:53"]}],"#;
    let fine = [
        r#"{"src": "group:family", "accept": ["nas:80"], "deny": ["nas:81"]}"#,
        r#"{"src": "ann@", "proto": "udp", "accept": ["autogroup:self:53"]}"#,
        r#"{"src": "tag:web", "deny": ["nas:80"]}"#,
        r#"{"src": "100.64.0.30", "accept": ["100.64.0.50:80"]}"#,
    ];
    let failing = [
        r#"{"src": "eve@", "accept": ["nas:80"]}"#,
        r#"{"src": "bob@", "proto": "icmp", "accept": ["nas:80"]}"#,
        r#"{"src": "bob@", "accept": ["nas:80-81"]}"#,
        r#"{"src": "bob@", "accept": ["lan:80"]}"#,
        r#"{"src": "bob@", "deny": ["nobody:80"]}"#,
        r#"{"src": "nobody@x", "deny": ["nas:81"]}"#,
        r#"{"src": "bob@"}"#,
        r#"{"src": "", "accept": ["nas:80"]}"#,
        r#"{"src": "bob@", "deny": ["autogroup:internet:80"]}"#,
        r#"{"src": "tag:web", "deny": ["autogroup:self:80"]}"#,
    ];
    for test in fine {
        assert_eq!(refusal(&format!("{acls} \"tests\": [{test}],")), "", "{test}");
    }
    for test in failing {
        assert_eq!(refusal(&format!("{acls} \"tests\": [{test}],")), "test(s) failed", "{test}");
    }
}

#[test]
fn ssh_tests() {
    let rules = r#""ssh": [{"action": "accept", "src": ["bob@"], "dst": ["tag:web"], "users": ["autogroup:nonroot"]},
        {"action": "check", "src": ["ann@"], "dst": ["autogroup:self"], "users": ["root"]}],"#;
    let fine = [
        r#"{"src": "bob@", "dst": ["tag:web"], "accept": ["alice"], "deny": ["root"]}"#,
        r#"{"src": "bob@", "dst": ["100.64.0.50"], "accept": ["alice"]}"#,
        r#"{"src": "ann@", "dst": ["autogroup:self"], "check": ["root"], "accept": ["root"]}"#,
    ];
    let failing = [
        r#"{"src": "bob@", "dst": ["tag:web"], "accept": ["root"]}"#,
        r#"{"src": "bob@", "dst": ["tag:web"], "check": ["alice"]}"#,
        r#"{"src": "bob@", "dst": ["tag:web"]}"#,
        r#"{"src": "bob@", "dst": ["tag:web"], "deny": [""]}"#,
        r#"{"src": "bob@", "dst": ["fd7a:115c:a1e0::32"], "accept": ["alice"]}"#,
    ];
    for test in fine {
        assert_eq!(refusal(&format!("{rules} \"sshTests\": [{test}],")), "", "{test}");
    }
    for test in failing {
        assert_eq!(refusal(&format!("{rules} \"sshTests\": [{test}],")), "test(s) failed", "{test}");
    }
}
