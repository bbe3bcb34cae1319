//! The administration API, version 1: Headscale's paths and shapes, so that its tools and scripts work.
//!
//! Over the unix socket no key is needed (the socket's mode is the protection); over the network a Bearer API key is.
//! JSON is in camel case, ids are strings, times RFC 3339, errors `application/problem+json`.

use crate::{
    admin, api_audit, api_schema, api_views as views, backup, feed,
    http_api::Origin,
    image::ReceiveError,
    reply::{Reply, json, read_body, typed},
    state::App,
    writer::Context,
};
use bytes::Bytes;
use hearthgate_core::{AuthId, CoreError, NewPreAuthKey, NewUser, NodeId, RegisterMethod, UserId, World};
use hearthgate_keys::{MachinePublic, NodePublic};
use hearthgate_read::{json, struct_of};
use hearthgate_tailcfg::{Hostinfo, RegisterRequest};
use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use ipnet::IpNet;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Largest request body.
const BODY_MAX: usize = 1024 * 1024;
/// Lifetime of a pre-auth key whose maker named none: Headscale's hour.
const PREAUTH_DEFAULT_S: i64 = 3600;

pub(crate) type Answer = Result<Value, CoreError>;

/// Answers one request.
pub async fn handle(app: App, origin: Origin, req: Request<Incoming>) -> Reply {
    if req.method() == Method::GET
        && let Some(reply) = req.uri().path().strip_prefix("/api/v1").and_then(api_schema::serve)
    {
        return reply;
    }
    let actor = match origin {
        Origin::Local => "console".to_owned(),
        _ => match authorised(&app, &req).await {
            Some(id) => format!("API key {id}"),
            None => {
                return problem(
                    StatusCode::UNAUTHORIZED,
                    "an API key is needed: make one with `hearthgate apikeys create` and send it as Bearer token",
                );
            }
        },
    };
    let method = req.method().clone();
    let path = req.uri().path().trim_start_matches("/api/v1").trim_end_matches('/').to_owned();
    if path == "/image/upgrade" {
        return image_upgrade(&app, &method, req, actor).await;
    }
    if let Some(what) = path.strip_prefix("/upgrade/feed") {
        return upgrade_feed(&app, &method, what, actor).await;
    }
    if let Some(rest) = path.strip_prefix("/restore").filter(|r| r.is_empty() || r.starts_with('/')) {
        return crate::restore::api(&app, &method, rest, req, &actor).await;
    }
    if path == "/backup" && method == Method::GET {
        return backup_file(&app).await;
    }
    if let Some(what) = path.strip_prefix("/admin/") {
        return match origin {
            Origin::Local => admin::console(&app, &method, what).await,
            _ => problem(StatusCode::FORBIDDEN, "this is for the console of the box only"),
        };
    }
    let query = parse_query(req.uri().query().unwrap_or_default());
    let body = match read_body(req, BODY_MAX).await {
        Ok(body) => body,
        Err(reply) => return *reply,
    };
    #[cfg(feature = "front")]
    if path == "/front/test" && method == Method::POST {
        return crate::front::api_test(&app).await;
    }
    #[cfg(feature = "front")]
    if path == "/front" {
        return crate::front::api(&app, actor, &method, &body);
    }
    if path == "/portmap" {
        return crate::portmap::api(&app, actor, &method, &body).await;
    }
    if path == "/router/shared" {
        return crate::share::api(&app, actor, &method, &body).await;
    }
    if let Some(rest) = path.strip_prefix("/dyndns").filter(|r| r.is_empty() || r.starts_with('/')) {
        let answer = crate::dyndns::api(&app, actor, &method, rest, &body).await;
        return answer.unwrap_or_else(|| problem(StatusCode::NOT_FOUND, "there is no such endpoint"));
    }
    let parts: Vec<String> = path.split('/').filter(|p| !p.is_empty()).map(percent_decode).collect();
    if let Some(allowed) = api_schema::other_methods(&method, &parts) {
        return api_schema::not_this_method(allowed);
    }
    let answer =
        app.control.call(move |world, context| perform(world, context, &actor, &method, &parts, &query, &body)).await;
    match answer {
        Ok(Some(Ok(value))) => json(&value),
        Ok(Some(Err(e))) => problem(status_of(&e), &e.to_string()),
        Ok(None) => problem(StatusCode::NOT_FOUND, "there is no such endpoint"),
        Err(e) => problem(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
    }
}

/// PUT: an upgrade file for a box with one of our images. GET: how the last one ended.
async fn image_upgrade(app: &App, method: &Method, req: Request<Incoming>, actor: String) -> Reply {
    match *method {
        Method::GET => match app.image.status().await {
            Some(s) => json(&json!({ "slot": s.slot, "outcome": s.outcome, "refused": s.refused })),
            None => problem(StatusCode::NOT_FOUND, &ReceiveError::NoImage.to_string()),
        },
        Method::PUT => match app.image.receive(Bytes::new(), req.into_body(), None).await {
            Ok(bytes) => {
                app.control.cast(move |world, c| world.audit(&actor, "sent an upgrade", "", c.now));
                json(&json!({ "bytes": bytes }))
            }
            Err(e @ ReceiveError::Disk(_)) => problem(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
            Err(e @ ReceiveError::Busy) => problem(StatusCode::CONFLICT, &e.to_string()),
            Err(e) => problem(StatusCode::BAD_REQUEST, &e.to_string()),
        },
        _ => api_schema::not_this_method(HeaderValue::from_static("GET, PUT")),
    }
}

/// GET: what the feed of new versions said last. POST: ask it, or fetch what it has; both go on by themselves.
async fn upgrade_feed(app: &App, method: &Method, what: &str, actor: String) -> Reply {
    let begun = match (method, what) {
        (&Method::GET, "") => Ok(()),
        (&Method::POST, "/look") => feed::start_looking(app),
        (&Method::POST, "/fetch") => feed::start_fetching(app, actor).await,
        (_, "") => return api_schema::not_this_method(HeaderValue::from_static("GET")),
        (_, "/look" | "/fetch") => return api_schema::not_this_method(HeaderValue::from_static("POST")),
        _ => return problem(StatusCode::NOT_FOUND, "there is no such endpoint"),
    };
    match (begun, feed::news(app).await) {
        (Ok(()), Some(news)) => json(&json!(news)),
        (Err(e), Some(_)) => problem(StatusCode::CONFLICT, &e.to_string()),
        (_, None) => problem(StatusCode::NOT_FOUND, &feed::FeedFailure::NoFeed.to_string()),
    }
}

/// A backup of everything, private keys included.
async fn backup_file(app: &App) -> Reply {
    match backup::of_running(app).await {
        Ok(bytes) => typed(StatusCode::OK, "application/octet-stream", bytes),
        Err(e) => problem(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
    }
}

/// Carries out one request and notes who changed what; `None` when there is no such endpoint.
pub(crate) fn perform(
    world: &mut World,
    c: &mut Context<'_>,
    actor: &str,
    method: &Method,
    parts: &[String],
    query: &Query,
    body: &Bytes,
) -> Option<Answer> {
    let words: Vec<&str> = parts.iter().map(String::as_str).collect();
    // These only ask, with a policy in the body.
    let asks =
        method == Method::GET || matches!(words.as_slice(), ["policy", "check" | "diff" | "explain" | "who-can"]);
    let entry = (!asks).then(|| api_audit::describe(world, method, parts, query));
    let answer = route(world, c, actor, method, parts, query, body);
    if let (Some(Ok(value)), Some(entry)) = (&answer, entry) {
        world.audit(actor, entry.action, &entry.subject(value), c.now);
    }
    answer
}

/// Number of the API key that the request carries, if it works.
async fn authorised(app: &App, req: &Request<Incoming>) -> Option<u64> {
    let header = req.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let key = hearthgate_keys::Secret::new(header.strip_prefix("Bearer ")?.to_owned());
    app.control.call(move |world, c| world.use_api_key(key.reveal(), c.now)).await.ok().flatten()
}

pub(crate) type Query = Vec<(String, String)>;

fn arg<'a>(query: &'a Query, name: &str) -> Option<&'a str> {
    query.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.as_str())
}

