//! A name that follows the public addresses of this box: looks for them, and tells the service when they change. What
//! there is to decide is `hearthgate-dyndns`'s.
//!
//! Settings come from the configuration, or else from the pages and the API; those, and what was told, are records of
//! the world, so that they are durable and in backups. The store's files are for their owner only (0600).

mod api;
mod learn;
mod send;
#[cfg(test)]
mod tests;

pub(crate) use api::{api, before, set_and_try, update};
pub(crate) use learn::by_stun;

use crate::{state::App, writer::Unavailable};
use hearthgate_core::{CoreError, World, host_of};
use hearthgate_dyndns::{Addresses, Settings, State, Steady, Step, Verdict};
use hearthgate_fetch::Fetch;
use jiff::Timestamp;
use learn::Learner;
use portable_atomic::{AtomicBool, Ordering::Relaxed};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::Notify, time::timeout};

const SETTINGS: &str = "dyndns/settings";
const STATE: &str = "dyndns/state";
/// How often addresses are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// Longest time for one update.
const UPDATE_WITHIN: Duration = Duration::from_secs(60);
/// Largest answer of a service that is read.
const ANSWER_MAX: usize = 16 * 1024;

/// Why a name was not set or not updated. No secret is in the texts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DyndnsError {
    /// There is none.
    #[error("this box has no dynamic name: set one first")]
    Nobody,
    /// It stands in the configuration.
    #[error("the configuration sets the dynamic name ([dyndns]): change it there")]
    Configured,
    /// The settings.
    #[error(transparent)]
    Mistake(#[from] hearthgate_dyndns::Mistake),
    /// No public address is known.
    #[error(
        "no public address that can be told is known yet: see what stands under \"How the world reaches this box\""
    )]
    Unknown,
    /// Too soon after the last try.
    #[error("wait {0} seconds: services block who asks too often")]
    Soon(u64),
    /// The service said no, or did not answer.
    #[error("{0}")]
    Failed(String),
    /// The store.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The record.
    #[error(transparent)]
    Core(#[from] CoreError),
}

/// The dynamic name of this box, if it has one.
pub struct Dyndns {
    configured: Mutex<Option<Settings>>,
    seen: Mutex<Addresses>,
    /// IPv6 has been away for so long that it is gone.
    lost_v6: AtomicBool,
    /// How the last try went, stored or not: a full disk is no reason to repeat it.
    newest: Mutex<Option<Kept>>,
    learner: Learner,
    wake: Notify,
    /// One update at a time.
    turn: tokio::sync::Mutex<()>,
    fetch: Fetch,
}

impl Default for Dyndns {
    fn default() -> Self {
        Self {
            configured: Mutex::default(),
            seen: Mutex::default(),
            lost_v6: AtomicBool::new(false),
            newest: Mutex::default(),
            learner: Learner::default(),
            wake: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            fetch: Fetch::new().up_to(ANSWER_MAX),
        }
    }
}

/// What is stored: how it is, and with which settings.
#[derive(Debug, Clone, Serialize, Default)]
struct Kept {
    /// Which name at which service and account.
    of: String,
    /// Mark of all settings.
    set: u32,
    state: State,
}
hearthgate_read::struct_of!(Kept;
must { of: "of", set: "set", state: "state" }
may {}
not {});

impl Kept {
    /// How it is with these settings; `None` if this is about another name, service or account.
    fn fit(self, settings: &Settings) -> Option<State> {
        // Somebody may have put right what was refused.
        let same = |state: State| if self.set == set(settings) { state } else { state.forgiven() };
        (self.of == of(settings)).then(|| same(self.state))
    }
}

fn of(settings: &Settings) -> String {
    let account = mark(format!("{}\n{}", settings.url, settings.user).as_bytes());
    format!("{} {} {} {account:08x}", settings.service, settings.name, settings.zone())
}

/// Changes with the settings, the secret as well; too short for anybody to find the secret by it.
fn set(settings: &Settings) -> u32 {
    mark(&serde_json::to_vec(settings).unwrap_or_default()) & 0xffff
}

