//! An upgrade as it is sent: a signed head, then the file system, so that nothing is written before the signature and
//! the target were checked, and nothing has to be kept in memory.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `HGUPGRD1` |
//! | 8..16 | length of the file system, little endian |
//! | 16..48 | its SHA-256 |
//! | 48..56 | when its sources were made, seconds since 1970 |
//! | 56..72 | target (`aarch64`), zero-filled |
//! | 72..104 | version (`0.1.0`), zero-filled |
//! | 104..256 | zeros |
//! | 256..1024 | usign signature file over bytes 0..256, zero-filled |
//! | 1024.. | the file system |

use crate::Slot;
use hearthgate_usign::{PublicKey, SecretKey, UsignError};
use sha2::{Digest as _, Sha256};

const MAGIC: &[u8; 8] = b"HGUPGRD1";
const SIGNED: usize = 256;
/// Bytes before the file system.
pub const HEAD: usize = 1024;

/// Why an upgrade is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UpgradeError {
    /// Not an upgrade, or one of a format that is not known here.
    #[error("this is not an upgrade file")]
    Format,
    /// The signature.
    #[error(transparent)]
    Signature(#[from] UsignError),
    /// For another kind of machine.
    #[error("the upgrade is for {0}")]
    Target(String),
    /// Older than what runs: the state may have been written in a newer form.
    #[error("the upgrade is older than the running system")]
    Older,
    /// Longer than a slot.
    #[error("the upgrade has {0} bytes, more than a slot holds")]
    TooLong(u64),
}

/// The signed facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the slot will hold.
    pub slot: Slot,
    /// Kind of machine, up to 16 bytes.
    pub target: String,
    /// Version for people, up to 32 bytes.
    pub version: String,
}

impl Header {
    /// Reads the first [`HEAD`] bytes and checks their signature. `target` is that of the running system, `running` what
    /// it was made from, `room` the size of a slot in bytes.
    pub fn check(
        head: &[u8; HEAD],
        key: &PublicKey,
        target: &str,
        running: u64,
        room: u64,
    ) -> Result<Self, UpgradeError> {
        let (signed, signature) = head.split_at(SIGNED);
        let signature = text(signature).ok_or(UpgradeError::Format)?;
        if !signed.starts_with(MAGIC) {
            return Err(UpgradeError::Format);
        }
        key.verify(&signature, signed)?;
        let header = Self::read(signed).ok_or(UpgradeError::Format)?;
        if header.target != target {
            return Err(UpgradeError::Target(header.target));
        }
        if header.slot.built < running {
            return Err(UpgradeError::Older);
        }
        if header.slot.length == 0 || header.slot.length > room {
            return Err(UpgradeError::TooLong(header.slot.length));
        }
        Ok(header)
    }

    fn read(signed: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(signed.get(at..at + 8)?.try_into().ok()?));
        let sha256 = signed.get(16..48)?.try_into().ok()?;
        Some(Self {
            slot: Slot { length: number(8)?, sha256, built: number(48)? },
            target: text(signed.get(56..72)?)?,
            version: text(signed.get(72..104)?)?,
        })
    }

    /// Makes the head for a file system. `None` if target or version are too long.
    pub fn make(file_system: &[u8], built: u64, target: &str, version: &str, key: &SecretKey) -> Option<[u8; HEAD]> {
        if target.len() > 16 || version.len() > 32 {
            return None;
        }
        let mut signed = MAGIC.to_vec();
        signed.extend_from_slice(&(file_system.len() as u64).to_le_bytes());
        signed.extend_from_slice(&Sha256::digest(file_system));
        signed.extend_from_slice(&built.to_le_bytes());
        signed.extend_from_slice(target.as_bytes());
        signed.resize(72, 0);
        signed.extend_from_slice(version.as_bytes());
        signed.resize(SIGNED, 0);
        let signature = key.sign(&signed);
        signed.extend_from_slice(signature.as_bytes());
        signed.resize(HEAD, 0);
        signed.try_into().ok()
    }
}

/// Zero-filled text.
fn text(field: &[u8]) -> Option<String> {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    String::from_utf8(field.get(..end)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_for_this_machine_and_is_newer_is_taken() {
        let key = SecretKey::from_seed([1; 32], [2; 8]).unwrap();
        let head = Header::make(b"squash", 100, "aarch64", "0.1.0", &key).unwrap();
        let check =
            |head: &[u8; HEAD], target, running, room| Header::check(head, &key.public(), target, running, room);
        let header = check(&head, "aarch64", 100, 6).unwrap();
        assert_eq!((header.slot.length, header.version.as_str()), (6, "0.1.0"));
        assert_eq!(check(&head, "armv7", 100, 6), Err(UpgradeError::Target("aarch64".into())));
        assert_eq!(check(&head, "aarch64", 101, 6), Err(UpgradeError::Older));
        assert_eq!(check(&head, "aarch64", 100, 5), Err(UpgradeError::TooLong(6)));
        for at in 0..SIGNED {
            let mut changed = head;
            changed[at] ^= 1;
            assert!(check(&changed, "aarch64", 0, 1 << 40).is_err(), "byte {at}");
        }
        assert_eq!(check(&[0; HEAD], "aarch64", 0, 9), Err(UpgradeError::Format));
    }
}
