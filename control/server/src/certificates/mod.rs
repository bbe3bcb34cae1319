//! HTTPS certificates for devices: a device answers an authority's DNS-01 challenge (RFC 8555 section 8.4) with a TXT
//! record that this server writes for it, through the provider of the configuration. What may be written is
//! `hearthgate_core::challenge_record`'s word; how often, [`Budget`]'s. A record is taken away after [`LIFE`].

mod budget;
mod httpreq;
mod rfc2136;
#[cfg(test)]
mod tests;

use crate::options::{CertificateOptions, Provider};
use budget::{Budget, Spent};
use hearthgate_core::NodeId;
use hearthgate_fetch::Fetch;
use hearthgate_http::spawn;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
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
}

/// Writes records.
pub struct Certificates {
    options: Mutex<Option<Arc<CertificateOptions>>>,
    state: Mutex<State>,
    turn: tokio::sync::Mutex<()>,
    fetch: Fetch,
    life: [Duration; 4],
}

impl Default for Certificates {
    fn default() -> Self {
        Self {
            options: Mutex::default(),
            state: Mutex::default(),
            turn: <_>::default(),
            fetch: Fetch::new(),
            life: LIFE,
        }
    }
}

#[derive(Default)]
struct State {
    budget: Budget,
    /// What is at a name because of us: as many as the budget allows within all of [`LIFE`].
    there: BTreeMap<String, String>,
}

impl Certificates {
    /// Records are written in this way from now on.
    pub(crate) fn configure(&self, options: Option<CertificateOptions>) {
        *self.options.lock().unwrap_or_else(PoisonError::into_inner) = options.map(Arc::new);
    }

    /// Puts `value` alone at `name` for `node`, and sees to it that it is taken away later.
    pub(crate) async fn set(self: &Arc<Self>, node: NodeId, name: &str, value: &str) -> Result<(), CertificateError> {
        let options = self.options().ok_or(CertificateError::Off)?;
        let before = {
            let mut state = self.state();
            state.budget.spend(node, Instant::now().into_std())?;
            state.there.insert(name.to_owned(), value.to_owned())
        };
        // A task of its own: who asked may go away in the middle, and the record has to go in the end all the same.
        let (own, at, text, how) = (self.clone(), name.to_owned(), value.to_owned(), options.clone());
        let (tell, told) = oneshot::channel();
        spawn(async move {
            let done = timeout(CHANGE_WITHIN, own.replace(&how, &at, &text, before)).await;
            // Nobody may be waiting any more.
            let _ = tell.send(done.unwrap_or(Err(CertificateError::Slow)));
            // Whatever was said, it may be there.
            own.remove_later(&at, &text).await;
        });
        told.await.unwrap_or(Err(CertificateError::Slow))?;
        tracing::info!(%node, name, "wrote the answer to a certificate's challenge into DNS");
        sleep(options.wait).await;
        Ok(())
    }

    async fn replace(
        &self,
        options: &CertificateOptions,
        name: &str,
        value: &str,
        before: Option<String>,
    ) -> Result<(), CertificateError> {
        let _turn = self.turn.lock().await;
        // A dynamic update replaces by itself. A program may keep several values at a name; one left over does no harm.
        if let Some(before) = before.filter(|b| b != value && matches!(options.provider, Provider::Httpreq(_))) {
            let _ = self.change(options, name, &before, Change::Remove).await;
        }
        self.change(options, name, value, Change::Set).await.map_err(CertificateError::Provider)
    }

    async fn remove_later(&self, name: &str, value: &str) {
        for pause in self.life {
            sleep(pause).await;
            if self.state().there.get(name).is_none_or(|now| now != value) {
                // Replaced meanwhile: whoever did will take that one away.
                return;
            }
            let Some(options) = self.options() else { continue };
            let turn = self.turn.lock().await;
            let done = timeout(CHANGE_WITHIN, self.change(&options, name, value, Change::Remove)).await;
            drop(turn);
            match done {
                Ok(Ok(())) => break,
                Ok(Err(error)) => tracing::warn!(name, %error, "a challenge's record could not be taken out of DNS"),
                Err(_) => tracing::warn!(name, "taking a challenge's record out of DNS took too long"),
            }
        }
        let mut state = self.state();
        if state.there.get(name).is_some_and(|now| now == value) {
            state.there.remove(name);
        }
    }

    async fn change(
        &self,
        options: &CertificateOptions,
        name: &str,
        value: &str,
        change: Change,
    ) -> Result<(), String> {
        match &options.provider {
            Provider::Rfc2136(server) => rfc2136::change(server, name, value, change, TTL_S).await,
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
