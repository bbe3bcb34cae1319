//! What people want to know about a peer: how it is reached, how fast, and why not better.

use crate::{Measured, Now, Path, Paths, RegionId};
use hearthgate_keys::NodePublic;
use std::{fmt, net::SocketAddr, time::Duration};

/// How one peer is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerStatus {
    /// How its packets travel now.
    pub path: Path,
    /// The best path that was measured, trusted or not.
    pub best: Option<Measured>,
    /// We sent something to it in the last 45 s.
    pub active: bool,
    /// When we last sent something.
    pub last_sent: Option<Now>,
    /// When we last received something.
    pub last_received: Option<Now>,
    /// The relay it is reached through.
    pub region: Option<RegionId>,
    /// Where it could perhaps be reached, with the latest round-trip time.
    pub endpoints: Vec<(SocketAddr, Option<Duration>)>,
    /// Why the path is relayed; `None` if it is direct.
    pub why_relayed: Option<WhyRelayed>,
}

/// Reasons for a relayed path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyRelayed {
    /// Nothing is sent, so nothing is looked for.
    Idle,
    /// The peer has no disco key.
    NoDisco,
    /// UDP does not get out of our network.
    UdpBlocked,
    /// The peer names no endpoint.
    NoEndpoints,
    /// Our NAT gives each destination another address, so nobody can be called back, and the peer did not answer.
    HardNat,
    /// A path worked, and stopped answering.
    Doubt,
    /// The peer did not answer at any of its endpoints: a NAT or firewall is in between.
    NoAnswer,
}

impl fmt::Display for WhyRelayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle: a direct path is looked for when there is traffic",
            Self::NoDisco => "the peer does not take part in looking for direct paths",
            Self::UdpBlocked => "UDP is blocked in our own network",
            Self::NoEndpoints => "the peer has not said where it can be reached",
            Self::HardNat => "our NAT uses another port for each destination, and the peer's endpoints do not answer",
            Self::Doubt => "the direct path stopped answering",
            Self::NoAnswer => "none of the peer's endpoints answers: a NAT or firewall is in between",
        })
    }
}

impl Paths {
    /// The peers that are known.
    pub fn peers(&self) -> impl Iterator<Item = &NodePublic> {
        self.peers.keys()
    }

    /// How a peer is reached; `None` if it is not known.
    #[must_use]
    pub fn status(&self, node: &NodePublic, now: Now) -> Option<PeerStatus> {
        let peer = self.peers.get(node)?;
        let endpoints: Vec<_> =
            peer.candidates.iter().map(|(addr, c)| (addr, c.pong.map(|(latency, _)| latency))).collect();
        let report = self.report();
        let why = || {
            if peer.disco.is_zero() {
                WhyRelayed::NoDisco
            } else if !peer.is_active(now) {
                WhyRelayed::Idle
            } else if report.is_some_and(|report| !report.udp() && !report.latency.is_empty()) {
                WhyRelayed::UdpBlocked
            } else if endpoints.is_empty() {
                WhyRelayed::NoEndpoints
            } else if peer.best.is_some_and(|best| best.hop.is_direct()) {
                WhyRelayed::Doubt
            } else if report.is_some_and(|report| report.mapping_varies == Some(true)) {
                WhyRelayed::HardNat
            } else {
                WhyRelayed::NoAnswer
            }
        };
        let why_relayed = if peer.is_direct(now) { None } else { Some(why()) };
        Some(PeerStatus {
            path: peer.path(now),
            best: peer.best,
            active: peer.is_active(now),
            last_sent: peer.last_sent,
            last_received: peer.last_received,
            region: peer.region(),
            endpoints,
            why_relayed,
        })
    }
}
