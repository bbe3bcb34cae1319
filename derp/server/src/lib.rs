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
//! A listener looks at every new connection, after TLS if there is any:
//!
//! ```no_run
//! # use hearthgate_derp::{Relay, Sniffed, sniff, tune_tcp};
//! # use std::{io, net::SocketAddr, sync::Arc};
//! # async fn other_http<S>(_stream: S) {}
//! async fn accepted(relay: Arc<Relay>, tcp: tokio::net::TcpStream, remote: SocketAddr) -> io::Result<()> {
//!     if !relay.may_accept() {
//!         return Ok(());
//!     }
//!     tune_tcp(&tcp);
//!     match Box::pin(sniff(tcp)).await? {
//!         // A task of its own: what accepting needed is freed, and the connection stays small.
//!         Sniffed::Derp(request, tcp, received) => drop(tokio::spawn(relay.serve_request(request, tcp, received, remote))),
//!         Sniffed::Other(tcp) => other_http(tcp).await,
//!     }
//!     Ok(())
//! }
//! ```

mod client;
mod driver;
mod http;
mod inbound;
mod limits;
mod mesh;
mod metrics;
mod outbox;
mod packet;
mod registry;
mod relay;
mod serve;
mod sniff;
mod socket;
mod stun;
pub mod tls;
mod url_check;
mod websocket;

pub use client::{ClientView, Origin, Remote};
pub use driver::Ended;
pub use http::{BootstrapDns, bootstrap_dns, generate_204};
pub use limits::{Rate, RelayLimits};
pub use mesh::{MeshError, MeshPeer, run_mesh};
pub use metrics::RelayMetrics;
pub use relay::{Admission, AllowAll, Relay, RelayOptions};
pub use sniff::{DerpRequest, Framing, Peek, Prefixed, Sniffed, peek_derp_request, sniff};
pub use socket::tune_tcp;
pub use stun::{StunMetrics, run_stun};
pub use url_check::{UrlCheck, UrlError};
pub use websocket::WebSocket;
