//! ts2021: the Noise handshake and the record layer of the control protocol, as buffers in and buffers out.
//!
//! `Noise_IK_25519_ChaChaPoly_BLAKE2s` with the prologue `Tailscale Control Protocol v<N>` (Noise specification
//! revision 34; framing: `control/controlbase` of tailscale.com v1.104.5). After the handshake both sides exchange
//! records of at most 4,096 bytes. Their nonces count **big-endian**, where the Noise specification says
//! little-endian, so the record layer is ours and only the handshake is snow's.
//!
//! ```text
//! initiation  u16 version | 01 | u16 96 | 32 ephemeral | 48 sealed static key | 16 tag
//! response    02 | u16 48 | 32 ephemeral | 16 tag
//! error       03 | u16 length | text
//! record      04 | u16 length | ciphertext with a tag of 16
//! ```
//! All integers are big-endian. There is no rekeying and no closing message.

mod early;
mod handshake;
mod record;
mod resolver;

// Named for its feature `size_opt` only: one small function for handshakes, in place of an unrolled one.
use blake2 as _;

pub use early::{EARLY_MAGIC, EARLY_MAX, encode_early, parse_early_head};
pub use handshake::{
    Accepted, HandshakeError, INITIATION_LEN, Initiator, RESPONSE_LEN, Session, respond, respond_with_ephemeral,
};
pub use record::{MAX_PLAINTEXT, MAX_RECORD, Opener, RECORD_HEADER, RecordError, Sealer, TAG_LEN};
