//! One order, from account to certificate (RFC 8555 section 7).

use crate::{ChallengeKind, HttpAnswers, Settings, transport::Transport};
use hearthgate_derp::{
    identity::{self, IdentityError},
    tls::{AlpnChallenges, PemPair, TlsError},
};
use hearthgate_fetch::{Fetch, FetchError};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path, sync::Arc, time::Duration};

/// Longest time for the authority to look, and then to sign.
const PATIENCE: Duration = Duration::from_secs(120);
/// File of the account in the folder.
const ACCOUNT: &str = "account.json";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcmeError {
    /// The authority says no, or something it should not.
    #[error("the certificate authority: {0}")]
    Authority(#[from] instant_acme::Error),
    /// It did not find what it looked for.
    #[error("the certificate authority could not see that {host} is this machine: {why}")]
    NotProved {
        /// The name.
        host: String,
        /// In its words.
        why: String,
    },
    /// It knows no such challenge for this name.
    #[error("the certificate authority does not offer {0:?} for this name")]
    NoChallenge(ChallengeKind),
    /// A certificate for a challenge could not be made, or the new one is of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The folder.
    #[error(transparent)]
    File(#[from] IdentityError),
}

impl AcmeError {
    /// The authority was not reached: nothing it could count against us.
    #[must_use]
    pub fn is_unreached(&self) -> bool {
        matches!(self, Self::Authority(instant_acme::Error::Other(e)) if e.is::<FetchError>())
    }
}

/// The account, and whose it is: another authority does not know it.
#[derive(Serialize, Deserialize)]
struct Stored {
    directory: String,
    credentials: AccountCredentials,
}

async fn account(settings: &Settings, dir: &Path, fetch: &Arc<Fetch>) -> Result<Account, AcmeError> {
    let path = dir.join(ACCOUNT);
    let stored = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Stored>(&text).ok());
    let builder = Account::builder_with_http(Box::new(Transport(fetch.clone())));
    if let Some(stored) = stored.filter(|s| s.directory == settings.directory) {
        return Ok(builder.from_credentials(stored.credentials).await?);
    }
    let mail = format!("mailto:{}", settings.email);
    let contact: &[&str] = if settings.email.is_empty() { &[] } else { &[&mail] };
    let new = NewAccount { contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = builder.create(&new, settings.directory.clone(), None).await?;
    let stored = Stored { directory: settings.directory.clone(), credentials };
    let text = serde_json::to_string(&stored).map_err(instant_acme::Error::from)?;
    identity::write_private(&path, &text)?;
    Ok(account)
}

/// Orders a certificate. The account is kept in `dir`.
pub(crate) async fn order(
    settings: &Settings,
    dir: &Path,
    fetch: &Arc<Fetch>,
    http: &Arc<HttpAnswers>,
    alpn: &Arc<AlpnChallenges>,
) -> Result<PemPair, AcmeError> {
    let account = account(settings, dir, fetch).await?;
    let mut order = account.new_order(&NewOrder::new(&[Identifier::Dns(settings.host.clone())])).await?;
    let wanted = match settings.challenge {
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
    };
    // What is answered is answered until the authority has decided.
    let (mut pages, mut handshakes) = (Vec::new(), Vec::new());
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge =
            authorization.challenge(wanted.clone()).ok_or(AcmeError::NoChallenge(settings.challenge))?;
        let answer = challenge.key_authorization();
        match settings.challenge {
            ChallengeKind::Http01 => pages.push(http.expect(&challenge.token, answer.as_str())),
            ChallengeKind::TlsAlpn01 => {
                let digest =
                    answer.digest().as_ref().try_into().map_err(|_| AcmeError::NoChallenge(settings.challenge))?;
                handshakes.push(alpn.expect(&settings.host, &digest)?);
            }
        }
        challenge.set_ready().await?;
    }
    let retry = RetryPolicy::new().timeout(PATIENCE);
    if order.poll_ready(&retry).await? != OrderStatus::Ready {
        return Err(AcmeError::NotProved { host: settings.host.clone(), why: why(&mut order).await });
    }
    let key = order.finalize().await?;
    let certificate = order.poll_certificate(&retry).await?;
    Ok(PemPair { certificate, key })
}

/// What the authority did not like, in its words.
async fn why(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if let Ok(state) = authorization.refresh().await
            && let Some(problem) = state.challenges.iter().find_map(|c| c.error.as_ref())
        {
            return problem.to_string();
        }
    }
    "it does not say why".into()
}
