//! Logins through an OpenID provider: what browsers are sent, what is asked of the provider, what is remembered meanwhile.
//!
//! ```text
//! /register/<id>          → provider's page, with a cookie that ties the login to this browser
//! /oidc/callback          ← back from there; asks the provider who it was, shows which device waits
//! /register/confirm/<id>  ← the person says that it is theirs; only then is it let in
//! ```
//! The last step is there because a link can be sent to somebody: whoever follows it must see whose device they let in.
//! What is believed of a provider is decided in `hearthgate-oidc`.

use crate::{options::OidcOptions, writer::fill_random};
use hearthgate_core::{AuthId, Identity};
use hearthgate_fetch::{Fetch, FetchError, Send};
use hearthgate_oidc::{Claims, Client, Flow, Keys, Metadata, OidcError, RANDOM_BYTES, Tokens, discovery_url, verify};
use hearthgate_sorted::SortedMap;
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Logins under way at once; beyond that the oldest is forgotten.
const LOGINS_MAX: usize = 256;
/// How long a person may take at the provider.
const LOGIN_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// Metadata and keys are fetched again after this time.
const PROVIDER_FRESH: Duration = Duration::from_secs(3600);

/// Why a login through the provider failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The provider is away.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The provider, or what it said.
    #[error(transparent)]
    Oidc(#[from] OidcError),
    /// The browser came back with something that is not under way.
    #[error("this login is over, or was begun in another browser: run `tailscale up` again")]
    Unknown,
}

/// A provider as it was found.
#[derive(Clone)]
struct Provider {
    metadata: Metadata,
    keys: Keys,
    fetched: Instant,
}

/// How far a login is.
enum Stage {
    /// At the provider.
    Away { flow: Flow },
    /// Back, and waiting for the person to confirm. The time is when the ID token ends, in seconds since 1970.
    Back { who: Identity, expires: i64 },
}

struct Login {
    device: AuthId,
    /// In the browser's cookie.
    cookie: String,
    since: Instant,
    stage: Stage,
}

/// Logins through one provider.
pub struct Oidc {
    options: OidcOptions,
    fetch: Fetch,
    provider: tokio::sync::Mutex<Option<Provider>>,
    /// By the `state` that comes back with the browser.
    logins: Mutex<SortedMap<String, Login>>,
}

/// Someone who logged in, and the device that waits.
pub struct Confirmed {
    /// Who.
    pub who: Identity,
    /// When the device shall expire, in seconds since 1970; `None` for the usual time.
    pub expires: Option<i64>,
}

impl Oidc {
    /// For the provider in `options`; nothing is asked yet.
    pub fn new(options: OidcOptions) -> Self {
        Self { options, fetch: Fetch::new(), provider: tokio::sync::Mutex::default(), logins: Mutex::default() }
    }

    /// Asks the provider for its metadata and keys, unless they are fresh.
    ///
    /// # Errors
    /// It is away, or cannot be used.
    pub async fn check(&self) -> Result<(), LoginError> {
        self.provider(false).await.map(drop)
    }

    /// Whether the provider has to be there when the server starts.
    pub fn needed_at_start(&self) -> bool {
        self.options.only_start_if_available
    }

    /// Begins a login for a waiting device: where the browser goes, and its cookie.
    ///
    /// # Errors
    /// The provider is away.
    pub async fn begin(&self, device: &AuthId, server_url: &str) -> Result<(String, String), LoginError> {
        let provider = self.provider(false).await?;
        let mut random = [0; RANDOM_BYTES];
        fill_random(&mut random);
        let (url, flow) = self.client(server_url).begin(&provider.metadata, &random);
        let cookie = secret();
        let state = flow.state.clone();
        let login = Login {
            device: device.clone(),
            cookie: cookie.clone(),
            since: Instant::now(),
            stage: Stage::Away { flow },
        };
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.retain(|_, l| l.since.elapsed() < LOGIN_LIFETIME);
        while logins.len() >= LOGINS_MAX {
            let oldest = logins.iter().min_by_key(|(_, l)| l.since).map(|(s, _)| s.clone());
            match oldest {
                Some(oldest) => logins.remove(&oldest),
                None => break,
            };
        }
        logins.insert(state, login);
        Ok((url, cookie))
    }

