//! A request as the pages need it: path, form, cookie, and who is logged in.

use super::{Admin, lock};
use crate::{
    listener::OverTls,
    reply::{Reply, read_body, text, typed},
    restore::length_of,
    state::App,
    writer::Unavailable,
};
use hearthgate_core::{Now, World};
use hearthgate_web::{
    account,
    gate::Asked,
    page::Viewer,
    passkey::{NotOffered, Site},
};
use http::{HeaderMap, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use std::net::IpAddr;

/// Name of the cookie.
pub(super) const COOKIE: &str = "hearthgate_session";
/// Name of the cookie by which a browser is known between the question for a passkey and its answer.
pub(super) const ASKED: &str = "hearthgate_asked";
/// Largest form: a policy is the largest thing that is typed.
const FORM_MAX: usize = 512 * 1024;
/// Largest form of somebody who is not logged in: a passkey's answer is the largest thing there.
const STRANGERS_FORM_MAX: usize = 32 * 1024;
/// Longest form of theirs that needs none of a few places: names and passwords are shorter.
const STRANGERS_SHORT: u64 = 4 * 1024;
/// Most fields of a form.
const FIELDS_MAX: usize = 2048;
/// Headers that a proxy adds.
const PROXY_HEADERS: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];

/// Fields of a form.
#[derive(Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn read(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).take(FIELDS_MAX).map(|(k, v)| (k.into_owned(), v.into_owned())).collect())
    }

    /// The field, or nothing.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v.as_str())
    }

    /// All fields of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == name).map(|(_, v)| v.as_str())
    }
}

/// One request.
pub(super) struct Page {
    pub(super) method: Method,
    /// Below `/admin/`.
    pub(super) path: String,
    pub(super) form: Form,
    pub(super) query: Form,
    pub(super) ip: IpAddr,
    pub(super) cookie: Option<String>,
    /// Cookie of a browser that was asked for a passkey.
    pub(super) asked: Option<String>,
    /// Where the pages are seen, if there can be passkeys.
    pub(super) site: Result<Site, NotOffered>,
}

/// What the gate looks at.
pub(super) fn asked(req: &Request<Incoming>) -> Asked<'_> {
    let header = |name: &str| req.headers().get(name).and_then(|v| v.to_str().ok());
    Asked {
        host: header("host").unwrap_or_default(),
        origin: header("origin"),
        fetch_site: header("sec-fetch-site"),
        proxied: PROXY_HEADERS.iter().any(|h| req.headers().contains_key(*h)),
        own: false,
        changes: req.method() != Method::GET && req.method() != Method::HEAD,
    }
}

/// Reads a request.
pub(super) async fn take(app: &App, ip: IpAddr, path: String, req: Request<Incoming>) -> Result<Page, Box<Reply>> {
    let method = req.method().clone();
    let (cookie, asked) = (cookie(req.headers()), cookie_named(req.headers(), ASKED));
    let host = req.headers().get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let site = Site::of(host, req.extensions().get::<OverTls>().is_some());
    let query = Form::read(req.uri().query().unwrap_or_default().as_bytes());
    let form = if method == Method::POST {
        let known = cookie.as_deref().is_some_and(|c| lock(&app.admin.sessions).find(c, app.admin.now_ms()).is_some());
        let long = length_of(&req).is_none_or(|length| length > STRANGERS_SHORT);
        let _place = match (!known && long).then(|| app.admin.strangers.try_acquire()) {
            Some(Err(_)) => {
                let busy = "too many people who are not logged in send large forms: try again in a minute";
                return Err(Box::new(text(StatusCode::SERVICE_UNAVAILABLE, busy)));
            }
            place => place,
        };
        let body = read_body(req, if known { FORM_MAX } else { STRANGERS_FORM_MAX }).await?;
        Form::read(&body)
    } else {
        Form::default()
    };
    Ok(Page { method, path, form, query, ip, cookie, asked, site })
}

/// The session's cookie.
pub(super) fn cookie(headers: &HeaderMap) -> Option<String> {
    cookie_named(headers, COOKIE)
}

fn cookie_named(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    let mut pairs = all.flat_map(|v| v.split(';')).filter_map(|p| p.trim().split_once('='));
    pairs.find(|(k, _)| *k == name).map(|(_, v)| v.to_owned())
}

/// The world as it is now. Cloning it is cheap, and pages are made outside the writer.
pub(super) async fn look(app: &App) -> Result<(World, Now), Unavailable> {
    app.control.call(|world, c| (world.clone(), c.now)).await
}

/// Who is logged in. Takes the sentence that waits for the next page.
pub(super) fn viewer(admin: &Admin, world: &World, cookie: Option<&str>, take_notice: bool) -> Option<Viewer> {
    let mut sessions = lock(&admin.sessions);
    let session = sessions.find(cookie?, admin.now_ms())?;
    // An account that was removed or changed since counts as it is now.
    let account = account::find(world, &session.account)?;
    let notice = if take_notice { session.notice.take() } else { None };
    Some(Viewer { name: account.name, role: account.role, user: account.user, csrf: session.csrf.clone(), notice })
}

/// A page as an answer.
pub(super) fn html(status: StatusCode, page: String) -> Reply {
    typed(status, "text/html; charset=utf-8", page)
}

/// The store failed.
pub(super) fn unavailable(e: Unavailable) -> Reply {
    text(StatusCode::SERVICE_UNAVAILABLE, &e.to_string())
}
