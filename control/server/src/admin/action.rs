//! What forms do. Each is a call of the API under the name of the account, then a redirect to where its effect is seen.

use super::{
    enter, lock, passkey, policy,
    request::{Form, Page, html, look, unavailable, viewer},
    restore, see_other, settings, tools,
};
use crate::{
    api_v1::{self, Answer},
    feed, network,
    reply::{Reply, typed},
    state::App,
    writer::Context,
};
use bytes::Bytes;
use hearthgate_core::{CoreError, NodeId, World, value_of};
use hearthgate_dyndns::Service;
use hearthgate_keys::Secret;
use hearthgate_read::json;
use hearthgate_web::{
    Account, Role, account,
    page::{self, Viewer},
    session::Join,
    text as t,
};
use http::{HeaderValue, Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Longest life of a key that a form can ask for.
const HOURS_MAX: i64 = 24 * 366 * 10;
/// Working keys that a member may have: all keys there are share one limit.
const MEMBER_KEYS_MAX: usize = 32;

/// A call of the API that a form stands for, and where to go afterwards.
struct Call {
    method: Method,
    parts: Vec<String>,
    query: api_v1::Query,
    body: Value,
    then: String,
    /// What is wrong with the form: it is told where the call would have led.
    wrong: Option<CoreError>,
}

impl Call {
    fn post(path: &[&str], body: Value, then: &str) -> Self {
        Self {
            method: Method::POST,
            parts: path.iter().map(|p| (*p).to_owned()).collect(),
            query: Vec::new(),
            body,
            then: then.to_owned(),
            wrong: None,
        }
    }

    /// A call that needs a number from the form.
    fn with<T>(number: Result<T, CoreError>, then: &str, call: impl FnOnce(T) -> Self) -> Self {
        match number {
            Ok(n) => call(n),
            Err(e) => Self { wrong: Some(e), ..Self::post(&[], Value::Null, then) },
        }
    }

    fn delete(path: &[&str], id: Option<&str>, then: &str) -> Self {
        let query = id.map(|id| ("id".to_owned(), id.to_owned())).into_iter().collect();
        Self { method: Method::DELETE, query, ..Self::post(path, Value::Null, then) }
    }

    fn carry_out(&self, world: &mut World, c: &mut Context<'_>, actor: &str) -> Answer {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let body = Bytes::from(if self.body.is_null() { String::new() } else { self.body.to_string() });
        let answer = api_v1::perform(world, c, actor, &self.method, &self.parts, &self.query, &body);
        answer.unwrap_or_else(|| Err(CoreError::NotFound("this action".into())))
    }
}

fn invalid(error: feed::FeedFailure) -> CoreError {
    CoreError::Invalid(error.to_string())
}

/// Carries out a form.
pub(super) async fn act(app: &App, request: &Page) -> Reply {
    let (world, now) = match look(app).await {
        Ok(seen) => seen,
        Err(e) => return unavailable(e),
    };
    let Some(viewer) = viewer(&app.admin, &world, request.cookie.as_deref(), false) else {
        return see_other("/admin/login");
    };
    let fits = lock(&app.admin.sessions)
        .find(request.cookie.as_deref().unwrap_or_default(), app.admin.now_ms())
        .is_some_and(|s| s.csrf_fits(request.form.get("csrf")));
    if !fits {
        return html(StatusCode::FORBIDDEN, page::message(Some(&viewer), "Not done", t::CSRF));
    }
    if request.path == "logout" {
        return enter::logout(app, request);
    }
    if !may(&viewer, &world, &request.path, &request.form) {
        return html(StatusCode::FORBIDDEN, page::message(Some(&viewer), "Not done", t::FORBIDDEN));
    }
    let parts: Vec<&str> = request.path.split('/').collect();
    match parts.as_slice() {
        ["oauth", rest @ ..] => return tools::oauth(app, request, &viewer, rest).await,
        ["wireguard", rest @ ..] => return tools::plain(app, request, &viewer, rest).await,
        ["restore", what] => return restore::act(app, request, &viewer, what).await,
        ["webhook", rest @ ..] => return tools::webhook(app, request, &viewer, rest).await,
        _ => {}
    }
    match request.path.as_str() {
        "backup" => backup(app, &viewer).await,
        "join" => join(app, request, &viewer, now.wall).await,
        "approval" => settings::approval(app, request, &viewer).await,
        "dns" => settings::edit(app, request, &viewer).await,
        "policy" => policy::edit(app, request, &viewer).await,
        "account" => new_account(app, request, &viewer).await,
        "passkey" => passkey::register(app, request, &viewer).await,
        "passkey/ask" => passkey::ask_new(app, request, &viewer).await,
        "passkey/remove" => passkey::remove(app, request, &viewer).await,
        "password" => password(app, request, &viewer).await,
        "upgrade/look" => finish(app, request, feed::start_looking(app).map_err(invalid), "/admin/system"),
        "upgrade/fetch" => {
            let begun = feed::start_fetching(app, viewer.name.clone()).await;
            finish(app, request, begun.map_err(invalid), "/admin/system")
        }
        "setup/network" => rename_network(app, request, &viewer).await,
        "setup/share" => settings::share(app, request, &viewer, true).await,
        "setup/share/configured" => settings::share(app, request, &viewer, false).await,
        "setup/portmap" => settings::portmap(app, request, &viewer, true).await,
        "setup/portmap/configured" => settings::portmap(app, request, &viewer, false).await,
        "setup/dyndns" => settings::dyndns(app, request, &viewer, true).await,
        "setup/dyndns/remove" => settings::dyndns(app, request, &viewer, false).await,
        "setup/dyndns/update" => settings::update_dyndns(app, request).await,
        #[cfg(feature = "front")]
        "setup/front" => front(app, request, &viewer, true),
        #[cfg(feature = "front")]
        "setup/front/test" => test_front(app, request).await,
        #[cfg(feature = "front")]
        "setup/front/leave" => front(app, request, &viewer, false),
        _ => match call(&request.path, &request.form, now.wall) {
            Some(call) => run(app, request, &viewer, call).await,
            None => html(StatusCode::NOT_FOUND, page::message(Some(&viewer), "Not here", t::NOT_FOUND)),
        },
    }
}

/// Whether the role allows this form.
fn may(viewer: &Viewer, world: &World, path: &str, form: &Form) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["password"] | ["passkey", ..] => true,
        ["join"] => viewer.role != Role::Auditor,
        ["backup"] | ["restore" | "upgrade" | "account" | "apikey" | "oauth" | "webhook", ..] => viewer.role.is_owner(),
        ["setup", "portmap", ..] => viewer.role.is_owner(),
        // They make this box ask where they say, within the network at home too, and show how that went.
        ["setup", "dyndns"] if Service::find(form.get("service").trim()).is_some_and(|s| s.url.is_some()) => {
            viewer.role.is_owner()
        }
        // The own device is cut off by its owner; how long its key lasts is not theirs to say.
        ["device", _, "expire"] if !form.get("how").is_empty() => viewer.role.changes_all(),
        ["device", id, "rename" | "expire" | "remove"] => {
            let node = id.parse().ok().and_then(|id| world.node(NodeId(id)).ok());
            viewer.role.changes_all() || node.is_some_and(|n| viewer.may_change(n))
        }
        _ => viewer.role.changes_all(),
    }
}