    /// A browser is back: who it was, for which device, and the word that confirms.
    ///
    /// # Errors
    /// The provider refused, the person may not come in, or no such login is under way in this browser.
    pub async fn come_back(
        &self,
        query: &str,
        cookie: &str,
        server_url: &str,
        now: i64,
    ) -> Result<(Identity, AuthId, String), LoginError> {
        let state = form(query, "state").ok_or(LoginError::Unknown)?;
        // Taken out: a state is good for one return only.
        let login = self.take(&state, cookie)?;
        let Stage::Away { flow } = login.stage else { return Err(LoginError::Unknown) };
        let code = Client::code_of(query)?;
        let claims = self.claims(&flow, &code, server_url, now).await?;
        self.options.rules.check(&claims)?;
        let expires = claims.exp;
        let who = identity(claims);
        let word = secret();
        let back = Login { device: login.device.clone(), stage: Stage::Back { who: who.clone(), expires }, ..login };
        let device = back.device.clone();
        self.logins.lock().unwrap_or_else(PoisonError::into_inner).insert(word.clone(), back);
        Ok((who, device, word))
    }

    /// The person says that the device is theirs.
    ///
    /// # Errors
    /// No such login waits for that in this browser.
    pub fn confirm(&self, device: &AuthId, word: &str, cookie: &str) -> Result<Confirmed, LoginError> {
        let login = self.take(word, cookie)?;
        match login.stage {
            Stage::Back { who, expires } if login.device == *device => {
                Ok(Confirmed { who, expires: self.options.use_expiry_from_token.then_some(expires) })
            }
            _ => Err(LoginError::Unknown),
        }
    }

    fn take(&self, state: &str, cookie: &str) -> Result<Login, LoginError> {
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |l: &Login| {
            l.since.elapsed() < LOGIN_LIFETIME
                && hearthgate_keys::constant_time_eq(l.cookie.as_bytes(), cookie.as_bytes())
        };
        if !logins.get(state).is_some_and(fits) {
            return Err(LoginError::Unknown);
        }
        logins.remove(state).ok_or(LoginError::Unknown)
    }

    /// Asks the provider who came back.
    async fn claims(&self, flow: &Flow, code: &str, server_url: &str, now: i64) -> Result<Claims, LoginError> {
        let client = self.client(server_url);
        let provider = self.provider(false).await?;
        let request = client.token_request(&provider.metadata, flow, code);
        let send = Send {
            body: Some((request.form.into(), "application/x-www-form-urlencoded")),
            authorization: request.authorization.as_deref(),
        };
        let answer = self.fetch.send(&request.url, send).await?;
        let tokens = Tokens::parse(answer.status, &answer.body)?;
        let mut claims = match verify(&provider.keys, &tokens.id_token, &provider.metadata, &client, flow, now) {
            Ok(claims) => claims,
            // The provider may have a new key since: fetched once more, and that is all.
            Err(_) => {
                let provider = self.provider(true).await?;
                verify(&provider.keys, &tokens.id_token, &provider.metadata, &client, flow, now)?
            }
        };
        if let Some(url) = provider.metadata.userinfo_endpoint.as_ref().filter(|_| !tokens.access_token.is_empty()) {
            let bearer = format!("Bearer {}", tokens.access_token);
            let answer = self.fetch.send(url, Send { body: None, authorization: Some(&bearer) }).await;
            // It only adds to what is known and proven already.
            match answer.map(|a| user_info(&a.body)) {
                Ok(Ok(more)) => claims.merge(more),
                Ok(Err(e)) => tracing::warn!(error = %e, "the provider's user info cannot be read"),
                Err(e) => tracing::warn!(error = %e, "the provider's user info cannot be had"),
            }
        }
        Ok(claims)
    }

    async fn provider(&self, again: bool) -> Result<Provider, LoginError> {
        let mut known = self.provider.lock().await;
        if let Some(provider) = known.as_ref().filter(|p| !again && p.fetched.elapsed() < PROVIDER_FRESH) {
            return Ok(provider.clone());
        }
        let answer = self.fetch.get(&discovery_url(&self.options.issuer)).await?;
        let metadata = Metadata::parse(&answer.body, &self.options.issuer)?;
        let keys = Keys::parse(&self.fetch.get(&metadata.jwks_uri).await?.body)?;
        Ok(known.insert(Provider { metadata, keys, fetched: Instant::now() }).clone())
    }

    fn client(&self, server_url: &str) -> Client {
        Client { redirect_uri: format!("{server_url}/oidc/callback"), ..self.options.client.clone() }
    }
}

fn user_info(body: &[u8]) -> Result<Claims, String> {
    let content = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    Claims::read(&content)
}

fn identity(claims: Claims) -> Identity {
    Identity {
        provider_id: claims.provider_id(),
        name: claims.preferred_username,
        display_name: claims.name,
        email: claims.email,
        picture_url: claims.picture,
        groups: claims.groups,
    }
}

/// The value of a field in a query or a form.
pub(crate) fn form(text: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(text.as_bytes()).find(|(k, _)| k == name).map(|(_, v)| v.into_owned())
}

/// 32 random bytes as text.
fn secret() -> String {
    let mut bytes = [0u8; 32];
    fill_random(&mut bytes);
    hearthgate_keys::encode(&bytes)
}
