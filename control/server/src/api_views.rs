//! Users, nodes and keys as Headscale's API shows them.

use hearthgate_core::{
    ApiKey, AuditEntry, AuthId, Node, PendingCheck, PendingLogin, PreAuthKey, TAGGED_DEVICES, User, UserId, World,
};
use hearthgate_read::json;
use jiff::Timestamp;
use serde_json::Value;

/// Go's zero time: what Headscale's tools expect for "none".
fn time(t: Option<Timestamp>) -> Value {
    t.map_or(Value::Null, |t| t.to_string().into())
}

/// A user.
pub fn user(user: &User) -> Value {
    json!({
        "id": user.id.to_string(),
        "name": user.name,
        "createdAt": user.created.to_string(),
        "displayName": user.display_name,
        "email": user.email,
        "providerId": user.provider_id,
        "provider": user.provider,
        "profilePicUrl": user.picture_url,
        "role": if user.role.is_empty() { "member" } else { &user.role },
    })
}

/// The owner of a node or key; null when it is gone.
pub fn owner(world: &World, id: UserId) -> Value {
    match world.users().find(|u| u.id == id) {
        Some(u) => user(u),
        None if id == TAGGED_DEVICES => json!({ "id": id.to_string(), "name": "tagged-devices" }),
        None => Value::Null,
    }
}

/// A pre-auth key with its secret hidden.
pub fn preauth_key(world: &World, key: &PreAuthKey) -> Value {
    json!({
        "user": key.user.map_or(Value::Null, |u| owner(world, u)),
        "id": key.id.to_string(),
        "key": key.masked(),
        "reusable": key.reusable,
        "ephemeral": key.ephemeral,
        "preauthorized": key.preauthorized,
        "used": key.used,
        "expiration": time(key.expiration),
        "createdAt": key.created.to_string(),
        "aclTags": key.tags,
    })
}

/// An API key with its secret hidden.
pub fn api_key(key: &ApiKey) -> Value {
    json!({
        "id": key.id.to_string(),
        "prefix": key.masked(),
        "expiration": time(key.expiration),
        "createdAt": key.created.to_string(),
        "lastSeen": time(key.last_seen),
    })
}

/// An entry of the audit log.
pub fn audit_entry(entry: &AuditEntry) -> Value {
    json!({ "id": entry.id.to_string(), "at": entry.at.to_string(), "actor": entry.actor, "action": entry.action, "subject": entry.subject })
}

/// A login that waits.
pub fn pending(id: &AuthId, login: &PendingLogin) -> Value {
    let info = login.request.hostinfo.as_ref();
    json!({
        "authId": id.to_string(),
        "hostname": info.map_or("", |h| h.hostname.as_str()),
        "os": info.map_or("", |h| h.os.as_str()),
        "machineKey": login.machine_key.to_string(),
        "nodeKey": login.node_key.to_string(),
    })
}

/// An SSH session that waits for a check.
pub fn check(world: &World, id: &AuthId, check: &PendingCheck) -> Value {
    let name = |node| world.node(node).map_or_else(|_| String::new(), |n| n.given_name.clone());
    json!({ "authId": id.to_string(), "from": name(check.from), "to": name(check.to), "login": check.login })
}

/// A node.
pub fn node(world: &World, node: &Node) -> Value {
    let key = node.preauth_key.and_then(|id| world.preauth_keys().find(|k| k.id == id));
    let mut subnet: Vec<String> = node.primary_routes.iter().map(ToString::to_string).collect();
    subnet.extend(node.enabled_routes().filter(hearthgate_core::is_exit_route).map(|r| r.to_string()));
    json!({
        "id": node.id.to_string(),
        "machineKey": node.machine_key.to_string(),
        "nodeKey": node.node_key.to_string(),
        "discoKey": node.disco_key.to_string(),
        "ipAddresses": node.ips().map(|ip| ip.to_string()).collect::<Vec<_>>(),
        "name": node.hostinfo.hostname,
        "user": owner(world, node.owner()),
        "lastSeen": time(node.last_seen),
        "expiry": time(node.expiry),
        "preAuthKey": key.map_or(Value::Null, |k| preauth_key(world, k)),
        "createdAt": node.created.to_string(),
        "registerMethod": node.method,
        "givenName": node.given_name,
        "online": node.path.online && !node.is_expired(Timestamp::now()),
        "approved": !node.waiting,
        "approvedRoutes": node.approved_routes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "availableRoutes": node.advertised_routes().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "subnetRoutes": subnet,
        "tags": node.tags,
    })
}
