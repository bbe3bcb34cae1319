//! The secret that two discovery keys share.
//!
//! A path finder seals a packet to every active peer every three seconds, so the X25519 step is made once per pair of
//! keys and kept (the official client does the same with `key.DiscoShared`).

use crate::{BOX_NONCE_LEN, DiscoPrivate, DiscoPublic, OpenError};
use crypto_box::{
    SalsaBox,
    aead::{Aead, generic_array::GenericArray},
};
use std::fmt;

/// The precomputed NaCl box key between our discovery key and a peer's.
pub struct DiscoShared(SalsaBox);

impl DiscoPrivate {
    /// What this key shares with the owner of `peer`: one X25519 computation.
    #[must_use]
    pub fn shared(&self, peer: &DiscoPublic) -> DiscoShared {
        DiscoShared(SalsaBox::new(
            &crypto_box::PublicKey::from(*peer.as_bytes()),
            &crypto_box::SecretKey::from(*self.secret_bytes()),
        ))
    }
}

impl DiscoShared {
    /// Seals `message`; answers the ciphertext with its tag, without the nonce.
    #[must_use]
    pub fn seal(&self, nonce: &[u8; BOX_NONCE_LEN], message: &[u8]) -> Vec<u8> {
        // The cipher fails only on messages of 2^38 bytes and more.
        self.0.encrypt(GenericArray::from_slice(nonce), message).unwrap_or_default()
    }

    /// Opens what the peer sealed under the same nonce.
    ///
    /// # Errors
    /// [`OpenError`] when it was changed, or is between other keys.
    pub fn open(&self, nonce: &[u8; BOX_NONCE_LEN], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.0.decrypt(GenericArray::from_slice(nonce), sealed).map_err(|_| OpenError)
    }
}

impl fmt::Debug for DiscoShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiscoShared(<redacted>)")
    }
}
