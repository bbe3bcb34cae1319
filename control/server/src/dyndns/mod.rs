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

pub(crate) use api::{api, set_and_try, update};

use crate::{state::App, writer::Unavailable};
use hearthgate_core::{CoreError, World, host_of};
use hearthgate_dyndns::{Addresses, Settings, State, Steady, Step, Verdict};
use hearthgate_fetch::Fetch;
use jiff::Timestamp;
use learn::Learner;
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
    #[error("no public address of this box is known yet: see what stands under \"How the world reaches this box\"")]
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
            learner: Learner::default(),
            wake: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            fetch: Fetch::new().up_to(ANSWER_MAX),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Public addresses of this box that were seen last, for whoever else wants to know.
pub(crate) fn seen_addresses(app: &App) -> impl Iterator<Item = IpAddr> + use<> {
    let Addresses { v4, v6 } = *lock(&app.dyndns.seen);
    v4.map(IpAddr::V4).into_iter().chain(v6.map(IpAddr::V6))
}

/// Takes what the configuration says, at the start and when it is read again. What was refused for good gets another
/// try then: somebody may have put it right.
pub(crate) fn configure(app: &App, settings: Option<Settings>) {
    let configured = settings.clone();
    *lock(&app.dyndns.configured) = settings;
    app.control.cast(move |world, _| {
        if let Some(now) = configured.or_else(|| world.record(SETTINGS)) {
            forget_of_others(world, &now);
        }
        let Some(state) = world.record::<State>(STATE).filter(|s| s.stopped) else { return };
        note(world, &State { stopped: false, ..state });
    });
    app.dyndns.wake.notify_one();
}

/// What was told of another name, or to another service, says nothing of this one.
fn forget_of_others(world: &mut World, now: &Settings) {
    let of = of(now);
    if world.record::<String>(OF).as_deref() != Some(&of) {
        world.delete_record(STATE);
        if let Err(error) = world.put_record(OF, &of) {
            tracing::error!(%error, "the dynamic name's state cannot be kept");
        }
    }
}

/// Whose state is kept.
const OF: &str = "dyndns/of";

fn of(settings: &Settings) -> String {
    format!("{} {} {}", settings.service, settings.name, settings.zone())
}

fn note(world: &mut World, state: &State) {
    if let Err(error) = world.put_record(STATE, state) {
        tracing::error!(%error, "the dynamic name's state cannot be kept");
    }
}

impl Dyndns {
    /// What is set, and whether the configuration sets it.
    fn settings(&self, world: &World) -> Option<(Settings, bool)> {
        let configured = lock(&self.configured).clone().map(|s| (s, true));
        configured.or_else(|| world.record(SETTINGS).map(|s| (s, false)))
    }
}

/// Keeps the name up to date until the server stops.
pub(crate) async fn keep(app: App) {
    let (mut steady, begun) = (Steady::default(), Instant::now());
    loop {
        let look = app.control.call({
            let app = app.clone();
            move |world, _| (app.dyndns.settings(world), world.record::<State>(STATE).unwrap_or_default())
        });
        let Ok((settings, state)) = look.await else { return };
        let Some((settings, _)) = settings else {
            app.dyndns.wake.notified().await;
            continue;
        };
        let seen = learn::look(&app, &settings, state.told).await;
        *lock(&app.dyndns.seen) = seen;
        if steady.look(seen, begun.elapsed().as_secs())
            && let Step::Tell(what) = state.step(seen, seconds())
        {
            // Said in the log and on the pages.
            let _ = attempt(&app, &settings, what, false).await;
        }
        // Woken when something else was set.
        let _ = timeout(LOOK_EVERY, app.dyndns.wake.notified()).await;
    }
}

/// Tells the service once, and notes how it went. What nobody `asked` for is left when it was done meanwhile.
async fn attempt(app: &App, settings: &Settings, what: Addresses, asked: bool) -> Result<(), DyndnsError> {
    let _turn = app.dyndns.turn.lock().await;
    if !asked {
        let state = app.control.call(|world, _| world.record::<State>(STATE).unwrap_or_default()).await?;
        if state.step(what, seconds()) == Step::Rest {
            return Ok(());
        }
    }
    let verdict = timeout(UPDATE_WITHIN, send::tell(&app.dyndns.fetch, settings, what)).await;
    let verdict = verdict.unwrap_or_else(|_| Verdict::Later("the service took too long to answer".into(), 0));
    let name = settings.name.as_str();
    match &verdict {
        Verdict::Done => tracing::info!(name, addresses = %words(what), "the dynamic name leads here"),
        Verdict::Later(why, _) => tracing::warn!(name, %why, "the dynamic name was not updated"),
        Verdict::Stop(why) => {
            tracing::error!(name, %why, "the dynamic name was refused: no more tries until it is changed")
        }
    }
    let (told, set, configured) = (verdict.clone(), settings.clone(), lock(&app.dyndns.configured).clone());
    let noted = app.control.call(move |world, c| {
        // Something else was set meanwhile.
        if configured.or_else(|| world.record(SETTINGS)).as_ref() != Some(&set) {
            return;
        }
        let mut state: State = world.record(STATE).unwrap_or_default();
        state.note(what, &told, u64::try_from(c.now.wall.as_second()).unwrap_or(0));
        note(world, &state);
    });
    noted.await?;
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
    let state: State = world.record(STATE).unwrap_or_default();
    let label = settings.known().map_or("", |s| s.label);
    Some(hearthgate_web::dyndns::Dyndns {
        in_use: host_of(&world.settings().server_url).eq_ignore_ascii_case(&settings.name),
        name: settings.name,
        service: label,
        configured,
        told: state.told,
        told_ago_s: (state.told_at > 0).then(|| seconds().saturating_sub(state.told_at)),
        seen: *lock(&app.dyndns.seen),
        why: state.why,
        stopped: state.stopped,
    })
}
