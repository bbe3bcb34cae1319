//! The pages on the LAN: from a request to a page of `hearthgate-web`, and from a form to a call of the API.
//!
//! Forms do what the API does, through the same function, so that both refuse the same things and leave the same
//! entries in the audit log. Every change answers with a redirect (303), so that reloading repeats nothing.

mod action;
mod enter;
mod live;
mod passkey;
mod policy;
mod request;
mod restore;
mod see;
mod settings;
mod tools;
mod upgrade;
mod upload;

use crate::{
    http_api::Origin,
    interfaces,
    options::AdminOptions,
    reply::{Reply, json, text, typed},
    state::App,
    writer::fill_random,
};
use hearthgate_core::World;
use hearthgate_keys::Secret;
use hearthgate_read::json;
use hearthgate_web::{
    Sessions, account, asset, claim,
    gate::{Asked, Refusal},
    opening::{Opening, opening},
    page,
    passkey::Challenges,
    reach::Finding,
    throttle::Throttle,
};
use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// Live streams at once.
const STREAMS_MAX: usize = 16;
/// Long forms of strangers that are read at once.
const STRANGERS_FORMS: usize = 8;
/// How long this machine's addresses are believed.
const ADDRESSES_KEPT: Duration = Duration::from_secs(10);

/// What the pages keep in memory.
pub struct Admin {
    options: AdminOptions,
    sessions: Mutex<Sessions>,
    challenges: Mutex<Challenges>,
    throttle: Mutex<Throttle>,
    code: Mutex<Option<Secret>>,
    /// One password hash at a time: each takes megabytes.
    hashing: Semaphore,
    streams: Semaphore,
    /// Long forms of people who are not logged in. Who is logged in needs no place, so strangers can take none from them.
    strangers: Semaphore,
    clock: Instant,
    /// Addresses of this machine, and when they were looked at.
    addresses: Mutex<Option<(Instant, Vec<IpAddr>)>>,
    listen: OnceLock<SocketAddr>,
}

impl Admin {
    /// Sets the pages up; an unclaimed box gets a setup code.
    pub fn new(options: AdminOptions, world: &World) -> Self {
        let code = (options.enabled && !account::claimed(world)).then(fresh_code);
        Self {
            options,
            sessions: Mutex::default(),
            challenges: Mutex::default(),
            throttle: Mutex::default(),
            code: Mutex::new(code),
            hashing: Semaphore::new(1),
            streams: Semaphore::new(STREAMS_MAX),
            strangers: Semaphore::new(STRANGERS_FORMS),
            clock: Instant::now(),
            addresses: Mutex::default(),
            listen: OnceLock::new(),
        }
    }

    /// The code that claims the pages, while nobody has.
    pub fn setup_code(&self) -> Option<Secret> {
        lock(&self.code).clone()
    }

    /// Tells where the server listens; once.
    pub fn listens_on(&self, listen: SocketAddr) {
        // It does not change while the server runs.
        let _ = self.listen.set(listen);
    }

