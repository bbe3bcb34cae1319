//! `/api/v1/dyndns`: GET tells how it is, POST sets and tries, DELETE forgets; `/dyndns/update` tries now; the pages
//! do the same through [`set_and_try`] and [`update`].

use super::{DyndnsError, SETTINGS, attempt, known, lock, look, of, words};
use crate::{
    api_v1::problem,
    reply::{Reply, json},
    state::App,
    writer::Unavailable,
};
use hearthgate_core::World;
use hearthgate_dyndns::{SERVICES, Service, Settings, State};
use hearthgate_http::spawn;
use hearthgate_read::json;
use http::{HeaderValue, Method, StatusCode};
use serde_json::Value;

/// Answers a request below `/dyndns`; `None` when there is no such endpoint.
pub(crate) async fn api(app: &App, actor: String, method: &Method, rest: &str, body: &[u8]) -> Option<Reply> {
    let done = match (method, rest) {
        (&Method::GET, "") => Ok(()),
        (&Method::POST, "") => match self::body(app, body).await {
            Ok(settings) => set_and_try(app, actor, Some(settings)).await,
            Err(why) => return Some(problem(StatusCode::BAD_REQUEST, &why)),
        },
        (&Method::DELETE, "") => set_and_try(app, actor, None).await,
        (&Method::POST, "/update") => update(app).await,
        (&Method::GET, "/services") => return Some(json(&services())),
        (_, "") => return Some(crate::api_schema::not_this_method(HeaderValue::from_static("DELETE, GET, POST"))),
        (_, "/update") => return Some(crate::api_schema::not_this_method(HeaderValue::from_static("POST"))),
        (_, "/services") => return Some(crate::api_schema::not_this_method(HeaderValue::from_static("GET"))),
        _ => return None,
    };
    let told = match done {
        // What was set is set, even if the first try failed: the answer says why.
        Ok(()) | Err(DyndnsError::Failed(_)) => {
            let shown = app.clone();
            app.control.call(move |world, _| view(&shown, world)).await.map_err(DyndnsError::from)
        }
        Err(e) => Err(e),
    };
    Some(match told {
        Ok(view) => json(&view),
        Err(e @ (DyndnsError::Unavailable(_) | DyndnsError::Core(_))) => {
            problem(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string())
        }
        Err(e @ DyndnsError::Mistake(_)) => problem(StatusCode::BAD_REQUEST, &e.to_string()),
        Err(e) => problem(StatusCode::CONFLICT, &e.to_string()),
    })
}

/// Settings from JSON in camel case; what is not there is as it was for this service, or as usual.
///
/// # Errors
/// It is no such JSON. The text holds nothing of it, since it may be a secret.
async fn body(app: &App, bytes: &[u8]) -> Result<Settings, String> {
    let wrong = |e: serde_json::Error| {
        format!("the request body is not as expected, at line {} column {}", e.line(), e.column())
    };
    let alone: Settings = serde_json::from_slice(bytes).map_err(wrong)?;
    let given: serde_json::Map<String, Value> = serde_json::from_slice(bytes).map_err(wrong)?;
    let before = before(app, &alone.service).await.map_err(|e| e.to_string())?;
    let Value::Object(mut all) = json!(before) else { return Ok(alone) };
    all.extend(given.into_iter().filter(|(_, value)| !value.is_null()));
    let mut new: Settings = serde_json::from_str(&Value::Object(all).to_string()).map_err(wrong)?;
    if new.url != before.url {
        new.secret = alone.secret;
    }
    Ok(new)
}

/// What was set here before for this service, or what is usual.
pub(crate) async fn before(app: &App, service: &str) -> Result<Settings, Unavailable> {
    let known = app.control.call(|world, _| world.record::<Settings>(SETTINGS)).await?;
    let usual = || Settings { service: service.to_owned(), ..Settings::default() };
    Ok(known.filter(|s| s.service == service).unwrap_or_else(usual))
}

/// Sets a name, or takes it away, notes who did, and tries at once. A service may take longer than whoever asked stays: it
/// goes on without them, for what was sent has to be noted.
pub(crate) async fn set_and_try(app: &App, actor: String, settings: Option<Settings>) -> Result<(), DyndnsError> {
    let app = app.clone();
    spawn(async move { set_now(&app, actor, settings).await }).await.unwrap_or(Err(Unavailable.into()))
}

