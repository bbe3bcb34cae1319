//! Which addresses lie on the public internet (IANA's special-purpose address registries: RFC 6890 and its updates).

use crate::is_shared;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether this address can only be somebody's on the public internet: not this machine, not a private or local network,
/// not a form of IPv6 that has such an IPv4 address inside.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Whether this address is of a network that is there to be written about, and nobody's (RFC 5737, RFC 3849).
#[must_use]
pub fn is_documentation(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_documentation(),
        IpAddr::V6(v6) => v6.segments()[..2] == [0x2001, 0xdb8],
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || a >= 224
        || is_shared(ip)
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && (18..20).contains(&b)))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(v4) = ip.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let [first, second, third, fourth, fifth, sixth, high, low] = ip.segments();
    if [first, second, third, fourth, fifth, sixth] == [0x64, 0xff9b, 0, 0, 0, 0] {
        // NAT64 (RFC 6052): the last 32 bits.
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    // Global unicast, without documentation, 6to4 and the protocol assignments with Teredo among them.
    first & 0xe000 == 0x2000 && first != 0x2002 && !(first == 0x2001 && (second == 0xdb8 || second < 0x200))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_somebody_s_own_is_not_public() {
        let public = |text: &str| is_public(text.parse().expect("an address"));
        for yes in ["1.1.1.1", "100.63.0.1", "172.32.0.1", "2606:4700::1", "::ffff:1.1.1.1", "64:ff9b::101:101"] {
            assert!(public(yes), "{yes}");
        }
        for no in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
        ] {
            assert!(!public(no), "{no}");
        }
    }
}
