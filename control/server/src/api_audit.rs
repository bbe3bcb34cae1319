//! What an API request did, in the words of the audit log.

use crate::api_v1::Query;
use hearthgate_core::{NodeId, UserId, World};
use http::Method;
use serde_json::Value;

/// An entry in the making: the subject may only be known after the request was carried out.
pub(crate) struct Entry {
    /// What was done.
    pub action: &'static str,
    before: String,
}

impl Entry {
    /// On what: what it was called before, or what the answer calls the new thing.
    pub fn subject(&self, answer: &Value) -> String {
        let new = [
            &answer["node"]["givenName"],
            &answer["user"]["name"],
            &answer["preAuthKey"]["id"],
            &answer["device"]["name"],
        ];
        let new = new.into_iter().find_map(|v| v.as_str()).unwrap_or_default();
        match (self.before.is_empty(), new.is_empty() || new == self.before) {
            (true, _) => new.to_owned(),
            (false, true) => self.before.clone(),
            (false, false) => format!("{} → {new}", self.before),
        }
    }
}

/// Describes a request before it is carried out.
pub(crate) fn describe(world: &World, method: &Method, parts: &[String], query: &Query) -> Entry {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let id = query.iter().find(|(k, _)| k == "id").map_or("", |(_, v)| v);
    let (action, before) = match (method.as_str(), parts.as_slice()) {
        ("POST", ["user"]) => ("added user", String::new()),
        ("POST", ["user", id, "rename", _]) => ("renamed user", user(world, id)),
        ("POST", ["user", id, "role"]) => ("gave a role to user", user(world, id)),
        ("DELETE", ["user", id]) => ("removed user", user(world, id)),
        ("POST", ["preauthkey"]) => ("made key for devices", String::new()),
        ("POST", ["preauthkey", "expire"]) => ("expired key for devices", String::new()),
        ("DELETE", ["preauthkey"]) => ("deleted key for devices", id.to_owned()),
        ("POST", ["apikey"]) => ("made API key", String::new()),
        ("POST", ["apikey", "expire"]) => ("expired API key", String::new()),
        ("DELETE", ["apikey", prefix]) => {
            ("deleted API key", if id.is_empty() { (*prefix).to_owned() } else { id.to_owned() })
        }
        ("DELETE", ["node", id]) => ("removed device", node(world, id)),
        ("POST", ["node", id, "expire"]) => ("set expiry of device", node(world, id)),
        ("POST", ["node", id, "rename", _]) => ("renamed device", node(world, id)),
        ("POST", ["node", id, "tags"]) => ("tagged device", node(world, id)),
        ("POST", ["node", id, "approve_routes"]) => ("approved networks of device", node(world, id)),
        ("POST", ["node", id, "attributes"]) => ("set attributes of device", node(world, id)),
        ("POST", ["node", id, "approve"]) => ("approved device", node(world, id)),
        ("POST", ["node", "register"] | ["auth", "register"]) => ("let device in", String::new()),
        ("POST", ["node", "backfillips"]) => ("gave missing addresses", String::new()),
        ("POST", ["auth", "approve"]) => ("approved SSH login", String::new()),
        ("POST", ["auth", "reject"]) => ("turned login away", String::new()),
        ("POST", ["wireguard"]) => ("added device without a client", String::new()),
        ("POST", ["wireguard", id]) => ("changed device without a client", plain(world, id)),
        ("DELETE", ["wireguard", id]) => ("removed device without a client", plain(world, id)),
        ("PUT", ["policy"]) => ("changed policy", String::new()),
        ("POST", ["policy", "rollback"]) => ("put an older policy in force", String::new()),
        _ => ("changed", parts.join("/")),
    };
    Entry { action, before }
}

fn plain(world: &World, id: &str) -> String {
    let known = world.plain_devices().into_iter().find(|device| device.id.to_string() == id);
    known.map_or_else(|| id.to_owned(), |device| device.name)
}

fn node(world: &World, id: &str) -> String {
    let known = id.parse().ok().and_then(|id| world.node(NodeId(id)).ok());
    known.map_or_else(|| id.to_owned(), |n| n.given_name.clone())
}

fn user(world: &World, id: &str) -> String {
    let known = id.parse().ok().and_then(|id| world.users().find(|u| u.id == UserId(id)));
    known.map_or_else(|| id.to_owned(), |u| u.name.clone())
}
