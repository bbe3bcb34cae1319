//! The ranges that addresses of nodes lie in. Source: `net/tsaddr/tsaddr.go` of tailscale.com v1.102.5 (`CGNATRange`,
//! `TailscaleULARange`, `TailscaleViaRange`).

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{Ipv4Addr, Ipv6Addr};

/// IPv4 addresses of nodes: the shared address space of RFC 6598.
pub const TAILNET_V4: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);
/// IPv6 addresses of nodes.
pub const TAILNET_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 0), 48);
/// Both.
pub const TAILNET: [IpNet; 2] = [IpNet::V4(TAILNET_V4), IpNet::V6(TAILNET_V6)];
/// IPv6 addresses that name a site and an IPv4 address there (4via6).
pub const VIA: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0xb1a, 0, 0, 0, 0), 64);

/// Why a network cannot be behind a subnet router, in words for the person who wrote it; `None` when it can.
#[must_use]
pub fn why_not_advertised(net: &IpNet) -> Option<String> {
    let ip = net.addr();
    if net.prefix_len() == 0 {
        return Some(format!("{net} is the whole Internet: advertise an exit node for that"));
    }
    let via = matches!(net, IpNet::V6(net) if VIA.contains(net));
    let own = TAILNET.iter().any(|all| all.contains(net) || net.contains(all)) && !via;
    let nowhere = ip.is_loopback() || ip.is_multicast() || ip.is_unspecified();
    (own || nowhere).then(|| format!("{net} is no network behind this box"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_behind_the_box_is_told_from_others() {
        let why = |net: &str| why_not_advertised(&net.parse().expect("a network"));
        for net in ["192.168.1.0/24", "10.0.0.0/8", "100.0.0.0/10", "2001:db8::/48", "fd00::/64"] {
            assert_eq!(why(net), None, "{net}");
        }
        assert_eq!(why("fd7a:115c:a1e0:b1a:0:7::/96"), None, "4via6");
        for net in ["100.64.0.0/10", "100.100.0.0/16", "100.0.0.0/8", "fd7a:115c:a1e0::/48", "fc00::/7"] {
            assert!(why(net).is_some_and(|why| why.contains(net)), "{net}");
        }
        for net in ["127.0.0.0/8", "::1/128", "224.0.0.0/4", "ff02::/16"] {
            assert!(why(net).is_some_and(|why| why.contains(net)), "{net}");
        }
        for net in ["0.0.0.0/0", "::/0"] {
            assert!(why(net).is_some_and(|why| why.contains("exit node")), "{net}");
        }
    }
}
