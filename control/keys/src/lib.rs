//! Typed keys of the Tailscale protocol and their text forms.
//!
//! Every public key is 32 opaque bytes with a text prefix: `nodekey:`, `mkey:`, `discokey:`, `chalpub:`, `nlpub:`
//! (source: `types/key` of `tailscale.com` v1.104.5). Hex is lower case on output, either case on input; a wrong
//! prefix or length is an error, because the official decoder refuses the whole document then.
//!
//! Private keys are zeroed when dropped, have no `Display`, and print as `privkey:<redacted>` under `Debug`;
//! [`NodePrivate::reveal`] and [`MachinePrivate::reveal`] are the only ways to write one out.
//!
//! This crate does no I/O; random bytes are handed in by the caller ([`MachinePrivate::from_bytes`]).

mod disco;
mod hex;
mod private;
mod public;
mod token;

pub use disco::DiscoShared;
pub use hex::{HexError, decode_fixed, encode};
pub use private::{DiscoPrivate, MachinePrivate, NodePrivate, OpenError};
pub use public::{ChallengePublic, DiscoPublic, KeyParseError, MachinePublic, NlPublic, NodePublic};
pub use token::{Secret, constant_time_eq};

/// Length of every key in bytes.
pub const KEY_LEN: usize = 32;
/// Length of a NaCl box nonce in bytes.
pub const BOX_NONCE_LEN: usize = 24;
/// Bytes that a NaCl box adds to its plaintext besides the nonce.
pub const BOX_TAG_LEN: usize = 16;