/// The call that a form stands for.
fn call(path: &str, form: &Form, now: Timestamp) -> Option<Call> {
    let parts: Vec<&str> = path.split('/').collect();
    let tags = || form.get("tags").split(',').map(str::trim).filter(|t| !t.is_empty()).collect::<Vec<_>>();
    let days = || later(form.get("days"), 24, "days", now);
    let device = |id: &str| format!("/admin/device/{id}");
    Some(match parts.as_slice() {
        ["device", id, "rename"] => {
            Call::post(&["node", id, "rename", form.get("name").trim()], Value::Null, &format!("/admin/device/{id}"))
        }
        ["device", id, "routes"] => {
            let routes: Vec<&str> = form.all("route").collect();
            let back =
                if form.get("back") == "routes" { "/admin/routes".to_owned() } else { format!("/admin/device/{id}") };
            Call::post(&["node", id, "approve_routes"], json!({ "routes": routes }), &back)
        }
        ["device", id, "approve"] => Call::post(&["node", id, "approve"], Value::Null, &format!("/admin/device/{id}")),
        ["device", id, "tags"] => {
            Call::post(&["node", id, "tags"], json!({ "tags": tags() }), &format!("/admin/device/{id}"))
        }
        ["device", id, "expire"] => {
            let post = |body| Call::post(&["node", id, "expire"], body, &device(id));
            match form.get("how") {
                "never" => post(json!({ "disableExpiry": true })),
                "days" => Call::with(days().and_then(needed), &device(id), |at| post(json!({ "expiry": at }))),
                _ => post(json!({})),
            }
        }
        ["device", id, "attribute"] => {
            let text = form.get("value").trim();
            let value = if form.get("how") == "remove" { Value::Null } else { value_of(text) };
            let name = form.get("name").trim();
            Call::with(days(), &device(id), |at| {
                let body = json!({ "attributes": { name: value }, "expiry": at });
                Call::post(&["node", id, "attributes"], body, &device(id))
            })
        }
        ["check", verdict @ ("approve" | "reject")] => {
            Call::post(&["auth", verdict], json!({ "authId": form.get("id") }), "/admin/devices")
        }
        ["addresses"] => Call {
            query: vec![("confirmed".to_owned(), "true".to_owned())],
            ..Call::post(&["node", "backfillips"], Value::Null, "/admin/devices")
        },
        ["device", id, "remove"] => Call::delete(&["node", id], None, "/admin/devices"),
        ["login", "approve"] => Call::post(
            &["auth", "register"],
            json!({ "authId": form.get("id"), "user": form.get("user") }),
            "/admin/devices",
        ),
        ["login", "reject"] => Call::post(&["auth", "reject"], json!({ "authId": form.get("id") }), "/admin/devices"),
        ["user"] => {
            let body = json!({ "name": form.get("name").trim(), "displayName": form.get("displayName"), "email": form.get("email") });
            Call::post(&["user"], body, "/admin/users")
        }
        ["user", id, "rename"] => {
            Call::post(&["user", id, "rename", form.get("name").trim()], Value::Null, "/admin/users")
        }
        ["user", id, "role"] => Call::post(&["user", id, "role"], json!({ "role": form.get("role") }), "/admin/users"),
        ["user", id, "delete"] => Call::delete(&["user", id], None, "/admin/users"),
        ["key"] => {
            let until = later(form.get("hours"), 1, "hours", now).and_then(needed);
            Call::with(until, "/admin/keys", |until| {
                let body = json!({
                    "user": form.get("user"),
                    "reusable": form.get("reusable") == "1",
                    "ephemeral": form.get("ephemeral") == "1",
                    "preauthorized": form.get("preauthorized") == "1",
                    "aclTags": tags(),
                    "expiration": until,
                });
                Call::post(&["preauthkey"], body, "/admin/keys")
            })
        }
        ["key", id, "expire"] => Call::post(&["preauthkey", "expire"], json!({ "id": id }), "/admin/keys"),
        ["key", id, "delete"] => Call::delete(&["preauthkey"], Some(id), "/admin/keys"),
        ["apikey"] => Call::with(days().and_then(needed), "/admin/keys", |until| {
            Call::post(&["apikey"], json!({ "expiration": until }), "/admin/keys")
        }),
        ["apikey", id, "expire"] => Call::post(&["apikey", "expire"], json!({ "id": id }), "/admin/keys"),
        ["apikey", id, "delete"] => Call::delete(&["apikey", "-"], Some(id), "/admin/keys"),
        ["policy", "rollback"] => {
            Call::post(&["policy", "rollback"], json!({ "version": form.get("version") }), "/admin/policy")
        }
        ["account", name, "role"] => {
            Call::post(&["account", name], json!({ "role": form.get("role") }), "/admin/users")
        }
        ["account", name, "delete"] => Call::delete(&["account", name], None, "/admin/users"),
        _ => return None,
    })
}

