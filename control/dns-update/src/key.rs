//! The key that a name server shares with this one, and what is signed with it (RFC 8945 sections 4 and 5).

use crate::{Name, NameError};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// Name of the only algorithm, as sent.
pub(crate) const ALGORITHM: &[u8] = b"\x0bhmac-sha256\0";
/// Class ANY, which signatures have.
pub(crate) const CLASS_ANY: u16 = 255;
/// Shortest key in bytes: with less, the signature says nothing.
const KEY_MIN: usize = 16;

/// A key that cannot be used. The secret is not in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Its name.
    #[error("the key's name: {0}")]
    Name(#[from] NameError),
    /// Its secret.
    #[error("the key's secret is not base64, as tsig-keygen prints it, of at least {KEY_MIN} bytes")]
    Secret,
}

/// A shared key for `hmac-sha256`.
#[derive(Clone)]
pub struct Key {
    name: Name,
    secret: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The variable parts of a signature.
pub(crate) struct Stamp<'a> {
    /// Seconds since 1970.
    pub(crate) time: u64,
    /// Seconds by which clocks may differ.
    pub(crate) fudge: u16,
    /// What is wrong with the other side's signature; 0 is nothing.
    pub(crate) error: u16,
    /// More about that.
    pub(crate) other: &'a [u8],
}

impl Key {
    /// A key by its name, and its secret in base64.
    ///
    /// # Errors
    /// The name is none, or the secret is no base64, or too short.
    pub fn new(name: &str, secret: &str) -> Result<Self, KeyError> {
        let name = Name::parse(name)?;
        let secret = Zeroizing::new(STANDARD.decode(secret.trim()).map_err(|_| KeyError::Secret)?);
        if secret.len() < KEY_MIN {
            return Err(KeyError::Secret);
        }
        Ok(Self { name, secret })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What is signed: the request's signature before an answer, the message without its signature, the stamp.
    pub(crate) fn digest(&self, before: &[u8], message: &[u8], stamp: &Stamp<'_>) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length, so this is always there.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).ok()?;
        if let Ok(length) = u16::try_from(before.len())
            && length > 0
        {
            mac.update(&length.to_be_bytes());
            mac.update(before);
        }
        mac.update(message);
        mac.update(self.name.wire());
        mac.update(&CLASS_ANY.to_be_bytes());
        mac.update(&0u32.to_be_bytes());
        mac.update(ALGORITHM);
        mac.update(&time48(stamp.time));
        mac.update(&stamp.fudge.to_be_bytes());
        mac.update(&stamp.error.to_be_bytes());
        mac.update(&u16::try_from(stamp.other.len()).unwrap_or(u16::MAX).to_be_bytes());
        mac.update(stamp.other);
        Some(mac)
    }
}

/// The low 48 bits.
pub(crate) fn time48(time: u64) -> [u8; 6] {
    let [_, _, a, b, c, d, e, f] = time.to_be_bytes();
    [a, b, c, d, e, f]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_keys_are_refused_and_no_secret_is_printed() {
        let secret = "c2VjcmV0IG9mIHNpeHRlZW4gYnl0ZXM=";
        let key = Key::new("hearthgate", secret).expect("a key");
        assert!(!format!("{key:?}").contains("c2Vj") && !format!("{key:?}").contains("115"));
        assert_eq!(Key::new("hearthgate", "c2hvcnQ=").err(), Some(KeyError::Secret));
        let not_base64 = Key::new("hearthgate", "not base64 at all, but my password").err();
        assert_eq!(not_base64, Some(KeyError::Secret));
        assert!(matches!(Key::new("a b", secret), Err(KeyError::Name(_))));
    }
}
