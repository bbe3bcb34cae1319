//! The administration API, version 2: Tailscale's paths and shapes, so that Terraform, the Kubernetes operator and
//! scripts written for Tailscale work. Source: Tailscale's API description (tailscale.com/api), for the parts in
//! [`route`].
//!
//! An API key, or the token of an OAuth client, comes as Bearer or as the user name of Basic. API keys may do
//! everything; a token what its scopes say, and only to tags that are its own.

mod acl;
mod devices;
mod hooks;
mod keys;
pub(crate) mod oauth;
pub(crate) mod scope;
mod tailnet;

pub use oauth::Tokens;

use crate::{
    http_api::Origin,
    reply::{Reply, json, json_status, read_body, typed},
    state::App,
    writer::{Context, Unavailable},
};
use bytes::Bytes;
use hearthgate_core::{CoreError, World};
use hearthgate_read::json;
use http::{HeaderMap, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use jiff::Timestamp;
use scope::Scopes;
use serde::{Deserialize as _, de::DeserializeOwned};
use serde_json::Value;
use std::sync::{MutexGuard, PoisonError};

/// Largest request body: a policy.
const BODY_MAX: usize = 2 * 1024 * 1024;

/// Why a request was not carried out.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    message: String,
    data: Value,
}

impl Failure {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), data: Value::Null }
    }
    fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
    fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{what} not found"))
    }
}

impl From<CoreError> for Failure {
    fn from(e: CoreError) -> Self {
        Self::new(crate::api_v1::status_of(&e), e.to_string())
    }
}

impl From<Unavailable> for Failure {
    fn from(e: Unavailable) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string())
    }
}

impl From<Failure> for Reply {
    fn from(f: Failure) -> Self {
        let mut body = json!({ "message": f.message, "status": f.status.as_u16() });
        if !f.data.is_null() {
            body["data"] = f.data;
        }
        json_status(f.status, &body)
    }
}

/// What a request is answered with.
enum Answer {
    Json(Value),
    /// A policy, with its ETag.
    Policy {
        text: String,
        etag: String,
        plain: bool,
    },
}

/// Who asks.
#[derive(Debug, Clone)]
struct Caller {
    name: String,
    scopes: Scopes,
    /// `None` for API keys: they may hand out every tag.
    tags: Option<Vec<String>>,
    /// The OAuth client whose token it is.
    client: Option<String>,
}

impl Caller {
    /// Whether what the token may do is still what its client may: the client may have been changed or removed while the
    /// token was given out.
    fn is_current(&self, world: &World) -> bool {
        let Some((id, tags)) = self.client.as_ref().zip(self.tags.as_ref()) else { return true };
        oauth::client(world, id).is_some_and(|client| {
            self.scopes.0.iter().all(|s| client.scopes.include(s)) && tags.iter().all(|t| client.tags.contains(t))
        })
    }

    fn need(&self, scope: &str) -> Result<(), Failure> {
        if self.scopes.include(scope) {
            return Ok(());
        }
        Err(Failure::new(StatusCode::FORBIDDEN, format!("calling this needs the scope {scope}")))
    }

    /// Whether these tags may be handed out: the caller's own, or such as its tags own in the policy.
    fn may_tag(&self, world: &World, tags: &[String]) -> Result<(), Failure> {
        let Some(own) = &self.tags else { return Ok(()) };
        let owned = |tag: &String| {
            let engine = world.enforced().map(|e| e.engine());
            engine.is_some_and(|e| e.policy().tags_own_tag(e.tailnet(), own, tag))
        };
        match tags.iter().find(|t| !own.contains(t) && !owned(t)) {
            Some(tag) => Err(Failure::new(StatusCode::FORBIDDEN, format!("the token may not hand out {tag}"))),
            None if tags.is_empty() => Err(Failure::new(StatusCode::FORBIDDEN, "a token needs to name tags")),
            None => Ok(()),
        }
    }
}

/// A request, read.
struct Call {
    method: Method,
    parts: Vec<String>,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    fn arg(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let body: &[u8] = if self.body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { &self.body };
        serde_json::from_slice(body).map_err(|e| Failure::bad(format!("the request body is not as expected: {e}")))
    }
}

/// The tokens.
pub(crate) fn tokens(app: &App) -> MutexGuard<'_, Tokens> {
    // Every change to the list is one step: after a panic elsewhere it is whole.
    app.tokens.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers one request.
pub async fn handle(app: App, origin: Origin, req: Request<Incoming>) -> Reply {
    answer(&app, origin, req).await.unwrap_or_else(Reply::from)
}

async fn answer(app: &App, origin: Origin, req: Request<Incoming>) -> Result<Reply, Failure> {
    let (method, headers) = (req.method().clone(), req.headers().clone());
    let decode = |p: &str| {
        form_urlencoded::parse(p.replace('+', "%2B").as_bytes()).next().map(|(k, _)| k.into_owned()).unwrap_or_default()
    };
    let path = req.uri().path().trim_start_matches("/api/v2");
    let parts: Vec<String> = path.split('/').filter(|p| !p.is_empty()).map(decode).collect();
    let query = form_urlencoded::parse(req.uri().query().unwrap_or_default().as_bytes())
        .take(32)
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect();
    let read = async |max: usize| {
        let failed = |reply: Box<Reply>| {
            let text = format!("the request body is larger than {max} bytes, broke off, or took too long");
            Failure::new(reply.status(), text)
        };
        read_body(req, max).await.map_err(failed)
    };
    if parts == ["oauth", "token"] && method == Method::POST {
        return oauth::token(app, &headers, &read(oauth::FORM_MAX).await?).await;
    }
    // Nothing is kept of what strangers send.
    let caller = caller(app, origin, &headers).await?;
    let body = read(BODY_MAX).await?;
    let call = Call { method, parts, query, headers, body };
    let tried = hooks::tried(&call);
    let done = app.control.call(move |world, c| route(world, c, &caller, &call)).await?;
    let (answer, ended) = done?;
    if let Some(hook) = tried {
        hooks::queue_test(app, hook)?;
        return Ok(json_status(StatusCode::ACCEPTED, &json!({})));
    }
    if let Some(client) = ended {
        tokens(app).end_all_of(&client);
    }
    Ok(match answer {
        Answer::Json(value) => json(&value),
        Answer::Policy { text, etag, plain } => {
            let media = if plain { "application/json" } else { "application/hujson" };
            let mut reply = typed(StatusCode::OK, media, text);
            if let Ok(etag) = etag.parse() {
                reply.headers_mut().insert(header::ETAG, etag);
            }
            reply
        }
    })
}

