//! Making and checking the long secrets of pre-auth keys, API keys and OAuth clients.
//!
//! The secret part is 32 random bytes, so one SHA-256 is enough at rest: there is no dictionary to try, and a slow
//! hash would let strangers burn a router's CPU by guessing.

use crate::Entropy;
use hearthgate_keys::{Secret, constant_time_eq, encode};
use sha2::{Digest, Sha256};

const PREFIX_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;

/// A new key: what to store, and the text to show once.
#[derive(Debug, Clone)]
pub struct MintedKey {
    /// Twelve hexadecimal digits that name the key.
    pub prefix: String,
    /// SHA-256 of the secret part, in hexadecimal.
    pub hash: String,
    /// The whole key, shown once.
    pub text: Secret,
}

/// Makes `<kind>-<12 digits>-<64 digits>`.
#[must_use]
pub fn mint(kind: &str, rng: &mut dyn Entropy) -> MintedKey {
    let mut prefix = [0u8; PREFIX_BYTES];
    let mut secret = [0u8; SECRET_BYTES];
    rng.fill(&mut prefix);
    rng.fill(&mut secret);
    let (prefix, secret) = (encode(&prefix), encode(&secret));
    MintedKey { hash: hash(&secret), text: Secret::new(format!("{kind}-{prefix}-{secret}")), prefix }
}

/// Splits a key text into prefix and secret; `None` when it is of another kind.
#[must_use]
pub fn split<'a>(kind: &str, text: &'a str) -> Option<(&'a str, &'a str)> {
    text.trim().strip_prefix(kind)?.strip_prefix('-')?.split_once('-')
}

/// Whether `secret` is the one that was hashed.
#[must_use]
pub fn matches(secret: &str, hashed: &str) -> bool {
    constant_time_eq(hash(secret).as_bytes(), hashed.as_bytes())
}

fn hash(secret: &str) -> String {
    encode(&Sha256::digest(secret.as_bytes()))
}
