//! ts2021 over real streams: the Noise session as something to read from and write to, and the upgrade that leads
//! there, for both roles. The cryptography is in `hearthgate-noise`; this crate only moves bytes.
//!
//! Servers call [`accept`] on a request and [`Upgrade::stream`] on the connection behind it. Clients call [`dial`], or
//! [`fetch_key`] and [`connect`] on streams of their own. Both then speak HTTP/2 over what they get.

mod accept;
mod client;
mod dial;
mod early;
mod stream;

pub use accept::{AcceptError, Carrier, Upgrade, accept};
pub use client::{ClientError, connect, fetch_key};
pub use dial::{CONNECT_TIMEOUT, HANDSHAKE_TIMEOUT, dial};
pub use early::ClientStream;
pub use stream::NoiseStream;

/// Value of the `Upgrade` header, and sub-protocol of the WebSocket.
pub const UPGRADE: &str = "tailscale-control-protocol";
/// Header (or, in browsers, query parameter) with the client's first handshake message in base64.
pub const HANDSHAKE_HEADER: &str = "X-Tailscale-Handshake";
/// Longest `X-Tailscale-Handshake` value worth decoding.
pub const HANDSHAKE_HEADER_MAX: usize = 256;
