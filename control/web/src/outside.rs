//! Evidence that this box is reached from outside: a paired front that knocked, and devices that came by themselves.
//! What the box sees of itself, its addresses, is in [`crate::reach`]; this is what others saw of it.

use crate::reach::{Finding, Level};
use hearthgate_addresses::{Scope, scope};
use std::net::IpAddr;

/// What a front found at the address that the box's tunnel comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// That address.
    pub address: IpAddr,
    /// The front takes it for one of the Internet; fronts that do not say so are older than this.
    pub public: bool,
    /// Port of the URL.
    pub port: u16,
    /// Who answered there.
    pub server: Answer,
    /// UDP port of STUN.
    pub stun_port: u16,
    /// Who answered there; `None` if it was not tried.
    pub stun: Option<Answer>,
    /// How long ago, in seconds.
    pub ago_s: u64,
}

/// Who answers on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// This box.
    Here,
    /// Somebody else.
    Other,
    /// Nobody.
    Nobody,
}

/// A device that came to this server from outside, not through a front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// The device's name.
    pub name: String,
    /// How long ago, in seconds.
    pub ago_s: u64,
}

impl Outside {
    /// Clients get through to this box without the front.
    #[must_use]
    pub fn reachable(&self) -> bool {
        self.server == Answer::Here && !self.says_nothing()
    }

    /// The front sees an address that the Internet does not lead to, so what it found there, if it looked, is no news
    /// of the outside: it is in the same network as this box, or in one that both are customers of.
    fn says_nothing(&self) -> bool {
        !self.public && scope(self.address) != Scope::Global
    }

    /// What there is to say.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let (address, port, when) = (shown(self.address), self.port, ago(self.ago_s));
        if self.says_nothing() {
            let what = format!(
                "The front sees this box as {address}, which is no address of the Internet: it is in the same network, \
                or behind the same provider's NAT, and its test {when} says nothing of the outside."
            );
            return vec![Finding::new(Level::Warn, what, "Run the front on a machine elsewhere.")];
        }
        let at = format!("at {address}, port {port} (TCP), {when}");
        let mut out = vec![match self.server {
            Answer::Here => Finding::new(
                Level::Good,
                format!("This box was reached from outside {at}. Devices could come without the front."),
                "",
            ),
            Answer::Other => Finding::new(
                Level::Warn,
                format!("From outside, something else than this box answered {at}."),
                format!(
                    "Your router leads that port elsewhere, or uses it for its own pages. Forward TCP port {port} to \
                    this box there, or go on with the front."
                ),
            ),
            Answer::Nobody => Finding::new(
                Level::Warn,
                format!("From outside, nothing answered {at}. Devices away from home need the front."),
                format!(
                    "To do without: forward TCP port {port} to this box on your router. If the provider shares one \
                    address among customers (CGNAT) that does not help, and the front stays."
                ),
            ),
        }];
        let port = self.stun_port;
        match self.stun {
            Some(Answer::Here) => out.push(Finding::new(
                Level::Good,
                format!("STUN was reached from outside, too, at port {port} (UDP)."),
                "",
            )),
            // As long as nothing else gets through, this is no news.
            Some(_) if self.server == Answer::Here => out.push(Finding::new(
                Level::Warn,
                format!(
                    "STUN was not reached from outside at port {port} (UDP): devices use the front's to find direct \
                    paths."
                ),
                format!("To change that, forward UDP port {port} to this box on your router."),
            )),
            _ => {}
        }
        out
    }
}

impl Visit {
    /// What there is to say.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let what = format!("A device reached this box from outside, {}: {}.", ago(self.ago_s), self.name);
        Finding::new(Level::Good, what, "")
    }
}

/// Whether somebody who came from `source` came from outside, as seen from a machine with these addresses.
///
/// A household has one IPv6 network of 56 bits or fewer addresses (RFC 6177), and rarely more IPv4 addresses than one
/// network of 24 bits; who is in the same one may be at home.
#[must_use]
pub fn is_outside(source: IpAddr, own: &[IpAddr]) -> bool {
    scope(source) == Scope::Global && !same_household(source, own)
}

