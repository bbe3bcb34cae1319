//! Which of a machine's own addresses the world may come to.

use crate::Addresses;
use hearthgate_addresses::{is_documentation, is_public};
use std::net::{IpAddr, Ipv6Addr};

/// Flags of an address in `/proc/net/if_inet6` (`include/uapi/linux/if_addr.h` of Linux 6.12).
const TEMPORARY: u8 = 0x01;
const DEPRECATED: u8 = 0x20;
const TENTATIVE: u8 = 0x40;
const PERMANENT: u8 = 0x80;
/// Failed detection of a duplicate.
const DAD_FAILED: u8 = 0x08;

/// Whether a name may lead to an address: one of the public Internet.
///
/// The documentation networks are let through: nobody has them, and trials do.
#[must_use]
pub fn publishable(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    is_public(ip) || is_documentation(ip)
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
        if flags & (DEPRECATED | TENTATIVE | DAD_FAILED) != 0 || !publishable(ip.into()) {
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
            v4: self.v4.filter(|ip| v4 && publishable(IpAddr::V4(*ip))),
            v6: self.v6.filter(|ip| v6 && publishable(IpAddr::V6(*ip))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nobody_elses_is_not_published() {
        let may = |ip: &str| publishable(ip.parse().unwrap());
        for ip in ["8.8.8.8", "203.0.113.9", "2a01:4f8::1", "2001:db8::1"] {
            assert!(may(ip), "{ip}");
        }
        for ip in
            ["192.168.1.1", "100.64.0.1", "198.18.0.1", "fe80::1", "fd7a::1", "2002:c000:204::1", "::ffff:10.0.0.1"]
        {
            assert!(!may(ip), "{ip}");
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
