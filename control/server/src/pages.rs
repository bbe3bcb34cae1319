//! The few pages of the control server itself: how to join, and what a waiting login needs.

use crate::{
    oidc_pages,
    reply::{Reply, html},
    state::App,
};
use hearthgate_core::AuthId;
use http::StatusCode;

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;color:#222;background:#fff}\
code,pre{background:#f2f0ec;padding:.15rem .35rem;border-radius:.25rem}pre{padding:.8rem;overflow-x:auto}\
@media(prefers-color-scheme:dark){body{color:#e8e6e1;background:#1b1a18}code,pre{background:#2a2825}}";

pub(crate) fn page(status: StatusCode, title: &str, body: &str) -> Reply {
    html(
        status,
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}</html>"
        ),
    )
}

/// Text as HTML.
pub(crate) fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

/// `/`: what this is.
pub fn home(app: &App) -> Reply {
    let url = escape(&app.control.current().settings.server_url);
    page(
        StatusCode::OK,
        "hearthgate",
        &format!(
            "<p>A control server for Tailscale clients. Join with</p><pre>tailscale up --login-server {url}</pre>"
        ),
    )
}

/// `/register/<id>`: what the person who ran `tailscale up` sees.
pub async fn register(app: &App, id: &str) -> Reply {
    let gone = || {
        page(
            StatusCode::NOT_FOUND,
            "This login is over",
            "<p>It was approved already, turned away, or is older than 15 minutes. Run <code>tailscale up</code> again for a new one.</p>",
        )
    };
    let Some(id) = AuthId::parse(id) else { return gone() };
    let asked = id.clone();
    let login = app.control.call(move |world, c| world.pending_login(&asked, c.now).cloned()).await;
    let Ok(Ok(login)) = login else { return gone() };
    if let Some(oidc) = &app.oidc {
        return oidc_pages::begin(app, oidc, &id).await;
    }
    let hostname = login.request.hostinfo.as_ref().map_or("unknown", |h| h.hostname.as_str());
    let system = login.request.hostinfo.as_ref().map_or("unknown", |h| h.os.as_str());
    let tags = login.request.hostinfo.as_ref().map(|h| h.request_tags.join(", ")).unwrap_or_default();
    let tags = if tags.is_empty() { String::new() } else { format!("<p>It asks for the tags {}.</p>", escape(&tags)) };
    page(
        StatusCode::OK,
        "A device wants to join",
        &format!(
            "<p>Name: <strong>{}</strong> ({}). Machine key <code>{}</code>.</p>{tags}<p>If this is your device, let it in on the machine that runs hearthgate, with your user name in place of NAME:</p><pre>hearthgate auth register --auth-id {id} --user NAME</pre><p>Turn it away with</p><pre>hearthgate auth reject --auth-id {id}</pre>",
            escape(hostname),
            escape(system),
            escape(&login.machine_key.short()),
        ),
    )
}

/// `/apple`: how an Apple device gets here.
pub fn apple(app: &App) -> Reply {
    let url = escape(&app.control.current().settings.server_url);
    let profiles: String = crate::apple::APPS
        .iter()
        .map(|(path, _, people)| format!("<li><a href=\"/apple/{path}\">{people}</a></li>"))
        .collect();
    page(
        StatusCode::OK,
        "Apple devices",
        &format!(
            "<p>Install Tailscale. Then let it know this server, in one of two ways:</p><h2>By a profile</h2><p>Open the one for your \
             device, install it in Settings (it is not signed, and Settings will say so), then open Tailscale and log in.</p>\
             <ul>{profiles}</ul><h2>By hand</h2><p>iPhone, iPad, Apple TV: in the app's settings choose the custom control server \
             (Accounts, then the menu with three dots) and enter</p><pre>{url}</pre><p>Mac, in a terminal:</p>\
             <pre>tailscale login --login-server {url}</pre>"
        ),
    )
}

/// `/windows`: how a Windows machine gets here.
pub fn windows(app: &App) -> Reply {
    let url = escape(&app.control.current().settings.server_url);
    page(
        StatusCode::OK,
        "Windows",
        &format!("<p>Install Tailscale, then in a terminal:</p><pre>tailscale login --login-server {url}</pre>"),
    )
}