/// Who sent the request.
async fn caller(app: &App, origin: Origin, headers: &HeaderMap) -> Result<Caller, Failure> {
    let everything = |name: String| Caller { name, scopes: Scopes::all(), tags: None, client: None };
    if origin == Origin::Local {
        return Ok(everything("console".to_owned()));
    }
    let bearer =
        headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
    let text = bearer.map(str::to_owned).or_else(|| oauth::basic(headers).map(|(name, _)| name)).unwrap_or_default();
    if let Some(grant) = oauth::grant(app, &text) {
        return Ok(Caller {
            name: format!("OAuth client {}", grant.client),
            scopes: grant.scopes,
            tags: Some(grant.tags),
            client: Some(grant.client),
        });
    }
    let key = hearthgate_keys::Secret::new(text);
    match app.control.call(move |world, c| world.use_api_key(key.reveal(), c.now)).await? {
        Some(id) => Ok(everything(format!("API key {id}"))),
        None => Err(invalid_token()),
    }
}

fn invalid_token() -> Failure {
    Failure::new(StatusCode::UNAUTHORIZED, "API token invalid")
}

/// Carries out a request. Also: the OAuth client whose tokens end with it.
fn route(
    world: &mut World,
    c: &mut Context<'_>,
    caller: &Caller,
    call: &Call,
) -> Result<(Answer, Option<String>), Failure> {
    if !caller.is_current(world) {
        return Err(invalid_token());
    }
    let parts: Vec<&str> = call.parts.iter().map(String::as_str).collect();
    let whole = |v: Result<Value, Failure>| v.map(|v| (Answer::Json(v), None));
    match parts.as_slice() {
        ["tailnet", tailnet, rest @ ..] => {
            if *tailnet != "-" && *tailnet != world.settings().base_domain {
                return Err(Failure::not_found("tailnet"));
            }
            match rest {
                ["keys", rest @ ..] => keys::route(world, c, caller, call, rest),
                ["acl", rest @ ..] => acl::route(world, c, caller, call, rest).map(|a| (a, None)),
                ["devices"] => whole(devices::list(world, caller, call)),
                ["webhooks"] => whole(hooks::all(world, c, caller, call)),
                ["users"] => whole(tailnet::users(world, caller, call)),
                ["settings"] => whole(tailnet::settings(world, c, caller, call)),
                ["dns", what] => whole(tailnet::dns(world, c, caller, call, what)),
                _ => Err(Failure::not_found("endpoint")),
            }
        }
        ["device", id, rest @ ..] => whole(devices::one(world, c, caller, call, id, rest)),
        ["webhooks", id, rest @ ..] => whole(hooks::one(world, c, caller, call, id, rest)),
        ["users", id] => whole(tailnet::user(world, caller, id)),
        _ => Err(Failure::not_found("endpoint")),
    }
}

/// Go's clients write an empty list as null.
fn or_default<'de, D: serde::Deserializer<'de>, T: Default + serde::Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A time as Tailscale writes it: to the second.
fn time(t: Timestamp) -> Value {
    Timestamp::from_second(t.as_second()).unwrap_or(t).to_string().into()
}

/// The path exists, the method does not.
fn wrong_method() -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not know that method")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_core::{AllowAll, Now, Settings, Stored};
    use hearthgate_tailcfg::DerpMap;
    use std::sync::Arc;

    #[test]
    fn a_token_ends_with_what_its_client_may() {
        let now = Now { wall: Timestamp::UNIX_EPOCH, mono_ms: 0 };
        let mut world =
            World::load(Stored::default(), Settings::default(), Arc::new(AllowAll), DerpMap::default(), now);
        let (scopes, tags) = (Scopes(vec!["devices:core".into()]), vec!["tag:a".to_owned()]);
        let mut rng = |out: &mut [u8]| out.fill(7);
        let (client, _) =
            oauth::create(&mut world, scopes.clone(), tags.clone(), String::new(), now.wall, &mut rng).expect("made");
        let caller = |scopes: &Scopes| Caller {
            name: "token".into(),
            scopes: scopes.clone(),
            tags: Some(tags.clone()),
            client: Some(client.id.clone()),
        };
        let read = Scopes(vec!["devices:core:read".into()]);
        assert!(caller(&scopes).is_current(&world) && caller(&read).is_current(&world));
        oauth::replace(&mut world, oauth::Client { scopes: read.clone(), ..client.clone() }).expect("changed");
        assert!(!caller(&scopes).is_current(&world) && caller(&read).is_current(&world));
        oauth::replace(&mut world, oauth::Client { tags: vec![], scopes, ..client.clone() }).expect_err("needs tags");
        oauth::replace(&mut world, oauth::Client { tags: vec!["tag:b".into()], ..client.clone() }).expect("changed");
        assert!(!caller(&read).is_current(&world), "its tag is gone");
        oauth::delete(&mut world, &client.id);
        assert!(!caller(&read).is_current(&world));
    }
}
