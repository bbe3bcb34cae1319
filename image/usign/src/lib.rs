//! Detached ed25519 signatures in the format of OpenBSD `signify` and OpenWrt `usign`.
//!
//! Feeds (`Packages.sig`), checksum lists and system upgrades are signed with it, so that one key format and one
//! checker serve all three, and anybody can check with a program that is in every distribution.
//! Source: `signify.c` of OpenBSD (structures `sig`, `pubkey`, `enckey`), `main.c` of OpenWrt's usign.
//!
//! A file is one line of comment and one line of base64. Keys carry eight arbitrary bytes as their id; a signature
//! names the key it wants by that id, which says nothing about validity.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha512};
use std::fmt;

/// No key or signature file is longer (bytes); more is refused before it is looked at.
pub const MAX_FILE: usize = 1024;

const ED25519_NAME: &[u8] = b"Ed";
const KDF_NAME: &[u8] = b"BK";

/// Why a key or a signature is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UsignError {
    /// Not a comment line and a base64 line of the right length and algorithm.
    #[error("not a {0} in usign/signify format")]
    Format(&'static str),
    /// Secret keys with a passphrase cannot be used by programs.
    #[error("the secret key is protected by a passphrase")]
    Passphrase,
    /// The signature was made with another key.
    #[error("signed by key {signed_by}, not by {expected}")]
    OtherKey {
        /// Id in the signature, 16 hexadecimal digits.
        signed_by: String,
        /// Id of the key it was checked with.
        expected: String,
    },
    /// The right key, but other bytes.
    #[error("the signature does not fit the contents")]
    Bad,
}

/// A public key and its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey {
    id: [u8; 8],
    key: [u8; 32],
}

impl PublicKey {
    /// Reads a public key file.
    pub fn parse(text: &str) -> Result<Self, UsignError> {
        let raw = decode(text, "public key")?;
        let body = tagged::<40>(&raw, "public key")?;
        let (id, key) = body.split_at(8);
        Ok(Self { id: fixed(id), key: fixed(key) })
    }

    /// The key file's text.
    pub fn to_text(&self) -> String {
        let raw = [ED25519_NAME, &self.id, &self.key].concat();
        format!("untrusted comment: public key {}\n{}\n", self.fingerprint(), STANDARD.encode(raw))
    }

    /// Sixteen hexadecimal digits: the file name under `/etc/opkg/keys`.
    pub fn fingerprint(&self) -> String {
        hex(&self.id)
    }

    /// Checks the text of a signature file against the contents it was made for.
    pub fn verify(&self, signature: &str, contents: &[u8]) -> Result<(), UsignError> {
        let raw = decode(signature, "signature")?;
        let body = tagged::<72>(&raw, "signature")?;
        let (id, sig) = body.split_at(8);
        if id != self.id {
            return Err(UsignError::OtherKey { signed_by: hex(id), expected: self.fingerprint() });
        }
        UnparsedPublicKey::new(&ED25519, self.key).verify(contents, sig).map_err(|_| UsignError::Bad)
    }
}

/// A key that signs. It does not print.
pub struct SecretKey {
    id: [u8; 8],
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, redacted)", hex(&self.id))
    }
}

