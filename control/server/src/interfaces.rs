//! Addresses of this machine's interfaces.

use ipnet::{IpNet, Ipv4Net};
use nix::{
    ifaddrs::{InterfaceAddress, getifaddrs},
    sys::socket::SockaddrStorage,
};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// Beginnings of the names of interfaces of containers and tunnels, our own among them: nobody comes in or means them.
const INNER: [&str; 8] = ["docker", "veth", "virbr", "tailscale", "ts", "wg", "tun", "hearthgate"];
/// Digits of a network of containers, after `br-`.
const BRIDGE_DIGITS: usize = 12;

/// All addresses. None, when the system does not tell.
pub(crate) fn addresses() -> Vec<IpAddr> {
    getifaddrs().into_iter().flatten().filter_map(|i| address(i.address?)).collect()
}

/// Addresses that others may know this machine by: not those of containers and tunnels. IPv4 first.
pub(crate) fn lan_addresses() -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = outer().filter_map(|i| address(i.address?)).collect();
    all.sort_by_key(IpAddr::is_ipv6);
    all
}

/// Private IPv4 networks that this machine is in.
pub(crate) fn nearby() -> Vec<IpNet> {
    let mut found: Vec<IpNet> = Vec::new();
    for interface in outer() {
        let v4 = |a: Option<SockaddrStorage>| a.and_then(|a| a.as_sockaddr_in().map(|a| a.ip()));
        let (Some(ip), Some(mask)) = (v4(interface.address), v4(interface.netmask)) else { continue };
        found.extend(network(ip, mask).filter(|net| !found.contains(net)));
    }
    found
}

/// The address this machine would use to reach the world: what clients on its LAN can reach it at. Without a way to the
/// world the first one that others may know. No packet is sent.
#[must_use]
pub fn guess_lan_address() -> IpAddr {
    // RFC 5737 documentation address: only the choice of the local address matters.
    let towards = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let guess =
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|s| s.connect(towards).and_then(|()| s.local_addr()));
    guess.map_or_else(|_| without_a_way_out(lan_addresses()), |a| a.ip())
}

fn without_a_way_out(addresses: Vec<IpAddr>) -> IpAddr {
    let alone = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    };
    addresses.into_iter().find(|ip| !alone(ip)).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn outer() -> impl Iterator<Item = InterfaceAddress> {
    getifaddrs().into_iter().flatten().filter(|i| !is_inner(&i.interface_name))
}

fn is_inner(name: &str) -> bool {
    // OpenWrt's bridges are named so too, with a word: br-lan.
    let containers = |id: &str| id.len() == BRIDGE_DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit());
    INNER.iter().any(|p| name.starts_with(p)) || name.strip_prefix("br-").is_some_and(containers)
}

fn address(storage: SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
}

fn network(ip: Ipv4Addr, mask: Ipv4Addr) -> Option<IpNet> {
    let net = Ipv4Net::with_netmask(ip, mask).ok()?.trunc();
    (ip.is_private() && net.prefix_len() < 31).then_some(IpNet::V4(net))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_tunnels_are_not_where_others_come_in() {
        for inner in ["tailscale0", "hearthgate0", "wg0", "veth1a2b", "docker0", "br-9f1b2c3d4e5f"] {
            assert!(is_inner(inner), "{inner}");
        }
        for outer in ["eth0", "br-lan", "br-0", "wlan0", "end0", "lo"] {
            assert!(!is_inner(outer), "{outer}");
        }
    }

    #[test]
    fn a_lan_without_a_way_out_is_a_lan() {
        let guess = |all: &[&str]| without_a_way_out(all.iter().map(|ip| ip.parse().unwrap()).collect()).to_string();
        assert_eq!(guess(&["127.0.0.1", "169.254.7.7", "192.168.1.1", "::1"]), "192.168.1.1");
        assert_eq!(guess(&["127.0.0.1", "::1", "fe80::1", "fd12::1"]), "fd12::1");
        assert_eq!(guess(&["127.0.0.1", "fe80::1"]), "127.0.0.1");
    }

    #[test]
    fn what_is_near_is_private_and_more_than_two_machines() {
        let near = |ip: [u8; 4], mask: [u8; 4]| network(ip.into(), mask.into()).map(|n| n.to_string());
        assert_eq!(near([192, 168, 1, 1], [255, 255, 255, 0]).as_deref(), Some("192.168.1.0/24"));
        assert_eq!(near([203, 0, 113, 7], [255, 255, 255, 0]), None);
        assert_eq!(near([100, 64, 0, 1], [255, 192, 0, 0]), None);
        assert_eq!(near([10, 0, 0, 1], [255, 255, 255, 255]), None);
    }
}