/// `None` when there is no such endpoint.
fn route(
    world: &mut World,
    c: &mut Context<'_>,
    actor: &str,
    method: &Method,
    parts: &[String],
    query: &Query,
    body: &Bytes,
) -> Option<Answer> {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    Some(match (method.as_str(), parts.as_slice()) {
        ("GET", ["health"]) => Ok(json!({ "databaseConnectivity": true })),
        ("GET", ["version"]) => Ok(crate::http_api::version()),
        ("GET", ["audit"]) => {
            Ok(json!({ "entries": world.audit_log().iter().map(views::audit_entry).collect::<Vec<_>>() }))
        }
        ("POST", ["debug", "node"]) => debug_node(world, c, body),
        ("GET", ["user"]) => list_users(world, query),
        ("POST", ["user"]) => create_user(world, c, body),
        ("POST", ["user", id, "rename", name]) => rename_user(world, id, name),
        ("DELETE", ["user", id]) => {
            parse::<UserId>("user", id).and_then(|id| world.delete_user(id)).map(|()| json!({}))
        }
        ("GET", ["preauthkey"]) => {
            Ok(json!({ "preAuthKeys": world.preauth_keys().map(|k| views::preauth_key(world, k)).collect::<Vec<_>>() }))
        }
        ("POST", ["preauthkey"]) => create_preauth_key(world, c, body),
        ("POST", ["preauthkey", "expire"]) => {
            body_id(body).and_then(|id| world.expire_preauth_key(id, c.now)).map(|()| json!({}))
        }
        ("DELETE", ["preauthkey"]) => query_id(query).and_then(|id| world.delete_preauth_key(id)).map(|()| json!({})),
        ("GET", ["apikey"]) => Ok(json!({ "apiKeys": world.api_keys().map(views::api_key).collect::<Vec<_>>() })),
        ("POST", ["apikey"]) => create_api_key(world, c, body),
        ("POST", ["apikey", "expire"]) => {
            api_key_id(world, None, body).and_then(|id| world.expire_api_key(id, c.now)).map(|()| json!({}))
        }
        ("DELETE", ["apikey", prefix]) => {
            let id = query_id(query).or_else(|_| world.api_key_by_prefix(prefix));
            id.and_then(|id| world.delete_api_key(id)).map(|()| json!({}))
        }
        ("GET", ["node"]) => Ok(list_nodes(world, query)),
        ("GET", ["node", id]) => node(world, id),
        ("DELETE", ["node", id]) => node_id(id).and_then(|id| world.delete_node(id)).map(|()| json!({})),
        ("POST", ["node", id, "expire"]) => expire_node(world, c, id, body),
        ("POST", ["node", id, "rename", name]) => {
            node_id(id).and_then(|n| world.rename_node(n, name)).and_then(|()| node(world, id))
        }
        ("POST", ["node", id, "approve"]) => {
            node_id(id).and_then(|n| world.set_node_approved(n, true)).and_then(|()| node(world, id))
        }
        ("GET", ["node", id, "attributes"]) => {
            node_id(id).and_then(|n| Ok(crate::api_attributes::view(world.node(n)?)))
        }
        ("POST", ["node", id, "attributes"]) => {
            node_id(id).and_then(|n| crate::api_attributes::change(world, c, n, body))
        }
        ("POST", ["node", id, "tags"]) => set_tags(world, id, body),
        ("POST", ["node", id, "approve_routes"]) => approve_routes(world, id, body),
        ("POST", ["node", "register"]) => register(world, c, arg(query, "user"), arg(query, "key")),
        ("POST", ["node", "backfillips"]) => backfill(world, c, query),
        ("POST", ["auth", "register"]) => auth_register(world, c, body),
        ("POST", ["user", id, "role"]) => read::<RoleBody>(body).and_then(|b| {
            if b.role.is_empty() {
                return Err(CoreError::Invalid("role is missing".into()));
            }
            let id = id.parse().map_err(|_| CoreError::Invalid(format!("{id:?} is no user id")))?;
            Ok(json!({ "user": views::user(&world.set_user_role(UserId(id), &b.role)?) }))
        }),
        ("POST", ["auth", "approve"]) => read::<AuthBody>(body)
            .and_then(|b| auth_id(&b.auth_id))
            .and_then(|id| world.finish_check(&id, true, c.now))
            .map(|()| json!({})),
        ("POST", ["auth", "reject"]) => read::<AuthBody>(body)
            .and_then(|b| auth_id(&b.auth_id))
            .and_then(|id| {
                if world.pending_check(&id, c.now).is_ok() {
                    return world.finish_check(&id, false, c.now);
                }
                world.reject_login(&id, c.now)
            })
            .map(|()| json!({})),
        ("GET", ["auth"]) => Ok(json!({
            "pending": world.pending_logins().map(|(id, l)| views::pending(id, l)).collect::<Vec<_>>(),
            "checks": world.pending_checks(c.now).map(|(id, check)| views::check(world, id, check)).collect::<Vec<_>>(),
        })),
        (verb, ["wireguard", rest @ ..]) => return crate::plain::route(world, c, verb, rest, body),
        (verb, ["policy", rest @ ..]) => {
            let get = |name: &str| arg(query, name).map(str::to_owned);
            return crate::api_policy::route(world, c, actor, verb, rest, &get, body);
        }
        _ => return None,
    })
}

