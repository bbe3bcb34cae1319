//! What the authenticator itself says and signs (WebAuthn section 6.1): for whom, how it knows the person, how often
//! it has signed, and at registration the new key.

use super::{ID_MAX, PasskeyError, PublicKey, cbor::Reader};

/// The flags (section 6.1, "flags").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    const PRESENT: u8 = 1;
    const VERIFIED: u8 = 1 << 2;
    const SYNCABLE: u8 = 1 << 3;
    const SYNCED: u8 = 1 << 4;
    const NEW_KEY: u8 = 1 << 6;
    const EXTENSIONS: u8 = 1 << 7;

    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    /// Somebody was there (UP) and was verified by PIN, finger or face (UV).
    #[must_use]
    pub fn person(self) -> bool {
        self.has(Self::PRESENT) && self.has(Self::VERIFIED)
    }

    /// The key may be copied to other devices of the same person (BE). Never changes for a key.
    #[must_use]
    pub fn syncable(self) -> bool {
        self.has(Self::SYNCABLE)
    }

    /// The key is on other devices as well (BS).
    #[must_use]
    pub fn synced(self) -> bool {
        self.has(Self::SYNCED)
    }
}

/// A new key: its identifier, and its encoded form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NewKey<'a> {
    pub(super) id: &'a [u8],
    pub(super) cose: &'a [u8],
    pub(super) key: PublicKey<'a>,
}

/// Authenticator data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthenticatorData<'a> {
    /// SHA-256 of the relying party's identifier: the name in the URL.
    pub rp_id_hash: [u8; 32],
    /// The flags.
    pub flags: Flags,
    /// Signatures so far; 0 with authenticators that do not count.
    pub counter: u32,
    pub(super) new: Option<NewKey<'a>>,
}

impl<'a> AuthenticatorData<'a> {
    /// Reads it.
    ///
    /// # Errors
    /// It is not whole, bytes follow, or its flags contradict each other.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PasskeyError> {
        const SHORT: PasskeyError = PasskeyError::Malformed("authenticator data");
        let (rp_id_hash, rest) = bytes.split_first_chunk::<32>().ok_or(SHORT)?;
        let ([flags], rest) = rest.split_first_chunk::<1>().ok_or(SHORT)?;
        let (counter, mut rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let flags = Flags(*flags);
        if flags.synced() && !flags.syncable() {
            return Err(PasskeyError::Backup);
        }
        let mut new = None;
        if flags.has(Flags::NEW_KEY) {
            // 16 bytes name the authenticator's model, which is nobody's business here.
            let (_model, behind) = rest.split_first_chunk::<16>().ok_or(SHORT)?;
            let (length, behind) = behind.split_first_chunk::<2>().ok_or(SHORT)?;
            let (id, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(SHORT)?;
            if id.is_empty() || id.len() > ID_MAX {
                return Err(PasskeyError::Malformed("credential id"));
            }
            let mut reader = Reader::new(behind);
            let key = PublicKey::read(&mut reader)?;
            rest = reader.rest();
            let cose = behind.get(..behind.len() - rest.len()).ok_or(SHORT)?;
            new = Some(NewKey { id, cose, key });
        }
        let mut reader = Reader::new(rest);
        if flags.has(Flags::EXTENSIONS) {
            // None were asked for, and what they say does not matter.
            reader.clone().map()?;
            reader.skip()?;
        }
        reader.end()?;
        Ok(Self { rp_id_hash: *rp_id_hash, flags, counter: u32::from_be_bytes(*counter), new })
    }
}
