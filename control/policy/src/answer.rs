//! The answers of `hearthgate policy check|eval --json` and `--stdin-jsonl`, as JSON.

use crate::{
    Engine, Policy, Refusal, TESTS_FAILED, Tailnet,
    engine::exit_routes,
    fields::object,
    hujson::{self, Kind, Value as Tree},
    own_tests::TestReport,
};
use hearthgate_read::json;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Stands for the URL of the server in SSH checks where no server is.
const NO_SERVER: &str = "https://unused";

fn refused(why: &Refusal) -> Value {
    json!({ "ok": false, "message": why.message, "line": why.line, "column": why.column, "tests": [], "sshTests": [] })
}

fn apply(policy: &str, topology: Option<&Tailnet>) -> Result<Engine, Refusal> {
    let policy = Policy::parse(policy)?;
    let net = topology.cloned().unwrap_or_default();
    policy.check_for(&net).map_err(|e| e.located(""))?;
    Ok(Engine::new(Arc::new(policy), Arc::new(net)))
}

/// Whether Tailscale would take the policy: `{"ok":true}`, or why not. Without a topology its tests are not run.
#[must_use]
pub fn check_answer(policy: &str, topology: Option<&Tailnet>) -> Value {
    let engine = match apply(policy, topology) {
        Ok(engine) => engine,
        Err(why) => return refused(&why),
    };
    let report = if topology.is_some() { engine.run_tests() } else { TestReport::default() };
    if report.passed() {
        return json!({ "ok": true });
    }
    let mut out = json!({ "ok": false, "message": TESTS_FAILED });
    if let (Value::Object(out), Ok(Value::Object(report))) = (&mut out, serde_json::to_value(&report)) {
        out.extend(report);
    }
    out
}

/// What the policy gives each machine of the topology, or the one called `only`.
#[must_use]
pub fn eval_answer(policy: &str, topology: &Tailnet, only: Option<&str>) -> Value {
    let engine = match apply(policy, Some(topology)) {
        Ok(engine) => engine,
        Err(why) => return refused(&why),
    };
    let mut nodes = Map::new();
    let serving = engine.first_primaries();
    for (i, machine) in engine.net.machines.iter().enumerate() {
        if only.is_none_or(|name| name == machine.name) {
            nodes.insert(machine.name.clone(), node(&engine, i, &serving));
        }
    }
    json!({ "nodes": nodes })
}

fn node(engine: &Engine, machine: usize, serving: &[Vec<ipnet::IpNet>]) -> Value {
    let class = engine.class_of(machine).unwrap_or(u32::MAX);
    let mut peers = Map::new();
    for (i, other) in engine.net.machines.iter().enumerate() {
        if i == machine || !engine.sees(class, i) {
            continue;
        }
        let mine = serving.get(i).map_or(&[][..], Vec::as_slice);
        let routes = engine.routes_for(class, i, mine);
        let no_v4 = engine.hides_ipv4(i);
        let own = other.ips.iter().filter(|ip| !(no_v4 && ip.is_ipv4())).map(|ip| ipnet::IpNet::from(*ip));
        let allowed: Vec<ipnet::IpNet> = own.chain(routes.iter().copied()).collect();
        let primary: Vec<_> = routes.iter().filter(|r| r.prefix_len() > 0).collect();
        let exit = exit_routes().iter().all(|e| routes.contains(e));
        let caps = engine.peer_capabilities(i, exit);
        peers.insert(other.name.clone(), json!({ "allowed_ips": allowed, "primary_routes": primary, "capmap": caps }));
    }
    json!({
        "packet_filter_rules": engine.filter(machine),
        "ssh_rules": engine.ssh_rules(machine, NO_SERVER),
        "capmap": engine.capabilities(machine),
        "peers": peers,
    })
}

/// Answers one line `{"id","cmd","policy","topology"}` of `--stdin-jsonl`; `policy` is a text or an object.
#[must_use]
pub fn answer_line(line: &str) -> Value {
    let mut id = Value::Null;
    let mut answer = match answer_tree(line, &mut id) {
        Ok(answer) => answer,
        Err(why) => refused(&why),
    };
    if let Value::Object(fields) = &mut answer {
        fields.insert("id".into(), id);
    }
    answer
}

fn answer_tree(line: &str, id: &mut Value) -> Result<Value, Refusal> {
    let tree = hujson::parse(line).map_err(|e| e.located(line))?;
    let members = object(&tree, "request")?;
    let get = |name: &str| members.iter().find(|m| m.name == name).map(|m| &m.value).filter(|v| v.kind != Kind::Null);
    *id = get("id").and_then(Tree::to_json).unwrap_or_default();
    let policy = match get("policy") {
        Some(Tree { kind: Kind::String(text), .. }) => text.clone(),
        Some(other) => other.to_json().unwrap_or_default().to_string(),
        None => return Err(Refusal::new(0, "policy is missing")),
    };
    let topology = get("topology").map(Tailnet::from_tree).transpose()?;
    let text = |name: &str| match get(name).map(|v| &v.kind) {
        Some(Kind::String(s)) => Some(s.as_str()),
        _ => None,
    };
    match text("cmd") {
        Some("check") | None => Ok(check_answer(&policy, topology.as_ref())),
        Some("eval") => Ok(eval_answer(&policy, &topology.unwrap_or_default(), text("node"))),
        Some(other) => Err(Refusal::new(0, format!("unknown cmd {other:?}: use check or eval"))),
    }
}
