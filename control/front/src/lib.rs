//! A front: a program with a public address that passes encrypted streams on to a box at home which nothing can reach.
//!
//! ```text
//!  client ── TLS ──> front ── the same bytes ──> box        (name in the TLS hello -> tunnel of that box)
//!                      <────── TCP, Noise, HTTP/2 ── box    (the box dials, and keeps the tunnel open)
//! ```
//!
//! The box dials the front and proves with Noise (`hearthgate-noise`) that it is the one that was paired; the front
//! proves that it has the key of the pairing line. Inside runs HTTP/2 (RFC 9113) with its roles turned round: the front
//! asks, the box answers. Each client is one CONNECT stream, flow-controlled by itself. The front reads no more of a
//! client's bytes than the name in its TLS hello; keys, certificates and plain text are the box's alone.
//!
//! `Gateway` is the front (feature `gateway`, on by default), [`keep`] the box's end. What both say to each other is in
//! [`messages`].

#[cfg(feature = "gateway")]
mod boxes;
#[cfg(feature = "gateway")]
mod caller;
#[cfg(feature = "gateway")]
mod gateway;
#[cfg(feature = "gateway")]
mod hello;
mod home;
mod line;
#[cfg(feature = "gateway")]
mod members;
pub mod messages;
#[cfg(feature = "gateway")]
mod outside;
mod status;
#[cfg(feature = "gateway")]
mod tasks;
mod tunnel;

#[cfg(feature = "gateway")]
pub use boxes::{Boxes, BoxesError, Paired, Refused};
#[cfg(feature = "gateway")]
pub use gateway::{Gateway, GatewayError, GatewayOptions};
pub use home::{Home, Passed, keep};
pub use line::{Line, LineError, PairingSecret};
pub use status::{CannotTry, Seen, State, Status, View};
pub use tunnel::TunnelError;