#[derive(Default)]
struct RoleBody {
    role: String,
}
struct_of!(RoleBody;
must {}
may { role: "role" }
not {});

#[derive(Default)]
struct UserBody {
    name: String,
    display_name: String,
    email: String,
    picture_url: String,
}
struct_of!(UserBody;
must {}
may { name: "name", display_name: "displayName", email: "email", picture_url: "pictureUrl" }
not {});

#[derive(Default)]
struct PreAuthBody {
    user: Option<Value>,
    reusable: bool,
    ephemeral: bool,
    preauthorized: bool,
    expiration: Option<String>,
    acl_tags: Vec<String>,
}
struct_of!(PreAuthBody;
must {}
may {
    user: "user", reusable: "reusable", ephemeral: "ephemeral", preauthorized: "preauthorized", expiration:
    "expiration", acl_tags: "aclTags",
}
not {});

#[derive(Default)]
struct AuthBody {
    user: String,
    auth_id: String,
}
struct_of!(AuthBody;
must {}
may { user: "user", auth_id: "authId" }
not {});

#[derive(Default)]
struct ExpireBody {
    expiry: Option<String>,
    disable_expiry: bool,
}
struct_of!(ExpireBody;
must {}
may { expiry: "expiry", disable_expiry: "disableExpiry" }
not {});

