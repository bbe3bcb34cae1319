//! Control client: joins a control server, keeps its network map, tells it about us.
//!
//! The decisions are pure: [`Netmap`] takes messages and says what changed, [`requests`] makes the bodies, [`Frames`]
//! cuts a stream into messages, [`c2n`] answers the server's questions, [`Backoff`] says how long to wait. The shell is
//! one task, [`start`]: it dials, registers, polls, sends updates, and publishes a [`View`]. What it is to tell the
//! server comes in as the newest [`Report`]; nothing is queued in either direction.
//!
//! Behaviour after `control/controlclient` of tailscale.com v1.104.5.

mod backoff;
pub mod c2n;
mod dial;
mod error;
mod frames;
mod netmap;
mod prefs;
pub mod requests;
mod session;
mod state;
mod task;
mod view;

pub use backoff::Backoff;
pub use error::ControlError;
pub use frames::{Frames, MESSAGE_MAX};
pub use netmap::{Changes, FilterParts, Netmap};
pub use prefs::Prefs;
pub use state::{Identity, StateDir, StateError};
pub use task::{Control, start};
pub use view::{Phase, Report, View};

/// The capability version we claim: that of Tailscale 1.90, whose messages we understand whole.
pub const CAPABILITY_VERSION: u16 = 130;
