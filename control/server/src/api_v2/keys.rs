//! `tailnet/-/keys`: pre-auth keys and OAuth clients.

use super::{Answer, Call, Caller, Failure, oauth, scope::Scopes, time, wrong_method};
use crate::{api_v1, writer::Context};
use hearthgate_core::{NewPreAuthKey, PreAuthKey, World};
use hearthgate_read::{json, struct_of};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Life of a key whose maker named none, and the longest: Tailscale's 90 days.
const LIFE_S: i64 = 90 * 24 * 3600;
/// How long a revoked key stays in the list.
const KEPT_S: i64 = 7 * 24 * 3600;

#[derive(Default)]
struct New {
    key_type: String,
    description: String,
    expiry_seconds: i64,
    capabilities: Capabilities,
    scopes: Vec<String>,
    tags: Vec<String>,
    /// Ours: owner of a key without tags.
    user: String,
}
struct_of!(New {
    key_type: "keyType",
    description: "description",
    expiry_seconds: "expirySeconds",
    capabilities: "capabilities",
    scopes: "scopes",
    tags: "tags",
    user: "user",
});

#[derive(Default)]
struct Capabilities {
    devices: Devices,
}
struct_of!(Capabilities { devices: "devices" });

#[derive(Default)]
struct Devices {
    create: Create,
}
struct_of!(Devices { create: "create" });

#[derive(Default)]
struct Create {
    reusable: bool,
    ephemeral: bool,
    preauthorized: bool,
    tags: Vec<String>,
}
struct_of!(Create { reusable: "reusable", ephemeral: "ephemeral", preauthorized: "preauthorized", tags: "tags" });

pub(super) fn route(
    world: &mut World,
    c: &mut Context<'_>,
    caller: &Caller,
    call: &Call,
    rest: &[&str],
) -> Result<(Answer, Option<String>), Failure> {
    let whole = |v: Value| Ok((Answer::Json(v), None));
    match (call.method.as_str(), rest) {
        ("GET", []) => whole(list(world, caller, c.now.wall)?),
        ("POST", []) => whole(create(world, c, caller, call)?),
        ("GET", [id]) => {
            if let Some(client) = oauth::client(world, id) {
                caller.need("oauth_keys:read")?;
                return whole(client_view(&client));
            }
            caller.need("auth_keys:read")?;
            whole(key_view(find(world, id)?, c.now.wall))
        }
        ("PUT", [id]) => {
            caller.need("oauth_keys")?;
            let old = oauth::client(world, id).ok_or_else(|| Failure::not_found("OAuth client"))?;
            // Whoever is not as mighty as a client may not change it either.
            handed_out(world, caller, old.scopes.0.clone(), &old.tags)?;
            let new: New = call.read()?;
            let scopes = handed_out(world, caller, new.scopes, &new.tags)?;
            let client = oauth::Client { scopes, tags: new.tags, description: new.description, ..old };
            oauth::replace(world, client.clone())?;
            world.audit(&caller.name, "changed OAuth client", id, c.now);
            // Tokens with what it could do before end.
            Ok((Answer::Json(client_view(&client)), Some(client.id)))
        }
        ("DELETE", [id]) => {
            if let Some(client) = oauth::client(world, id) {
                caller.need("oauth_keys")?;
                handed_out(world, caller, client.scopes.0, &client.tags)?;
                oauth::delete(world, id);
                world.audit(&caller.name, "removed OAuth client", id, c.now);
                return Ok((Answer::Json(json!({})), Some((*id).to_owned())));
            }
            caller.need("auth_keys")?;
            let key = find(world, id)?;
            let (number, tags) = (key.id, key.tags.clone());
            caller.may_tag(world, &tags)?;
            world.expire_preauth_key(number, c.now)?;
            world.audit(&caller.name, "expired key for devices", id, c.now);
            whole(json!({}))
        }
        _ => Err(wrong_method()),
    }
}

fn find<'a>(world: &'a World, id: &str) -> Result<&'a PreAuthKey, Failure> {
    world.preauth_keys().find(|k| k.id.to_string() == id).ok_or_else(|| Failure::not_found("key"))
}

fn list(world: &World, caller: &Caller, now: Timestamp) -> Result<Value, Failure> {
    let (auth, clients) = (caller.need("auth_keys:read"), caller.need("oauth_keys:read"));
    if let (Err(e), Err(_)) = (&auth, &clients) {
        return Err(Failure::new(e.status, e.message.clone()));
    }
    let mut keys = Vec::new();
    if auth.is_ok() {
        let gone = |k: &&PreAuthKey| k.revoked.is_some_and(|r| now.duration_since(r).as_secs() > KEPT_S);
        keys.extend(world.preauth_keys().filter(|k| !gone(k)).map(|k| key_view(k, now)));
    }
    if clients.is_ok() {
        keys.extend(oauth::clients(world).iter().map(client_view));
    }
    Ok(json!({ "keys": keys }))
}

