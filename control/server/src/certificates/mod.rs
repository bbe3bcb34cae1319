//! HTTPS certificates for devices: a device answers an authority's DNS-01 challenge (RFC 8555 section 8.4) with a TXT
//! record that this server writes for it, through the provider of the configuration. What may be written is
//! `hearthgate_core::challenge_record`'s word; how often, [`Budget`]'s. A record is taken away after [`LIFE`], by the
//! provider that it was given to, also after a restart.

mod budget;
mod httpreq;
mod pending;
pub(crate) mod rfc2136;
#[cfg(test)]
mod tests;

use crate::{
    options::{CertificateOptions, Provider},
    writer::{Control, Unavailable},
};
use budget::{Budget, Spent};
use hearthgate_core::{CoreError, NodeId};
use hearthgate_dns_update::Change as Text;
use hearthgate_fetch::Fetch;
use hearthgate_http::spawn;
use jiff::{SignedDuration, Timestamp};
use pending::Pending;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout, timeout_at},
};

/// How long a record stays, as authorities look within seconds; then the pauses before each further try to take it away.
const LIFE: [Duration; 4] =
    [Duration::from_secs(600), Duration::from_secs(60), Duration::from_secs(600), Duration::from_secs(3600)];
/// How long a record may stay in caches, in seconds.
const TTL_S: u32 = 60;
/// Longest time for one change, waiting for its turn included: one is made after the other.
const CHANGE_WITHIN: Duration = Duration::from_secs(45);
/// What shall become of a name's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// It is there, alone.
    Set,
    /// It is gone.
    Remove,
}