fn list_users(world: &World, query: &Query) -> Answer {
    arg(query, "id").map(|id| parse::<UserId>("user", id)).transpose()?;
    let fits = |u: &&hearthgate_core::User| {
        arg(query, "id").is_none_or(|id| u.id.to_string() == id)
            && arg(query, "name").is_none_or(|n| u.name == n)
            && arg(query, "email").is_none_or(|e| u.email == e)
    };
    Ok(json!({ "users": world.users().filter(fits).map(views::user).collect::<Vec<_>>() }))
}

fn create_user(world: &mut World, c: &mut Context<'_>, body: &Bytes) -> Answer {
    let b: UserBody = read(body)?;
    let user = world.create_user(
        NewUser { name: b.name, display_name: b.display_name, email: b.email, picture_url: b.picture_url },
        c.now,
    )?;
    Ok(json!({ "user": views::user(&user) }))
}

fn rename_user(world: &mut World, id: &str, name: &str) -> Answer {
    let user = world.rename_user(parse("user", id)?, name)?;
    Ok(json!({ "user": views::user(&user) }))
}

fn create_preauth_key(world: &mut World, c: &mut Context<'_>, body: &Bytes) -> Answer {
    let b: PreAuthBody = read(body)?;
    let user = match &b.user {
        None | Some(Value::Null) => None,
        Some(Value::Number(n)) => Some(parse::<UserId>("user", &n.to_string())?),
        Some(Value::String(s)) if s.is_empty() || s == "0" => None,
        Some(Value::String(s)) => Some(find_user(world, s)?),
        Some(other) => return Err(CoreError::Invalid(format!("{other} is not a user id"))),
    };
    let expiration = match b.expiration.as_deref().filter(|e| !e.is_empty()) {
        Some(text) => time(text)?,
        None => c.now.wall.checked_add(jiff::SignedDuration::from_secs(PREAUTH_DEFAULT_S)).unwrap_or(c.now.wall),
    };
    let new = NewPreAuthKey {
        user,
        reusable: b.reusable,
        ephemeral: b.ephemeral,
        preauthorized: b.preauthorized,
        tags: b.acl_tags,
        expiration: Some(expiration),
        ..NewPreAuthKey::default()
    };
    let (key, minted) = world.create_preauth_key(new, c.now, c.rng)?;
    let mut view = views::preauth_key(world, &key);
    view["key"] = minted.text.reveal().into();
    Ok(json!({ "preAuthKey": view }))
}

