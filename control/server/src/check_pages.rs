//! The pages of a person whose SSH session needs a check: who logs in where, and whether it is really them.
//!
//! With an OpenID provider the person logs in there and confirms; the session's device has to be theirs. Without one,
//! whoever runs hearthgate approves it on the command line.

use crate::{
    oidc::{Oidc, form},
    oidc_pages,
    pages::{escape, page},
    reply::{Reply, read_body},
    state::App,
};
use hearthgate_core::{AuthId, CoreError, PendingCheck};
use http::{Request, StatusCode};
use hyper::body::Incoming;

/// A waiting session and the names of its two devices.
struct Session {
    check: PendingCheck,
    from: String,
    to: String,
}

async fn session(app: &App, id: &AuthId) -> Option<Session> {
    let id = id.clone();
    let found = app.control.call(move |world, c| {
        let check = world.pending_check(&id, c.now)?.clone();
        let name = |node| world.node(node).map(|n| n.given_name.clone());
        Ok::<_, CoreError>(Session { from: name(check.from)?, to: name(check.to)?, check })
    });
    found.await.ok()?.ok()
}

fn over() -> Reply {
    page(
        StatusCode::NOT_FOUND,
        "This check is over",
        "<p>It was approved already, turned down, or is older than 15 minutes. Log in again for a new one.</p>",
    )
}

impl Session {
    fn described(&self) -> String {
        format!(
            "<p><strong>{}</strong> wants to log in at <strong>{}</strong> as <code>{}</code>.</p>",
            escape(&self.from),
            escape(&self.to),
            escape(&self.check.login)
        )
    }
}

/// `/ssh-check/<id>`: what the person sees who follows the link in their terminal.
pub async fn show(app: &App, id: &str) -> Reply {
    let Some(id) = AuthId::parse(id) else { return over() };
    let Some(session) = session(app, &id).await else { return over() };
    if let Some(oidc) = &app.oidc {
        return oidc_pages::begin(app, oidc, &id).await;
    }
    page(
        StatusCode::OK,
        "An SSH login needs a check",
        &format!(
            "{}<p>If that is you, let it happen on the machine that runs hearthgate:</p>\
             <pre>hearthgate auth approve --auth-id {id}</pre><p>Turn it down with</p>\
             <pre>hearthgate auth reject --auth-id {id}</pre>",
            session.described()
        ),
    )
}

/// The person is back from the provider: is it really their session? `None` when none waits.
pub async fn ask(app: &App, id: &AuthId, name: &str, word: &str) -> Option<Reply> {
    let session = session(app, id).await?;
    Some(page(
        StatusCode::OK,
        "Is this your SSH login?",
        &format!(
            "<p>You are <strong>{}</strong>.</p>{}<p>If you did not just begin this session yourself, close this page.</p>\
             <form method=post action=\"/ssh-check/confirm/{id}\"><input type=hidden name=word value=\"{word}\">\
             <button>Yes, that is me</button></form>",
            escape(name),
            session.described()
        ),
    ))
}

/// `/ssh-check/confirm/<id>`: the person says that the session is theirs.
pub async fn confirm(app: &App, oidc: &Oidc, id: &str, req: Request<Incoming>) -> Reply {
    let Some(id) = AuthId::parse(id) else { return over() };
    let cookie = oidc_pages::cookie(req.headers());
    let body = match read_body(req, oidc_pages::FORM_MAX).await {
        Ok(body) => body,
        Err(reply) => return *reply,
    };
    let word = form(&String::from_utf8_lossy(&body), "word").unwrap_or_default();
    let confirmed = match oidc.confirm(&id, &word, &cookie) {
        Ok(confirmed) => confirmed,
        Err(e) => return oidc_pages::failed(&e),
    };
    let done = app.control.call(move |world, c| {
        let user = world.provider_login(confirmed.who, c.now)?.id;
        world.approve_own_check(&id, user, c.now)
    });
    match done.await {
        Ok(Ok(())) => page(StatusCode::OK, "Approved", "<p>Your session goes on. You can close this page.</p>"),
        Ok(Err(e)) => page(StatusCode::FORBIDDEN, "That did not work", &format!("<p>{}</p>", escape(&e.to_string()))),
        Err(e) => {
            page(StatusCode::INTERNAL_SERVER_ERROR, "That did not work", &format!("<p>{}</p>", escape(&e.to_string())))
        }
    }
}
