//! Secrets that travel as text: pre-auth keys, API keys, passwords.

use hearthgate_read::{Read, Scalar, Unfit};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A text that must never be printed by accident.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself: to hash it, or to show it once to the person who made it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Read for Secret {
    fn start() -> Self {
        Self(String::new())
    }

    fn expected(&self) -> &'static str {
        "a string"
    }

    fn scalar(&mut self, scalar: Scalar<'_>) -> Result<(), Unfit> {
        self.0.scalar(scalar)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// Compares two byte strings without telling by the time taken where they differ.
#[must_use]
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
