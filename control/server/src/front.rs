//! The box's side of a front: the pairing it keeps, the tunnel's task, clients that come through it, and what of the
//! front goes into the DERP map.
//!
//! What comes through a front is never local: no pages, no metrics, nobody's word about other addresses
//! ([`Origin::Front`]).

use crate::{
    Options,
    derp_map::FrontRegion,
    http_api::Origin,
    listener::serve_http,
    reply::{Reply, json},
    state::App,
};
use hearthgate_core::host_of;
use hearthgate_derp::identity::{IdentityError, load_or_make, write_private};
use hearthgate_front::{
    CannotTry, Home, Line, LineError, Passed, Seen, State, Status, View, keep,
    messages::{Outcome, Wish},
};
use hearthgate_http::spawn;
use hearthgate_keys::{MachinePrivate, NodePublic};
use hearthgate_read::{json, struct_of};
use hearthgate_web::{
    front::{Front, Tunnel},
    outside::{Answer, Outside},
};
use http::{Method, StatusCode};
use serde_json::Value;
use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    task::AbortHandle,
    time::{sleep, timeout},
};

/// File of the pairing line.
const LINE_FILE: &str = "front_pairing";
/// File of the key that this box shows to fronts.
pub(crate) const KEY_FILE: &str = "front_client_private.key";