/// So many `units` of `hours` hours from now; nothing when the field is empty.
fn later(text: &str, hours: i64, units: &str, now: Timestamp) -> Result<Option<String>, CoreError> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let max = HOURS_MAX / hours;
    let count = text.trim().parse().ok().filter(|n| (1..=max).contains(n));
    let count: i64 = count
        .ok_or_else(|| CoreError::Invalid(format!("{text:?} is no number of {units}: write one from 1 to {max}")))?;
    Ok(Some(now.checked_add(SignedDuration::from_hours(count * hours)).unwrap_or(Timestamp::MAX).to_string()))
}

/// A time that has to be given.
fn needed(time: Option<String>) -> Result<String, CoreError> {
    time.ok_or_else(|| CoreError::Invalid("Say for how long.".into()))
}

async fn run(app: &App, request: &Page, viewer: &Viewer, call: Call) -> Reply {
    if let [kind, name] = call.parts.as_slice()
        && kind == "account"
    {
        if call.method == Method::DELETE {
            return delete_account(app, request, viewer, name.clone()).await;
        }
        return match Role::parse(request.form.get("role")) {
            Some(role) => change_role(app, request, viewer, name.clone(), role).await,
            None => finish(app, request, Err(CoreError::Invalid("Choose a role.".into())), "/admin/users"),
        };
    }
    let then = call.then.clone();
    let actor = viewer.name.clone();
    let done = app.control.call(move |world, c| call.carry_out(world, c, &actor)).await;
    let answer = match done {
        Ok(answer) => answer,
        Err(e) => return unavailable(e),
    };
    // A new key is shown once: in this answer, and nowhere afterwards.
    let fresh = answer
        .as_ref()
        .ok()
        .and_then(|v| v["preAuthKey"]["key"].as_str().filter(|_| request.path == "key").or(v["apiKey"].as_str()));
    if let Some(key) = fresh {
        return match look(app).await {
            Ok((world, now)) => {
                html(StatusCode::OK, page::keys::keys(viewer, &world, Some(key), &tools::clients(&world), now))
            }
            Err(e) => unavailable(e),
        };
    }
    finish(app, request, answer.map(|_| ()), &then)
}

