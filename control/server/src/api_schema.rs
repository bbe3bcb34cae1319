//! The description of API v1 as OpenAPI 3.1 (spec.openapis.org/oas/v3.1.0), and its list of endpoints, from one table.
//!
//! The table also tells a path that exists under another method (405) from one that does not exist (404).

use crate::{
    pages::{escape, page},
    reply::{Reply, json, typed},
};
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value, json};

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

const ID: &str = "^[0-9]{1,18}$";
const TAG: &str = "^tag:[a-zA-Z][a-zA-Z0-9-]{0,30}$";
const AUTH_ID: &str = "^hskey-authreq-[0-9a-f]{24}$";
const USER: &str = "^[A-Za-z][A-Za-z0-9_.+-]{1,60}$";
const NODE: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
const ROUTE: &str = "^(((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])/(3[0-2]|[12]?[0-9])|([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}/(12[0-8]|1[01][0-9]|[1-9]?[0-9])|::/0)$";

fn object(required: &[&str], fields: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

fn list(name: &str, of: &str) -> Value {
    object(&[name], &[(name, json!({ "type": "array", "items": { "$ref": format!("#/components/schemas/{of}") } }))])
}

fn one(name: &str, of: &str) -> Value {
    object(&[name], &[(name, json!({ "$ref": format!("#/components/schemas/{of}") }))])
}

/// The schemas by name.
fn schemas() -> Value {
    let text = json!({ "type": "string" });
    let flag = json!({ "type": "boolean" });
    let time = json!({ "type": ["string", "null"], "format": "date-time" });
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let matching = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let id = matching(ID);
    json!({
        "Nothing": { "type": "object" },
        "Problem": object(&["title", "status", "detail"], &[("title", text.clone()), ("status", json!({ "type": "integer" })), ("detail", text.clone())]),
        "Health": object(&["databaseConnectivity"], &[("databaseConnectivity", flag.clone())]),
        "Version": object(&["version"], &[("version", text.clone())]),
        "User": object(&["id", "name", "createdAt"], &[
            ("id", id.clone()), ("name", text.clone()), ("createdAt", text.clone()), ("displayName", text.clone()),
            ("email", text.clone()), ("providerId", text.clone()), ("provider", text.clone()), ("profilePicUrl", text.clone()),
        ]),
        "Owner": { "anyOf": [{ "$ref": "#/components/schemas/User" }, { "type": "null" }, object(&["id", "name"], &[("id", id.clone()), ("name", text.clone())])] },
        "Users": list("users", "User"),
        "OneUser": one("user", "User"),
        "UserRole": object(&["role"], &[("role", json!({ "enum": ["owner", "admin", "it-admin", "network-admin", "billing-admin", "auditor", "member"] }))]),
        "NewUser": object(&["name"], &[("name", matching(USER)), ("displayName", text.clone()), ("email", text.clone()), ("pictureUrl", text.clone())]),
        "PreAuthKey": object(&["id", "key", "reusable", "ephemeral", "used"], &[
            ("id", id.clone()), ("key", text.clone()), ("user", json!({ "$ref": "#/components/schemas/Owner" })), ("reusable", flag.clone()),
            ("ephemeral", flag.clone()), ("preauthorized", flag.clone()), ("used", flag.clone()), ("expiration", time.clone()), ("createdAt", text.clone()), ("aclTags", texts.clone()),
        ]),
        "PreAuthKeys": list("preAuthKeys", "PreAuthKey"),
        "OnePreAuthKey": one("preAuthKey", "PreAuthKey"),
        "NewPreAuthKey": {
            "type": "object",
            "anyOf": [{ "required": ["user"], "properties": { "user": matching("^[1-9][0-9]{0,17}$") } }, { "required": ["aclTags"] }],
            "properties": {
                "user": { "type": ["string", "null"], "pattern": "^[0-9]{0,18}$" }, "reusable": flag, "ephemeral": flag, "preauthorized": flag, "expiration": time,
                "aclTags": { "type": "array", "minItems": 1, "items": matching(TAG) },
            },
        },
        "Id": object(&["id"], &[("id", id.clone())]),
        "ApiKey": object(&["id", "prefix"], &[("id", id.clone()), ("prefix", text.clone()), ("expiration", time.clone()), ("createdAt", text.clone()), ("lastSeen", time.clone())]),
        "ApiKeys": list("apiKeys", "ApiKey"),
        "NewApiKey": object(&[], &[("expiration", time.clone())]),
        "NewApiKeyAnswer": object(&["apiKey"], &[("apiKey", text.clone())]),
        "ApiKeyName": { "oneOf": [
            object(&["id"], &[("id", id.clone()), ("prefix", json!(false))]),
            object(&["prefix"], &[("prefix", matching("^[0-9a-f]{12}$")), ("id", json!(false))]),
        ] },
        "Node": object(&["id", "machineKey", "nodeKey", "ipAddresses", "name", "givenName", "online"], &[
            ("id", id.clone()), ("machineKey", text.clone()), ("nodeKey", text.clone()), ("discoKey", text.clone()), ("ipAddresses", texts.clone()),
            ("name", text.clone()), ("user", json!({ "$ref": "#/components/schemas/Owner" })), ("lastSeen", time.clone()), ("expiry", time.clone()),
            ("createdAt", text.clone()), ("givenName", text.clone()), ("online", flag.clone()), ("approved", flag.clone()), ("approvedRoutes", texts.clone()),
            ("availableRoutes", texts.clone()), ("subnetRoutes", texts.clone()), ("tags", texts.clone()),
            ("registerMethod", json!({ "enum": ["REGISTER_METHOD_UNSPECIFIED", "REGISTER_METHOD_AUTH_KEY", "REGISTER_METHOD_CLI", "REGISTER_METHOD_OIDC"] })),
        ]),
        "Nodes": list("nodes", "Node"),
        "OneNode": one("node", "Node"),
        "Expiry": object(&[], &[("expiry", time), ("disableExpiry", flag)]),
        "Tags": object(&["tags"], &[("tags", json!({ "type": "array", "minItems": 1, "items": matching(TAG) }))]),
        "Routes": object(&["routes"], &[("routes", json!({ "type": "array", "items": matching(ROUTE) }))]),
        "Changes": object(&["changes"], &[("changes", texts)]),
        "Pending": object(&["pending"], &[("pending", json!({ "type": "array" }))]),
        "AuthId": object(&["authId"], &[("authId", matching(AUTH_ID))]),
        "AuthRegister": object(&["authId", "user"], &[("authId", matching(AUTH_ID)), ("user", matching(USER))]),
        "DebugNode": object(&["user", "key", "name"], &[
            ("user", matching(USER)), ("key", matching(AUTH_ID)), ("name", matching(NODE)),
            ("routes", json!({ "type": "array", "items": matching(ROUTE) })),
        ]),
        "PlainDevice": object(&["id", "name", "address", "publicKey", "access", "createdAt"], &[
            ("id", id.clone()), ("name", text.clone()), ("address", text.clone()), ("publicKey", text.clone()),
            ("access", json!({ "$ref": "#/components/schemas/PlainAccess" })), ("createdAt", text.clone()),
        ]),
        "PlainAccess": { "type": "object", "additionalProperties": false, "properties": {
            "lan": { "type": "boolean" }, "internet": { "type": "boolean" }, "tailnet": { "type": "boolean" },
        } },
        "PlainDevices": list("devices", "PlainDevice"),
        "NewPlainDevice": object(&["name"], &[
            ("name", matching("^[A-Za-z0-9]{1,64}$")), ("access", json!({ "$ref": "#/components/schemas/PlainAccess" })),
        ]),
        "ChangedPlainDevice": object(&[], &[
            ("name", matching("^[A-Za-z0-9]{1,64}$")), ("access", json!({ "$ref": "#/components/schemas/PlainAccess" })),
        ]),
        "OnePlainDevice": one("device", "PlainDevice"),
        "NewPlainDeviceAnswer": object(&["device", "configuration"], &[
            ("device", json!({ "$ref": "#/components/schemas/PlainDevice" })), ("configuration", text.clone()),
        ]),
        "AuditEntry": object(&["id", "at", "actor", "action", "subject"], &[
            ("id", id), ("at", text.clone()), ("actor", text.clone()), ("action", text.clone()), ("subject", text),
        ]),
        "Audit": list("entries", "AuditEntry"),
    })
}

/// The schemas of the policy, of backups and of upgrades.
fn further_schemas() -> Value {
    let text = json!({ "type": "string" });
    let time = json!({ "type": ["string", "null"], "format": "date-time" });
    let id = json!({ "type": "string", "pattern": ID });
    json!({
        "Policy": object(&["policy", "updatedAt"], &[
            ("policy", text.clone()), ("updatedAt", time), ("version", id.clone()), ("author", text.clone()),
        ]),
        "NewPolicy": object(&["policy"], &[("policy", text.clone())]),
        "PolicyVersion": object(&["version", "author", "time", "bytes", "policy"], &[
            ("version", id.clone()), ("author", text.clone()), ("time", text.clone()), ("bytes", json!({ "type": "integer" })),
            ("policy", text.clone()),
        ]),
        "PolicyVersions": list("versions", "PolicyVersion"),
        "PolicyVersionName": object(&["version"], &[("version", id)]),
        "PolicyPair": object(&["new"], &[("new", text.clone()), ("old", text.clone())]),
        "Explanations": object(&["explanations"], &[("explanations", json!({ "type": "array", "items": { "type": "object" } }))]),
        "Difference": { "type": "object" },
        "Front": object(&["state"], &[
            ("state", json!({ "enum": ["none", "connecting", "connected", "refused", "failed"] })), ("address", text.clone()),
            ("why", text.clone()), ("relay", json!({ "type": "boolean" })), ("open", json!({ "type": "integer" })),
            ("passed", json!({ "type": "integer" })), ("outside", json!({ "type": "object" })),
            ("visit", json!({ "type": "object" })),
        ]),
        "Shared": { "type": "object", "additionalProperties": false, "properties": {
            "routes": { "type": "array", "maxItems": crate::share::ROUTES_MAX, "items": { "type": "string", "pattern": ROUTE } },
            "exitNode": { "type": "boolean" },
        } },
        "Sharing": object(&["running", "routes", "exitNode", "chosen", "nearby"], &[
            ("running", json!({ "type": "boolean" })), ("exitNode", json!({ "type": "boolean" })), ("chosen", json!({ "type": "boolean" })),
            ("routes", json!({ "type": "array", "items": { "type": "string" } })), ("nearby", json!({ "type": "array", "items": { "type": "string" } })),
        ]),
        "PortMappingSwitch": object(&["on"], &[("on", json!({ "type": "boolean" }))]),
        "PortMapping": object(&["on", "chosen", "router", "seen", "ports"], &[
            ("on", json!({ "type": "boolean" })), ("chosen", json!({ "type": "boolean" })),
            ("router", json!({ "type": ["string", "null"] })), ("seen", json!({ "type": ["string", "null"] })),
            ("ports", json!({ "type": "array", "items": { "type": "object", "properties": {
                "protocol": { "enum": ["TCP", "UDP"] }, "port": { "type": "integer" }, "wanted": { "type": ["integer", "null"] },
                "state": { "enum": ["asking", "mapped", "refused", "silent", "inside", "no router"] },
                "address": { "type": ["string", "null"] }, "by": { "type": ["string", "null"] },
            } } })),
        ]),
        "Dyndns": object(&["state"], &[
            ("state", json!({ "enum": ["none", "waiting", "good", "failing", "stopped"] })), ("why", text.clone()),
            ("service", text.clone()), ("name", text.clone()), ("user", text.clone()), ("zone", text.clone()),
            ("ttl", json!({ "type": "integer" })), ("ipv4", json!({ "type": "boolean" })), ("ipv6", json!({ "type": "boolean" })),
            ("configured", json!({ "type": "boolean" })), ("told", text.clone()), ("seen", text.clone()),
            ("toldAt", json!({ "type": ["string", "null"], "format": "date-time" })),
        ]),
        "NewDyndns": object(&["service", "name"], &[
            ("service", json!({ "enum": hearthgate_dyndns::SERVICES.map(|s| s.id) })), ("name", text.clone()),
            ("user", text.clone()), ("secret", text.clone()), ("url", text.clone()), ("zone", text.clone()),
            ("ttl", json!({ "type": "integer", "minimum": 30, "maximum": 86400 })), ("ipv4", json!({ "type": "boolean" })),
            ("ipv6", json!({ "type": "boolean" })),
        ]),
        "DyndnsServices": object(&["services"], &[("services", json!({ "type": "array", "items": { "type": "object" } }))]),
        "Pairing": object(&["pairing"], &[("pairing", json!({ "type": "string", "pattern": "^hgfront-[A-Za-z0-9_-]+$" }))]),
        "Attributes": object(&["attributes", "expiries"], &[("attributes", json!({ "type": "object" })), ("expiries", json!({ "type": "object" }))]),
        "NewAttributes": object(&["attributes"], &[
            ("attributes", json!({
                "type": "object", "maxProperties": 8, "propertyNames": { "pattern": "^custom:[a-zA-Z0-9_]{1,43}$" },
                "additionalProperties": { "anyOf": [
                    { "type": ["boolean", "number", "null"] }, { "type": "string", "pattern": "^[a-zA-Z0-9_.]{0,50}$" },
                ] },
            })),
            ("expiry", json!({ "type": "null" })),
        ]),
        "File": { "type": "string", "format": "binary" },
        "RestoreId": object(&["id"], &[("id", json!({ "type": "string", "pattern": "^[0-9a-f]{16}$" }))]),
        "Restore": object(&["waiting", "previous"], &[
            ("waiting", json!({ "type": ["object", "null"] })), ("previous", json!({ "type": ["object", "null"] })),
        ]),
        "Upgrade": object(&["slot", "outcome", "refused"], &[("slot", text.clone()), ("outcome", text.clone()), ("refused", text.clone())]),
        "News": object(&["running", "url", "version", "newer", "command", "byItself", "error", "doing"], &[
            ("running", text.clone()), ("url", text.clone()), ("version", text.clone()), ("newer", json!({ "type": "boolean" })),
            ("command", text.clone()), ("byItself", json!({ "type": "boolean" })), ("error", text.clone()),
            ("doing", json!({ "enum": ["", "looking", "fetching"] })),
        ]),
        "Received": object(&["bytes"], &[("bytes", json!({ "type": "integer" }))]),
    })
}

fn parameter(name: &str, place: &str, required: bool) -> Value {
    let schema = match name {
        // Tools send a filter that they do not use as an empty one.
        "id" if !required => json!({ "type": "string", "pattern": "^[0-9]{0,18}$" }),
        "id" => json!({ "type": "string", "pattern": ID }),
        "userName" => json!({ "type": "string", "pattern": USER }),
        "nodeName" => json!({ "type": "string", "pattern": NODE }),
        "key" => json!({ "type": "string", "pattern": AUTH_ID }),
        "confirmed" => json!({ "const": "true" }),
        "user" if required => json!({ "type": "string", "pattern": USER }),
        _ if required => json!({ "type": "string", "minLength": 1 }),
        _ => json!({ "type": "string" }),
    };
    json!({ "name": name, "in": place, "required": required, "schema": schema })
}

/// What a schema travels as.
fn media(schema: &str) -> &'static str {
    if schema == "File" { "application/octet-stream" } else { "application/json" }
}

/// The whole description.
fn description() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut all_schemas = schemas();
    if let (Value::Object(all), Value::Object(further)) = (&mut all_schemas, further_schemas()) {
        all.extend(further);
    }
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
                "200": { "description": "Done", "content": { media(e.answer): { "schema": { "$ref": format!("#/components/schemas/{}", e.answer) } } } },
                "400": problem, "401": problem, "403": problem, "404": problem, "405": problem, "409": problem, "413": problem,
            },
        });
        if let Some((schema, required)) = e.body {
            operation["requestBody"] = json!({ "required": required, "content": { media(schema): { "schema": { "$ref": format!("#/components/schemas/{schema}") } } } });
        }
        let path = paths.entry(format!("/api/v1{}", e.path)).or_insert_with(|| json!({}));
        path[e.method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "hearthgate API", "version": "1", "description": "Users, nodes and keys of a network. The paths and shapes are Headscale's." },
        "paths": paths,
        "security": [{ "key": [] }],
        "components": { "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } }, "schemas": all_schemas },
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
