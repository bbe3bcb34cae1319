//! Private keys, and the one use of them besides Noise: NaCl boxes (DERP; disco's are in `disco.rs`).

use crate::{BOX_NONCE_LEN, DiscoPublic, KEY_LEN, KeyParseError, MachinePublic, NodePublic, decode_fixed, encode};
use crypto_box::{
    SalsaBox,
    aead::{Aead, generic_array::GenericArray},
};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

const PREFIX: &str = "privkey:";

/// A NaCl box did not open: wrong keys or a changed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the box does not open with these keys")]
pub struct OpenError;

macro_rules! private_key {
    ($(#[$doc:meta])* $name:ident, $public:ident) => {
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; KEY_LEN]);

        impl $name {
            /// Makes a key of 32 random bytes, clamping them as Curve25519 keys are clamped at rest.
            #[must_use]
            pub fn from_random(mut bytes: [u8; KEY_LEN]) -> Self {
                bytes[0] &= 248;
                bytes[31] = (bytes[31] & 127) | 64;
                Self(bytes)
            }

            /// Takes 32 bytes as they are.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
                Self(bytes)
            }

            /// The secret bytes, for a handshake.
            #[must_use]
            pub const fn secret_bytes(&self) -> &[u8; KEY_LEN] {
                &self.0
            }

            /// The public half.
            #[must_use]
            pub fn public(&self) -> $public {
                let secret = x25519_dalek::StaticSecret::from(self.0);
                $public::from_bytes(x25519_dalek::PublicKey::from(&secret).to_bytes())
            }

            /// The text to write to a key file: `privkey:` and 64 hexadecimal digits.
            #[must_use]
            pub fn reveal(&self) -> String {
                format!("{PREFIX}{}", encode(&self.0))
            }

            /// Reads what [`Self::reveal`] wrote.
            ///
            /// # Errors
            /// [`KeyParseError`] when prefix, length or digits are wrong.
            pub fn parse(text: &str) -> Result<Self, KeyParseError> {
                let digits = text.trim().strip_prefix(PREFIX).ok_or(KeyParseError::Prefix { expected: PREFIX })?;
                Ok(Self(decode_fixed(digits)?))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("privkey:<redacted>")
            }
        }
    };
}

private_key! {
    /// A node's (or relay's) private key.
    NodePrivate, NodePublic
}
private_key! {
    /// A machine's, or the control server's, Noise private key.
    MachinePrivate, MachinePublic
}
private_key! {
    /// A node's private discovery key.
    DiscoPrivate, DiscoPublic
}

impl NodePrivate {
    /// Seals `message` for `peer` as a NaCl box (X25519, XSalsa20-Poly1305): `nonce` followed by the ciphertext.
    #[must_use]
    pub fn seal_to(&self, peer: &NodePublic, nonce: [u8; BOX_NONCE_LEN], message: &[u8]) -> Vec<u8> {
        let mut out = nonce.to_vec();
        // The cipher fails only on messages of 2^38 bytes and more.
        if let Ok(sealed) = self.shared(peer).encrypt(GenericArray::from_slice(&nonce), message) {
            out.extend_from_slice(&sealed);
        }
        out
    }

    /// Opens what [`Self::seal_to`] made for us at the owner of `peer`.
    ///
    /// # Errors
    /// [`OpenError`] when `sealed` is too short, was changed, or is between other keys.
    pub fn open_from(&self, peer: &NodePublic, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (nonce, body) = sealed.split_at_checked(BOX_NONCE_LEN).ok_or(OpenError)?;
        self.shared(peer).decrypt(GenericArray::from_slice(nonce), body).map_err(|_| OpenError)
    }

    fn shared(&self, peer: &NodePublic) -> SalsaBox {
        // NodePrivate may hold unclamped bytes (test vectors); X25519 clamps them.
        SalsaBox::new(
            &crypto_box::PublicKey::from(*peer.as_bytes()),
            &crypto_box::SecretKey::from(*self.secret_bytes()),
        )
    }
}
