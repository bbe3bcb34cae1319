//! Slowing down guesses: a few tries at once, then one every few seconds, for an address and for all together.
//!
//! The whole is bounded too, because an attacker on a LAN may have many IPv6 addresses; IPv6 counts by /64.

use hearthgate_sorted::SortedMap;
use std::net::{IpAddr, Ipv6Addr};

/// Tries an address has at once.
pub const BURST: u32 = 5;
/// Time after which an address has one try more, in milliseconds.
pub const REFILL_MS: u64 = 10_000;
/// Tries of everybody together at once.
pub const BURST_ALL: u32 = 30;
/// Time after which everybody has one try more, in milliseconds.
pub const REFILL_ALL_MS: u64 = 2_000;
/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 256;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u32,
    since_ms: u64,
}

impl Bucket {
    fn take(&mut self, burst: u32, refill_ms: u64, now_ms: u64) -> bool {
        let gained = now_ms.saturating_sub(self.since_ms) / refill_ms;
        if gained > 0 {
            self.left = burst.min(self.left.saturating_add(u32::try_from(gained).unwrap_or(u32::MAX)));
            self.since_ms += gained * refill_ms;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

/// Tries that are left.
#[derive(Debug)]
pub struct Throttle {
    by_address: SortedMap<IpAddr, Bucket>,
    all: Bucket,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { by_address: SortedMap::new(), all: Bucket { left: BURST_ALL, since_ms: 0 } }
    }
}

impl Throttle {
    /// Takes one try of `from`; false when there is none left.
    pub fn take(&mut self, from: IpAddr, now_ms: u64) -> bool {
        let whole_again = u64::from(BURST) * REFILL_MS;
        self.by_address.retain(|_, b| now_ms.saturating_sub(b.since_ms) < whole_again);
        let address = network(from);
        if self.by_address.len() >= ADDRESSES_MAX && !self.by_address.contains_key(&address) {
            return false;
        }
        let own = self.by_address.entry(address).or_insert(Bucket { left: BURST, since_ms: now_ms });
        own.take(BURST, REFILL_MS, now_ms) && self.all.take(BURST_ALL, REFILL_ALL_MS, now_ms)
    }

    /// Forgets an address after it got in.
    pub fn forgive(&mut self, from: IpAddr) {
        self.by_address.remove(&network(from));
    }
}

fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}
