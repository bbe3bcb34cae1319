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
//! [`Gateway`] is the front, [`keep`] the box's end. What both say to each other is in [`messages`].

mod boxes;
mod gateway;
mod hello;
mod home;
mod line;
mod members;
pub mod messages;
mod status;
mod tasks;
mod tunnel;

pub use boxes::{Boxes, BoxesError, Paired, Refused};
pub use gateway::{Gateway, GatewayError, GatewayOptions};
pub use home::{Home, Passed, keep};
pub use line::{Line, LineError, PairingSecret};
pub use status::{State, Status, View};
pub use tunnel::TunnelError;