fn create_api_key(world: &mut World, c: &mut Context<'_>, body: &Bytes) -> Answer {
    let b: ExpirationBody = read(body)?;
    let expiration = b.expiration.as_deref().filter(|e| !e.is_empty()).map(time).transpose()?;
    let (_, minted) = world.create_api_key(expiration, c.now, c.rng);
    Ok(json!({ "apiKey": minted.text.reveal() }))
}

#[derive(Default)]
struct ExpirationBody {
    expiration: Option<String>,
}
struct_of!(ExpirationBody;
must {}
may { expiration: "expiration" }
not {});

fn api_key_id(world: &World, prefix: Option<&str>, body: &Bytes) -> Result<u64, CoreError> {
    #[derive(Default)]
    struct Which {
        prefix: String,
        id: Option<Value>,
    }
    struct_of!(Which;
    must {}
    may { prefix: "prefix", id: "id" }
    not {});
    let which: Which = read(body)?;
    match (which.id, prefix.unwrap_or(&which.prefix)) {
        (Some(_), p) if !p.is_empty() => {
            Err(CoreError::Invalid("give the prefix or the id of the key, not both".into()))
        }
        (Some(id), _) => number(&id),
        (None, p) => world.api_key_by_prefix(p),
    }
}

fn list_nodes(world: &World, query: &Query) -> Value {
    let fits = |n: &&std::sync::Arc<hearthgate_core::Node>| {
        arg(query, "user").is_none_or(|u| {
            !n.is_tagged()
                && world.users().any(|user| user.id == n.user && (user.name == u || user.id.to_string() == u))
        })
    };
    json!({ "nodes": world.nodes().filter(fits).map(|n| views::node(world, n)).collect::<Vec<_>>() })
}

fn node(world: &World, id: &str) -> Answer {
    let node = world.node(node_id(id)?)?;
    Ok(json!({ "node": views::node(world, node) }))
}

