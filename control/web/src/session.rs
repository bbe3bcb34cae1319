//! Who is logged in: a bounded table in memory. A restart ends all sessions; people log in again.
//!
//! The cookie holds 256 random bits, the table their SHA-256. Each session has a token of its own against cross-site
//! requests, and keeps the keys it made for joining devices until they are shown no more.

use hearthgate_core::Entropy;
use hearthgate_keys::{Secret, constant_time_eq, encode};
use sha2::{Digest, Sha256};

/// Sessions at once; the one unused for longest goes first.
pub const SESSIONS_MAX: usize = 64;
/// Idle time after which a session ends, in milliseconds.
pub const IDLE_MS: u64 = 12 * 3600 * 1000;
/// Longest life of a session, in milliseconds.
pub const LIFE_MS: u64 = 7 * 24 * 3600 * 1000;
/// Keys for joining that one session can show again.
pub const JOINS_MAX: usize = 8;

/// A key made for a device that is about to join.
#[derive(Debug, Clone)]
pub struct Join {
    /// Number of the pre-auth key.
    pub key_id: u64,
    /// The key itself; redacted in logs.
    pub key: Secret,
}

/// One session.
#[derive(Debug, Clone)]
pub struct Session {
    /// Account that is logged in.
    pub account: String,
    /// Token that every form carries.
    pub csrf: String,
    /// Keys for joining, oldest first.
    pub joins: Vec<Join>,
    /// What the next page says above everything else, and whether it is bad.
    pub notice: Option<(String, bool)>,
    hash: [u8; 32],
    begun_ms: u64,
    used_ms: u64,
}

impl Session {
    /// Whether a form carries this session's token.
    #[must_use]
    pub fn csrf_fits(&self, token: &str) -> bool {
        constant_time_eq(self.csrf.as_bytes(), token.as_bytes())
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub struct Sessions(Vec<Session>);

impl Sessions {
    /// Begins a session and answers the text for its cookie.
    pub fn begin(&mut self, account: &str, now_ms: u64, rng: &mut dyn Entropy) -> Secret {
        self.sweep(now_ms);
        if self.0.len() >= SESSIONS_MAX
            && let Some(oldest) = (0..self.0.len()).min_by_key(|i| self.0.get(*i).map(|s| s.used_ms))
        {
            self.0.remove(oldest);
        }
        let (mut token, mut csrf) = ([0u8; 32], [0u8; 32]);
        rng.fill(&mut token);
        rng.fill(&mut csrf);
        let token = encode(&token);
        self.0.push(Session {
            account: account.to_owned(),
            csrf: encode(&csrf),
            joins: Vec::new(),
            notice: None,
            hash: digest(&token),
            begun_ms: now_ms,
            used_ms: now_ms,
        });
        Secret::new(token)
    }

    /// The session of a cookie.
    pub fn find(&mut self, cookie: &str, now_ms: u64) -> Option<&mut Session> {
        self.sweep(now_ms);
        let hash = digest(cookie);
        let session = self.0.iter_mut().find(|s| constant_time_eq(&s.hash, &hash))?;
        session.used_ms = now_ms;
        Some(session)
    }

    /// Ends the session of a cookie.
    pub fn end(&mut self, cookie: &str) {
        let hash = digest(cookie);
        self.0.retain(|s| s.hash != hash);
    }

    /// Ends all sessions of an account.
    pub fn end_all_of(&mut self, account: &str) {
        self.0.retain(|s| s.account != account);
    }

    /// Ends all sessions.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    fn sweep(&mut self, now_ms: u64) {
        self.0.retain(|s| now_ms.saturating_sub(s.used_ms) < IDLE_MS && now_ms.saturating_sub(s.begun_ms) < LIFE_MS);
    }
}

impl Session {
    /// Keeps a key for joining, so that its page can be shown again.
    pub fn keep(&mut self, join: Join) {
        if self.joins.len() >= JOINS_MAX {
            self.joins.remove(0);
        }
        self.joins.push(join);
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
