//! Public keys: 32 bytes with a prefix that says what they are for.

use crate::{HexError, KEY_LEN, decode_fixed, encode};
use serde::{Serialize, Serializer};
use std::{fmt, str::FromStr};

/// Why a key text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyParseError {
    /// The text does not begin with this key type's prefix.
    #[error("a key of this type starts with \"{expected}\"")]
    Prefix {
        /// The prefix wanted, colon included.
        expected: &'static str,
    },
    /// The part after the prefix is not 64 hexadecimal digits.
    #[error("after the prefix: {0}")]
    Hex(#[from] HexError),
}

macro_rules! public_key {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, |$k:ident| $short:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; KEY_LEN]);

        impl $name {
            /// Text prefix, colon included.
            pub const PREFIX: &'static str = $prefix;
            /// The all-zero key: "no key" on the wire.
            pub const ZERO: Self = Self([0; KEY_LEN]);

            /// Takes 32 bytes as they are.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
                &self.0
            }

            /// Whether this is the "no key" value.
            #[must_use]
            pub fn is_zero(&self) -> bool {
                *self == Self::ZERO
            }

            /// Short form for logs, as the official client prints it.
            #[must_use]
            pub fn short(&self) -> String {
                let $k = &self.0;
                $short
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.short())
            }
        }

        impl FromStr for $name {
            type Err = KeyParseError;
            fn from_str(text: &str) -> Result<Self, KeyParseError> {
                let digits = text.strip_prefix($prefix).ok_or(KeyParseError::Prefix { expected: $prefix })?;
                Ok(Self(decode_fixed(digits)?))
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::ZERO
            }
        }

        hearthgate_read::text_of! { $name, Self::ZERO, concat!("a key like ", $prefix, "<64 hex digits>"); }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        hearthgate_read::deserialize!($name);
    };
}

public_key! {
    /// A node's WireGuard public key (`nodekey:`).
    NodePublic, "nodekey:", |k| bracketed(k)
}
public_key! {
    /// A machine's Noise public key, or the control server's own (`mkey:`).
    MachinePublic, "mkey:", |k| bracketed(k)
}
public_key! {
    /// A disco public key (`discokey:`).
    DiscoPublic, "discokey:", |k| format!("d:{}", encode(&k[..8]))
}
public_key! {
    /// The challenge key of the early payload (`chalpub:`).
    ChallengePublic, "chalpub:", |k| format!("chal:{}", encode(&k[..8]))
}
public_key! {
    /// A tailnet-lock (ed25519) public key (`nlpub:`).
    NlPublic, "nlpub:", |k| format!("nl:{}", encode(&k[..8]))
}

/// `[AbCdE]`: the first five base64 characters in brackets.
fn bracketed(key: &[u8; KEY_LEN]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = u32::from_be_bytes([key[0], key[1], key[2], key[3]]);
    let mut out = String::from("[");
    for i in 0..5 {
        out.push(ALPHABET[(bits >> (26 - 6 * i) & 63) as usize] as char);
    }
    out.push(']');
    out
}
