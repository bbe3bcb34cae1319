//! What the control client shows, and what it is given to tell.

use crate::Netmap;
use hearthgate_keys::{DiscoPublic, NodePrivate};
use hearthgate_tailcfg::Hostinfo;
use std::{net::SocketAddr, sync::Arc};

/// How far we are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Phase {
    /// The server was not reached yet in this process.
    #[default]
    Starting,
    /// A person has to log in, there if the server said where.
    NeedsLogin(Option<String>),
    /// An administrator has to let the machine in.
    NeedsMachineAuth,
    /// A member of the network.
    Running,
}

impl Phase {
    /// The official client's name for it (`ipn.State`).
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Starting => "Starting",
            Self::NeedsLogin(_) => "NeedsLogin",
            Self::NeedsMachineAuth => "NeedsMachineAuth",
            Self::Running => "Running",
        }
    }
}

/// The state of things, as of now.
#[derive(Debug, Clone)]
pub struct View {
    /// How far we are.
    pub phase: Phase,
    /// The newest network map; from flash until the server sent one.
    pub netmap: Option<Arc<Netmap>>,
    /// Our node key; another one after a rotation.
    pub node_key: NodePrivate,
    /// A map stream is open: the map is what the server has.
    pub live: bool,
    /// Why the last try failed, in words for people; `None` while it works.
    pub problem: Option<String>,
}

/// What the server is to know about us. The newest counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// Self-description, with what was measured of the network.
    pub hostinfo: Hostinfo,
    /// Our disco key.
    pub disco: DiscoPublic,
    /// Where we can be reached, with kinds numbered as in map requests.
    pub endpoints: Vec<(SocketAddr, u8)>,
}
