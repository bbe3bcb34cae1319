//! The subnet router: one task that joins control client, relay connections, path machine and data plane.
//!
//! ```text
//!   control server ── control client ─┐ network map        ┌─ relays ── DERP
//!                                     ├──── [`Router`] ────┤
//!   unix socket ───── requests ───────┘                    └─ path machine ── data plane ── packets
//! ```
//!
//! Decisions live elsewhere: what the network is in the control client, how a peer is reached in the path machine, what
//! both mean for the data plane in [`plan`]. This crate moves their inputs and outputs, and tells people.

mod answers;
mod background;
mod dns;
mod engine;
mod greet;
mod network;
mod peer_api;
pub mod plain;
pub mod plan;
mod portmap;
mod relay;
mod requests;
mod resident;
mod revive;
mod rules;
mod services;
mod socket;
mod status;
mod suspend;
mod taildrop;
mod tidy;
mod traffic;
mod tsmp;
mod wake;

pub use answers::merge;
pub use engine::{Router, RouterError, Settings};
pub use network::LocalNetwork;
pub use requests::{PingAnswer, Request};
pub use socket::serve as serve_socket;
pub use tidy::tidy;

/// Where `hearthgate status` and others find the router.
pub const SOCKET: &str = "/var/run/hearthgate/router.sock";
/// Where the router keeps keys and the last network map.
pub const STATE_DIR: &str = "/etc/hearthgate/router";