/// Goes on, with a sentence if it was refused.
pub(super) fn finish(app: &App, request: &Page, done: Result<(), CoreError>, then: &str) -> Reply {
    let notice = match done {
        Ok(()) => ("Done.".to_owned(), false),
        Err(e) => (e.to_string(), true),
    };
    if let Some(session) =
        lock(&app.admin.sessions).find(request.cookie.as_deref().unwrap_or_default(), app.admin.now_ms())
    {
        session.notice = Some(notice);
    }
    see_other(then)
}

/// A key for one device.
async fn join(app: &App, request: &Page, viewer: &Viewer, now: Timestamp) -> Reply {
    // Members add devices of their own only.
    let own = viewer.user.map(|u| u.to_string()).unwrap_or_default();
    let user = if viewer.role.changes_all() { request.form.get("user").to_owned() } else { own };
    let expiration = now.checked_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX).to_string();
    // Who may approve devices has approved this one by making its key.
    let body = json!({ "user": user, "expiration": expiration, "preauthorized": viewer.role.changes_all() });
    let call = Call::post(&["preauthkey"], body, "/admin/join");
    let actor = viewer.name.clone();
    let member = viewer.user.filter(|_| !viewer.role.changes_all());
    let answer = app.control.call(move |world, c| {
        if member.is_some_and(|user| world.working_preauth_keys(user, c.now) >= MEMBER_KEYS_MAX) {
            return Err(CoreError::Full(t::JOIN_FULL.into()));
        }
        call.carry_out(world, c, &actor)
    });
    let answer = match answer.await {
        Ok(answer) => answer,
        Err(e) => return unavailable(e),
    };
    let made = answer.and_then(|v| {
        let key = &v["preAuthKey"];
        let id = key["id"].as_str().and_then(|id| id.parse().ok());
        let text = key["key"].as_str().map(|k| Secret::new(k.to_owned()));
        id.zip(text).ok_or_else(|| CoreError::Invalid("the key was not made".into()))
    });
    match made {
        Ok((key_id, key)) => {
            if let Some(session) =
                lock(&app.admin.sessions).find(request.cookie.as_deref().unwrap_or_default(), app.admin.now_ms())
            {
                session.keep(Join { key_id, key });
            }
            see_other(&format!("/admin/join/{key_id}"))
        }
        Err(e) => finish(app, request, Err(e), "/admin/join"),
    }
}