impl SecretKey {
    /// A key from 32 random bytes and an id of 8 more.
    pub fn from_seed(seed: [u8; 32], id: [u8; 8]) -> Result<Self, UsignError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| UsignError::Format("secret key"))?;
        Ok(Self { id, seed, pair })
    }

    /// Reads a secret key file without passphrase.
    pub fn parse(text: &str) -> Result<Self, UsignError> {
        const WHAT: &str = "secret key";
        let raw = decode(text, WHAT)?;
        let body = tagged::<102>(&raw, WHAT)?;
        let (kdf, rest) = body.split_at(2);
        let (rounds, rest) = rest.split_at(4);
        let (_salt, rest) = rest.split_at(16);
        let (checksum, rest) = rest.split_at(8);
        let (id, key) = rest.split_at(8);
        if kdf != KDF_NAME {
            return Err(UsignError::Format(WHAT));
        }
        if rounds != [0; 4] {
            return Err(UsignError::Passphrase);
        }
        let (seed, public) = key.split_at(32);
        let made = Self::from_seed(fixed(seed), fixed(id))?;
        if !Sha512::digest(key).starts_with(checksum) || made.pair.public_key().as_ref() != public {
            return Err(UsignError::Format(WHAT));
        }
        Ok(made)
    }

    /// The secret key file's text: keep it where only its owner reads.
    pub fn to_text(&self) -> String {
        let key = [self.seed.as_slice(), self.pair.public_key().as_ref()].concat();
        let checksum = Sha512::digest(&key);
        let raw = [ED25519_NAME, KDF_NAME, &[0; 4], &[0; 16], &checksum[..8], &self.id, &key].concat();
        format!("untrusted comment: secret key {}\n{}\n", hex(&self.id), STANDARD.encode(raw))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey { id: self.id, key: fixed(self.pair.public_key().as_ref()) }
    }

    /// The signature file for `contents`; the same input gives the same text.
    pub fn sign(&self, contents: &[u8]) -> String {
        let raw = [ED25519_NAME, &self.id, self.pair.sign(contents).as_ref()].concat();
        format!("untrusted comment: signed by key {}\n{}\n", hex(&self.id), STANDARD.encode(raw))
    }
}

fn decode(text: &str, what: &'static str) -> Result<Vec<u8>, UsignError> {
    if text.len() > MAX_FILE {
        return Err(UsignError::Format(what));
    }
    let mut lines = text.lines();
    let comment = lines.next().unwrap_or_default();
    if !comment.starts_with("untrusted comment: ") {
        return Err(UsignError::Format(what));
    }
    STANDARD.decode(lines.next().unwrap_or_default().trim()).map_err(|_| UsignError::Format(what))
}

/// What follows the algorithm's name, if it is `N` bytes.
fn tagged<'a, const N: usize>(raw: &'a [u8], what: &'static str) -> Result<&'a [u8; N], UsignError> {
    raw.strip_prefix(ED25519_NAME).and_then(|rest| rest.try_into().ok()).ok_or(UsignError::Format(what))
}

/// Copies a slice whose length the caller has fixed; a shorter one is filled with zeros.
fn fixed<const N: usize>(from: &[u8]) -> [u8; N] {
    let mut to = [0; N];
    for (t, f) in to.iter_mut().zip(from) {
        *t = *f;
    }
    to
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SecretKey {
        SecretKey::from_seed([7; 32], [1, 2, 3, 4, 5, 6, 7, 0xab]).unwrap()
    }

    #[test]
    fn files_come_back_as_they_were() {
        let secret = SecretKey::parse(&key().to_text()).unwrap();
        assert_eq!(secret.public(), key().public());
        assert_eq!(PublicKey::parse(&key().public().to_text()).unwrap(), key().public());
        assert_eq!(key().public().fingerprint(), "01020304050607ab");
        assert!(!format!("{:?}", key()).contains("7, 7"));
    }

    #[test]
    fn other_bytes_other_keys_and_torn_files_are_refused() {
        let signature = key().sign(b"hello");
        let public = key().public();
        assert_eq!(public.verify(&signature, b"hello"), Ok(()));
        assert_eq!(public.verify(&signature, b"hellp"), Err(UsignError::Bad));
        let other = SecretKey::from_seed([8; 32], [9; 8]).unwrap();
        assert!(matches!(public.verify(&other.sign(b"hello"), b"hello"), Err(UsignError::OtherKey { .. })));
        let same_id = SecretKey::from_seed([8; 32], [1, 2, 3, 4, 5, 6, 7, 0xab]).unwrap();
        assert_eq!(public.verify(&same_id.sign(b"hello"), b"hello"), Err(UsignError::Bad));
        for cut in 0..signature.len() - 2 {
            assert!(public.verify(&signature[..cut], b"hello").is_err(), "cut at {cut}");
        }
        assert!(SecretKey::parse(&key().to_text().replace("RWRCS", "RWRDS")).is_err());
        assert_eq!(PublicKey::parse(&"x".repeat(5000)), Err(UsignError::Format("public key")));
    }
}
