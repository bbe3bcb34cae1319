//! The pages around a login through an OpenID provider.

use crate::{
    check_pages,
    oidc::{LoginError, Oidc, form},
    pages::{escape, page},
    reply::{Reply, read_body, text},
    state::App,
};
use hearthgate_core::{AuthId, CoreError, RegisterMethod};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use jiff::Timestamp;

/// Ties a login to the browser that began it.
const COOKIE: &str = "hearthgate_oidc";
/// Seconds that the cookie lives.
const COOKIE_LIFETIME_S: u32 = 600;
/// Largest form of ours.
pub(crate) const FORM_MAX: usize = 4096;

/// `/register/<id>` with a provider: off to it.
pub async fn begin(app: &App, oidc: &Oidc, id: &AuthId) -> Reply {
    let url = app.control.current().settings.server_url.clone();
    match oidc.begin(id, &url).await {
        Ok((location, cookie)) => {
            let mut reply = text(StatusCode::FOUND, "");
            let secure = if url.starts_with("https://") { "; Secure" } else { "" };
            // Lax: the way back from the provider is a link from another site.
            let cookie =
                format!("{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Lax; Max-Age={COOKIE_LIFETIME_S}{secure}");
            let headers = reply.headers_mut();
            if let (Ok(location), Ok(cookie)) = (HeaderValue::try_from(location), HeaderValue::try_from(cookie)) {
                headers.insert(header::LOCATION, location);
                headers.insert(header::SET_COOKIE, cookie);
            }
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            reply
        }
        Err(e) => failed(&e),
    }
}

/// `/oidc/callback`: back from the provider.
pub async fn callback(app: &App, oidc: &Oidc, req: &Request<Incoming>) -> Reply {
    let url = app.control.current().settings.server_url.clone();
    let query = req.uri().query().unwrap_or_default();
    let back = oidc.come_back(query, &cookie(req.headers()), &url, Timestamp::now().as_second()).await;
    let (who, device, word) = match back {
        Ok(back) => back,
        Err(e) => return failed(&e),
    };
    let name =
        [&who.display_name, &who.email, &who.name].into_iter().find(|n| !n.is_empty()).unwrap_or(&who.provider_id);
    let asked = device.clone();
    let login = app.control.call(move |world, c| world.pending_login(&asked, c.now).cloned()).await;
    let Ok(Ok(login)) = login else {
        return check_pages::ask(app, &device, name, &word).await.unwrap_or_else(|| failed(&LoginError::Unknown));
    };
    let hostname = login.request.hostinfo.as_ref().map_or("unknown", |h| h.hostname.as_str());
    let system = login.request.hostinfo.as_ref().map_or("unknown", |h| h.os.as_str());
    page(
        StatusCode::OK,
        "Is this your device?",
        &format!(
            "<p>You are <strong>{}</strong>. The device <strong>{}</strong> ({}) asks to join as yours. Its machine key is \
             <code>{}</code>.</p><p>If somebody sent you a link to this page and you did not run <code>tailscale up</code> \
             yourself, close it.</p><form method=post action=\"/register/confirm/{device}\">\
             <input type=hidden name=word value=\"{word}\"><button>Yes, let it in</button></form>",
            escape(name),
            escape(hostname),
            escape(system),
            escape(&login.machine_key.short()),
        ),
    )
}

/// `/register/confirm/<id>`: the person says that the device is theirs.
pub async fn confirm(app: &App, oidc: &Oidc, id: &str, req: Request<Incoming>) -> Reply {
    let Some(device) = AuthId::parse(id) else { return failed(&LoginError::Unknown) };
    let cookie = cookie(req.headers());
    let body = match read_body(req, FORM_MAX).await {
        Ok(body) => body,
        Err(reply) => return *reply,
    };
    let word = form(&String::from_utf8_lossy(&body), "word").unwrap_or_default();
    let confirmed = match oidc.confirm(&device, &word, &cookie) {
        Ok(confirmed) => confirmed,
        Err(e) => return failed(&e),
    };
    let done = app.control.call(move |world, c| {
        let user = world.provider_login(confirmed.who, c.now)?;
        let node = world.approve_login(&device, user.id, RegisterMethod::Oidc, c.now, c.rng)?;
        if let Some(expires) = confirmed.expires.and_then(|s| Timestamp::from_second(s).ok()) {
            world.set_node_expiry(node.id, Some(expires), c.now)?;
        }
        Ok::<_, CoreError>(user)
    });
    match done.await {
        Ok(Ok(user)) => {
            let name = escape(user.shown_name());
            page(StatusCode::OK, "Welcome", &format!("<p>{name}, your device is in. You can close this page.</p>"))
        }
        Ok(Err(e)) => page(StatusCode::FORBIDDEN, "That did not work", &format!("<p>{}</p>", escape(&e.to_string()))),
        Err(e) => {
            page(StatusCode::INTERNAL_SERVER_ERROR, "That did not work", &format!("<p>{}</p>", escape(&e.to_string())))
        }
    }
}

pub(crate) fn cookie(headers: &HeaderMap) -> String {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';'));
    let mine = all.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == COOKIE);
    mine.map(|(_, value)| value.to_owned()).unwrap_or_default()
}

pub(crate) fn failed(e: &LoginError) -> Reply {
    let status = match e {
        LoginError::Fetch(_) => StatusCode::SERVICE_UNAVAILABLE,
        LoginError::Oidc(hearthgate_oidc::OidcError::NotAllowed(_)) => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    };
    tracing::info!(error = %e, "a login through the OpenID provider failed");
    let more = if status == StatusCode::SERVICE_UNAVAILABLE {
        "<p>Try again when the provider is back. Until then whoever runs hearthgate can let the device in with <code>hearthgate auth register</code>.</p>"
    } else {
        ""
    };
    page(status, "That did not work", &format!("<p>{}</p>{more}", escape(&e.to_string())))
}
