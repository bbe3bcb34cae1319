//! Records: what flows after the handshake.

use chacha20poly1305::{AeadInPlace, ChaCha20Poly1305, KeyInit, Nonce, Tag};
use hearthgate_keys::KEY_LEN;
use std::{fmt, ops::Range};

/// Largest record with its header.
pub const MAX_RECORD: usize = 4096;
/// Bytes before the ciphertext.
pub const RECORD_HEADER: usize = 3;
/// Bytes of the authentication tag.
pub const TAG_LEN: usize = 16;
/// Most plaintext in one record.
pub const MAX_PLAINTEXT: usize = MAX_RECORD - RECORD_HEADER - TAG_LEN;

const TYPE_RECORD: u8 = 4;

/// Why the record stream broke; the connection is dead then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Another message type where a record has to be.
    #[error("message type {0} where a record was expected")]
    Type(u8),
    /// A length no record can have.
    #[error("a record cannot be {0} bytes long")]
    Length(usize),
    /// The record was changed or sent out of order.
    #[error("a record does not authenticate")]
    Forged,
    /// 2^64−1 records were sent; a new connection is needed.
    #[error("the record counter is used up")]
    Exhausted,
}

/// Encrypts what we send.
pub struct Sealer {
    cipher: ChaCha20Poly1305,
    counter: u64,
}

/// Decrypts what we receive.
pub struct Opener {
    cipher: ChaCha20Poly1305,
    counter: u64,
}

impl Sealer {
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        Self { cipher: ChaCha20Poly1305::new(key.into()), counter: 0 }
    }

    /// Appends `plain` to `out` as records, full ones first.
    ///
    /// # Errors
    /// The counter is used up.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
        out.reserve(plain.len() + plain.len().div_ceil(MAX_PLAINTEXT) * (RECORD_HEADER + TAG_LEN));
        for chunk in plain.chunks(MAX_PLAINTEXT) {
            let nonce = next_nonce(&mut self.counter)?;
            // At most MAX_RECORD, so it fits.
            let len = u16::try_from(chunk.len() + TAG_LEN).map_err(|_| RecordError::Length(chunk.len()))?;
            out.push(TYPE_RECORD);
            out.extend_from_slice(&len.to_be_bytes());
            let start = out.len();
            out.extend_from_slice(chunk);
            let tag = self
                .cipher
                .encrypt_in_place_detached(&nonce, &[], &mut out[start..])
                .map_err(|_| RecordError::Exhausted)?;
            out.extend_from_slice(&tag);
        }
        Ok(())
    }
}

impl Opener {
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        Self { cipher: ChaCha20Poly1305::new(key.into()), counter: 0 }
    }

    /// Decrypts the first record of `input` in place. `None` when it is not whole yet; else how many bytes it took,
    /// and where its plaintext lies (which may be empty).
    ///
    /// # Errors
    /// The stream is broken.
    pub fn open(&mut self, input: &mut [u8]) -> Result<Option<(usize, Range<usize>)>, RecordError> {
        let Some((header, body)) = input.split_at_mut_checked(RECORD_HEADER) else { return Ok(None) };
        if header[0] != TYPE_RECORD {
            return Err(RecordError::Type(header[0]));
        }
        let len = usize::from(u16::from_be_bytes([header[1], header[2]]));
        if !(TAG_LEN..=MAX_RECORD - RECORD_HEADER).contains(&len) {
            return Err(RecordError::Length(len));
        }
        let Some(sealed) = body.get_mut(..len) else { return Ok(None) };
        let nonce = next_nonce(&mut self.counter)?;
        let (text, tag) = sealed.split_at_mut(len - TAG_LEN);
        self.cipher
            .decrypt_in_place_detached(&nonce, &[], text, Tag::from_slice(tag))
            .map_err(|_| RecordError::Forged)?;
        Ok(Some((RECORD_HEADER + len, RECORD_HEADER..RECORD_HEADER + len - TAG_LEN)))
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("counter", &self.counter).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("counter", &self.counter).finish_non_exhaustive()
    }
}

/// Four zero bytes and the counter, big-endian.
fn next_nonce(counter: &mut u64) -> Result<Nonce, RecordError> {
    let n = *counter;
    if n == u64::MAX {
        return Err(RecordError::Exhausted);
    }
    *counter += 1;
    let mut nonce = [0u8; 12];
    nonce[4..].copy_from_slice(&n.to_be_bytes());
    Ok(nonce.into())
}
