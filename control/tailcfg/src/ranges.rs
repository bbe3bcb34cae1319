//! The ranges that addresses of nodes lie in. Source: `net/tsaddr/tsaddr.go` of tailscale.com v1.102.5 (`CGNATRange`,
//! `TailscaleULARange`).

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{Ipv4Addr, Ipv6Addr};

/// IPv4 addresses of nodes: the shared address space of RFC 6598.
pub const TAILNET_V4: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);
/// IPv6 addresses of nodes.
pub const TAILNET_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 0), 48);
/// Both.
pub const TAILNET: [IpNet; 2] = [IpNet::V4(TAILNET_V4), IpNet::V6(TAILNET_V6)];