async fn backup(app: &App, viewer: &Viewer) -> Reply {
    match crate::backup::of_running(app).await {
        Ok(bytes) => {
            let actor = viewer.name.clone();
            app.control.cast(move |world, c| world.audit(&actor, "downloaded a backup", "", c.now));
            let mut reply = typed(StatusCode::OK, "application/octet-stream", bytes);
            reply.headers_mut().insert(
                header::CONTENT_DISPOSITION,
                HeaderValue::from_static("attachment; filename=\"hearthgate.backup\""),
            );
            reply
        }
        Err(e) => html(StatusCode::INTERNAL_SERVER_ERROR, page::message(Some(viewer), "Not done", &e.to_string())),
    }
}

async fn new_account(app: &App, request: &Page, viewer: &Viewer) -> Reply {
    let form = &request.form;
    let hash = match enter::hash(app, form.get("password")).await {
        Ok(hash) => hash,
        Err(e) => return finish(app, request, Err(CoreError::Invalid(e.to_string())), "/admin/users"),
    };
    let Some(role) = Role::parse(form.get("role")) else {
        return finish(app, request, Err(CoreError::Invalid("Choose a role.".into())), "/admin/users");
    };
    let account = Account { name: form.get("name").trim().to_owned(), role, user: form.get("user").parse().ok(), hash };
    let actor = viewer.name.clone();
    let done = app.control.call(move |world, c| {
        if account::find(world, &account.name).is_some() {
            return Err(CoreError::Conflict(format!("There is an account {:?} already.", account.name)));
        }
        account::put(world, &account)?;
        world.audit(&actor, "added account", &format!("{} ({})", account.name, account.role.name()), c.now);
        Ok(())
    });
    match done.await {
        Ok(done) => finish(app, request, done, "/admin/users"),
        Err(e) => unavailable(e),
    }
}

async fn delete_account(app: &App, request: &Page, viewer: &Viewer, name: String) -> Reply {
    let (actor, gone) = (viewer.name.clone(), name.clone());
    let done = app.control.call(move |world, c| {
        account::delete(world, &name)?;
        world.audit(&actor, "removed account", &name, c.now);
        Ok(())
    });
    match done.await {
        Ok(done) => {
            if done.is_ok() {
                lock(&app.admin.sessions).end_all_of(&gone);
            }
            finish(app, request, done, "/admin/users")
        }
        Err(e) => unavailable(e),
    }
}

async fn change_role(app: &App, request: &Page, viewer: &Viewer, name: String, role: Role) -> Reply {
    let actor = viewer.name.clone();
    let done = app.control.call(move |world, c| {
        let account = account::find(world, &name).ok_or_else(|| CoreError::NotFound(format!("account {name:?}")))?;
        account::put(world, &Account { role, ..account })?;
        world.audit(&actor, "changed the role of account", &format!("{name} ({})", role.name()), c.now);
        Ok(())
    });
    match done.await {
        Ok(done) => finish(app, request, done, "/admin/users"),
        Err(e) => unavailable(e),
    }
}

