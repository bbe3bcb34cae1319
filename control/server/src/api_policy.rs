//! The administration API's part about the policy: Headscale's `policy` and `policy/check`, and what the engine knows
//! besides: versions, going back, explanations, differences.

use crate::writer::Context;
use hearthgate_core::{CoreError, Facts, World};
use hearthgate_policy::{Difference, Endpoint, Engine, Explanation, Policy as PolicyFile, difference};
use hearthgate_read::{json, struct_of};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// Pairs of machines that one explanation may be about.
const PAIRS_MAX: usize = 4096;
/// Machines up to which a difference of policies is worked out pair by pair.
const DIFF_MACHINES_MAX: usize = 512;

type Answer = Result<Value, CoreError>;

#[derive(Default)]
struct Body {
    policy: String,
    version: Value,
    old: Option<String>,
    new: Option<String>,
}
struct_of!(Body;
must {}
may { policy: "policy", version: "version", old: "old", new: "new" }
not {});

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, CoreError> {
    serde_json::from_slice(body).map_err(|e| CoreError::Invalid(format!("the request body cannot be read: {e}")))
}

/// Answers a request about the policy; `None` when there is no such endpoint.
pub(crate) fn route(
    world: &mut World,
    c: &Context<'_>,
    actor: &str,
    method: &str,
    parts: &[&str],
    arg: &dyn Fn(&str) -> Option<String>,
    body: &[u8],
) -> Option<Answer> {
    Some(match (method, parts) {
        ("GET", []) => Ok(show(world)),
        ("PUT", []) => read::<Body>(body).and_then(|b| {
            if world.settings().policy_from_file {
                return Err(CoreError::Invalid("the policy is read from policy.path; change that file".into()));
            }
            world.set_policy_text(&b.policy, actor, c.now)?;
            Ok(show(world))
        }),
        ("POST", ["check"]) => read::<Body>(body).and_then(|b| {
            world.check_policy(&b.policy).map_err(|e| CoreError::Invalid(e.to_string()))?;
            Ok(json!({}))
        }),
        ("GET", ["versions"]) => {
            let list: Vec<Value> = world
                .policy_versions()
                .map(|v| json!({ "version": v.version.to_string(), "author": v.author, "time": v.time, "bytes": v.text.len(), "policy": v.text }))
                .collect();
            Ok(json!({ "versions": list }))
        }
        ("POST", ["rollback"]) => read::<Body>(body).and_then(|b| {
            let text = b.version.as_str().map_or_else(|| b.version.to_string(), str::to_owned);
            let version = text.parse().map_err(|_| CoreError::Invalid(format!("{text:?} is no version")))?;
            world.roll_back_policy(version, c.now)?;
            Ok(show(world))
        }),
        ("GET", ["explain"]) => explain(world, arg("from"), arg("to")),
        ("GET", ["who-can"]) => who_can(world, arg("to")),
        ("POST", ["diff"]) => read::<Body>(body).and_then(|b| diff(world, b)),
        _ => return None,
    })
}

fn show(world: &World) -> Value {
    world.policy_version().map_or_else(
        || json!({ "policy": "", "updatedAt": null }),
        |v| json!({ "policy": v.text, "updatedAt": v.time, "version": v.version.to_string(), "author": v.author }),
    )
}

fn engine(world: &World) -> Result<&Engine, CoreError> {
    let enforced = world
        .enforced()
        .ok_or_else(|| CoreError::NotFound("there is no policy: everything may reach everything".into()))?;
    Ok(enforced.engine())
}

fn endpoint(engine: &Engine, name: &str) -> Result<Endpoint, CoreError> {
    engine.endpoint(name).ok_or_else(|| CoreError::NotFound(format!("nothing is called {name:?}")))
}

fn needed(value: Option<String>, name: &str) -> Result<String, CoreError> {
    value.ok_or_else(|| CoreError::Invalid(format!("{name} is missing")))
}

fn explain(world: &World, from: Option<String>, to: Option<String>) -> Answer {
    let all = explanations(world, &needed(from, "from")?, &needed(to, "to")?)?;
    Ok(json!({ "explanations": all }))
}

/// Whether, and why, `from` reaches `to` (with a port or not), for every pair of machines that the names mean.
pub(crate) fn explanations(world: &World, from: &str, to: &str) -> Result<Vec<Explanation>, CoreError> {
    let engine = engine(world)?;
    let (name, port) = Endpoint::split(to);
    let (sources, target) = (endpoint(engine, from)?, endpoint(engine, &name)?);
    few_enough(sources.machines.len(), target.machines.len())?;
    let pairs =
        sources.machines.iter().flat_map(|f| target.machines.iter().map(move |t| (*f, *t))).filter(|(f, t)| f != t);
    Ok(pairs.map(|(f, t)| engine.explain(f, t, target.address, port)).collect())
}

/// Half an answer would look like a whole one, so too large a question is refused.
fn few_enough(from: usize, to: usize) -> Result<(), CoreError> {
    let pairs = from.saturating_mul(to);
    if pairs <= PAIRS_MAX {
        return Ok(());
    }
    let why = format!("that asks about {pairs} pairs of nodes, and {PAIRS_MAX} are explained at once: name fewer");
    Err(CoreError::Full(why))
}

fn who_can(world: &World, to: Option<String>) -> Answer {
    let engine = engine(world)?;
    let (name, port) = Endpoint::split(&needed(to, "to")?);
    let target = endpoint(engine, &name)?;
    // One machine is always answered for, however many may reach it.
    if target.machines.len() > 1 {
        few_enough(engine.tailnet().machines.len(), target.machines.len())?;
    }
    let all: Vec<_> = target.machines.iter().flat_map(|t| engine.who_can(*t, target.address, port)).collect();
    Ok(json!({ "explanations": all }))
}

/// What changes between two policies; without `old`, against the one in force.
fn diff(world: &World, body: Body) -> Answer {
    let new = body.new.unwrap_or(body.policy);
    let old = body.old.unwrap_or_else(|| world.policy_version().map_or_else(|| "{}".into(), |v| v.text.clone()));
    serde_json::to_value(difference_to(world, &old, &new)?).map_err(|e| CoreError::Invalid(e.to_string()))
}

/// What passes under one of two policies only.
pub(crate) fn difference_to(world: &World, old: &str, new: &str) -> Result<Difference, CoreError> {
    let net = world.with_facts(|facts: &Facts<'_>| hearthgate_core::tailnet_of(facts));
    if net.machines.len() > DIFF_MACHINES_MAX {
        return Err(CoreError::Full(format!("differences are worked out for up to {DIFF_MACHINES_MAX} nodes")));
    }
    let net = Arc::new(net);
    let apply = |text: &str| {
        let policy = PolicyFile::parse(text).map_err(|e| CoreError::Invalid(e.to_string()))?;
        Ok::<_, CoreError>(Engine::new(Arc::new(policy), net.clone()))
    };
    Ok(difference(&apply(old)?, &apply(new)?))
}