fn create(world: &mut World, c: &mut Context<'_>, caller: &Caller, call: &Call) -> Result<Value, Failure> {
    let new: New = call.read()?;
    match new.key_type.as_str() {
        "client" => {
            caller.need("oauth_keys")?;
            let scopes = handed_out(world, caller, new.scopes, &new.tags)?;
            let (client, text) = oauth::create(world, scopes, new.tags, new.description, c.now.wall, c.rng)?;
            world.audit(&caller.name, "made OAuth client", &client.id, c.now);
            let mut view = client_view(&client);
            view["key"] = text.reveal().into();
            Ok(view)
        }
        "" | "auth" => {
            caller.need("auth_keys")?;
            let wanted = new.capabilities.devices.create;
            if caller.tags.is_some() || !wanted.tags.is_empty() {
                caller.may_tag(world, &wanted.tags)?;
            }
            let user = match (new.user.as_str(), wanted.tags.is_empty()) {
                ("", false) => None,
                ("", true) => Some(only_user(world)?),
                (named, _) => Some(api_v1::find_user(world, named)?),
            };
            let life = if new.expiry_seconds == 0 { LIFE_S } else { new.expiry_seconds };
            if !(1..=LIFE_S).contains(&life) {
                return Err(Failure::bad(format!("expirySeconds is between 1 and {LIFE_S}")));
            }
            let expiration = c.now.wall.checked_add(SignedDuration::from_secs(life)).ok();
            let new = NewPreAuthKey {
                user,
                reusable: wanted.reusable,
                ephemeral: wanted.ephemeral,
                preauthorized: wanted.preauthorized,
                tags: wanted.tags,
                expiration,
                description: new.description,
            };
            let (key, minted) = world.create_preauth_key(new, c.now, c.rng)?;
            world.audit(&caller.name, "made key for devices", &key.id.to_string(), c.now);
            let mut view = key_view(&key, c.now.wall);
            view["key"] = minted.text.reveal().into();
            Ok(view)
        }
        other => Err(Failure::bad(format!("keys of the type {other:?} do not exist here: auth or client"))),
    }
}

/// The scopes and tags of a client that `caller` makes or changes: nobody makes somebody mightier than themselves.
fn handed_out(world: &World, caller: &Caller, scopes: Vec<String>, tags: &[String]) -> Result<Scopes, Failure> {
    if let Some(scope) = scopes.iter().find(|s| !caller.scopes.include(s)) {
        return Err(Failure::new(http::StatusCode::FORBIDDEN, format!("the token may not hand out the scope {scope}")));
    }
    if !tags.is_empty() {
        caller.may_tag(world, tags)?;
    }
    Ok(Scopes(scopes))
}

/// API keys have no owner here, so a key without tags belongs to the only user there is.
fn only_user(world: &World) -> Result<hearthgate_core::UserId, Failure> {
    let mut users = world.users();
    match (users.next(), users.next()) {
        (Some(user), None) => Ok(user.id),
        _ => {
            Err(Failure::bad("a key without tags needs an owner: name tags, or the field \"user\" with a user's name"))
        }
    }
}

fn key_view(key: &PreAuthKey, now: Timestamp) -> Value {
    let over = key.expiration.is_some_and(|e| e <= now);
    let mut view = json!({
        "id": key.id.to_string(),
        "keyType": "auth",
        "created": time(key.created),
        "expires": key.expiration.map(time),
        "expirySeconds": key.expiration.map(|e| e.duration_since(key.created).as_secs()),
        "description": key.description,
        "invalid": over || (key.used && !key.reusable),
        "capabilities": { "devices": { "create": {
            "reusable": key.reusable, "ephemeral": key.ephemeral, "preauthorized": key.preauthorized, "tags": key.tags,
        } } },
        "userId": key.user.map(|u| u.to_string()).unwrap_or_default(),
    });
    if let Some(revoked) = key.revoked {
        view["revoked"] = time(revoked);
    }
    view
}

fn client_view(client: &oauth::Client) -> Value {
    json!({
        "id": client.id,
        "keyType": "client",
        "created": time(client.created),
        "description": client.description,
        "scopes": client.scopes,
        "tags": client.tags,
        "invalid": false,
    })
}
