//! The host's own place: addresses and networks of its interfaces, its name.

use ipnet::IpNet;
use nix::{
    ifaddrs::getifaddrs,
    net::if_::{InterfaceFlags, if_nametoindex},
};
use std::net::IpAddr;

/// Addresses and networks of all interfaces but one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalNetwork {
    /// Addresses of interfaces that are up, loopback's too; sorted.
    pub addresses: Vec<IpAddr>,
    /// Networks they are in, hosts' own addresses and loopback's left out; sorted.
    pub attached: Vec<IpNet>,
}

/// Looks. `tunnel` is the interface to leave out. What cannot be read is taken as nothing.
#[must_use]
pub fn look(tunnel: &str) -> LocalNetwork {
    let mut found = LocalNetwork::default();
    for interface in getifaddrs().into_iter().flatten() {
        if interface.interface_name == tunnel || !interface.flags.contains(InterfaceFlags::IFF_UP) {
            continue;
        }
        let ip = |address: Option<nix::sys::socket::SockaddrStorage>| -> Option<IpAddr> {
            let address = address?;
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        };
        let Some(address) = ip(interface.address) else { continue };
        found.addresses.push(address);
        let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if let Some(mask) = ip(interface.netmask)
            && !address.is_loopback()
            && !link_local
            && let Ok(net) = IpNet::with_netmask(address, mask)
            && net.prefix_len() < net.max_prefix_len()
        {
            found.attached.push(net.trunc());
        }
    }
    found.addresses.sort_unstable();
    found.addresses.dedup();
    found.attached.sort_unstable();
    found.attached.dedup();
    found
}

/// Number of an interface that is up; `None` if there is no such one.
#[must_use]
pub fn tunnel(name: &str) -> Option<u32> {
    let mut all = getifaddrs().into_iter().flatten();
    // Every interface has an entry, with addresses or without.
    let up = all.any(|interface| interface.interface_name == name && interface.flags.contains(InterfaceFlags::IFF_UP));
    if up { if_nametoindex(name).ok() } else { None }
}

/// The machine's host name.
#[must_use]
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
