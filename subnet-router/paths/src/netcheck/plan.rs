//! Which STUN servers to ask when. The first check asks all, later ones the near ones and the home.

use super::{Region, RegionNode, Report};
use crate::RegionId;
use std::{net::SocketAddr, time::Duration};

/// Regions that a later check asks, besides the home.
const NEAR_REGIONS: usize = 3;
/// Among them, those that are asked twice.
const NEAREST: usize = 2;
/// Tries at the home region of a later check.
const HOME_TRIES: u32 = 4;
/// Tries at every region of the first check.
const FIRST_TRIES: u32 = 3;
/// Time between two tries of the first check.
const FIRST_SPACING: Duration = Duration::from_millis(100);
/// Time between two tries at a region whose latency is not known.
const DEFAULT_SPACING: Duration = Duration::from_millis(200);
/// Added, times the number of the try, from the third try on.
const LATE_SPACING: Duration = Duration::from_millis(50);

/// Address families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// One STUN request of a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probe {
    /// When, from the beginning of the check.
    pub at: Duration,
    /// Which region it measures.
    pub region: RegionId,
    /// Over which family.
    pub family: Family,
    /// Which of the region's relays.
    pub node: usize,
    /// Where to.
    pub to: SocketAddr,
}

/// What decides about a plan.
#[derive(Debug, Clone, Copy)]
pub struct Basis<'a> {
    /// The last report, if it counts; without it everything is asked.
    pub last: Option<&'a Report>,
    /// The home region.
    pub home: Option<RegionId>,
    /// The host has IPv4 addresses.
    pub v4: bool,
    /// The host has IPv6 addresses.
    pub v6: bool,
}

/// All requests of a check, in the order of their time.
#[must_use]
pub fn plan(regions: &[Region], basis: Basis<'_>) -> Vec<Probe> {
    let wanted = |region: &&Region| {
        !region.no_measure && !region.nodes.is_empty() && (!region.avoid || basis.home == Some(region.id))
    };
    let mut probes = Vec::new();
    match basis.last.filter(|last| !last.latency.is_empty()) {
        None => {
            for region in regions.iter().filter(wanted) {
                for n in 0..FIRST_TRIES {
                    add(&mut probes, region, n, FIRST_SPACING * n, basis.v4, basis.v6);
                }
            }
        }
        Some(last) => {
            let mut sorted: Vec<_> = regions.iter().filter(wanted).collect();
            hearthgate_sorted::sort_by_key(&mut sorted, |r| {
                (last.latency.get(&r.id).copied().unwrap_or(Duration::MAX), r.id)
            });
            for (rank, region) in sorted.into_iter().enumerate() {
                if rank < NEAR_REGIONS || basis.home == Some(region.id) {
                    again(&mut probes, region, rank, last, basis);
                }
            }
        }
    }
    hearthgate_sorted::sort(&mut probes);
    probes
}

/// A region's requests in a later check.
fn again(probes: &mut Vec<Probe>, region: &Region, rank: usize, last: &Report, basis: Basis<'_>) {
    let (mut v4, mut v6) = (basis.v4, basis.v6);
    let is_home = basis.home == Some(region.id);
    if rank >= NEAREST {
        if last.v4 && last.v6 {
            // Both are known to work; the farther regions take turns.
            v4 = rank.is_multiple_of(2);
            v6 = !v4;
        } else if !last.v6 {
            v6 = false;
        }
    }
    let tries = if is_home {
        HOME_TRIES
    } else if rank < NEAREST {
        2
    } else {
        1
    };
    let spacing = last.latency.get(&region.id).map_or(DEFAULT_SPACING, |latency| *latency * 120 / 100);
    for n in 0..tries {
        let late = if n > 1 { LATE_SPACING * n } else { Duration::ZERO };
        // A family that did not work gets one more chance, not several.
        add(probes, region, n, spacing * n + late, v4, v6 && (n == 0 || last.v6));
    }
}

fn add(probes: &mut Vec<Probe>, region: &Region, n: u32, at: Duration, v4: bool, v6: bool) {
    let node = n as usize % region.nodes.len().max(1);
    let Some(relay) = region.nodes.get(node) else {
        return;
    };
    for (family, to) in [(Family::V4, relay.v4.filter(|_| v4)), (Family::V6, relay.v6.filter(|_| v6))] {
        if let Some(to) = to {
            probes.push(Probe { at, region: region.id, family, node, to });
        }
    }
}

impl RegionNode {
    /// Whether `addr` is one of its STUN addresses.
    #[must_use]
    pub fn has(&self, addr: SocketAddr) -> bool {
        self.v4 == Some(addr) || self.v6 == Some(addr)
    }
}
