//! Where are we in the network? STUN servers tell which address they see, relays how far they are (source:
//! `net/netcheck/netcheck.go` of tailscale.com v1.104.5).

mod check;
mod home;
mod plan;

pub use check::{Check, Step};
pub use home::HomeChooser;
pub use plan::{Basis, Family, Probe, plan};

use crate::RegionId;
use hearthgate_sorted::SortedMap;
use std::{net::SocketAddr, time::Duration};

/// A relay region, as the check needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// Its number.
    pub id: RegionId,
    /// Not to be chosen as home, nor measured unless it is home.
    pub avoid: bool,
    /// Neither to be chosen nor measured.
    pub no_measure: bool,
    /// Factor on its latency when the home is chosen; 1 for none.
    pub score: f64,
    /// Its relays.
    pub nodes: Vec<RegionNode>,
}

/// One relay's STUN server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionNode {
    /// Its name, unique over all regions.
    pub name: String,
    /// Its STUN address over IPv4, if it has one.
    pub v4: Option<SocketAddr>,
    /// Its STUN address over IPv6, if it has one.
    pub v6: Option<SocketAddr>,
}

/// What a network check found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// STUN over IPv4 was answered.
    pub v4: bool,
    /// STUN over IPv6 was answered.
    pub v6: bool,
    /// Whether our NAT gives each destination another address or port: then nobody can call us at the address STUN
    /// shows. `None` if fewer than two servers answered over IPv4.
    pub mapping_varies: Option<bool>,
    /// The addresses that STUN servers saw, with the number of servers.
    pub observed: SortedMap<SocketAddr, u32>,
    /// Time to each region.
    pub latency: SortedMap<RegionId, Duration>,
    /// Time to each region over IPv4.
    pub latency_v4: SortedMap<RegionId, Duration>,
    /// Time to each region over IPv6.
    pub latency_v6: SortedMap<RegionId, Duration>,
    /// Time to each region over HTTPS; measured only if UDP does not work.
    pub latency_https: SortedMap<RegionId, Duration>,
    /// The home relay that follows from it.
    pub home: Option<RegionId>,
}

impl Report {
    /// Whether UDP works at all.
    #[must_use]
    pub const fn udp(&self) -> bool {
        self.v4 || self.v6
    }
}

/// What the control server is told about our network (`tailcfg.NetInfo`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NetInfo {
    /// See [`Report::mapping_varies`].
    pub mapping_varies: Option<bool>,
    /// STUN over IPv6 was answered.
    pub working_ipv6: bool,
    /// The host has IPv6 addresses.
    pub has_ipv6: bool,
    /// UDP works at all.
    pub working_udp: bool,
    /// The home relay.
    pub home: Option<RegionId>,
    /// A router maps a port for us.
    pub port_mapped: bool,
    /// Time to each region over IPv4.
    pub latency_v4: SortedMap<RegionId, Duration>,
    /// Time to each region over IPv6.
    pub latency_v6: SortedMap<RegionId, Duration>,
}

impl NetInfo {
    /// Whether the control server has to hear of the difference. Latencies alone are not worth a message.
    #[must_use]
    pub fn differs(&self, other: &Self) -> bool {
        (self.mapping_varies, self.working_ipv6, self.has_ipv6, self.working_udp, self.home, self.port_mapped)
            != (
                other.mapping_varies,
                other.working_ipv6,
                other.has_ipv6,
                other.working_udp,
                other.home,
                other.port_mapped,
            )
    }
}
