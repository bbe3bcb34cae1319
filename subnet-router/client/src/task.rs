//! The task: dials, registers, polls, tells, and begins anew when something fails.

use crate::{
    Backoff, ControlError, Frames, Identity, Netmap, Phase, Prefs, Report, StateDir, View, c2n,
    dial::Server,
    requests::{self, Registration},
    session::Session,
    state,
};
use hearthgate_fetch::Fetch;
use hearthgate_http::spawn;
use hearthgate_keys::{NodePrivate, NodePublic, Secret};
use hearthgate_tailcfg::{MapResponse, PingRequest};
use http_body_util::BodyExt;
use jiff::Timestamp;
use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// Silence after which a stream is given up; servers send keep-alives every minute.
const WATCHDOG: Duration = Duration::from_secs(120);
/// Longest time for a request, followed logins and streams apart.
const REQUEST: Duration = Duration::from_secs(20);
/// Least time between two writes of the map to flash.
const SAVE_EVERY: Duration = Duration::from_secs(3600);
/// Pings answered at one time.
const PINGS_MAX: usize = 4;
/// Status of a server that does not know our node.
const NOT_FOUND: u16 = 404;

/// A running control client; it stops when this is dropped.
#[derive(Debug)]
pub struct Control {
    view: watch::Receiver<View>,
    task: JoinHandle<()>,
}

impl Control {
    /// The state of things, now and when it changes.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<View> {
        self.view.clone()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts the client. `report` is what the server is to know of us; the newest value is sent. `fetch` makes the connections.
///
/// # Errors
/// The URL in `prefs` is no server's, or the keys cannot be read or made.
pub fn start(
    prefs: &Prefs,
    state: StateDir,
    report: watch::Receiver<Report>,
    fetch: Arc<Fetch>,
) -> Result<Control, ControlError> {
    let server = Server::parse(&prefs.login_server)?;
    let identity = state.identity()?;
    let netmap = state.netmap().filter(|map| map.own.as_ref().is_some_and(|own| own.key == identity.node.public()));
    let view = View {
        phase: Phase::Starting,
        netmap: netmap.map(Arc::new),
        node_key: identity.node.clone(),
        live: false,
        problem: None,
    };
    let saved = view.netmap.is_some().then(Instant::now);
    let (shown, view) = watch::channel(view);
    let task = Task {
        server,
        identity,
        state,
        report,
        shown,
        fetch,
        auth_key: prefs.auth_key.clone(),
        prefs: serde_json::to_value(prefs).unwrap_or_default(),
        followup: None,
        registered: false,
        backoff: Backoff::default(),
        saved,
        last_ping: String::new(),
        pings: Arc::new(Semaphore::new(PINGS_MAX)),
    };
    Ok(Control { view, task: spawn(task.run()) })
}

struct Task {
    server: Server,
    identity: Identity,
    state: StateDir,
    report: watch::Receiver<Report>,
    shown: watch::Sender<View>,
    fetch: Arc<Fetch>,
    /// Until it has served: a node that an administrator deleted must not come back by it.
    auth_key: Option<Secret>,
    prefs: serde_json::Value,
    /// Login that a person was asked to make, with the key it is for.
    followup: Option<(String, Rotation)>,
    registered: bool,
    backoff: Backoff,
    /// When the map was last known to be on flash.
    saved: Option<Instant>,
    last_ping: String,
    pings: Arc<Semaphore>,
}

/// A key that is not ours yet, and the one it replaces.
#[derive(Debug, Clone)]
struct Rotation {
    key: NodePrivate,
    old: Option<NodePublic>,
}

impl Task {
    async fn run(mut self) {
        loop {
            let Err(error) = self.once().await;
            let problem = Some(error.to_string());
            // A server may be away for days.
            if self.shown.borrow().problem != problem {
                tracing::info!(%error, "control connection");
            }
            self.shown.send_modify(|view| {
                view.live = false;
                view.problem = problem;
            });
            let asked = match &error {
                ControlError::Status { status: NOT_FOUND, .. } => {
                    // The server does not know us any more: a person has to let us in again.
                    self.registered = false;
                    None
                }
                ControlError::Status { retry_after, .. } => *retry_after,
                _ => None,
            };
            let mut random = [0; 4];
            // Without random numbers every wait is the shortest.
            let _ = getrandom::fill(&mut random);
            sleep(asked.unwrap_or_else(|| self.backoff.failed(u32::from_ne_bytes(random)))).await;
        }
    }

