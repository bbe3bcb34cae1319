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
use jiff::{SignedDuration, Timestamp};
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
        unsaved: false,
        state,
        report,
        shown,
        fetch,
        auth_key: prefs.auth_key.clone(),
        prefs: serde_json::to_value(prefs).unwrap_or_default(),
        followup: None,
        registered: false,
        backoff: Backoff::default(),
        ahead: SignedDuration::ZERO,
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
    /// The node key is not on flash yet.
    unsaved: bool,
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
    /// How far the server's clock is ahead of ours.
    ahead: SignedDuration,
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
                self.accept(rotation);
                return Ok(());
            }
        }
    }

    /// We are in, with this key.
    fn accept(&mut self, rotation: Rotation) {
        if rotation.key.public() != self.identity.node.public() {
            self.identity.node = rotation.key;
            self.unsaved = true;
        }
        self.save_identity();
        let key = self.identity.node.clone();
        self.shown.send_modify(|view| {
            view.node_key = key;
            view.problem = None;
        });
        self.auth_key = None;
        self.registered = true;
    }

    /// Stores a new key. The server knows it already, and may not take another: with a full disk it is kept in memory, and
    /// tried again with each map.
    fn save_identity(&mut self) {
        if !self.unsaved {
            return;
        }
        match self.state.store_identity(&self.identity) {
            Ok(()) => self.unsaved = false,
            Err(error) => {
                tracing::error!(%error, "the new node key is not stored: after a restart somebody has to log in")
            }
        }
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
            let now = self.now();
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
                () = expiry(&netmap, now) => return Err(self.expired()),
            }
        }
    }

    /// Takes all messages that are whole.
    fn take(&mut self, frames: &mut Frames, netmap: &mut Netmap, session: &Session) -> Result<(), ControlError> {
        let (mut changed, mut heard) = (false, false);
        while let Some(message) = frames.next()? {
            heard = true;
            if let Some(at) = message.control_time.get() {
                self.ahead = at.duration_since(Timestamp::now());
            }
            if let Some(ping) = &message.ping_request {
                self.ping(ping, session);
            }
            changed |= netmap_changed(netmap, message)?;
        }
        if heard { self.heard(netmap, changed) } else { Ok(()) }
    }

    /// Something was heard; `changed` tells whether the map is another one by it.
    fn heard(&mut self, netmap: &Netmap, changed: bool) -> Result<(), ControlError> {
        // Who is out does not hurry to hear the same again.
        if changed && remaining(netmap, self.now()).is_some_and(|left| left.is_zero()) {
            return Err(self.expired());
        }
        if netmap.own.is_some() {
            self.backoff.succeeded();
        }
        if !changed {
            return Ok(());
        }
        self.save_identity();
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

    /// The time, as far as the server knows it: keys end by its clock, and a box without a battery has none.
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        now.checked_add(self.ahead).unwrap_or(now)
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
fn remaining(netmap: &Netmap, now: Timestamp) -> Option<Duration> {
    let at = netmap.own.as_ref()?.key_expiry.get()?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

async fn expiry(netmap: &Netmap, now: Timestamp) {
    match remaining(netmap, now) {
        Some(left) => sleep(left).await,
        None => pending().await,
    }
}

async fn limited<T>(work: impl Future<Output = Result<T, ControlError>>) -> Result<T, ControlError> {
    timeout(REQUEST, work).await.unwrap_or(Err(ControlError::Silent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_tailcfg::Node;
    use std::fs;

    fn task(state: &StateDir) -> (Task, watch::Receiver<View>) {
        let identity = state.identity().unwrap();
        let node_key = identity.node.clone();
        let view = View { phase: Phase::Starting, netmap: None, node_key, live: false, problem: None };
        let (shown, seen) = watch::channel(view);
        let hostinfo = requests::hostinfo(&Prefs::default(), "gw", &identity.log_id);
        let report = Report { hostinfo, disco: identity.disco.public(), endpoints: Vec::new() };
        let task = Task {
            server: Server::parse("http://192.0.2.1").unwrap(),
            identity,
            unsaved: false,
            state: state.clone(),
            report: watch::channel(report).1,
            shown,
            fetch: Arc::default(),
            auth_key: None,
            prefs: serde_json::Value::Null,
            followup: None,
            registered: false,
            backoff: Backoff::default(),
            ahead: SignedDuration::ZERO,
            saved: Some(Instant::now()),
            last_ping: String::new(),
            pings: Arc::new(Semaphore::new(PINGS_MAX)),
        };
        (task, seen)
    }

    #[tokio::test]
    async fn keys_end_by_the_servers_clock_and_who_is_out_does_not_hurry() {
        let folder = tempfile::tempdir().unwrap();
        let (mut task, seen) = task(&StateDir::open(folder.path()).unwrap());
        let hour = SignedDuration::from_hours(1);
        let end = Timestamp::now().checked_add(hour).unwrap();
        let own = Node { key_expiry: Some(end).into(), machine_authorized: true, ..Default::default() };
        let map = Netmap { own: Some(own), ..Default::default() };
        let waits = |task: &mut Task| (0..20).map(|_| task.backoff.failed(0)).last().unwrap();
        let before = waits(&mut task);
        // Our clock says that an hour is left, the server's that it has gone.
        task.ahead = hour * 2;
        assert!(task.heard(&map, true).is_err());
        assert_eq!(seen.borrow().phase, Phase::NeedsLogin(None));
        assert!(waits(&mut task) > before, "the next try waits longer");
        // Ours says that it has gone, and is wrong.
        task.ahead = -hour * 9;
        let ended = Timestamp::now().checked_sub(hour).unwrap();
        let own = Node { key_expiry: Some(ended).into(), machine_authorized: true, ..Default::default() };
        task.heard(&Netmap { own: Some(own), ..Default::default() }, true).unwrap();
        assert_eq!(seen.borrow().phase, Phase::Running);
        assert_eq!(waits(&mut task), before);
    }

    #[tokio::test]
    async fn a_new_key_that_cannot_be_stored_serves_and_is_stored_later() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let (mut task, seen) = task(&state);
        let old = task.identity.node.public();
        // Nothing can be put in the place of a folder.
        let file = folder.path().join("identity.json");
        fs::rename(&file, folder.path().join("aside")).unwrap();
        fs::create_dir(&file).unwrap();
        let key = NodePrivate::from_random([7; 32]);
        task.accept(Rotation { key: key.clone(), old: Some(old) });
        assert!(task.registered, "the server has taken the key");
        assert_eq!(seen.borrow().node_key.public(), key.public());
        fs::remove_dir(&file).unwrap();
        fs::rename(folder.path().join("aside"), &file).unwrap();
        assert_eq!(state.identity().unwrap().node.public(), old);
        task.save_identity();
        assert_eq!(state.identity().unwrap().node.public(), key.public());
    }
}