fn expire_node(world: &mut World, c: &mut Context<'_>, id: &str, body: &Bytes) -> Answer {
    let b: ExpireBody = read(body)?;
    let expiry = match (b.disable_expiry, b.expiry.as_deref().filter(|e| !e.is_empty())) {
        (true, _) => None,
        (false, Some(text)) => Some(time(text)?),
        (false, None) => Some(c.now.wall),
    };
    world.set_node_expiry(node_id(id)?, expiry, c.now)?;
    node(world, id)
}

fn set_tags(world: &mut World, id: &str, body: &Bytes) -> Answer {
    #[derive(Default)]
    struct Tags {
        tags: Vec<String>,
    }
    struct_of!(Tags;
    must {}
    may { tags: "tags" }
    not {});
    world.set_node_tags(node_id(id)?, read::<Tags>(body)?.tags)?;
    node(world, id)
}

fn approve_routes(world: &mut World, id: &str, body: &Bytes) -> Answer {
    #[derive(Default)]
    struct Routes {
        routes: Option<Vec<String>>,
    }
    struct_of!(Routes;
    must {}
    may { routes: "routes" }
    not {});
    let texts = read::<Routes>(body)?.routes.ok_or_else(|| {
        CoreError::Invalid("give the whole set of approved routes; an empty list takes all away".into())
    })?;
    let routes: Result<Vec<IpNet>, CoreError> = texts.iter().filter(|t| !t.is_empty()).map(|t| route_of(t)).collect();
    world.approve_routes(node_id(id)?, &routes?)?;
    node(world, id)
}

fn auth_register(world: &mut World, c: &mut Context<'_>, body: &Bytes) -> Answer {
    let b: AuthBody = read(body)?;
    register(world, c, Some(&b.user), Some(&b.auth_id))
}

fn register(world: &mut World, c: &mut Context<'_>, user: Option<&str>, key: Option<&str>) -> Answer {
    let (Some(user), Some(key)) = (user, key) else {
        return Err(CoreError::Invalid("name the user and the login to approve".into()));
    };
    let user = find_user(world, user)?;
    let registered = world.approve_login(&auth_id(key)?, user, RegisterMethod::Cli, c.now, c.rng)?;
    node(world, &registered.id.to_string())
}

/// A login that waits, as if a device had asked.
fn debug_node(world: &mut World, c: &mut Context<'_>, body: &Bytes) -> Answer {
    #[derive(Default)]
    struct Debug {
        user: String,
        key: String,
        name: String,
        routes: Vec<String>,
    }
    struct_of!(Debug;
    must {}
    may { user: "user", key: "key", name: "name", routes: "routes" }
    not {});
    let b: Debug = read(body)?;
    let user = find_user(world, &b.user)?;
    let id = auth_id(&b.key)?;
    let routes = b.routes.iter().map(|r| route_of(r)).collect::<Result<Vec<_>, _>>()?;
    let (mut machine, mut node) = ([0u8; 32], [0u8; 32]);
    c.rng.fill(&mut machine);
    c.rng.fill(&mut node);
    let (machine, node_key) = (MachinePublic::from_bytes(machine), NodePublic::from_bytes(node));
    let hostinfo = Hostinfo { hostname: b.name.clone(), routable_ips: routes.clone(), ..Hostinfo::default() };
    let request = RegisterRequest { node_key, hostinfo: Some(hostinfo), ..RegisterRequest::default() };
    world.place_login(id, machine, request, c.now);
    Ok(json!({ "node": {
        "id": "0", "machineKey": machine.to_string(), "nodeKey": node_key.to_string(), "ipAddresses": [], "name": b.name, "givenName": b.name,
        "user": views::owner(world, user), "online": false, "availableRoutes": routes,
    } }))
}

fn backfill(world: &mut World, c: &mut Context<'_>, query: &Query) -> Answer {
    if arg(query, "confirmed") != Some("true") {
        return Err(CoreError::Invalid("this changes addresses of nodes: confirm it with ?confirmed=true".into()));
    }
    Ok(json!({ "changes": world.backfill_addresses(c.rng)? }))
}