    /// Where somebody opens the pages.
    pub fn opening(&self, server_url: &str) -> Opening {
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        opening(server_url, self.listen.get().copied().unwrap_or(any), &self.options.gate, &interfaces::lan_addresses())
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A panic while the lock was held leaves the tables whole: they are changed in single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fresh_code() -> Secret {
    claim::new_code(&mut |out: &mut [u8]| fill_random(out))
}

/// Answers a request for the pages.
pub async fn handle(app: App, origin: Origin, req: Request<Incoming>) -> Reply {
    let Origin::Network(ip) = origin else { return text(StatusCode::NOT_FOUND, "not found") };
    if let Err(refusal) = check(&app, ip, &req) {
        return harden(text(StatusCode::FORBIDDEN, &refusal.map_or_else(|| "not found".to_owned(), |r| r.to_string())));
    }
    let path = req.uri().path().trim_start_matches("/admin").trim_matches('/').to_owned();
    if let Some(asset) = asset::ASSETS.iter().find(|a| a.path == path) {
        let mut reply = typed(StatusCode::OK, asset.media, asset.body);
        reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
        return harden(reply);
    }
    match (req.method(), path.as_str()) {
        (&Method::POST, "upgrade") => return harden(upgrade::receive(&app, req).await),
        (&Method::POST, "restore") => return harden(restore::receive(&app, req).await),
        _ => {}
    }
    let request = match request::take(&app, ip, path, req).await {
        Ok(request) => request,
        Err(reply) => return harden(*reply),
    };
    let reply = match (request.method.clone(), request.path.as_str()) {
        (Method::GET | Method::HEAD, "login") => enter::login_page(&app, &request).await,
        (Method::POST, "login") => enter::login(&app, &request).await,
        (Method::POST, "login/ask") => passkey::ask_login(&app, &request).await,
        (Method::POST, "login/passkey") => passkey::login(&app, &request).await,
        (Method::POST, "claim") => enter::claim(&app, &request).await,
        (Method::GET | Method::HEAD, "live") => live::stream(&app, &request).await,
        (Method::GET | Method::HEAD, _) => see::page(&app, &request).await,
        (Method::POST, _) => action::act(&app, &request).await,
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "GET or POST"),
    };
    harden(reply)
}

/// Whether the pages would be shown to the one who asks.
pub fn shown_to(app: &App, origin: Origin, req: &Request<Incoming>) -> bool {
    matches!(origin, Origin::Network(ip) if check(app, ip, req).is_ok())
}

/// `Err(None)`: there are no pages here.
fn check(app: &App, ip: IpAddr, req: &Request<Incoming>) -> Result<(), Option<Refusal>> {
    let options = &app.admin.options;
    if !options.enabled {
        return Err(None);
    }
    let asked = request::asked(req);
    // Only who would be refused costs a look at the interfaces.
    let own = !options.gate.admits(ip) && own_addresses(&app.admin).contains(&ip);
    options.gate.check(ip, &Asked { own, ..asked }).map_err(Some)
}

/// What the console of the box may ask: the setup code, or a new one in place of a lost password.
pub async fn console(app: &App, method: &Method, what: &str) -> Reply {
    if !app.admin.options.enabled {
        return crate::api_v1::problem(StatusCode::CONFLICT, "the pages are switched off: set admin.enabled = true");
    }
    match (method.as_str(), what) {
        ("GET", "setup-code") => {}
        ("POST", "reset-password") => {
            let reset = app.control.call(|world, c| account::reset_owners(world, c.now)).await;
            if let Err(e) = reset {
                return crate::api_v1::problem(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string());
            }
            lock(&app.admin.sessions).clear();
            *lock(&app.admin.code) = Some(fresh_code());
        }
        _ => return crate::api_v1::problem(StatusCode::NOT_FOUND, "there is no such endpoint"),
    }
    let code = app.admin.setup_code();
    let at = app.admin.opening(&app.control.current().settings.server_url);
    json(&json!({
        "url": at.url, "tunnel": at.tunnel, "code": code.as_ref().map(Secret::reveal), "claimed": code.is_none(),
    }))
}

/// `/join`: what a device's person has to do.
pub fn join_help(app: &App) -> Reply {
    harden(request::html(StatusCode::OK, page::join::help(&app.control.current().settings.server_url)))
}

/// A redirect that makes the browser ask with GET.
pub fn see_other(to: &str) -> Reply {
    let mut reply = text(StatusCode::SEE_OTHER, "");
    if let Ok(to) = HeaderValue::from_str(to) {
        reply.headers_mut().insert(header::LOCATION, to);
    }
    reply
}

/// Headers of every answer here.
fn harden(mut reply: Reply) -> Reply {
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(asset::CSP));
    // With no-referrer browsers send "Origin: null" with our own forms.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    reply
}

/// What this box can see of how the world reaches it.
fn reach(app: &App, world: &World) -> Vec<Finding> {
    let own = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => {
            world.settings().prefix_v4.is_some_and(|p| p.contains(v4)) && world.nodes().any(|n| n.ipv4 == Some(*v4))
        }
        IpAddr::V6(v6) => world.settings().prefix_v6.is_some_and(|p| p.contains(v6)),
    };
    let addresses: Vec<IpAddr> = interfaces::addresses().into_iter().filter(|ip| !own(ip)).collect();
    let dyndns = crate::dyndns::seen(app, world);
    // A name that was not told leads somewhere else.
    let name = dyndns.as_ref().filter(|d| d.why.is_empty() && !d.told.is_empty()).map(|d| d.name.as_str());
    let mut found = hearthgate_web::reach::findings(&world.settings().server_url, &addresses, name);
    let front = front(app);
    let mut evidence: Vec<Finding> = front.iter().filter_map(hearthgate_web::front::Front::finding).collect();
    evidence.extend(front.and_then(|f| f.outside).iter().flat_map(hearthgate_web::outside::Outside::findings));
    evidence.extend(crate::portmap::seen(app).findings(&world.settings().server_url));
    evidence.extend(dyndns.map(|d| d.finding()));
    evidence.extend(app.visits.last(&app.control.current()).map(|v| v.finding()));
    found.splice(1..1, evidence);
    found
}

/// The front, in builds that can have one.
#[cfg(feature = "front")]
fn front(app: &App) -> Option<hearthgate_web::front::Front> {
    Some(crate::front::seen(app))
}

#[cfg(not(feature = "front"))]
fn front(_app: &App) -> Option<hearthgate_web::front::Front> {
    None
}

/// Addresses of this machine, looked at again after a while: strangers' requests ask for them too.
pub(crate) fn own_addresses(admin: &Admin) -> Vec<IpAddr> {
    let mut kept = lock(&admin.addresses);
    if let Some((_, all)) = kept.as_ref().filter(|(at, _)| at.elapsed() < ADDRESSES_KEPT) {
        return all.clone();
    }
    let all = interfaces::addresses();
    *kept = Some((Instant::now(), all.clone()));
    all
}
