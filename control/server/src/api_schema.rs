//! The description of API v1 as OpenAPI 3.1 (spec.openapis.org/oas/v3.1.0), and its list of endpoints, from one table.
//!
//! The table also tells a path that exists under another method (405) from one that does not exist (404).

mod schemas;

use crate::{
    pages::{escape, page},
    reply::{Reply, json, typed},
};
use hearthgate_read::json;
use http::{HeaderValue, Method, StatusCode, header};
use schemas::{AUTH_ID, ID, NODE, USER, matching, named, schemas};
use serde_json::{Map, Value};

/// One endpoint.
struct Endpoint {
    method: &'static str,
    /// Below `/api/v1`, with `{parameters}`.
    path: &'static str,
    summary: &'static str,
    /// Names of query parameters and whether they must be there.
    query: Query,
    /// Schema of the body, and whether it must be there.
    body: Option<(&'static str, bool)>,
    /// Schema of the answer.
    answer: &'static str,
}

/// Query parameters.
type Query = &'static [(&'static str, bool)];

const fn get(path: &'static str, summary: &'static str, query: Query, answer: &'static str) -> Endpoint {
    Endpoint { method: "get", path, summary, query, body: None, answer }
}

const fn post(
    path: &'static str,
    summary: &'static str,
    body: Option<(&'static str, bool)>,
    answer: &'static str,
) -> Endpoint {
    Endpoint { method: "post", path, summary, query: &[], body, answer }
}

const fn put(path: &'static str, summary: &'static str, body: &'static str, answer: &'static str) -> Endpoint {
    Endpoint { method: "put", path, summary, query: &[], body: Some((body, true)), answer }
}

const fn delete(path: &'static str, summary: &'static str, query: Query) -> Endpoint {
    Endpoint { method: "delete", path, summary, query, body: None, answer: "Nothing" }
}

const ENDPOINTS: &[Endpoint] = &[
    get("/health", "Whether the store works", &[], "Health"),
    get("/user", "Users, all or those that fit", &[("id", false), ("name", false), ("email", false)], "Users"),
    post("/user", "Make a user", Some(("NewUser", true)), "OneUser"),
    post("/user/{id}/rename/{userName}", "Rename a user", None, "OneUser"),
    post("/user/{id}/role", "Give a user a role that policies may name", Some(("UserRole", true)), "OneUser"),
    delete("/user/{id}", "Remove a user who has no nodes", &[]),
    get("/preauthkey", "Pre-auth keys, without their secrets", &[], "PreAuthKeys"),
    post(
        "/preauthkey",
        "Make a pre-auth key; the answer is the only one with its secret",
        Some(("NewPreAuthKey", true)),
        "OnePreAuthKey",
    ),
    post("/preauthkey/expire", "Make a pre-auth key stop working", Some(("Id", true)), "Nothing"),
    delete("/preauthkey", "Forget a pre-auth key", &[("id", true)]),
    get("/apikey", "API keys, without their secrets", &[], "ApiKeys"),
    post(
        "/apikey",
        "Make an API key; the answer is the only one with its secret",
        Some(("NewApiKey", false)),
        "NewApiKeyAnswer",
    ),
    post("/apikey/expire", "Make an API key stop working", Some(("ApiKeyName", true)), "Nothing"),
    delete("/apikey/{prefix}", "Forget an API key, by its prefix or by ?id=", &[("id", false)]),
    get("/node", "Nodes, all or those of a user", &[("user", false)], "Nodes"),
    get("/node/{id}", "A node", &[], "OneNode"),
    delete("/node/{id}", "Remove a node", &[]),
    post("/node/{id}/expire", "Expire a node's key now, at a time, or never", Some(("Expiry", false)), "OneNode"),
    post("/node/{id}/rename/{nodeName}", "Rename a node", None, "OneNode"),
    post("/node/{id}/approve", "Let a node in that waits for approval", None, "OneNode"),
    get("/node/{id}/attributes", "What postures may ask about a node", &[], "Attributes"),
    post(
        "/node/{id}/attributes",
        "Give a node values for postures; null takes one away",
        Some(("NewAttributes", true)),
        "Attributes",
    ),
    post("/node/{id}/tags", "Give a node to tags", Some(("Tags", true)), "OneNode"),
    post("/node/{id}/approve_routes", "Approve exactly these routes", Some(("Routes", true)), "OneNode"),
    Endpoint {
        method: "post",
        path: "/node/register",
        summary: "Let a waiting device in (older form of auth/register)",
        query: &[("user", true), ("key", true)],
        body: None,
        answer: "OneNode",
    },
    Endpoint {
        method: "post",
        path: "/node/backfillips",
        summary: "Give nodes the addresses they lack",
        query: &[("confirmed", true)],
        body: None,
        answer: "Changes",
    },
    get("/auth", "Logins that wait", &[], "Pending"),
    post("/auth/register", "Let a waiting device in as a user's", Some(("AuthRegister", true)), "OneNode"),
    post("/auth/approve", "Approve a waiting check", Some(("AuthId", true)), "Nothing"),
    post("/auth/reject", "Turn a waiting login away", Some(("AuthId", true)), "Nothing"),
    post("/debug/node", "Make a login that waits, for tests of tools", Some(("DebugNode", true)), "OneNode"),
    get("/policy", "The policy in force", &[], "Policy"),
    put("/policy", "Put a policy in force, once its tests pass", "NewPolicy", "Policy"),
    post("/policy/check", "Whether a policy would be taken", Some(("NewPolicy", true)), "Nothing"),
    get("/policy/versions", "Policies that were in force, newest first", &[], "PolicyVersions"),
    post("/policy/rollback", "Put an older policy in force", Some(("PolicyVersionName", true)), "Policy"),
    get("/policy/explain", "Why one machine reaches another or not", &[("from", true), ("to", true)], "Explanations"),
    get("/policy/who-can", "Who reaches a machine or a port of it", &[("to", true)], "Explanations"),
    post("/policy/diff", "What passes under one of two policies only", Some(("PolicyPair", true)), "Difference"),
    get("/backup", "All state in one file, private keys included", &[], "File"),
    get("/restore", "The backup that waits for a confirmation, and the state kept before the last one", &[], "Restore"),
    put("/restore", "Send a backup; it is checked, and waits for a confirmation", "File", "Restore"),
    delete("/restore", "Forget the backup that waits", &[]),
    post("/restore/previous", "Have the state before the last restore wait for a confirmation", None, "Restore"),
    post("/restore/confirm", "Put what waits in place; the box starts anew", Some(("RestoreId", true)), "Nothing"),
    get("/image/upgrade", "How the last upgrade of this box ended (boxes with our image)", &[], "Upgrade"),
    put("/image/upgrade", "Send an upgrade file (boxes with our image)", "File", "Received"),
    get("/upgrade/feed", "What the feed of new versions said last", &[], "News"),
    post("/upgrade/feed/look", "Ask the feed of new versions; its answer is in GET /upgrade/feed", None, "News"),
    post("/upgrade/feed/fetch", "Fetch the new version and restart with it (boxes with our image)", None, "News"),
    #[cfg(feature = "front")]
    get("/front", "How the tunnel to this box's front is", &[], "Front"),
    #[cfg(feature = "front")]
    post("/front", "Pair with the front of a line that it printed", Some(("Pairing", true)), "Front"),
    #[cfg(feature = "front")]
    post("/front/test", "Have the front try whether it reaches this box from outside", None, "Front"),
    #[cfg(feature = "front")]
    Endpoint { method: "delete", path: "/front", summary: "Leave the front", query: &[], body: None, answer: "Front" },
    get("/router/shared", "What this box's own router offers to the network", &[], "Sharing"),
    post("/router/shared", "Choose what it offers", Some(("Shared", true)), "Sharing"),
    Endpoint {
        method: "delete",
        path: "/router/shared",
        summary: "Let it offer what the configuration says",
        query: &[],
        body: None,
        answer: "Sharing",
    },
    get("/portmap", "Ports of this box that the router in front of it opens to the world", &[], "PortMapping"),
    post("/portmap", "Let the router open them, or not", Some(("PortMappingSwitch", true)), "PortMapping"),
    Endpoint {
        method: "delete",
        path: "/portmap",
        summary: "Do what the configuration says",
        query: &[],
        body: None,
        answer: "PortMapping",
    },
    get("/dyndns", "The name that follows this box's addresses", &[], "Dyndns"),
    post("/dyndns", "Set that name, and try it at once", Some(("NewDyndns", true)), "Dyndns"),
    Endpoint {
        method: "delete",
        path: "/dyndns",
        summary: "Give the name up",
        query: &[],
        body: None,
        answer: "Dyndns",
    },
    post("/dyndns/update", "Tell the service the addresses now", None, "Dyndns"),
    get("/dyndns/services", "Services that keep such names", &[], "DyndnsServices"),
    get("/wireguard", "Devices without a client", &[], "PlainDevices"),
    post(
        "/wireguard",
        "Add a device without a client; the answer is the only one with its configuration",
        Some(("NewPlainDevice", true)),
        "NewPlainDeviceAnswer",
    ),
    post(
        "/wireguard/{id}",
        "Rename a device without a client, or let it reach other things",
        Some(("ChangedPlainDevice", true)),
        "OnePlainDevice",
    ),
    delete("/wireguard/{id}", "Remove a device without a client", &[]),
    get("/audit", "Who changed what, newest last", &[], "Audit"),
    get("/version", "Versions of the server and of the clients it serves", &[], "Version"),
];

fn parameter(name: &str, place: &str, required: bool) -> Value {
    let schema = match name {
        // Tools send a filter that they do not use as an empty one.
        "id" if !required => json!({ "type": "string", "pattern": "^[0-9]{0,18}$" }),
        "id" => matching(ID),
        "userName" => matching(USER),
        "nodeName" => matching(NODE),
        "key" => matching(AUTH_ID),
        "confirmed" => json!({ "const": "true" }),
        "user" if required => matching(USER),
        _ if required => json!({ "type": "string", "minLength": 1 }),
        _ => json!({ "type": "string" }),
    };
    json!({ "name": name, "in": place, "required": required, "schema": schema })
}

/// What a schema travels as.
fn content(schema: &str) -> Value {
    let media = if schema == "File" { "application/octet-stream" } else { "application/json" };
    json!({ media: { "schema": named(schema) } })
}

/// The whole description.
fn description() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let problem = json!({ "description": "What is wrong", "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } });
    for e in ENDPOINTS {
        let in_path = e
            .path
            .split('/')
            .filter_map(|p| p.strip_prefix('{')?.strip_suffix('}'))
            .map(|p| parameter(p, "path", true));
        let parameters: Vec<Value> =
            in_path.chain(e.query.iter().map(|(name, required)| parameter(name, "query", *required))).collect();
        let mut operation = json!({
            "summary": e.summary,
            "operationId": format!("{}{}", e.method, e.path.replace(['/', '{', '}'], "_")),
            "parameters": parameters,
            "responses": {
                "200": { "description": "Done", "content": content(e.answer) },
                "400": problem, "401": problem, "403": problem, "404": problem, "405": problem, "409": problem, "413": problem,
            },
        });
        if let Some((schema, required)) = e.body {
            operation["requestBody"] = json!({ "required": required, "content": content(schema) });
        }
        let path = paths.entry(format!("/api/v1{}", e.path)).or_insert_with(|| json!({}));
        path[e.method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "hearthgate API", "version": "1", "description": "Users, nodes and keys of a network. The paths and shapes are Headscale's." },
        "paths": Value::Object(paths),
        "security": [{ "key": [] }],
        "components": {
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
            "schemas": Value::Object(schemas()),
        },
    })
}

/// `/openapi.json`, `/openapi.yaml` and `/docs`: anybody may read them.
pub(crate) fn serve(path: &str) -> Option<Reply> {
    match path {
        "/openapi.json" => Some(json(&description())),
        // JSON is YAML (YAML 1.2 §1.3).
        "/openapi.yaml" => Some(typed(StatusCode::OK, "application/yaml", description().to_string())),
        "/docs" => Some(docs()),
        _ => None,
    }
}

fn docs() -> Reply {
    let rows: String = ENDPOINTS
        .iter()
        .map(|e| {
            format!(
                "<li><code>{} /api/v1{}</code><br>{}</li>",
                e.method.to_uppercase(),
                escape(e.path),
                escape(e.summary)
            )
        })
        .collect();
    page(
        StatusCode::OK,
        "API for tools",
        &format!(
            "<p>Send an API key as <code>Authorization: Bearer …</code>. The full description: \
             <a href=\"/api/v1/openapi.json\">openapi.json</a>, <a href=\"/api/v1/openapi.yaml\">openapi.yaml</a>.</p><ul>{rows}</ul>"
        ),
    )
}

/// The answer for a path that the table has under other methods only.
pub(crate) fn other_methods(method: &Method, parts: &[String]) -> Option<HeaderValue> {
    let fits = |e: &&Endpoint| {
        let mut wanted = e.path.split('/').skip(1);
        let mut given = parts.iter();
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(w), Some(g)) if w.starts_with('{') || w == g => {}
                _ => return false,
            }
        }
    };
    let literal = |e: &&Endpoint| !e.path.contains('{');
    let mut endpoints: Vec<&Endpoint> = ENDPOINTS.iter().filter(fits).collect();
    if endpoints.iter().any(literal) {
        // /node/register is no node.
        endpoints.retain(literal);
    }
    let methods: Vec<String> = endpoints.iter().map(|e| e.method.to_uppercase()).collect();
    if methods.is_empty() || methods.iter().any(|m| m == method.as_str()) {
        return None;
    }
    HeaderValue::from_str(&methods.join(", ")).ok()
}

/// The 405 answer.
pub(crate) fn not_this_method(allowed: HeaderValue) -> Reply {
    let mut reply = crate::api_v1::problem(StatusCode::METHOD_NOT_ALLOWED, "this path does not know that method");
    reply.headers_mut().insert(header::ALLOW, allowed);
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_to_a_schema() {
        let whole = description();
        let text = whole.to_string();
        for name in text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(whole["components"]["schemas"][name].is_object(), "{name}");
        }
        assert_eq!(whole["paths"]["/api/v1/user/{id}"]["delete"]["parameters"][0]["name"], "id");
    }

    #[test]
    fn wrong_methods_are_told_from_wrong_paths() {
        let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(other_methods(&Method::PUT, &parts("node/7")).expect("405"), "GET, DELETE");
        assert!(other_methods(&Method::GET, &parts("node/7")).is_none());
        assert_eq!(other_methods(&Method::DELETE, &parts("policy")).expect("405"), "GET, PUT");
        assert!(other_methods(&Method::PUT, &parts("no/such/path")).is_none());
    }
}
