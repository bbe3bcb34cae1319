//! Claiming the box, logging in and out, passwords.

use super::{
    lock,
    request::{COOKIE, Page, html, look, unavailable, viewer},
    see_other,
};
use crate::{reply::Reply, state::App, writer::fill_random};
use hearthgate_core::{CoreError, NewUser, World};
use hearthgate_keys::Secret;
use hearthgate_web::{
    Account, Role, account, page, passkey,
    password::{self, PasswordError},
    session, text as t,
};
use http::{HeaderValue, StatusCode, header};

/// The login page, or where somebody who needs none belongs.
pub(super) async fn login_page(app: &App, request: &Page) -> Reply {
    let (world, _) = match look(app).await {
        Ok(seen) => seen,
        Err(e) => return unavailable(e),
    };
    if !account::claimed(&world) {
        return html(StatusCode::OK, page::account::claim(None, ""));
    }
    if viewer(&app.admin, &world, request.cookie.as_deref(), false).is_some() {
        return see_other("/admin/");
    }
    html(StatusCode::OK, page::account::login(None, "", passkeys(&world, request)))
}

/// Whether to offer logging in with a passkey: there can be some here, and somebody has one.
fn passkeys(world: &World, request: &Page) -> bool {
    request.site.as_ref().is_ok_and(|site| passkey::any(world, site))
}

/// A try to log in.
pub(super) async fn login(app: &App, request: &Page) -> Reply {
    let name = request.form.get("name").to_owned();
    if !lock(&app.admin.throttle).take(request.ip, app.admin.now_ms()) {
        return html(StatusCode::TOO_MANY_REQUESTS, page::account::login(Some(t::TOO_MANY), &name, false));
    }
    let world = match look(app).await {
        Ok((world, _)) => world,
        Err(e) => return unavailable(e),
    };
    if !account::claimed(&world) {
        return see_other("/admin/");
    }
    let known = account::find(&world, &name);
    if !verify(app, request.form.get("password"), known.as_ref()).await {
        let from = request.ip.to_string();
        // In memory only: strangers must not cause writes.
        app.control.cast(move |world, c| {
            world.note(&from, "failed to log in", "", c.now);
        });
        return html(
            StatusCode::UNAUTHORIZED,
            page::account::login(Some(t::LOGIN_WRONG), &name, passkeys(&world, request)),
        );
    }
    lock(&app.admin.throttle).forgive(request.ip);
    let from = request.ip.to_string();
    let who = name.clone();
    app.control.cast(move |world, c| {
        world.note(&who, "logged in from", &from, c.now);
    });
    begin(app, &name, "/admin/")
}

/// The first owner.
pub(super) async fn claim(app: &App, request: &Page) -> Reply {
    let name = request.form.get("name").trim().to_lowercase();
    if !lock(&app.admin.throttle).take(request.ip, app.admin.now_ms()) {
        return html(StatusCode::TOO_MANY_REQUESTS, page::account::claim(Some(t::TOO_MANY), &name));
    }
    let Some(code) = app.admin.setup_code() else {
        return html(StatusCode::CONFLICT, page::message(None, t::CLAIM_TITLE, t::CLAIM_DONE));
    };
    if !hearthgate_web::claim::fits(&code, request.form.get("code")) {
        return html(StatusCode::FORBIDDEN, page::account::claim(Some(t::CLAIM_WRONG), &name));
    }
    let hash = match hash(app, request.form.get("password")).await {
        Ok(hash) => hash,
        Err(e) => return html(StatusCode::BAD_REQUEST, page::account::claim(Some(&e.to_string()), &name)),
    };
    let (owner, ip) = (name.clone(), request.ip.to_string());
    let made = app
        .control
        .call(move |world, c| {
            if account::claimed(world) {
                return Err(CoreError::Conflict(t::CLAIM_DONE.into()));
            }
            let before = world.clone();
            let made = make_owner(world, &owner, hash, c.now);
            match &made {
                Ok(()) => world.audit(&owner, "claimed this box from", &ip, c.now),
                // Half of it must not stay.
                Err(_) => *world = before,
            }
            made
        })
        .await;
    match made {
        Ok(Ok(())) => {
            *lock(&app.admin.code) = None;
            lock(&app.admin.throttle).forgive(request.ip);
            begin(app, &name, "/admin/setup")
        }
        Ok(Err(e)) => html(StatusCode::BAD_REQUEST, page::account::claim(Some(&e.to_string()), &name)),
        Err(e) => unavailable(e),
    }
}

fn make_owner(world: &mut World, name: &str, hash: String, now: hearthgate_core::Now) -> Result<(), CoreError> {
    let user = match world.user_by_name(name) {
        Some(user) => user.id,
        None => world.create_user(NewUser { name: name.to_owned(), ..NewUser::default() }, now)?.id,
    };
    account::put(world, &Account { name: name.to_owned(), role: Role::Owner, user: Some(user), hash })
}

/// Hashes outside the runtime's threads, one at a time.
pub(super) async fn hash(app: &App, typed: &str) -> Result<String, PasswordError> {
    let typed = Secret::new(typed.to_owned());
    let _one = app.admin.hashing.acquire().await.map_err(|_| PasswordError::Hash)?;
    let work = tokio::task::spawn_blocking(move || password::hash(&typed, &mut |out: &mut [u8]| fill_random(out)));
    work.await.unwrap_or(Err(PasswordError::Hash))
}

/// Whether this is the password of the account.
pub(super) async fn verify(app: &App, typed: &str, account: Option<&Account>) -> bool {
    let (typed, stored) = (Secret::new(typed.to_owned()), account.map(|a| a.hash.clone()));
    let Ok(_one) = app.admin.hashing.acquire().await else { return false };
    tokio::task::spawn_blocking(move || password::verify(&typed, stored.as_deref())).await.unwrap_or(false)
}

/// Begins a session and goes on to `to`.
pub(super) fn begin(app: &App, account: &str, to: &str) -> Reply {
    let token = lock(&app.admin.sessions).begin(account, app.admin.now_ms(), &mut |out: &mut [u8]| fill_random(out));
    let mut reply = see_other(to);
    let cookie = format!(
        "{COOKIE}={}; Path=/admin; HttpOnly; SameSite=Strict; Max-Age={}",
        token.reveal(),
        session::LIFE_MS / 1000
    );
    if let Ok(mut value) = HeaderValue::from_str(&cookie) {
        value.set_sensitive(true);
        reply.headers_mut().insert(header::SET_COOKIE, value);
    }
    reply
}

/// Ends the session.
pub(super) fn logout(app: &App, request: &Page) -> Reply {
    if let Some(cookie) = &request.cookie {
        lock(&app.admin.sessions).end(cookie);
    }
    let mut reply = see_other("/admin/login");
    let gone = format!("{COOKIE}=; Path=/admin; HttpOnly; SameSite=Strict; Max-Age=0");
    if let Ok(value) = HeaderValue::from_str(&gone) {
        reply.headers_mut().insert(header::SET_COOKIE, value);
    }
    reply
}
