//! Passwords at rest: argon2id (RFC 9106) with 7 MiB and five passes, the smallest pair of the OWASP Password Storage
//! Cheat Sheet. It fits a router of 64 MB, because the shell lets only one run at a time.

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version,
    password_hash::{Salt, SaltString},
};
use hearthgate_core::Entropy;
use hearthgate_keys::Secret;

/// Shortest password.
pub const PASSWORD_MIN: usize = 10;
/// Longest password in bytes: hashing more would only burn time.
pub const PASSWORD_MAX: usize = 256;
const MEMORY_KIB: u32 = 7 * 1024;
const PASSES: u32 = 5;
const SALT_BYTES: usize = Salt::RECOMMENDED_LENGTH;

/// A password that cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("A password has {PASSWORD_MIN} to {PASSWORD_MAX} characters.")]
    Length,
    /// The hash could not be computed (no memory).
    #[error("The password could not be worked on. Try again in a moment.")]
    Hash,
}

/// The hash to store, as a PHC string with its parameters and salt.
///
/// # Errors
/// The length does not fit, or there is no memory for it.
pub fn hash(password: &Secret, rng: &mut dyn Entropy) -> Result<String, PasswordError> {
    let text = password.reveal();
    if text.chars().count() < PASSWORD_MIN || text.len() > PASSWORD_MAX {
        return Err(PasswordError::Length);
    }
    let mut salt = [0u8; SALT_BYTES];
    rng.fill(&mut salt);
    let salt = SaltString::encode_b64(&salt).map_err(|_| PasswordError::Hash)?;
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|_| PasswordError::Hash)?;
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(text.as_bytes(), &salt);
    hash.map(|h| h.to_string()).map_err(|_| PasswordError::Hash)
}

/// Whether this is the password that was hashed. With no hash it takes as long and says no, so that the time does not
/// tell whether an account exists.
#[must_use]
pub fn verify(password: &Secret, stored: Option<&str>) -> bool {
    /// A hash of nothing in particular, with the parameters in use.
    const DUMMY: &str =
        "$argon2id$v=19$m=7168,t=5,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    if password.reveal().len() > PASSWORD_MAX {
        return false;
    }
    let Ok(parsed) = PasswordHash::new(stored.unwrap_or(DUMMY)) else { return false };
    Argon2::default().verify_password(password.reveal().as_bytes(), &parsed).is_ok() && stored.is_some()
}
