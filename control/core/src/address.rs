//! Which addresses a tailnet may hand out, and picking a free one.

use crate::{AddressAllocation, Entropy};
use ipnet::{Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Tries at random before the search goes on in order.
const RANDOM_TRIES: usize = 64;

/// Addresses of the pool that have another use: quad-100 and its neighbours, ChromeOS, the MagicDNS address.
///
/// Source: `net/tsaddr` of tailscale.com v1.104.5.
#[must_use]
pub fn is_reserved(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            (a, b, c) == (100, 100, 100) || (a == 100 && b == 115 && (c == 92 || c == 93)) || d == 0 || d == 255
        }
        IpAddr::V6(v6) => {
            *v6 == Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 0x53)
                || *v6 == Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 0)
        }
    }
}

/// A free IPv4 address of `pool`, or `None` when it is full. `from` is where a sequential search starts.
pub fn pick_v4(
    pool: Ipv4Net,
    how: AddressAllocation,
    from: Option<Ipv4Addr>,
    rng: &mut dyn Entropy,
    taken: impl Fn(&IpAddr) -> bool,
) -> Option<Ipv4Addr> {
    let (low, high) = (u128::from(u32::from(pool.network())), u128::from(u32::from(pool.broadcast())));
    pick(low, high, how, from.map(|a| u128::from(u32::from(a))), rng, |n| {
        let ip = Ipv4Addr::from(u32::try_from(n).ok()?);
        (!is_reserved(&ip.into()) && !taken(&ip.into())).then_some(ip)
    })
}

/// A free IPv6 address of `pool`, or `None` when it is full.
pub fn pick_v6(
    pool: Ipv6Net,
    how: AddressAllocation,
    from: Option<Ipv6Addr>,
    rng: &mut dyn Entropy,
    taken: impl Fn(&IpAddr) -> bool,
) -> Option<Ipv6Addr> {
    let (low, high) = (u128::from(pool.network()), u128::from(pool.broadcast()));
    pick(low, high, how, from.map(u128::from), rng, |n| {
        let ip = Ipv6Addr::from(n);
        (!is_reserved(&ip.into()) && !taken(&ip.into())).then_some(ip)
    })
}

fn pick<T>(
    low: u128,
    high: u128,
    how: AddressAllocation,
    from: Option<u128>,
    rng: &mut dyn Entropy,
    free: impl Fn(u128) -> Option<T>,
) -> Option<T> {
    /// A full pool is reported after this many used addresses in a row.
    const SEARCH_MAX: u128 = 1 << 20;
    if how == AddressAllocation::Random {
        for _ in 0..RANDOM_TRIES {
            let mut bytes = [0u8; 16];
            rng.fill(&mut bytes);
            let span = (high - low).saturating_add(1);
            if let Some(found) = free(low + u128::from_le_bytes(bytes) % span) {
                return Some(found);
            }
        }
    }
    let start = from.filter(|f| (low..high).contains(f)).map_or(low + 1, |f| f + 1).min(high);
    let ahead = (start..=high).take(usize::try_from(SEARCH_MAX).unwrap_or(usize::MAX));
    let wrapped = (low + 1..start).take(usize::try_from(SEARCH_MAX).unwrap_or(usize::MAX));
    ahead.chain(wrapped).find_map(free)
}
