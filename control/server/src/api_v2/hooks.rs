//! Webhooks: `tailnet/-/webhooks`, `webhooks/{id}`, `webhooks/{id}/rotate`, `webhooks/{id}/test`.
//!
//! One key is not Tailscale's: `local` in the body that makes a hook lets it be on this machine or in a private network.
//! OAuth clients may not say that, nor change, try or remove hooks of this kind: what they hold is for the network, not
//! for what this machine can reach.

use super::{Call, Caller, Failure, or_default, time, wrong_method};
use crate::{
    state::App,
    webhooks::{self, Hook, NewHook, Provider},
    writer::Context,
};
use hearthgate_core::World;
use hearthgate_read::json;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct New {
    endpoint_url: String,
    #[serde(default, deserialize_with = "or_default")]
    provider_type: Provider,
    #[serde(default, deserialize_with = "or_default")]
    subscriptions: Vec<String>,
    #[serde(default)]
    local: bool,
}

#[derive(Deserialize)]
struct Change {
    subscriptions: Vec<String>,
}

/// `tailnet/-/webhooks`.
pub(super) fn all(world: &mut World, c: &mut Context<'_>, caller: &Caller, call: &Call) -> Result<Value, Failure> {
    match call.method {
        Method::GET => {
            caller.need("webhooks:read")?;
            let all: Vec<Value> = webhooks::hooks(world).iter().map(view).collect();
            Ok(json!({ "webhooks": all }))
        }
        Method::POST => {
            caller.need("webhooks")?;
            let new: New = call.read()?;
            if new.local && caller.tags.is_some() {
                return Err(Failure::new(StatusCode::FORBIDDEN, "an OAuth client cannot make a local webhook"));
            }
            let new = NewHook {
                url: new.endpoint_url,
                events: new.subscriptions,
                local: new.local,
                provider: new.provider_type,
            };
            let (hook, secret) = webhooks::create(world, new, &caller.name, c.now.wall, c.rng)?;
            world.audit(&caller.name, "added webhook", hook.host(), c.now);
            Ok(with_secret(&hook, secret.reveal()))
        }
        _ => Err(wrong_method()),
    }
}

/// `webhooks/{id}` and `webhooks/{id}/rotate`.
pub(super) fn one(
    world: &mut World,
    c: &mut Context<'_>,
    caller: &Caller,
    call: &Call,
    id: &str,
    rest: &[&str],
) -> Result<Value, Failure> {
    caller.need(if call.method == Method::GET { "webhooks:read" } else { "webhooks" })?;
    if call.method != Method::GET && caller.tags.is_some() && webhooks::hook(world, id)?.local {
        return Err(Failure::new(StatusCode::FORBIDDEN, "an OAuth client cannot change or try a local webhook"));
    }
    match (&call.method, rest) {
        (&Method::GET, []) => Ok(view(&webhooks::hook(world, id)?)),
        (&Method::PATCH, []) => {
            let change: Change = call.read()?;
            let hook = webhooks::subscribe(world, id, change.subscriptions, c.now.wall)?;
            world.audit(&caller.name, "changed webhook", &hook.id, c.now);
            Ok(view(&hook))
        }
        (&Method::DELETE, []) => {
            let hook = webhooks::hook(world, id)?;
            webhooks::delete(world, &hook.id);
            world.audit(&caller.name, "removed webhook", &hook.id, c.now);
            Ok(json!({}))
        }
        (&Method::POST, ["rotate"]) => {
            let (hook, secret) = webhooks::rotate(world, id, c.now.wall, c.rng)?;
            world.audit(&caller.name, "rotated secret of webhook", &hook.id, c.now);
            Ok(with_secret(&hook, secret.reveal()))
        }
        // Only whether it is there; `queue_test` does the rest.
        (&Method::POST, ["test"]) => Ok(view(&webhooks::hook(world, id)?)),
        (_, [] | ["rotate" | "test"]) => Err(wrong_method()),
        _ => Err(Failure::not_found("endpoint")),
    }
}

/// Which hook a call that was carried out wants to try.
pub(super) fn tried(call: &Call) -> Option<String> {
    match call.parts.as_slice() {
        [webhooks, id, test] if webhooks == "webhooks" && test == "test" => Some(id.clone()),
        _ => None,
    }
}

/// Has a test event sent.
pub(super) fn queue_test(app: &App, id: String) -> Result<(), Failure> {
    let full = |_| Failure::new(StatusCode::TOO_MANY_REQUESTS, "too many tests wait; try again in a moment");
    app.try_hook.try_send(id).map_err(full)
}

fn view(hook: &Hook) -> Value {
    json!({
        "endpointId": hook.id,
        "endpointUrl": hook.url,
        "providerType": hook.provider,
        "creatorLoginName": hook.creator,
        "created": time(hook.created),
        "lastModified": time(hook.modified.unwrap_or(hook.created)),
        "subscriptions": hook.events,
    })
}

fn with_secret(hook: &Hook, secret: &str) -> Value {
    let mut shown = view(hook);
    shown["secret"] = secret.into();
    shown
}
