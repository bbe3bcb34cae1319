//! Logins that wait for a person: a bounded list, oldest out first.

use crate::{CoreError, Entropy, Now, Result};
use hearthgate_keys::{MachinePublic, NodePublic, encode};
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::RegisterRequest;
use std::{fmt, sync::Arc};

/// Most logins that may wait at once (memory that strangers can fill).
pub const PENDING_MAX: usize = 1024;
/// How long a login waits, in milliseconds.
pub const PENDING_LIFETIME_MS: u64 = 15 * 60 * 1000;

/// `hskey-authreq-` and 24 hexadecimal digits: the text form is Headscale's, scripts depend on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuthId(String);

impl AuthId {
    const PREFIX: &'static str = "hskey-authreq-";
    const DIGITS: usize = 24;

    pub(crate) fn random(rng: &mut dyn Entropy) -> Self {
        let mut bytes = [0u8; Self::DIGITS / 2];
        rng.fill(&mut bytes);
        Self(format!("{}{}", Self::PREFIX, encode(&bytes)))
    }

    /// Reads an id; `None` when it is not of this form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(Self::PREFIX)?;
        (digits.len() == Self::DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit())).then(|| Self(text.to_owned()))
    }

    /// Finds the id in an auth URL that a client echoes; other hosts and trailing text are tolerated.
    #[must_use]
    pub fn find_in(url: &str) -> Option<Self> {
        let start = url.find(Self::PREFIX)?;
        Self::parse(url.get(start..start + Self::PREFIX.len() + Self::DIGITS)?)
    }
}

impl fmt::Display for AuthId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a waiting login ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Waiting,
    Approved,
    Rejected(String),
}

/// A client that asked to join and waits for a person.
#[derive(Debug, Clone)]
pub struct PendingLogin {
    /// Machine that asked.
    pub machine_key: MachinePublic,
    /// Node key it wants registered.
    pub node_key: NodePublic,
    /// What it sent.
    pub request: Arc<RegisterRequest>,
    pub(crate) since_ms: u64,
    pub(crate) verdict: Verdict,
}

/// The waiting logins. Finished ones stay for their lifetime, so that a client whose connection broke learns the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pending {
    logins: Arc<SortedMap<AuthId, PendingLogin>>,
}

impl Pending {
    pub(crate) fn add(
        &mut self,
        machine_key: MachinePublic,
        request: RegisterRequest,
        now: Now,
        rng: &mut dyn Entropy,
    ) -> AuthId {
        let logins = Arc::make_mut(&mut self.logins);
        logins.retain(|_, l| now.mono_ms.saturating_sub(l.since_ms) < PENDING_LIFETIME_MS);
        let node_key = request.node_key;
        if let Some((id, login)) = logins
            .iter_mut()
            .find(|(_, l)| l.machine_key == machine_key && l.node_key == node_key && l.verdict == Verdict::Waiting)
        {
            login.request = Arc::new(request);
            return id.clone();
        }
        let id = AuthId::random(rng);
        self.put(id.clone(), machine_key, request, now);
        id
    }

    /// Adds a login under a given id; the oldest makes room.
    pub(crate) fn put(&mut self, id: AuthId, machine_key: MachinePublic, request: RegisterRequest, now: Now) {
        let logins = Arc::make_mut(&mut self.logins);
        if logins.len() >= PENDING_MAX {
            let oldest = logins.iter().min_by_key(|(_, l)| l.since_ms).map(|(id, _)| id.clone());
            if let Some(id) = oldest {
                logins.remove(&id);
            }
        }
        let node_key = request.node_key;
        logins.insert(
            id,
            PendingLogin {
                machine_key,
                node_key,
                request: Arc::new(request),
                since_ms: now.mono_ms,
                verdict: Verdict::Waiting,
            },
        );
    }

    pub(crate) fn get(&self, id: &AuthId, now: Now) -> Option<&PendingLogin> {
        self.logins.get(id).filter(|l| now.mono_ms.saturating_sub(l.since_ms) < PENDING_LIFETIME_MS)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&AuthId, &PendingLogin)> {
        self.logins.iter().filter(|(_, l)| l.verdict == Verdict::Waiting)
    }

    pub(crate) fn finish(&mut self, id: &AuthId, verdict: Verdict) -> Result<()> {
        let login = Arc::make_mut(&mut self.logins)
            .get_mut(id)
            .ok_or_else(|| CoreError::not_found(format!("login request {id}")))?;
        login.verdict = verdict;
        Ok(())
    }
}
