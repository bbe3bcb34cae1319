//! How to reach each peer: through a relay at once, straight as soon as the NATs in between allow it, on the best
//! straight path after that, and through the relay again when it fails (source for behaviour and timings:
//! `wgengine/magicsock` and `net/netcheck` of tailscale.com v1.104.5).
//!
//! [`Paths`] is a state machine without sockets or clock. Its owner hands it [`Event`]s with the time, takes
//! [`Action`]s from [`Paths::poll`] until there are none, and hands it [`Event::Timer`] when [`Paths::next_timer`] has
//! come. It does these things:
//!
//! * **Peers**: pings their endpoints with disco packets, asks them over the relay to ping ours (call-me-maybe),
//!   chooses the best path that works, watches it with heartbeats while it is in use, and tells the data plane
//!   ([`Action::SetPath`]). A path in doubt goes together with the relay's ([`Path::Both`]), so nothing is lost.
//! * **Port mapping** is a crate of its own, `hearthgate-portmap`; what it maps comes in as [`Event::PortMapped`].
//! * **Peer relays**: where nothing is direct, asks nodes that may relay over UDP for an endpoint, and binds to it.
//! * **Our own place in the network**: asks STUN servers which address we have and whether our NAT gives each
//!   destination another one, measures the relays, chooses the home relay, and collects our endpoints.
//!
//! The data plane must hand in [`Event::Traffic`] for the peers it sends to: pings are sent only while there is
//! traffic. A packet on a relayed path should be reported at once, the kernel's counters every three seconds.

mod api;
mod candidate;
mod engine;
mod haste;
pub mod netcheck;
mod own;
mod peer;
mod peer_relay;
mod receive;
mod score;
mod send;
mod status;
mod timers;
pub mod timing;

pub use api::{Action, Config, Endpoint, EndpointKind, Event, Path, PeerInfo, Via};
pub use engine::{Entropy, Paths};
pub use netcheck::{NetInfo, Region, RegionNode, Report};
pub use score::{Hop, Measured, SAFE_WIRE_MTU, is_better};
pub use status::{PeerStatus, WhyRelayed};
pub use timing::Now;

/// Number of a relay region.
pub type RegionId = u16;
/// The address that stands for "through a relay" in disco packets; the port is the region's number.
pub const RELAY_MAGIC_IP: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 3, 3, 40);
