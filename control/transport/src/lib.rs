//! ts2021 over real streams: the Noise session as something to read from and write to, and the upgrade that leads
//! there, for both roles. The cryptography is in `hearthgate-noise`; this crate only moves bytes.

mod client;
mod stream;

pub use client::{ClientError, connect, fetch_key};
pub use stream::NoiseStream;

/// Value of the `Upgrade` header.
pub const UPGRADE: &str = "tailscale-control-protocol";
/// Header with the client's first handshake message in base64.
pub const HANDSHAKE_HEADER: &str = "X-Tailscale-Handshake";
/// Longest `X-Tailscale-Handshake` value worth decoding.
pub const HANDSHAKE_HEADER_MAX: usize = 256;
