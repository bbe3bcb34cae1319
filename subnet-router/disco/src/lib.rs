//! Disco: the packets with which Tailscale nodes look for paths to each other (source: `disco/disco.go`,
//! `net/packet/geneve.go` and `net/packet/tsmp.go` of tailscale.com v1.104.5).
//!
//! A disco packet travels over UDP on WireGuard's own port, as the payload of a relayed (DERP) packet, or through a
//! peer relay inside a Geneve header:
//!
//! | bytes | what |
//! |---|---|
//! | 6 | [`MAGIC`] |
//! | 32 | the sender's disco key, in clear |
//! | 24 | nonce |
//! | rest | NaCl box with one [`Message`] |
//!
//! [`demux`] tells such packets from STUN and WireGuard, [`Envelope`] takes them apart, [`seal`] makes them. What to
//! send when is the business of `hearthgate-paths`. This crate does no I/O; nonces are handed in.

mod addr;
pub mod demux;
mod envelope;
pub mod geneve;
mod message;
mod relay;
pub mod tsmp;

pub use envelope::{Envelope, EnvelopeError, HEADER_LEN, MAGIC, seal};
pub use message::{CALL_ME_MAYBE_LIMIT, Message, ParseError, Ping, Pong, TXID_LEN, TxId};
pub use relay::{Allocate, Allocated, BindEndpoint, CHALLENGE_LEN, RelayEndpoint};
