//! The DERP relay and the STUN responder, as shells around `hearthgate-derp-frame` and `hearthgate-stun`.
//!
//! A connection has one task that reads and one that writes; between them are two bounded queues per client (disco,
//! and everything else) that lose their **oldest** packet when full, so a slow client hurts nobody but itself.
//! Payloads are slices of the buffer they were read into and are never copied before they are written.
//!
//! The relay knows nothing of the control server: who may connect is asked through [`Admission`].

mod client;
mod connection;
mod metrics;
mod relay;
mod stun;
pub mod tls;

pub use connection::{Remote, tune_tcp};
pub use metrics::RelayMetrics;
pub use relay::{Admission, AllowAll, Relay, RelayLimits};
pub use stun::{StunMetrics, run_stun};