/// How long a test from outside may take: the front pauses between two, and gives up after ten seconds.
const TEST_WITHIN: Duration = Duration::from_secs(30);
/// How often is looked whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why a front was not taken, or does not do what it is asked; for the person who pasted its line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrontError {
    /// The text.
    #[error(transparent)]
    Line(#[from] LineError),
    /// Plain http.
    #[error(
        "a front passes on encrypted connections only, and server_url is {0}: set server_url to https:// and a name that \
        leads to the front, with a certificate for it (tls_letsencrypt_hostname with \
        tls_letsencrypt_challenge_type = \"TLS-ALPN-01\")"
    )]
    Plain(String),
    /// The configuration has one.
    #[error("the configuration names a front (front.pairing): change it there")]
    Configured,
    /// A file.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There is none.
    #[error("this box has no front: pair one first")]
    Nobody,
    /// It cannot look from outside.
    #[error(transparent)]
    Try(#[from] CannotTry),
    /// It did not tell what it saw.
    #[error("the front did not say within {} seconds what it saw: try again", TEST_WITHIN.as_secs())]
    Silent,
    /// The file could not be removed.
    #[error("removing the pairing: {0}")]
    Io(#[from] io::Error),
}

/// The front of this box, if it has one.
#[derive(Default)]
pub struct Fronts {
    door: OnceLock<hearthgate_derp::Front>,
    now: Mutex<Option<Running>>,
    /// UDP port of this box's STUN; 0 for none.
    stun: AtomicU16,
}

struct Running {
    line: Line,
    configured: bool,
    status: Arc<Status>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fronts {
    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the tunnel.
    pub(crate) fn stop(&self) {
        self.lock().take();
    }

    /// How the tunnel is, if there is to be one.
    pub(crate) fn view(&self) -> Option<hearthgate_front::View> {
        self.lock().as_ref().map(|r| r.status.view())
    }
}

/// Starts with the front of the configuration, or else with the one that was paired. `door` takes its clients.
pub(crate) fn start(app: &App, options: &Options, door: hearthgate_derp::Front) -> Result<(), FrontError> {
    // Set once: a server starts once.
    let _ = app.fronts.door.set(door);
    configure(app, options)
}

/// Takes what the configuration, or a pairing before, says now.
pub(crate) fn configure(app: &App, options: &Options) -> Result<(), FrontError> {
    app.fronts.stun.store(options.derp.stun_listen.map_or(0, |a| a.port()), Relaxed);
    let stored = || fs::read_to_string(app.state_dir.join(LINE_FILE)).ok();
    let text = options.front.clone().map(|line| (line, true)).or_else(|| stored().map(|line| (line, false)));
    let Some((text, configured)) = text else {
        app.fronts.stop();
        publish(app, None);
        return Ok(());
    };
    run(app, text.parse()?, configured)
}

fn run(app: &App, line: Line, configured: bool) -> Result<(), FrontError> {
    let url = app.control.current().settings.server_url.clone();
    if !url.starts_with("https://") {
        app.fronts.stop();
        return Err(FrontError::Plain(url));
    }
    if app.fronts.lock().as_ref().is_some_and(|r| r.line == line) {
        return Ok(());
    }
    let key = load_or_make(&app.state_dir.join(KEY_FILE), MachinePrivate::parse, |random| {
        MachinePrivate::from_random(random).reveal()
    })?;
    let status = Arc::new(Status::new(&line.address));
    let task = spawn(keep(line.clone(), key, Arc::new(AtHome(app.clone())), status.clone())).abort_handle();
    *app.fronts.lock() = Some(Running { line, configured, status, task });
    Ok(())
}

/// Puts the front's relay and STUN into the DERP map, or takes them out.
fn publish(app: &App, front: Option<FrontRegion>) {
    if let Some(map) = app.derp_maps.with_front(front) {
        app.control.cast(move |world, _| world.set_derp_map(map));
    }
}

/// What the tunnel asks of the server.
struct AtHome(App);

impl Home for AtHome {
    fn host(&self) -> String {
        host_of(&self.0.control.current().settings.server_url).to_owned()
    }

    fn take(&self, stream: Passed, source: SocketAddr) {
        let Some(door) = self.0.fronts.door.get().cloned() else { return };
        let app = self.0.clone();
        spawn(door.pass(Box::new(stream), source, move |stream, source| {
            serve_http(app.clone(), stream, Origin::Front(source.ip().to_canonical()), true)
        }));
    }

    fn may_relay(&self, node: &NodePublic) -> bool {
        self.0.control.current().node_by_key(node).is_some()
    }

    fn welcomed(&self) {
        let running = self.0.fronts.lock();
        let Some(Running { line, status, .. }) = running.as_ref() else { return };
        let view = status.view();
        let welcome = view.welcome.unwrap_or_default();
        let pick = |v4: bool| view.addresses.iter().find(|ip| ip.to_canonical().is_ipv4() == v4).map(IpAddr::to_string);
        let region = FrontRegion {
            ipv4: pick(true),
            ipv6: pick(false),
            port: line.host_and_port().1,
            stun_port: welcome.stun_port,
            relay: welcome.relay.map(|r| (r.host_name, r.pin)),
        };
        drop(running);
        publish(&self.0, Some(region));
    }
}

/// Body of a pairing.
#[derive(Default)]
struct Pairing {
    pairing: String,
}
struct_of!(Pairing;
must {}
may { pairing: "pairing" }
not {});

/// `/api/v1/front`: GET tells how it is, POST pairs, DELETE forgets.
pub(crate) fn api(app: &App, actor: String, method: &Method, body: &[u8]) -> Reply {
    let done = match *method {
        Method::GET => return json(&tell(app)),
        Method::POST => {
            let line = serde_json::from_slice::<Pairing>(body).map(|p| p.pairing).unwrap_or_default();
            change(app, &actor, Some(&line))
        }
        Method::DELETE => change(app, &actor, None),
        _ => return crate::api_schema::not_this_method(http::HeaderValue::from_static("DELETE, GET, POST")),
    };
    match done {
        Ok(()) => json(&tell(app)),
        Err(e @ (FrontError::Identity(_) | FrontError::Io(_))) => {
            crate::api_v1::problem(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string())
        }
        Err(e) => crate::api_v1::problem(StatusCode::BAD_REQUEST, &e.to_string()),
    }
}

/// Pairs with the front of a line, or leaves it, and notes who did.
pub(crate) fn change(app: &App, actor: &str, line: Option<&str>) -> Result<(), FrontError> {
    let before = app.fronts.view();
    let what = match line {
        Some(line) => pair(app, line).map(|()| "paired a front")?,
        None => forget(app).map(|()| "left its front")?,
    };
    let address = app.fronts.view().or(before).map(|v| v.address).unwrap_or_default();
    let actor = actor.to_owned();
    app.control.cast(move |world, c| world.audit(&actor, what, &address, c.now));
    Ok(())
}

/// Has the front try whether it reaches this box from outside; what it saw is in [`seen`] then.
pub(crate) async fn test(app: &App) -> Result<(), FrontError> {
    let status = app.fronts.lock().as_ref().map(|r| r.status.clone()).ok_or(FrontError::Nobody)?;
    let tcp_port = port_of(&app.control.current().settings.server_url);
    let when = |status: &Status| status.view().seen.map(|s| s.at);
    let before = when(&status);
    status.want(Wish { tcp_port, stun_port: app.fronts.stun.load(Relaxed) })?;
    let told = timeout(TEST_WITHIN, async {
        while when(&status) == before {
            sleep(LOOK_EVERY).await;
        }
    });
    told.await.map_err(|_| FrontError::Silent)
}

/// `POST /api/v1/front/test`.
pub(crate) async fn api_test(app: &App) -> Reply {
    match test(app).await {
        Ok(()) => json(&tell(app)),
        Err(e) => crate::api_v1::problem(StatusCode::CONFLICT, &e.to_string()),
    }
}

/// Port of a URL that clients use; it is an `https://` one wherever there is a front.
fn port_of(url: &str) -> u16 {
    url.parse::<http::Uri>().ok().and_then(|u| u.port_u16()).unwrap_or(443)
}

/// What the front saw, as the pages say it.
fn outside(app: &App, view: &View) -> Option<Outside> {
    let Seen { reached, at } = view.seen.as_ref()?;
    let answer = |outcome| match outcome {
        Outcome::Answered => Answer::Here,
        Outcome::Strange => Answer::Other,
        Outcome::Silent | Outcome::Refused | Outcome::Skipped => Answer::Nobody,
    };
    let ours = reached.key == app.noise_key.public().to_string();
    Some(Outside {
        address: reached.address,
        public: reached.public,
        port: reached.tcp_port,
        server: if reached.tcp == Outcome::Answered && !ours { Answer::Other } else { answer(reached.tcp) },
        stun_port: reached.stun_port,
        stun: (reached.stun != Outcome::Skipped).then(|| answer(reached.stun)),
        ago_s: at.elapsed().as_secs(),
    })
}

/// What the pages show of it.
pub(crate) fn seen(app: &App) -> Front {
    let https = app.control.current().settings.server_url.starts_with("https://");
    let running = app.fronts.lock();
    let Some(running) = running.as_ref() else { return Front { https, ..Front::default() } };
    let view = running.status.view();
    let outside = outside(app, &view);
    let tunnel = match view.state {
        State::Connecting => Tunnel::Connecting,
        State::Connected => Tunnel::Connected(view.open, view.passed),
        State::Refused(why) => Tunnel::Refused(why),
        State::Failed(why) => Tunnel::Failed(why),
    };
    Front { tunnel: Some((view.address, tunnel)), configured: running.configured, https, outside }
}

/// Pairs with the front of this line, and keeps it for the next start.
fn pair(app: &App, text: &str) -> Result<(), FrontError> {
    let line: Line = text.parse()?;
    if app.fronts.lock().as_ref().is_some_and(|r| r.configured) {
        return Err(FrontError::Configured);
    }
    run(app, line.clone(), false)?;
    Ok(write_private(&app.state_dir.join(LINE_FILE), &line.reveal())?)
}

/// Leaves the front.
fn forget(app: &App) -> Result<(), FrontError> {
    if app.fronts.lock().as_ref().is_some_and(|r| r.configured) {
        return Err(FrontError::Configured);
    }
    remove(&app.state_dir.join(LINE_FILE))?;
    app.fronts.stop();
    publish(app, None);
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn tell(app: &App) -> Value {
    let Some(view) = app.fronts.view() else { return json!({ "state": "none" }) };
    let (state, why) = match &view.state {
        State::Connecting => ("connecting", ""),
        State::Connected => ("connected", ""),
        State::Refused(why) => ("refused", why.as_str()),
        State::Failed(why) => ("failed", why.as_str()),
    };
    let outside = outside(app, &view).zip(view.seen.as_ref()).map(|(o, seen)| {
        json!({
            "reachable": o.reachable(),
            "address": o.address.to_canonical(),
            "port": o.port,
            "tcp": seen.reached.tcp.name(),
            "ours": o.server == Answer::Here,
            "stunPort": o.stun_port,
            "stun": seen.reached.stun.name(),
            "secondsAgo": o.ago_s,
            "findings": o.findings().iter().map(|f| format!("{} {}", f.what, f.remedy)).collect::<Vec<_>>(),
        })
    });
    let mut told = json!({
        "address": view.address,
        "state": state,
        "why": why,
        "relay": view.welcome.is_some_and(|w| w.relay.is_some()),
        "open": view.open,
        "passed": view.passed,
    });
    let visit = app.visits.last(&app.control.current());
    let visit = visit.map(|v| json!({ "name": v.name, "secondsAgo": v.ago_s }));
    if let Some(all) = told.as_object_mut() {
        all.extend(outside.map(|o| ("outside".to_owned(), o)));
        all.extend(visit.map(|v| ("visit".to_owned(), v)));
    }
    told
}
