//! Passkeys: the questions browsers are asked, and what comes of their answers. What is believed is decided in
//! `hearthgate_web::passkey`; the shape of the questions is WebAuthn's (level 3, sections 5.4 and 5.5).

use super::{
    action::finish,
    enter, lock,
    request::{ASKED, Page, html, look, unavailable},
};
use crate::{
    reply::{Reply, json, text},
    state::App,
    writer::fill_random,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hearthgate_core::{CoreError, World};
use hearthgate_keys::encode;
use hearthgate_read::json;
use hearthgate_web::{
    account,
    page::{self, Viewer},
    passkey::{self, Algorithm, Assertion, CHALLENGE_MS, Challenge, PasskeyError, Purpose, Registration, Site},
    text as t,
};
use http::{HeaderValue, StatusCode, header};

/// The question for a new passkey, to somebody who is logged in and typed the password again: who finds a browser
/// logged in must not come back with a key of their own.
pub(super) async fn ask_new(app: &App, request: &Page, viewer: &Viewer) -> Reply {
    let Ok(site) = &request.site else { return text(StatusCode::CONFLICT, t::PASSKEYS_PLAIN) };
    if !lock(&app.admin.throttle).take(request.ip, app.admin.now_ms()) {
        return text(StatusCode::TOO_MANY_REQUESTS, t::TOO_MANY);
    }
    let world = match look(app).await {
        Ok((world, _)) => world,
        Err(e) => return unavailable(e),
    };
    let known = account::find(&world, &viewer.name);
    if !enter::verify(app, request.form.get("old"), known.as_ref()).await {
        return text(StatusCode::FORBIDDEN, t::PASSWORD_OLD_WRONG);
    }
    lock(&app.admin.throttle).forgive(request.ip);
    let browser = request.cookie.as_deref().unwrap_or_default();
    let challenge = ask(app, browser, Purpose::Register);
    let known: Vec<_> = passkey::mine(&world, &viewer.name)
        .into_iter()
        .filter(|p| p.site == site.name)
        .map(|p| json!({ "type": "public-key", "id": p.id }))
        .collect();
    let kinds = Algorithm::ALL.map(|a| json!({ "type": "public-key", "alg": a.number() }));
    json(&json!({
        "rp": { "id": site.name, "name": t::PRODUCT },
        "user": {
            "id": passkey::handle(&world, &viewer.name, &challenge),
            "name": viewer.name,
            "displayName": viewer.name,
        },
        "challenge": URL_SAFE_NO_PAD.encode(challenge),
        "pubKeyCredParams": kinds,
        "timeout": CHALLENGE_MS,
        "excludeCredentials": known,
        "authenticatorSelection": {
            "residentKey": "required", "requireResidentKey": true, "userVerification": "required",
        },
        "attestation": "none",
    }))
}

/// Keeps a new passkey.
pub(super) async fn register(app: &App, request: &Page, viewer: &Viewer) -> Reply {
    let browser = request.cookie.as_deref().unwrap_or_default();
    let challenge = lock(&app.admin.challenges).take(browser, Purpose::Register, app.admin.now_ms());
    let believed = answered(request, challenge).and_then(|(site, challenge)| {
        let answer =
            Registration { client_data: request.form.get("client_data"), attestation: request.form.get("attestation") };
        passkey::register(&answer, site, &challenge).map(|new| (site.name.clone(), challenge, new))
    });
    let (site, challenge, new) = match believed {
        Ok(believed) => believed,
        Err(e) => {
            let why = CoreError::Denied(format!("{} {e}.", t::PASSKEY_NOT_ADDED));
            return finish(app, request, Err(why), "/admin/account");
        }
    };
    let (account, name) = (viewer.name.clone(), request.form.get("name").to_owned());
    let done = app.control.call(move |world, c| {
        // It may have been removed while its person was asked.
        if account::find(world, &account).is_none() {
            return Err(CoreError::NotFound(format!("account {account:?}")));
        }
        let name = passkey::add(world, &account, &name, &site, &new, &challenge, c.now)?;
        world.audit(&account, "added passkey", &name, c.now);
        Ok(())
    });
    match done.await {
        Ok(done) => finish(app, request, done, "/admin/account"),
        Err(e) => unavailable(e),
    }
}

/// Removes a passkey of who is logged in.
pub(super) async fn remove(app: &App, request: &Page, viewer: &Viewer) -> Reply {
    let (account, id) = (viewer.name.clone(), request.form.get("id").to_owned());
    let done = app.control.call(move |world, c| {
        let name = passkey::remove(world, &account, &id)?;
        world.audit(&account, "removed passkey", &name, c.now);
        Ok(())
    });
    match done.await {
        Ok(done) => finish(app, request, done, "/admin/account"),
        Err(e) => unavailable(e),
    }
}

/// The question who logs in. It names nobody: the browser shows the passkeys it has for this name.
pub(super) async fn ask_login(app: &App, request: &Page) -> Reply {
    let Ok(site) = &request.site else { return text(StatusCode::CONFLICT, t::PASSKEYS_PLAIN) };
    if !lock(&app.admin.throttle).take(request.ip, app.admin.now_ms()) {
        return text(StatusCode::TOO_MANY_REQUESTS, t::TOO_MANY);
    }
    let mut browser = [0; 32];
    fill_random(&mut browser);
    let browser = encode(&browser);
    let challenge = ask(app, &browser, Purpose::LogIn);
    let mut reply = json(&json!({
        "rpId": site.name,
        "challenge": URL_SAFE_NO_PAD.encode(challenge),
        "timeout": CHALLENGE_MS,
        "userVerification": "required",
    }));
    remember(&mut reply, &browser, CHALLENGE_MS / 1000);
    reply
}

/// Logs in with a passkey.
pub(super) async fn login(app: &App, request: &Page) -> Reply {
    let browser = request.asked.as_deref().unwrap_or_default();
    let challenge = lock(&app.admin.challenges).take(browser, Purpose::LogIn, app.admin.now_ms());
    let (world, _) = match look(app).await {
        Ok(seen) => seen,
        Err(e) => return unavailable(e),
    };
    let mut reply = match believe(&world, request, challenge) {
        Ok((found, counter)) => {
            let (account, from) = (found.account.clone(), request.ip.to_string());
            let done = app.control.call(move |world, c| {
                account::find(world, &found.account).ok_or(CoreError::NotFound("the account".into()))?;
                passkey::used(world, &found.id, counter, c.now)?;
                world.note(&found.account, "logged in with a passkey from", &from, c.now);
                Ok::<(), CoreError>(())
            });
            match done.await {
                Ok(Ok(())) => {
                    lock(&app.admin.throttle).forgive(request.ip);
                    enter::begin(app, &account, "/admin/")
                }
                Ok(Err(_)) => refused(),
                Err(e) => return unavailable(e),
            }
        }
        Err(why) => {
            let (from, why) = (request.ip.to_string(), why.to_string());
            // In memory only: strangers must not cause writes.
            app.control.cast(move |world, c| {
                world.note(&from, "failed to log in with a passkey", &why, c.now);
            });
            refused()
        }
    };
    remember(&mut reply, "", 0);
    reply
}

/// Whose passkey it is, and its new counter.
fn believe(
    world: &World,
    request: &Page,
    challenge: Option<Challenge>,
) -> Result<(passkey::Passkey, u32), PasskeyError> {
    let (site, challenge) = answered(request, challenge)?;
    let found = passkey::with_id(world, request.form.get("id")).ok_or(PasskeyError::Unknown)?;
    let answer = Assertion {
        client_data: request.form.get("client_data"),
        authenticator_data: request.form.get("authenticator_data"),
        signature: request.form.get("signature"),
        user_handle: request.form.get("user_handle"),
    };
    let counter = passkey::assert(&answer, &found, site, &challenge)?;
    Ok((found, counter))
}

/// The site and the question, if there was one.
fn answered(request: &Page, challenge: Option<Challenge>) -> Result<(&Site, Challenge), PasskeyError> {
    let site = request.site.as_ref().map_err(|_| PasskeyError::Origin)?;
    Ok((site, challenge.ok_or(PasskeyError::Challenge)?))
}

fn ask(app: &App, browser: &str, purpose: Purpose) -> Challenge {
    let rng = &mut |out: &mut [u8]| fill_random(out);
    lock(&app.admin.challenges).ask(browser, purpose, app.admin.now_ms(), rng)
}

fn refused() -> Reply {
    html(StatusCode::UNAUTHORIZED, page::account::login(Some(t::PASSKEY_WRONG), "", true))
}

/// Sets the cookie by which the browser is known again.
fn remember(reply: &mut Reply, browser: &str, seconds: u64) {
    let cookie = format!("{ASKED}={browser}; Path=/admin/login; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    if let Ok(mut value) = HeaderValue::from_str(&cookie) {
        value.set_sensitive(true);
        // Beside the cookie of the session.
        reply.headers_mut().append(header::SET_COOKIE, value);
    }
}
