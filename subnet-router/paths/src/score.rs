//! Which of two measured paths is better (source: `betterAddr` in `wgengine/magicsock/endpoint.go` of tailscale.com
//! v1.104.5; the test vectors are its answers).

use std::{net::IpAddr, net::SocketAddr, time::Duration};

/// Where packets for a peer go: straight to an address, or through a peer relay at that address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hop {
    /// The peer's address, or the peer relay's.
    pub addr: SocketAddr,
    /// With a peer relay: the number to put in the Geneve header.
    pub vni: Option<u32>,
}

/// A path and how good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Where packets go.
    pub hop: Hop,
    /// Round-trip time.
    pub latency: Duration,
    /// Greatest packet that came through, IP header included; bytes.
    pub mtu: u16,
}

/// What a packet of a path that was not probed for its size may measure: 1280 in the tunnel and WireGuard's own.
pub const SAFE_WIRE_MTU: u16 = 1360;

impl Hop {
    /// Straight to `addr`.
    #[must_use]
    pub const fn direct(addr: SocketAddr) -> Self {
        Self { addr, vni: None }
    }

    /// Whether no peer relay is in between.
    #[must_use]
    pub const fn is_direct(&self) -> bool {
        self.vni.is_none()
    }
}

/// Whether to leave `old` for `new`.
#[must_use]
pub fn is_better(new: &Measured, old: &Measured) -> bool {
    if new.hop == old.hop {
        return new.mtu > old.mtu;
    }
    if new.hop.is_direct() != old.hop.is_direct() {
        return new.hop.is_direct();
    }
    let (mut new_points, mut old_points) = (address_points(new), address_points(old));
    if new.latency > old.latency {
        old_points += advantage(old.latency, new.latency);
    } else {
        new_points += advantage(new.latency, old.latency);
    }
    // One percent is noise.
    if new_points <= 1 && old_points == 0 {
        return false;
    }
    new_points > old_points
}

/// Percent that `fast` saves of `slow`.
fn advantage(fast: Duration, slow: Duration) -> u64 {
    match (fast.as_nanos() * 100).checked_div(slow.as_nanos()) {
        Some(percent) => 100u64.saturating_sub(u64::try_from(percent).unwrap_or(100)),
        None => 0,
    }
}

/// Near addresses are worth a detour in latency, and IPv6 has no NAT to lose.
fn address_points(path: &Measured) -> u64 {
    let ip = path.hop.addr.ip();
    let near = if ip.is_loopback() {
        50
    } else if is_link_local(ip) {
        30
    } else if is_private(ip) {
        20
    } else {
        0
    };
    near + if ip.is_ipv6() { 10 } else { 0 }
}

/// 169.254.0.0/16 and fe80::/10.
pub(crate) const fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// RFC 1918 and fc00::/7.
pub(crate) const fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_private(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}
