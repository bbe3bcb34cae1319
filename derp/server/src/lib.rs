//! The DERP relay and the STUN responder, as shells around `hearthgate-derp-frame` and `hearthgate-stun`.
//!
//! ```text
//! socket -> sniff -> serve (handshake, admission) -> drive -> frames -> registry -> outbox of the receiver
//!             |                                        ^                                  |
//!             +-> whatever else speaks HTTP            +------ woken, writes batches <----+
//! ```
//!
//! A connection is one task that reads and writes; neither waits for the other. Two bounded queues per client (disco,
//! and everything else) lose their **oldest** packet when full, so a slow client hurts nobody but itself. An idle
//! connection holds no buffers.
//!
//! The relay knows nothing of the control server: who may connect is asked through [`Admission`].
//!
//! [`Front`] is the listener: it looks at every new connection, after TLS if there is any, and keeps the relay's. A bare
//! relay answers the little else there is with [`serve_pages`].

mod client;
mod driver;
mod front;
mod gate;
mod http;
pub mod identity;
mod inbound;
mod limits;
mod mesh;
mod metrics;
mod outbox;
mod packet;
mod proxies;
mod queue;
mod registry;
mod relay;
mod serve;
mod sniff;
mod socket;
mod standalone;
mod stun;
pub mod tls;
mod url_check;

pub use client::{ClientView, Origin, Remote};
pub use driver::Ended;
pub use front::{Connection, Duplex, Front};
pub use gate::{Gate, PER_ADDRESS, Pass};
pub use http::{BootstrapDns, bootstrap_dns, generate_204};
pub use limits::{Rate, RelayLimits};
pub use mesh::{MeshError, MeshPeer, run_mesh};
pub use metrics::RelayMetrics;
pub use proxies::TrustedProxies;
pub use relay::{Admission, AllowAll, Relay, RelayOptions};
pub use sniff::{DerpRequest, Framing, Peek, Prefixed, Sniffed, peek_derp_request, sniff};
pub use socket::tune_tcp;
pub use standalone::{Pages, serve_pages};
pub use stun::{StunMetrics, run_stun};
pub use url_check::{UrlCheck, UrlError};
