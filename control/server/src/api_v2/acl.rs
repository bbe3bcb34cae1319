//! `tailnet/-/acl`: the policy file, HuJSON in and out, with an ETag against lost changes.

use super::{Answer, Call, Caller, Failure, wrong_method};
use crate::writer::Context;
use hearthgate_core::{CoreError, PolicyProblem, World};
use hearthgate_keys::encode;
use hearthgate_policy::{TestReport, plain_json};
use hearthgate_read::json;
use http::{StatusCode, header};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What is in force when nobody has set a policy: everything is allowed.
const NONE: &str = "{\n\t\"grants\": [{\"src\": [\"*\"], \"dst\": [\"*\"], \"ip\": [\"*\"]}],\n}\n";
/// The ETag by which clients say "only if nobody has set a policy yet".
const UNSET: &str = "ts-default";

pub(super) fn route(
    world: &mut World,
    c: &mut Context<'_>,
    caller: &Caller,
    call: &Call,
    rest: &[&str],
) -> Result<Answer, Failure> {
    match (call.method.as_str(), rest) {
        ("GET", []) => {
            caller.need("policy_file:read")?;
            Ok(shown(world, call))
        }
        ("POST", []) => {
            caller.need("policy_file")?;
            if world.settings().policy_from_file {
                return Err(Failure::new(
                    StatusCode::CONFLICT,
                    "the policy is read from policy.path; change that file",
                ));
            }
            let wanted = call.header(header::IF_MATCH).trim_matches('"').to_owned();
            let unset = world.policy_version().is_none();
            if !wanted.is_empty() && wanted != etag_of(in_force(world)) && !(wanted == UNSET && unset) {
                return Err(Failure::new(StatusCode::PRECONDITION_FAILED, "precondition failed, invalid old hash"));
            }
            let text = text(call)?;
            tested(world, text)?;
            world.set_policy_text(text, &caller.name, c.now)?;
            world.audit(&caller.name, "changed policy", "", c.now);
            Ok(shown(world, call))
        }
        ("POST", ["validate"]) => {
            caller.need("policy_file:read")?;
            let text = text(call)?;
            // A list is tests to run against the policy in force, an object is a policy to test.
            let done = match serde_json::from_str::<Value>(text) {
                Ok(Value::Array(tests)) => {
                    let mut policy = plain_json(in_force(world)).unwrap_or_default();
                    policy["tests"] = tests.into();
                    tested(world, &policy.to_string())
                }
                _ => tested(world, text),
            };
            // What is wrong with a policy is an answer here, not a failed request.
            Ok(Answer::Json(match done {
                Ok(()) => json!({}),
                Err(f) => json!({ "message": f.message, "data": f.data }),
            }))
        }
        ("GET" | "POST", _) => Err(Failure::not_found("endpoint")),
        _ => Err(wrong_method()),
    }
}

fn text(call: &Call) -> Result<&str, Failure> {
    std::str::from_utf8(&call.body).map_err(|_| Failure::bad("a policy is UTF-8 text"))
}

/// Whether a policy would be taken.
fn tested(world: &World, text: &str) -> Result<(), Failure> {
    match world.check_policy(text) {
        Ok(_) => Ok(()),
        Err(PolicyProblem::Tests(report)) => Err(Failure {
            status: StatusCode::BAD_REQUEST,
            message: hearthgate_policy::TESTS_FAILED.into(),
            data: failed(&report),
        }),
        Err(e @ PolicyProblem::Refused(_)) => Err(CoreError::Invalid(e.to_string()).into()),
    }
}

fn failed(report: &TestReport) -> Value {
    let failed = report.tests.iter().chain(&report.ssh_tests).filter(|t| t.failed);
    failed.map(|t| json!({ "user": t.src, "src": t.src, "errors": t.errors })).collect()
}

fn in_force(world: &World) -> &str {
    world.policy_version().map_or(NONE, |v| v.text.as_str())
}

fn etag_of(text: &str) -> String {
    encode(&Sha256::digest(text.as_bytes()))
}

fn shown(world: &World, call: &Call) -> Answer {
    let text = in_force(world);
    let accept = call.header(header::ACCEPT);
    let json = (accept.contains("application/json") && !accept.contains("hujson")).then(|| plain_json(text)).flatten();
    let (text, plain) = json.map_or_else(|| (text.to_owned(), false), |v| (v.to_string(), true));
    Answer::Policy { etag: format!("\"{}\"", etag_of(in_force(world))), text, plain }
}
