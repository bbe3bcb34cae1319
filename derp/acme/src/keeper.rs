//! The certificate of one name: what is stored, and a task that keeps it fresh.

use crate::{AcmeError, HttpAnswers, Settings, order::order, renew_at, validity, wait_after};
use hearthgate_derp::{
    identity::write_private,
    tls::{AlpnChallenges, PemPair},
};
use hearthgate_fetch::Fetch;
use std::{
    fs,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::sleep;

/// Longest sleep at once: the clock of a router may jump by years when it first hears of the time.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Keeps the certificate of one name.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "trust anchors are long and tell nobody anything")]
pub struct Keeper {
    /// What is wanted.
    pub settings: Settings,
    /// Folder of account and certificates, which exists.
    pub dir: PathBuf,
    /// The way to the authority.
    pub fetch: Arc<Fetch>,
    /// Where answers for HTTP-01 are put.
    pub http: Arc<HttpAnswers>,
    /// Where answers for TLS-ALPN-01 are put.
    pub alpn: Arc<AlpnChallenges>,
}

impl Keeper {
    /// One file for both, so that a power cut cannot leave halves that do not fit.
    fn path(&self) -> PathBuf {
        // A name has no slash: it is checked with the configuration, and an authority would not take it.
        self.dir.join(format!("{}.pem", self.settings.host.replace('/', "_")))
    }

    /// The stored certificate, as it is; `None` when there is none.
    #[must_use]
    pub fn stored(&self) -> Option<PemPair> {
        let text = fs::read_to_string(self.path()).ok()?;
        validity(&text)?;
        Some(PemPair { certificate: text.clone(), key: text })
    }

    /// Orders one, and stores it.
    ///
    /// # Errors
    /// The authority cannot be reached, or refuses, or the disk does.
    pub async fn renew(&self) -> Result<PemPair, AcmeError> {
        self.ordered().await
    }

    /// Behind a pointer: compiled here, and not again in each crate that calls [`Keeper::run`].
    fn ordered(&self) -> Pin<Box<dyn Future<Output = Result<PemPair, AcmeError>> + Send + '_>> {
        Box::pin(async {
            let pair = order(&self.settings, &self.dir, &self.fetch, &self.http, &self.alpn).await?;
            write_private(&self.path(), &format!("{}{}", pair.key, pair.certificate))?;
            Ok(pair)
        })
    }

    /// Renews when it is time, for ever. Each new one is given to `show`, from the next handshake on.
    pub async fn run(self, show: impl Fn(&PemPair)) {
        let mut failures = 0;
        loop {
            let due = self.stored().and_then(|pair| validity(&pair.certificate)).map_or(0, renew_at);
            let left = due.saturating_sub(now());
            if left > 0 {
                sleep(Duration::from_secs(left.unsigned_abs()).min(LOOK_EVERY)).await;
                continue;
            }
            match self.renew().await {
                Ok(pair) => {
                    failures = 0;
                    tracing::info!(host = %self.settings.host, "there is a new certificate");
                    show(&pair);
                    // An authority whose certificates are due at once must not make us spin.
                    sleep(Duration::from_secs(1)).await;
                }
                Err(e) => {
                    failures += 1;
                    let wait = wait_after(failures, e.is_unreached());
                    tracing::error!(host = %self.settings.host, error = %e, again_in_s = wait.as_secs(), "no certificate");
                    sleep(wait).await;
                }
            }
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