fn mark(bytes: &[u8]) -> u32 {
    Sha256::digest(bytes).first_chunk().map_or(0, |four| u32::from_be_bytes(*four))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Public addresses of this box that were seen last, for whoever else wants to know.
pub(crate) fn seen_addresses(app: &App) -> impl Iterator<Item = IpAddr> + use<> {
    let Addresses { v4, v6 } = *lock(&app.dyndns.seen);
    v4.map(IpAddr::V4).into_iter().chain(v6.map(IpAddr::V6))
}

/// Takes what the configuration says, at the start and when it is read again. That happens at every reconnection of a
/// router, so it pardons nothing by itself.
pub(crate) fn configure(app: &App, settings: Option<Settings>) {
    *lock(&app.dyndns.configured) = settings;
    app.dyndns.wake.notify_one();
}

impl Dyndns {
    /// What is set, and whether the configuration sets it.
    fn settings(&self, world: &World) -> Option<(Settings, bool)> {
        let configured = lock(&self.configured).clone().map(|s| (s, true));
        configured.or_else(|| world.record(SETTINGS).map(|s| (s, false)))
    }

    /// What to do now with these addresses.
    fn step(&self, settings: &Settings, state: &State, what: Addresses) -> Step {
        if settings.tells_gone() && self.lost_v6.load(Relaxed) {
            state.step_without_v6(what, seconds())
        } else {
            state.step(what, seconds())
        }
    }

    /// How it is with somebody who sets a name anew that was given up here: services go on counting.
    fn given_up(&self, world: &World, settings: &Settings) -> State {
        let same = |kept: &Kept| kept.of.starts_with(&format!("{} {} ", settings.service, settings.name));
        let newest = lock(&self.newest).clone().filter(same);
        newest.or_else(|| world.record(STATE).filter(same)).map(|kept| kept.state.given_up()).unwrap_or_default()
    }

    fn is_set(&self, world: &World, settings: &Settings) -> bool {
        self.settings(world).is_some_and(|(now, _)| now == *settings)
    }

    /// How it is with these settings.
    fn state(&self, world: &World, settings: &Settings) -> State {
        let newest = lock(&self.newest).clone().and_then(|kept| kept.fit(settings));
        let stored = || world.record::<Kept>(STATE).and_then(|kept| kept.fit(settings));
        newest.or_else(stored).unwrap_or_default()
    }

    /// Notes how it is with these settings.
    fn keep(&self, world: &mut World, settings: &Settings, state: State) {
        let kept = Kept { of: of(settings), set: set(settings), state };
        if let Err(error) = world.put_record(STATE, &kept) {
            tracing::error!(%error, "the dynamic name's state cannot be kept");
        }
        *lock(&self.newest) = Some(kept);
    }
}

/// Keeps the name up to date until the server stops.
pub(crate) async fn keep(app: App) {
    let (mut steady, begun) = (Steady::default(), Instant::now());
    loop {
        match known(&app).await {
            Ok(Some((settings, state))) => {
                let what = look(&app, &settings, &state).await;
                let now = begun.elapsed().as_secs();
                let settled = steady.look(what, now);
                app.dyndns.lost_v6.store(steady.lost_v6(now), Relaxed);
                if settled && let Step::Tell(what) = app.dyndns.step(&settings, &state, what) {
                    // Said in the log and on the pages.
                    let _ = attempt(&app, &settings, what, false).await;
                }
            }
            Ok(None) => {
                app.dyndns.wake.notified().await;
                continue;
            }
            Err(Unavailable) if app.control.is_closed() => return,
            // Somebody's change in the same batch could not be stored.
            Err(Unavailable) => {}
        }
        // Woken when something else was set.
        let _ = timeout(LOOK_EVERY, app.dyndns.wake.notified()).await;
    }
}

/// What is set, and how it is.
async fn known(app: &App) -> Result<Option<(Settings, State)>, Unavailable> {
    let shown = app.clone();
    let known = app.control.call(move |world, _| {
        let (settings, _) = shown.dyndns.settings(world)?;
        let mut state = shown.dyndns.state(world, &settings);
        if let Some(dated) = state.dated(seconds()) {
            state = dated;
            shown.dyndns.keep(world, &settings, state.clone());
        }
        Some((settings, state))
    });
    known.await
}

/// The public addresses now, as far as the service takes them.
async fn look(app: &App, settings: &Settings, state: &State) -> Addresses {
    let seen = learn::look(app, settings, state.told).await;
    *lock(&app.dyndns.seen) = seen;
    settings.takes(seen)
}

/// Tells the service once, and notes how it went, unless something else was set meanwhile. What nobody `asked` for is
/// left when it was done meanwhile, and what somebody asked for has to wait for its turn as well.
async fn attempt(app: &App, settings: &Settings, what: Addresses, asked: bool) -> Result<(), DyndnsError> {
    let _turn = app.dyndns.turn.lock().await;
    let (shown, set) = (app.clone(), settings.clone());
    let state =
        app.control.call(move |world, _| shown.dyndns.is_set(world, &set).then(|| shown.dyndns.state(world, &set)));
    let Some(state) = state.await? else { return Ok(()) };
    match state.patience(seconds()) {
        wait if asked && wait > 0 => return Err(DyndnsError::Soon(wait)),
        _ if !asked && app.dyndns.step(settings, &state, what) == Step::Rest => return Ok(()),
        _ => {}
    }
    // Who asks by hand knows that it is gone.
    let gone = settings.tells_gone() && state.leads_to_lost(what) && (asked || app.dyndns.lost_v6.load(Relaxed));
    let tell = async {
        if gone {
            send::tell_without_v6(&app.dyndns.fetch, settings, what).await
        } else {
            send::tell(&app.dyndns.fetch, settings, what).await
        }
    };
    let verdict = timeout(UPDATE_WITHIN, tell).await;
    let verdict = verdict.unwrap_or_else(|_| Verdict::Later("the service took too long to answer".into(), 0));
    let name = settings.name.as_str();
    match &verdict {
        Verdict::Done => tracing::info!(name, addresses = %words(what), "the dynamic name leads here"),
        Verdict::Later(why, _) => tracing::warn!(name, %why, "the dynamic name was not updated"),
        Verdict::Stop(why) => {
            tracing::error!(name, %why, "the dynamic name was refused: no more tries until it is changed")
        }
    }
    let (shown, told, set) = (app.clone(), verdict.clone(), settings.clone());
    let noted = app.control.call(move |world, c| {
        if !shown.dyndns.is_set(world, &set) {
            return;
        }
        let mut state = shown.dyndns.state(world, &set);
        state.note(what, &told, u64::try_from(c.now.wall.as_second()).unwrap_or(0));
        if gone && told == Verdict::Done {
            state.told.v6 = None;
        }
        shown.dyndns.keep(world, &set, state);
    });
    if noted.await.is_err() {
        tracing::error!(name, "how it went is not stored; it is told again after a restart");
    }
    match verdict {
        Verdict::Done => Ok(()),
        Verdict::Later(why, _) | Verdict::Stop(why) => Err(DyndnsError::Failed(why)),
    }
}

fn words(addresses: Addresses) -> String {
    addresses.iter().map(|ip| ip.to_string()).collect::<Vec<_>>().join(", ")
}

fn seconds() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0)
}

/// What the pages show; `None` without a name.
pub(crate) fn seen(app: &App, world: &World) -> Option<hearthgate_web::dyndns::Dyndns> {
    let (settings, configured) = app.dyndns.settings(world)?;
    let state = app.dyndns.state(world, &settings);
    let seen = settings.takes(*lock(&app.dyndns.seen));
    // What the service can be told, this box tells it.
    let stale_v6 = state.told.v6.filter(|_| state.leads_to_lost(seen) && !settings.tells_gone());
    let label = settings.known().map_or("", |s| s.label);
    Some(hearthgate_web::dyndns::Dyndns {
        in_use: host_of(&world.settings().server_url).eq_ignore_ascii_case(&settings.name),
        name: settings.name,
        service: label,
        id: settings.service,
        user: settings.user,
        zone: settings.zone,
        ttl: settings.ttl,
        ipv4: settings.ipv4,
        ipv6: settings.ipv6,
        configured,
        stale_v6,
        told: state.told,
        told_ago_s: (state.told_at > 0).then(|| seconds().saturating_sub(state.told_at)),
        seen,
        why: state.why,
        stopped: state.stopped,
    })
}
