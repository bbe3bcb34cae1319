//! The administration API, version 1: Headscale's paths and shapes, so that its tools and scripts work.
//!
//! Over the unix socket no key is needed (the socket's mode is the protection); over the network a Bearer API key is.
//! JSON is in camel case, ids are strings, times RFC 3339, errors `application/problem+json`.

mod accounts;
mod nodes;
mod words;

pub(crate) use words::{Query, find_user, problem, read, route_of, status_of, time};

use accounts::{api_key_id, create_api_key, create_preauth_key, create_user, list_users, rename_user};
use nodes::{approve_routes, auth_register, backfill, debug_node, expire_node, list_nodes, node, register, set_tags};
use words::{arg, auth_id, body_id, node_id, parse, parse_query, percent_decode, query_id};

use crate::{
    admin, api_audit, api_schema, api_views as views, backup, feed,
    http_api::Origin,
    image::ReceiveError,
    reply::{Reply, json, read_body, typed},
    state::App,
    writer::Context,
};
use bytes::Bytes;
use hearthgate_core::{CoreError, UserId, World};
use hearthgate_read::{json, struct_of};
use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use serde_json::Value;

/// Largest request body.
const BODY_MAX: usize = 1024 * 1024;
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
        ("POST", ["auth", "approve"]) => read::<nodes::AuthBody>(body)
            .and_then(|b| auth_id(&b.auth_id))
            .and_then(|id| world.finish_check(&id, true, c.now))
            .map(|()| json!({})),
        ("POST", ["auth", "reject"]) => read::<nodes::AuthBody>(body)
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