async fn set_now(app: &App, actor: String, settings: Option<Settings>) -> Result<(), DyndnsError> {
    if lock(&app.dyndns.configured).is_some() {
        return Err(DyndnsError::Configured);
    }
    let set = settings.is_some();
    let dyndns = app.clone();
    let done = app.control.call(move |world, c| {
        let dyndns = &dyndns.dyndns;
        let before: Option<Settings> = world.record(SETTINGS);
        let (action, name) = match settings {
            Some(settings) => {
                let settings = with_known_secret(settings, before.as_ref()).checked()?;
                let state = match before {
                    Some(before) => again(&before, &settings, dyndns.state(world, &before)),
                    None => dyndns.given_up(world, &settings),
                };
                world.put_record(SETTINGS, &settings)?;
                dyndns.keep(world, &settings, state);
                ("set the dynamic name", settings.name)
            }
            None => {
                let Some(before) = before else { return Ok(()) };
                // What holds for whoever sets it again a moment later.
                let left = dyndns.state(world, &before).given_up();
                world.delete_record(SETTINGS);
                dyndns.keep(world, &before, left);
                ("gave up the dynamic name", before.name)
            }
        };
        world.audit(&actor, action, &name, c.now);
        Ok::<_, DyndnsError>(())
    });
    done.await??;
    let tried = match set.then(|| update_now(app)) {
        Some(tried) => tried.await,
        None => Ok(()),
    };
    // Not before: it would try as well.
    app.dyndns.wake.notify_one();
    match tried {
        // Set all the same: the address may come.
        Err(DyndnsError::Unknown) => Ok(()),
        Err(soon @ DyndnsError::Soon(_)) => Err(DyndnsError::Failed(format!("it is set, but not tried yet: {soon}"))),
        other => other,
    }
}

/// What holds of before when something is set again. A service that was just asked is not asked at once, whatever the
/// password is now.
fn again(before: &Settings, now: &Settings, state: State) -> State {
    if of(before) == of(now) {
        return state.forgiven();
    }
    let same = (&before.service, &before.url, &before.name) == (&now.service, &now.url, &now.name);
    let (tried_at, wait_s) = (state.tried_at, state.wait_s);
    if same { State { tried_at, wait_s, ..State::default() }.forgiven() } else { State::default() }
}

/// A form that is sent again without its secret keeps the one there is, as long as it goes to the same server.
fn with_known_secret(mut new: Settings, before: Option<&Settings>) -> Settings {
    if let Some(before) = before.filter(|b| new.secret.is_empty() && b.service == new.service && b.url == new.url) {
        new.secret.clone_from(&before.secret);
    }
    new
}

/// Tells the service now, whatever was told before, and without whoever asked if they leave.
pub(crate) async fn update(app: &App) -> Result<(), DyndnsError> {
    let app = app.clone();
    spawn(async move { update_now(&app).await }).await.unwrap_or(Err(Unavailable.into()))
}

async fn update_now(app: &App) -> Result<(), DyndnsError> {
    let (settings, state) = known(app).await?.ok_or(DyndnsError::Nobody)?;
    let what = look(app, &settings, &state).await;
    if what.is_empty() {
        return Err(DyndnsError::Unknown);
    }
    attempt(app, &settings, what, true).await
}

fn services() -> Value {
    let one =
        |s: &Service| json!({ "service": s.id, "label": s.label, "user": s.user, "secret": s.secret, "url": s.url });
    json!({ "services": SERVICES.iter().map(one).collect::<Vec<_>>() })
}

/// How it is, without the secret: a URL of one's own may have one as well.
fn view(app: &App, world: &World) -> Value {
    let Some((settings, configured)) = app.dyndns.settings(world) else { return json!({ "state": "none" }) };
    let state = app.dyndns.state(world, &settings);
    let seen = *lock(&app.dyndns.seen);
    let word = match () {
        () if state.stopped => "stopped",
        () if state.failures > 0 => "failing",
        () if state.told_at > 0 => "good",
        () => "waiting",
    };
    let at = |s: u64| i64::try_from(s).ok().filter(|s| *s > 0).and_then(|s| jiff::Timestamp::from_second(s).ok());
    json!({
        "state": word,
        "why": state.why,
        "service": settings.service,
        "name": settings.name,
        "user": settings.user,
        "zone": if settings.known().is_ok_and(|s| s.is_name_server()) { settings.zone() } else { "" },
        "ttl": settings.ttl,
        "ipv4": settings.ipv4,
        "ipv6": settings.ipv6,
        "configured": configured,
        "told": words(state.told),
        "toldAt": at(state.told_at).map(|t| t.to_string()),
        "seen": words(seen),
    })
}