    async fn once(&mut self) -> Result<Infallible, ControlError> {
        let connection = self.server.connect(&self.fetch, &self.identity.machine).await?;
        let session = Session::begin(connection, &self.server).await?;
        if !self.registered {
            self.register(&session).await?;
        }
        self.update(&session).await?;
        self.poll(&session).await
    }

    /// Registers until we are a member: with the key we have, a new one if that has expired, a person's help if need be.
    async fn register(&mut self, session: &Session) -> Result<(), ControlError> {
        let mut renewed = false;
        let (mut followup, mut rotation) = match self.followup.take() {
            Some((url, rotation)) => (Some(url), rotation),
            None => (None, Rotation { key: self.identity.node.clone(), old: None }),
        };
        loop {
            let what = Registration {
                old_key: rotation.old,
                auth_key: self.auth_key.as_ref().filter(|_| followup.is_none()),
                followup: followup.as_deref(),
                logout: false,
            };
            let request = requests::register(rotation.key.public(), &self.report.borrow().clone(), what);
            // A person may take hours; kept in case the connection does not.
            self.followup = followup.clone().map(|url| (url, rotation.clone()));
            let answer = if followup.is_some() {
                session.register(&request).await?
            } else {
                limited(session.register(&request)).await?
            };
            if answer.node_key_expired {
                if renewed {
                    return Err(ControlError::KeyRefused);
                }
                renewed = true;
                let old = Some(rotation.key.public());
                rotation = Rotation { key: NodePrivate::from_random(state::random()?), old };
                followup = None;
            } else if !answer.auth_url.is_empty() {
                if followup.as_ref() == Some(&answer.auth_url) {
                    return Err(ControlError::Refused("the login is still open".into()));
                }
                tracing::info!(url = answer.auth_url, "a person has to log in");
                self.phase(Phase::NeedsLogin(Some(answer.auth_url.clone())));
                followup = Some(answer.auth_url);
            } else {
                self.followup = None;
                self.accept(rotation)?;
                return Ok(());
            }
        }
    }

    /// We are in, with this key.
    fn accept(&mut self, rotation: Rotation) -> Result<(), ControlError> {
        if rotation.key.public() != self.identity.node.public() {
            self.identity.node = rotation.key;
            self.state.store_identity(&self.identity)?;
        }
        let key = self.identity.node.clone();
        self.shown.send_modify(|view| {
            view.node_key = key;
            view.problem = None;
        });
        self.auth_key = None;
        self.registered = true;
        Ok(())
    }

    async fn update(&mut self, session: &Session) -> Result<(), ControlError> {
        let report = self.newest();
        limited(session.update(&requests::update(self.identity.node.public(), &report))).await
    }

    /// What the server is to know, which from now on counts as told: what changes while a request is under way is news
    /// again, and nothing else may mark it as seen.
    fn newest(&mut self) -> Report {
        self.report.borrow_and_update().clone()
    }

