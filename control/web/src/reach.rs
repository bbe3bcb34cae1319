//! How the world reaches this box, from what the box can see of itself: its addresses and the URL that clients use.
//! It says what is known and no more: an address of its own is not yet a way through a firewall.

use hearthgate_addresses::{Scope, scope};
use hearthgate_core::host_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How good a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Works.
    Good,
    /// Works in part, or nobody can tell from here.
    Warn,
    /// Does not work.
    Bad,
}

/// A finding and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How good it is.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// What to do; empty for nothing.
    pub remedy: String,
}

impl Finding {
    pub(crate) fn new(level: Level, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level, what: what.into(), remedy: remedy.into() }
    }
}

/// What there is to say. `addresses` are those of the box's interfaces, its tailnet's own left out; `name` is a name that
/// follows its public address.
#[must_use]
pub fn findings(server_url: &str, addresses: &[IpAddr], name: Option<&str>) -> Vec<Finding> {
    let mut out = Vec::new();
    let host = host_of(server_url);
    match host.parse::<IpAddr>().map(scope) {
        Ok(Scope::Loopback) => out.push(Finding::new(
            Level::Bad,
            format!("Devices are told to come to {server_url}, which only this machine can reach."),
            "Set `server_url` in the configuration to the address of this box on the LAN.",
        )),
        Ok(Scope::Local | Scope::Carrier) => out.push(Finding::new(
            Level::Warn,
            format!("Devices at home come to {server_url}. Away from home they keep the connections they have, but cannot log in or learn of changes."),
            match name {
                Some(name) => format!("To change that, set `server_url` to https://{name} and `tls_letsencrypt_hostname` to {name}: that name leads here."),
                None => "To change that, give the box a name that leads to its public address (below), and set `server_url` to https:// and that name.".to_owned(),
            },
        )),
        Ok(Scope::Global) if server_url.starts_with("http://") => out.push(Finding::new(
            Level::Bad,
            format!("Devices are told to come to {server_url}: official clients refuse plain http at public addresses."),
            "Set `server_url` to an https:// URL with a name, and a certificate for it.",
        )),
        Err(_) if server_url.starts_with("http://") => out.push(Finding::new(
            Level::Bad,
            format!("Devices are told to come to {server_url}: official clients refuse plain http by name."),
            "Set `server_url` to an https:// URL, or to the IP address of this box on the LAN.",
        )),
        Ok(Scope::Global) | Err(_) => out.push(Finding::new(
            Level::Good,
            format!("Devices come to {server_url}, at home and away, if that name leads here from outside."),
            "",
        )),
    }
    let v4: Vec<Ipv4Addr> =
        addresses.iter().filter_map(|a| if let IpAddr::V4(a) = a { Some(*a) } else { None }).collect();
    let v6: Vec<Ipv6Addr> =
        addresses.iter().filter_map(|a| if let IpAddr::V6(a) = a { Some(*a) } else { None }).collect();
    let has = |wanted| v4.iter().any(|a| scope(IpAddr::V4(*a)) == wanted);
    if let Some(a) = v6.iter().find(|a| scope(IpAddr::V6(**a)) == Scope::Global) {
        out.push(Finding::new(Level::Good, format!("This box has a public IPv6 address, {a}. Whether a firewall lets connections in cannot be seen from here."), ""));
    } else {
        out.push(Finding::new(Level::Warn, "This box has no public IPv6 address.", ""));
    }
    if has(Scope::Global) {
        out.push(Finding::new(Level::Good, "This box has a public IPv4 address of its own.", ""));
    } else if has(Scope::Carrier) {
        out.push(Finding::new(
            Level::Warn,
            "The provider shares one IPv4 address among customers (CGNAT): nobody can come in by IPv4.",
            "Ask the provider for an IPv4 address of your own, or rely on IPv6.",
        ));
    } else {
        out.push(Finding::new(Level::Warn, "This box is behind a router: it has private IPv4 addresses only.", "To be reached from outside by IPv4, let that router open the way (below), or forward the port of the URL (TCP) and 3478 (UDP) there to this box."));
    }
    out
}
