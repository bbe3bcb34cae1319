//! How this box's own router reaches its peers, as the pages show it.

/// How packets to a peer travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Nothing travels now, so nothing is looked for.
    Idle,
    /// Straight to this address.
    Direct(String),
    /// Through the relay of this region, named by its code, and why.
    Relay(String, String),
    /// Through another device of the network that passes packets on.
    PeerRelay(String),
}

/// One peer of the box's router.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerPath {
    /// Stable id of the node.
    pub stable_id: String,
    /// How it is reached.
    pub way: Way,
    /// Round trip on that path in milliseconds, if it was measured.
    pub latency_ms: Option<f64>,
    /// Bytes received from it since the router started.
    pub received: u64,
    /// Bytes sent to it.
    pub sent: u64,
}

/// What the box's router knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BoxPaths {
    /// Stable id of the box itself; empty before it has joined.
    pub own: String,
    /// Its peers.
    pub peers: Vec<PeerPath>,
}

impl BoxPaths {
    /// The path to the node with this stable id.
    #[must_use]
    pub fn to(&self, stable_id: &str) -> Option<&PeerPath> {
        self.peers.iter().find(|p| p.stable_id == stable_id)
    }

    /// Differs when a path is another one; bytes and round trips do not count.
    #[must_use]
    pub fn same_ways(&self, other: &Self) -> bool {
        let ways = |p: &Self| p.peers.iter().map(|p| (p.stable_id.clone(), p.way.clone())).collect::<Vec<_>>();
        ways(self) == ways(other)
    }
}