async fn password(app: &App, request: &Page, viewer: &Viewer) -> Reply {
    let back = "/admin/account";
    let refuse = |sentence: &str| finish(app, request, Err(CoreError::Denied(sentence.into())), back);
    if !lock(&app.admin.throttle).take(request.ip, app.admin.now_ms()) {
        return refuse(t::TOO_MANY);
    }
    let known = match look(app).await {
        Ok((world, _)) => account::find(&world, &viewer.name),
        Err(e) => return unavailable(e),
    };
    if !enter::verify(app, request.form.get("old"), known.as_ref()).await {
        return refuse(t::PASSWORD_OLD_WRONG);
    }
    let hash = match enter::hash(app, request.form.get("password")).await {
        Ok(hash) => hash,
        Err(e) => return refuse(&e.to_string()),
    };
    let name = viewer.name.clone();
    let done = app.control.call(move |world, c| {
        let account = account::find(world, &name).ok_or_else(|| CoreError::NotFound("the account".into()))?;
        account::put(world, &Account { hash, ..account })?;
        world.audit(&name, "changed the password of", &name, c.now);
        Ok(())
    });
    match done.await {
        Ok(Ok(())) => {
            // Whoever knew the old password is out, this browser too.
            lock(&app.admin.sessions).end_all_of(&viewer.name);
            see_other("/admin/login")
        }
        Ok(Err(e)) => finish(app, request, Err(e), back),
        Err(e) => unavailable(e),
    }
}

/// Pairs with a front, or leaves it.
#[cfg(feature = "front")]
fn front(app: &App, request: &Page, viewer: &Viewer, pair: bool) -> Reply {
    let line = pair.then(|| request.form.get("pairing"));
    let done = crate::front::change(app, &viewer.name, line);
    finish(app, request, done.map_err(|e| CoreError::Invalid(e.to_string())), "/admin/setup")
}

/// Has the front try whether this box is reached from outside.
#[cfg(feature = "front")]
async fn test_front(app: &App, request: &Page) -> Reply {
    let done = crate::front::test(app).await;
    finish(app, request, done.map_err(|e| CoreError::Invalid(e.to_string())), "/admin/setup")
}

async fn rename_network(app: &App, request: &Page, viewer: &Viewer) -> Reply {
    let (name, actor) = (request.form.get("network").trim().to_lowercase(), viewer.name.clone());
    let done = app.control.call(move |world, c| {
        network::rename(world, &name)?;
        world.audit(&actor, "named the network", &name, c.now);
        Ok(())
    });
    match done.await {
        Ok(done) => finish(app, request, done, "/admin/setup"),
        Err(e) => unavailable(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_cannot_be_read_is_refused_and_is_not_for_ever() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let call = |path: &str, form: &str| call(path, &Form::read(form.as_bytes()), now).expect("a call");
        for (path, form) in [
            ("device/1/attribute", "name=custom:x&value=1&days="),
            ("device/1/expire", "how=days&days="),
            ("key", "user=1&hours="),
            ("apikey", "days="),
        ] {
            for bad in ["soon", "-1", "0", "1.5", "99999999", "9223372036854775807", "1e3"] {
                let call = call(path, &format!("{form}{bad}"));
                let said = call.wrong.as_ref().map(ToString::to_string).unwrap_or_default();
                assert!(said.contains(bad) && said.contains("write one from 1 to"), "{path} {bad}: {said}");
                assert!(call.then.starts_with("/admin/") && call.parts.is_empty());
            }
            assert!(call(path, &format!("{form}+7 ")).wrong.is_none(), "{path}");
            // Only a value of a device may be there for ever.
            assert_eq!(call(path, form).wrong.is_none(), path.ends_with("attribute"), "{path}");
        }
        let week = call("device/1/attribute", "name=custom:x&value=1&days=7").body;
        assert_eq!(week["expiry"], "2026-01-08T00:00:00Z");
        assert!(call("device/1/attribute", "name=custom:x&value=1").body["expiry"].is_null());
    }
}