/// Whether an address is in a network that [one household](is_outside) has, by one of its addresses.
#[must_use]
pub fn same_household(ip: IpAddr, own: &[IpAddr]) -> bool {
    own.iter().any(|a| match (a.to_canonical(), ip.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.octets()[..3] == b.octets()[..3],
        (IpAddr::V6(a), IpAddr::V6(b)) => a.octets()[..7] == b.octets()[..7],
        _ => false,
    })
}

/// A span as people say it.
#[must_use]
pub fn ago(seconds: u64) -> String {
    let (n, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3600 => (seconds / 60, "minute"),
        3600..86400 => (seconds / 3600, "hour"),
        _ => (seconds / 86400, "day"),
    };
    format!("{n} {unit}{} ago", if n == 1 { "" } else { "s" })
}

fn shown(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(server: Answer, stun: Option<Answer>) -> Outside {
        let address = "203.0.113.7".parse().unwrap();
        Outside { address, public: true, port: 443, server, stun_port: 3478, stun, ago_s: 200 }
    }

    #[test]
    fn what_is_closed_has_a_remedy_and_what_is_open_has_none() {
        let open = seen(Answer::Here, Some(Answer::Here));
        assert!(open.reachable() && open.findings().iter().all(|f| f.level == Level::Good && f.remedy.is_empty()));
        for server in [Answer::Other, Answer::Nobody] {
            let closed = seen(server, Some(Answer::Nobody));
            let found = closed.findings();
            assert!(!closed.reachable() && found.len() == 1 && found[0].level == Level::Warn);
            assert!(found[0].remedy.contains("TCP port 443"), "{}", found[0].remedy);
            assert!(found[0].what.contains("203.0.113.7, port 443 (TCP), 3 minutes ago"), "{}", found[0].what);
        }
        let half = seen(Answer::Here, Some(Answer::Nobody)).findings();
        assert!(half.len() == 2 && half[1].remedy.contains("UDP port 3478"));
        assert_eq!(seen(Answer::Here, None).findings().len(), 1);
    }

    #[test]
    fn a_front_at_home_is_no_witness() {
        for inside in ["192.168.1.5", "10.9.9.9", "100.64.0.7", "127.0.0.1", "fd00::5", "fe80::1"] {
            let address: IpAddr = inside.parse().unwrap();
            let here = Outside { address, public: false, ..seen(Answer::Here, None) };
            let found = here.findings();
            assert!(!here.reachable() && found.len() == 1 && found[0].level == Level::Warn, "{inside}");
            // Where a laboratory plays the Internet, the front says so.
            assert!(Outside { public: true, ..here }.reachable(), "{inside}");
        }
        let older = Outside { public: false, ..seen(Answer::Here, None) };
        assert!(older.reachable(), "a front that does not say so, and an address of the Internet");
    }

    #[test]
    fn who_is_at_home_is_not_outside() {
        let own: Vec<IpAddr> =
            ["192.168.1.2", "203.0.113.7", "2001:db8:0:ff01::1"].iter().map(|a| a.parse().unwrap()).collect();
        let outside = |source: &str| is_outside(source.parse().unwrap(), &own);
        for away in ["198.51.100.9", "2001:db8:1::1", "::ffff:198.51.100.9"] {
            assert!(outside(away), "{away}");
        }
        for home in ["192.168.1.9", "127.0.0.1", "100.64.0.3", "203.0.113.9", "2001:db8:0:ff77::1", "fe80::1"] {
            assert!(!outside(home), "{home}");
        }
    }

    #[test]
    fn spans_read_well() {
        for (seconds, words) in [(0, "just now"), (60, "1 minute ago"), (7300, "2 hours ago"), (90000, "1 day ago")] {
            assert_eq!(ago(seconds), words);
        }
    }
}
