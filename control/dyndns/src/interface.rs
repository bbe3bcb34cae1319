//! Which of a machine's own addresses the world may come to.

use crate::Addresses;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Flags of an address in `/proc/net/if_inet6` (`include/uapi/linux/if_addr.h` of Linux 6.12).
const TEMPORARY: u8 = 0x01;
const DEPRECATED: u8 = 0x20;
const TENTATIVE: u8 = 0x40;
const PERMANENT: u8 = 0x80;
/// Failed detection of a duplicate.
const DAD_FAILED: u8 = 0x08;

/// Whether an address is one of the public Internet, so that a name may lead to it (IANA's registries of
/// special-purpose addresses).
///
/// The documentation networks count as public: nobody has them, and tests do.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => public_v4(v4),
        IpAddr::V6(v6) => v6.octets()[0] & 0xe0 == 0x20 && v6.segments()[0] != 0x2002,
    }
}

fn public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let carrier = a == 100 && b & 0xc0 == 64;
    let benchmark = a == 198 && b & 0xfe == 18;
    let protocols = (a, b, c) == (192, 0, 0);
    !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || carrier || benchmark || protocols)
        && (1..224).contains(&a)
}

/// The IPv6 address to publish, from the text of `/proc/net/if_inet6`: a public one that stays. `before` is kept as
/// long as it is there, so that a name does not go back and forth.
#[must_use]
pub fn best_v6(if_inet6: &str, before: Option<Ipv6Addr>) -> Option<Ipv6Addr> {
    let mut best: Option<(u8, Ipv6Addr)> = None;
    for line in if_inet6.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(flags)) = (words.next(), words.nth(3)) else { continue };
        let (Ok(bits), Ok(flags)) = (u128::from_str_radix(address, 16), u8::from_str_radix(flags, 16)) else {
            continue;
        };
        let ip = Ipv6Addr::from(bits);
        if flags & (DEPRECATED | TENTATIVE | DAD_FAILED) != 0 || !is_public(ip.into()) {
            continue;
        }
        if Some(ip) == before && flags & TEMPORARY == 0 {
            return before;
        }
        // Set by hand, then made from the network's prefix, then one of those that change every day.
        let worth = if flags & PERMANENT != 0 { 2 } else { u8::from(flags & TEMPORARY == 0) };
        if best.is_none_or(|(known, _)| worth > known) {
            best = Some((worth, ip));
        }
    }
    best.map(|(_, ip)| ip)
}

impl Addresses {
    /// Only those that the world can reach, of the families that are wanted.
    #[must_use]
    pub fn public(self, v4: bool, v6: bool) -> Self {
        Self {
            v4: self.v4.filter(|ip| v4 && is_public(IpAddr::V4(*ip))),
            v6: self.v6.filter(|ip| v6 && is_public(IpAddr::V6(*ip))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nobody_elses_is_not_published() {
        let public = |ip: &str| is_public(ip.parse().unwrap());
        for ip in ["8.8.8.8", "203.0.113.9", "2a01:4f8::1", "2001:db8::1"] {
            assert!(public(ip), "{ip}");
        }
        for ip in [
            "192.168.1.1",
            "10.0.0.1",
            "172.20.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "fe80::1",
            "fd7a:115c:a1e0::1",
            "2002:c000:204::1",
            "::ffff:10.0.0.1",
            "ff02::1",
        ] {
            assert!(!public(ip), "{ip}");
        }
    }

    #[test]
    fn the_address_that_stays_is_taken() {
        const TEMP: &str = "20010db8000000000000000000000009 02 40 00 01     eth0\n";
        const STABLE: &str = "20010db8000000000000000000000002 02 40 00 00     eth0\n";
        const SET: &str = "20010db8000000000000000000000003 03 40 00 80     eth1\n";
        const OLD: &str = "20010db8000000000000000000000004 02 40 00 20     eth0\n";
        const LOCAL: &str = "fe800000000000000000000000000001 02 40 20 80     eth0\n";
        let last = |text: String, before: Option<&str>| {
            best_v6(&text, before.map(|b| b.parse().unwrap())).map(|ip| ip.segments()[7])
        };
        assert_eq!(last([TEMP, STABLE, OLD, LOCAL].concat(), None), Some(2));
        assert_eq!(last([TEMP, STABLE, SET].concat(), None), Some(3));
        assert_eq!(last([TEMP, STABLE, SET].concat(), Some("2001:db8::2")), Some(2));
        assert_eq!(last([TEMP, SET].concat(), Some("2001:db8::2")), Some(3));
        assert_eq!(last([TEMP, LOCAL].concat(), None), Some(9));
        assert_eq!(last([OLD, LOCAL].concat(), None), None);
        assert_eq!(last("nonsense\n20010db8 x\n\u{fffd}".into(), None), None);
    }
}