pub(crate) fn find_user(world: &World, text: &str) -> Result<UserId, CoreError> {
    let by_name = world.user_by_name(text).map(|u| u.id);
    let by_id = || text.parse().ok().filter(|id| world.users().any(|u| u.id == *id));
    by_name.or_else(by_id).ok_or_else(|| CoreError::NotFound(format!("user {text:?} (see `hearthgate users list`)")))
}

pub(crate) fn read<T: DeserializeOwned + Default>(body: &Bytes) -> Result<T, CoreError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|e| CoreError::Invalid(format!("the request body is not as expected: {e}")))
}

fn body_id(body: &Bytes) -> Result<u64, CoreError> {
    #[derive(Default)]
    struct Id {
        id: Value,
    }
    struct_of!(Id;
    must { id: "id" }
    may {}
    not {});
    number(&read::<Id>(body)?.id)
}

fn query_id(query: &Query) -> Result<u64, CoreError> {
    parse("id", arg(query, "id").unwrap_or_default())
}

fn number(value: &Value) -> Result<u64, CoreError> {
    let id = value.as_u64().or_else(|| value.as_str().and_then(|s| s.parse().ok()));
    id.ok_or_else(|| CoreError::Invalid(format!("{value} is not an id")))
}

fn node_id(text: &str) -> Result<NodeId, CoreError> {
    parse("node", text)
}

fn parse<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, CoreError> {
    text.parse().map_err(|_| CoreError::Invalid(format!("{text:?} is not a {what} number")))
}

pub(crate) fn route_of(text: &str) -> Result<IpNet, CoreError> {
    text.parse().map_err(|_| CoreError::Invalid(format!("{text:?} is not a route: write it like 192.168.1.0/24")))
}

fn auth_id(text: &str) -> Result<AuthId, CoreError> {
    AuthId::find_in(text).ok_or_else(|| CoreError::Invalid(format!("{text:?} is not a login id: it starts with hskey-authreq- and stands in the URL that `tailscale up` printed")))
}

pub(crate) fn time(text: &str) -> Result<Timestamp, CoreError> {
    text.parse().map_err(|_| CoreError::Invalid(format!("{text:?} is not a time: write it like 2030-01-31T12:00:00Z")))
}

pub(crate) fn status_of(e: &CoreError) -> StatusCode {
    match e {
        CoreError::NotFound(_) => StatusCode::NOT_FOUND,
        CoreError::Conflict(_) | CoreError::Full(_) => StatusCode::CONFLICT,
        CoreError::Denied(_) => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    }
}

pub(crate) fn problem(status: StatusCode, detail: &str) -> Reply {
    let body =
        json!({ "title": status.canonical_reason().unwrap_or("error"), "status": status.as_u16(), "detail": detail });
    typed(status, "application/problem+json", body.to_string())
}

fn parse_query(query: &str) -> Query {
    query
        .split('&')
        .filter_map(|p| p.split_once('='))
        .map(|(k, v)| (percent_decode(k), percent_decode(&v.replace('+', " "))))
        .collect()
}

fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        let pair = (b == b'%').then(|| bytes.as_slice_pair()).flatten();
        match pair {
            Some(decoded) => {
                out.push(decoded);
                bytes.next();
                bytes.next();
            }
            None => out.push(b),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

trait HexPair {
    /// The byte that the next two hexadecimal digits are.
    fn as_slice_pair(&self) -> Option<u8>;
}

impl HexPair for std::str::Bytes<'_> {
    fn as_slice_pair(&self) -> Option<u8> {
        let mut ahead = self.clone();
        let (a, b) = (ahead.next()?, ahead.next()?);
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
        Some(digit(a)? << 4 | digit(b)?)
    }
}