/// Why a record was not written. The texts hold no secret: people read them on their devices.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CertificateError {
    /// Nobody writes records.
    #[error("HTTPS certificates are not set up on this server (certificates.provider)")]
    Off,
    /// Too many.
    #[error(transparent)]
    Spent(#[from] Spent),
    /// It took too long.
    #[error("the DNS provider did not answer in time")]
    Slow,
    /// The provider's word, or that it cannot be reached.
    #[error("the record could not be written: {0}")]
    Provider(String),
    /// What has to be taken away cannot be noted.
    #[error(transparent)]
    Full(#[from] CoreError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Unavailable),
}

/// Writes records.
pub struct Certificates {
    control: Control,
    options: Mutex<Option<Arc<CertificateOptions>>>,
    state: Mutex<State>,
    turn: tokio::sync::Mutex<()>,
    fetch: Fetch,
    life: [Duration; 4],
}

#[derive(Default)]
struct State {
    budget: Budget,
    /// What is at a name because of us: the records of `pending`, and who wrote them if that was since the start.
    there: BTreeMap<String, Held>,
}

/// A record that is there.
#[derive(Clone)]
struct Held {
    value: String,
    place: String,
    by: Option<Arc<CertificateOptions>>,
}

impl Certificates {
    /// Writes nothing until it is told how. `control` keeps what has to be taken away.
    pub(crate) fn new(control: Control) -> Self {
        Self {
            control,
            options: Mutex::default(),
            state: Mutex::default(),
            turn: <_>::default(),
            fetch: Fetch::new(),
            life: LIFE,
        }
    }

    /// Records are written in this way from now on.
    pub(crate) fn configure(&self, options: Option<CertificateOptions>) {
        *self.options.lock().unwrap_or_else(PoisonError::into_inner) = options.map(Arc::new);
    }

    /// Goes on with what was there before a restart; once, before anything is set.
    pub(crate) async fn resume(self: &Arc<Self>) {
        let Ok(all) = self.control.call(|world, _| pending::all(world)).await else { return };
        let now = Timestamp::now();
        for Pending { name, value, place, due } in all {
            self.state().there.insert(name.clone(), Held { value: value.clone(), place, by: None });
            // Whatever became of the clock, it waits no longer than a new one.
            let left = Duration::try_from(due.duration_since(now)).unwrap_or_default().min(self.life[0]);
            let own = self.clone();
            spawn(async move { own.remove_later(&name, &value, left).await });
        }
    }

    /// Puts `value` alone at `name` for `node`, and sees to it that it is taken away later.
    pub(crate) async fn set(self: &Arc<Self>, node: NodeId, name: &str, value: &str) -> Result<(), CertificateError> {
        let options = self.options().ok_or(CertificateError::Off)?;
        self.state().budget.spend(node, Instant::now().into_std())?;
        // A task of its own: who asked may go away in the middle, and the record has to go in the end all the same.
        let (own, at, text, how) = (self.clone(), name.to_owned(), value.to_owned(), options.clone());
        let (tell, told) = oneshot::channel();
        spawn(async move {
            let (noted, done) = own.write(how, &at, &text).await;
            // Nobody may be waiting any more.
            let _ = tell.send(done);
            // Whatever was said, it may be there.
            if noted {
                own.remove_later(&at, &text, own.life[0]).await;
            }
        });
        told.await.unwrap_or(Err(CertificateError::Slow))?;
        tracing::info!(%node, name, "wrote the answer to a certificate's challenge into DNS");
        sleep(options.wait).await;
        Ok(())
    }

    /// Notes a record and puts it there, in one turn: of two for a name, the same one is noted, remembered, and in DNS
    /// at the end. Also whether it is noted, and has to be taken away.
    async fn write(
        &self,
        options: Arc<CertificateOptions>,
        name: &str,
        value: &str,
    ) -> (bool, Result<(), CertificateError>) {
        let until = Instant::now() + CHANGE_WITHIN;
        let Ok(_turn) = timeout_at(until, self.turn.lock()).await else { return (false, Err(CertificateError::Slow)) };
        // Before it is there: what is lost in a power cut must not stay for ever.
        let place = match self.note(&options, name, value).await {
            Ok(place) => place,
            Err(error) => return (false, Err(error)),
        };
        let held = Held { value: value.to_owned(), place, by: Some(options.clone()) };
        let before = self.state().there.insert(name.to_owned(), held);
        let done = timeout_at(until, self.replace(&options, name, value, before)).await;
        (true, done.unwrap_or(Err(CertificateError::Slow)))
    }

    /// Keeps in the store what has to be taken away, and from where.
    async fn note(&self, options: &CertificateOptions, name: &str, value: &str) -> Result<String, CertificateError> {
        let life = SignedDuration::try_from(self.life[0]).unwrap_or_default();
        let (name, value, place) = (name.to_owned(), value.to_owned(), pending::place(options));
        let at = place.clone();
        let noted = self.control.call(move |world, c| {
            let due = c.now.wall.checked_add(life).unwrap_or(c.now.wall);
            pending::note(world, &Pending { name, value, place: at, due })
        });
        noted.await??;
        Ok(place)
    }

    async fn replace(
        &self,
        options: &CertificateOptions,
        name: &str,
        value: &str,
        before: Option<Held>,
    ) -> Result<(), CertificateError> {
        // A dynamic update replaces by itself, where it is made. A program may keep several values at a name, and what
        // another provider has stays there; one left over does no harm to the new one.
        let replaces =
            |b: &Held| matches!(options.provider, Provider::Rfc2136(_)) && b.place == pending::place(options);
        if let Some(before) = before.filter(|b| b.value != value && !replaces(b))
            && let Some(by) = self.writer_of(&before)
        {
            let _ = self.change(&by, name, &before.value, Change::Remove).await;
        }
        self.change(options, name, value, Change::Set).await.map_err(CertificateError::Provider)
    }

    /// How to take away what is there: by the provider that has it, with its secrets of today if it is the same.
    fn writer_of(&self, held: &Held) -> Option<Arc<CertificateOptions>> {
        self.options().filter(|now| pending::place(now) == held.place).or_else(|| held.by.clone())
    }

    /// Takes a record away after a pause, and tries again if that fails, with the pauses of a record's life.
    async fn remove_later(&self, name: &str, value: &str, first: Duration) {
        let pauses = [first].into_iter().chain(self.life.into_iter().skip(1));
        for (n, pause) in pauses.enumerate() {
            sleep(pause).await;
            // Until it is forgotten: one set meanwhile is not to be forgotten in its place.
            let _turn = self.turn.lock().await;
            let held = self.state().there.get(name).filter(|now| now.value == value).cloned();
            // Replaced meanwhile: whoever did will take that one away.
            let Some(held) = held else { return };
            let gone = self.take_away(&held, name).await;
            if !gone && n + 1 < self.life.len() {
                continue;
            }
            if !gone {
                tracing::warn!(name, "a challenge's record stays in DNS: take it away by hand, or let it be replaced");
            }
            self.state().there.remove(name);
            let (name, value) = (name.to_owned(), value.to_owned());
            // A store that cannot be written says so itself; at the next start this is tried again.
            let _ = self.control.call(move |world, _| pending::done(world, &name, &value)).await;
            return;
        }
    }

    /// Takes what is at a name out of DNS; true when it is gone.
    async fn take_away(&self, held: &Held, name: &str) -> bool {
        let Some(by) = self.writer_of(held) else { return false };
        match timeout(CHANGE_WITHIN, self.change(&by, name, &held.value, Change::Remove)).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => tracing::warn!(name, %error, "a challenge's record could not be taken out of DNS"),
            Err(_) => tracing::warn!(name, "taking a challenge's record out of DNS took too long"),
        }
        false
    }

    async fn change(
        &self,
        options: &CertificateOptions,
        name: &str,
        value: &str,
        change: Change,
    ) -> Result<(), String> {
        match &options.provider {
            Provider::Rfc2136(server) => {
                let text = match change {
                    Change::Set => Text::Set(value, TTL_S),
                    Change::Remove => Text::Remove(value),
                };
                rfc2136::change(server, name, text).await.map_err(|e| e.why)
            }
            Provider::Httpreq(program) => httpreq::change(&self.fetch, program, name, value, change).await,
        }
    }

    fn options(&self) -> Option<Arc<CertificateOptions>> {
        self.options.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
