//! The dynamic name in words: what it leads to, and what to do if it does not.

use crate::{
    outside::ago,
    reach::{Finding, Level},
};
use hearthgate_dyndns::Addresses;
use std::net::Ipv6Addr;

/// What is known of this box's dynamic name. No secret is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dyndns {
    /// The whole name.
    pub name: String,
    /// What people call its service.
    pub service: &'static str,
    /// Id of its service.
    pub id: String,
    /// User name there, or name of the key.
    pub user: String,
    /// Zone of a name server; empty is the name without its first label.
    pub zone: String,
    /// Seconds in caches.
    pub ttl: u32,
    /// The name leads to the IPv4 address.
    pub ipv4: bool,
    /// The name leads to the IPv6 address.
    pub ipv6: bool,
    /// It stands in the configuration, so the pages cannot change it.
    pub configured: bool,
    /// What it leads to, as far as is known.
    pub told: Addresses,
    /// How long ago that was told, in seconds.
    pub told_ago_s: Option<u64>,
    /// The public addresses now.
    pub seen: Addresses,
    /// Why the last try failed; empty when it did not.
    pub why: String,
    /// It was refused for good: no more tries by itself.
    pub stopped: bool,
    /// An IPv6 address that the name leads to, that this box no longer has, and that the service cannot be told to drop.
    pub stale_v6: Option<Ipv6Addr>,
    /// Clients are told to come to this name.
    pub in_use: bool,
}

impl Dyndns {
    /// What there is to say.
    #[must_use]
    pub fn finding(&self) -> Finding {
        if let Some(failure) = self.failure() {
            return failure;
        }
        let (name, service) = (&self.name, self.service);
        if let Some(ip) = self.stale_v6 {
            return Finding::new(
                Level::Warn,
                format!("{name} still leads to {ip}, which this box no longer has. {service} cannot be told so."),
                "Take the IPv6 address (AAAA) of the name away there, or switch IPv6 off for it.",
            );
        }
        match self.told_ago_s {
            Some(seconds) => Finding::new(
                Level::Good,
                format!("{name} leads to {}. {service} was told {}.", words(self.told), ago(seconds)),
                "",
            ),
            None if self.seen.is_empty() => Finding::new(
                Level::Warn,
                format!("{name} leads nowhere yet: no public address of this box is known."),
                "That is so when the provider shares addresses (CGNAT) or the router in front says nothing of its own. \
                Switch UPnP or PCP on there, run this box's own router (`router.enabled`), or name relays with STUN \
                in `derp.urls`.",
            ),
            None => Finding::new(Level::Warn, format!("{name} is about to be told to {service}."), ""),
        }
    }

    /// What is wrong; `None` when nothing is.
    #[must_use]
    pub fn failure(&self) -> Option<Finding> {
        if self.why.is_empty() {
            return None;
        }
        let what = format!("The name {} was not updated at {}: {}.", self.name, self.service, self.why);
        let remedy = match (self.stopped, self.configured) {
            (true, true) => "Put it right in the configuration and there, then update it under System, Setup.",
            (true, false) => "Put it right there, or set the name again under System, Setup.",
            (false, _) => "This box tries again by itself.",
        };
        Some(Finding::new(if self.stopped { Level::Bad } else { Level::Warn }, what, remedy))
    }
}

fn words(addresses: Addresses) -> String {
    addresses.iter().map(|ip| ip.to_string()).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_fits_how_it_is() {
        let told = Addresses { v4: Some([203, 0, 113, 7].into()), v6: None };
        let new = Dyndns { name: "home.example.org".into(), service: "DuckDNS", ..Dyndns::default() };
        assert_eq!(new.finding().level, Level::Warn);
        assert!(new.finding().what.contains("no public address") && new.failure().is_none());
        let good = Dyndns { told, seen: told, told_ago_s: Some(120), ..new.clone() };
        let said = good.finding();
        assert_eq!((said.level, said.remedy.as_str()), (Level::Good, ""));
        assert_eq!(said.what, "home.example.org leads to 203.0.113.7. DuckDNS was told 2 minutes ago.");
        let stale = Dyndns { stale_v6: Some("2001:db8::7".parse().unwrap()), ..good.clone() }.finding();
        assert!(stale.level == Level::Warn && stale.what.contains("still leads to 2001:db8::7"), "{stale:?}");
        let late = Dyndns { why: "it cannot be reached".into(), ..good.clone() };
        assert_eq!(late.failure().map(|f| f.level), Some(Level::Warn));
        let refused = Dyndns { stopped: true, ..late };
        assert_eq!(refused.finding().level, Level::Bad);
        assert!(refused.finding().remedy.contains("Setup"));
    }
}
