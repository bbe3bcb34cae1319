//! Addresses by who can reach them (RFC 1918, 3927, 4193, 4291, 6598).

use std::net::{IpAddr, Ipv4Addr};

/// An address by who can reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Only this machine.
    Loopback,
    /// Only this link or LAN.
    Local,
    /// Behind the provider's NAT, or a tailnet's.
    Carrier,
    /// The world, if nothing filters. Addresses that are set aside for something else are among them: see
    /// [`is_public`](crate::is_public).
    Global,
}

/// Who can reach an address.
#[must_use]
pub fn scope(ip: IpAddr) -> Scope {
    match ip.to_canonical() {
        IpAddr::V4(v4) if v4.is_loopback() => Scope::Loopback,
        IpAddr::V4(v4) if v4.is_private() || v4.is_link_local() || v4.is_unspecified() => Scope::Local,
        IpAddr::V4(v4) if is_shared(v4) => Scope::Carrier,
        IpAddr::V4(_) => Scope::Global,
        IpAddr::V6(v6) if v6.is_loopback() => Scope::Loopback,
        IpAddr::V6(v6) if v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified() => Scope::Local,
        IpAddr::V6(_) => Scope::Global,
    }
}

/// Whether an address is in 100.64.0.0/10, which providers (RFC 6598) and tailnets number their own with.
#[must_use]
pub fn is_shared(ip: Ipv4Addr) -> bool {
    matches!(ip.octets(), [100, 64..=127, _, _])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_its_reach() {
        let all = [
            (Scope::Loopback, ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"]),
            (Scope::Local, ["192.168.1.1", "169.254.1.1", "fe80::1", "fd7a:115c:a1e0::1"]),
            (Scope::Carrier, ["100.64.0.0", "100.100.100.100", "100.127.255.255", "::ffff:100.64.0.1"]),
            (Scope::Global, ["100.63.255.255", "100.128.0.0", "172.32.0.1", "2606:4700::1"]),
        ];
        for (expected, addresses) in all {
            for address in addresses {
                assert_eq!(scope(address.parse().unwrap()), expected, "{address}");
            }
        }
    }
}