    async fn poll(&mut self, session: &Session) -> Result<Infallible, ControlError> {
        let request = requests::poll(self.identity.node.public(), &self.newest());
        let mut body = limited(session.poll(&request)).await?;
        let (mut frames, mut netmap) = (Frames::default(), Netmap::default());
        let mut open = true;
        loop {
            tokio::select! {
                frame = timeout(WATCHDOG, body.frame()) => {
                    let frame = frame.map_err(|_| ControlError::Silent)?;
                    let frame = frame.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::UnexpectedEof))??;
                    if let Some(bytes) = frame.data_ref() {
                        frames.push(bytes);
                    }
                    self.take(&mut frames, &mut netmap, session)?;
                }
                changed = self.report.changed(), if open => {
                    open = changed.is_ok();
                    self.update(session).await?;
                }
                () = expiry(&netmap) => return Err(self.expired()),
            }
        }
    }

    /// Takes all messages that are whole.
    fn take(&mut self, frames: &mut Frames, netmap: &mut Netmap, session: &Session) -> Result<(), ControlError> {
        let (mut changed, mut heard) = (false, false);
        while let Some(message) = frames.next()? {
            heard = true;
            if let Some(ping) = &message.ping_request {
                self.ping(ping, session);
            }
            changed |= netmap_changed(netmap, message)?;
        }
        if heard && netmap.own.is_some() {
            self.backoff.succeeded();
        }
        if !changed {
            return Ok(());
        }
        if remaining(netmap).is_some_and(|left| left.is_zero()) {
            return Err(self.expired());
        }
        let authorized = netmap.own.as_ref().is_some_and(|own| own.machine_authorized);
        self.save(netmap);
        self.shown.send_modify(|view| {
            view.phase = if authorized { Phase::Running } else { Phase::NeedsMachineAuth };
            view.netmap = Some(Arc::new(netmap.clone()));
            view.live = true;
            view.problem = None;
        });
        Ok(())
    }

    /// Our key has come to its end: out of the network until somebody logs in.
    fn expired(&mut self) -> ControlError {
        self.registered = false;
        self.phase(Phase::NeedsLogin(None));
        ControlError::Refused("the node key has expired".into())
    }

    fn phase(&self, phase: Phase) {
        self.shown.send_modify(|view| view.phase = phase);
    }

    fn save(&mut self, netmap: &Netmap) {
        if self.saved.is_some_and(|at| at.elapsed() < SAVE_EVERY) {
            return;
        }
        self.saved = Some(Instant::now());
        if let Err(error) = self.state.store_netmap(netmap) {
            tracing::warn!(%error, "the network map is not stored");
        }
    }

    /// Answers a ping in the background. The same one twice is answered once; beyond a few at once they are dropped.
    fn ping(&mut self, ping: &PingRequest, session: &Session) {
        if ping.url == self.last_ping || !ping.url_is_noise {
            return;
        }
        self.last_ping.clone_from(&ping.url);
        let body = match ping.types.as_str() {
            "" => None,
            "c2n" => {
                let view = self.shown.borrow();
                Some(c2n::answer(&ping.payload.0, c2n::Facts { problem: view.problem.as_deref(), prefs: &self.prefs }))
            }
            _ => return,
        };
        let Ok(permit) = self.pings.clone().try_acquire_owned() else { return };
        let (session, url) = (session.clone(), ping.url.clone());
        spawn(async move {
            if let Err(error) = limited(session.answer(&url, body)).await {
                tracing::debug!(%error, "answer to a ping");
            }
            drop(permit);
        });
    }
}

fn netmap_changed(netmap: &mut Netmap, message: MapResponse) -> Result<bool, ControlError> {
    let first = netmap.own.is_none();
    let changes = netmap.apply(message, Timestamp::now());
    match changes {
        Ok(changes) => Ok(changes.any() || first && netmap.own.is_some()),
        Err(error) => Err(error),
    }
}

/// Time to the end of our key; `None` if it has none.
fn remaining(netmap: &Netmap) -> Option<Duration> {
    let at = netmap.own.as_ref()?.key_expiry.get()?;
    Some(Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default())
}

async fn expiry(netmap: &Netmap) {
    match remaining(netmap) {
        Some(left) => sleep(left).await,
        None => pending().await,
    }
}

async fn limited<T>(work: impl Future<Output = Result<T, ControlError>>) -> Result<T, ControlError> {
    timeout(REQUEST, work).await.unwrap_or(Err(ControlError::Silent))
}
