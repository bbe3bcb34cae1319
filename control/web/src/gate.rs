//! Who may see the pages at all, before anybody logs in.
//!
//! * The **source address** must lie in a network of the LAN, or be this machine's own. Devices of the network are not on
//!   the LAN. Requests that a proxy passed on tell of another source, which cannot be trusted, so they are turned away.
//! * The **Host** must be an IP address or a name of this box: a name of somebody else's that resolves to this box is
//!   DNS rebinding. An address cannot be rebound.
//! * A request that **changes** something must come from our own pages: `Sec-Fetch-Site` (W3C Fetch Metadata) or
//!   `Origin` (RFC 6454) say so. Logged-in forms carry a token besides.

use hearthgate_tailcfg::TAILNET_V6;
use ipnet::{IpNet, Ipv6Net};
use std::net::{IpAddr, Ipv6Addr};

/// Networks of a home LAN and of the machine itself (RFC 1918, 3927, 4193, 4291).
pub const LAN: [&str; 8] = [
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

/// Local IPv6 addresses (RFC 4193), those of nodes among them.
const LOCAL_V6: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7));

/// What is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gate {
    /// Networks that may see the pages.
    pub networks: Vec<IpNet>,
    /// Names of this box, in small letters, without port.
    pub hosts: Vec<String>,
}

/// Why a request was turned away; the text is for the person who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The source address.
    #[error(
        "These pages are for the local network only. To see them from elsewhere, add its network to admin.networks in the configuration."
    )]
    Source,
    /// Passed on by a proxy.
    #[error("These pages are not shown through a proxy. Open them at the address of this box on the local network.")]
    Proxy,
    /// The name in the URL.
    #[error(
        "This box does not go by that name. Open the pages by its IP address, or add the name to admin.hosts in the configuration."
    )]
    Host,
    /// Another site sent the form.
    #[error("This form was sent by another site, so nothing was done.")]
    Origin,
}

/// What the gate looks at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// `Host`.
    pub host: &'a str,
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`.
    pub fetch_site: Option<&'a str>,
    /// A header of a proxy is there (`Forwarded`, `X-Forwarded-For`, `X-Real-IP`, `Via`).
    pub proxied: bool,
    /// The source is an address of this machine itself, which need not be a private one.
    pub own: bool,
    /// The request changes something.
    pub changes: bool,
}

impl Gate {
    /// Lets a request pass or says why not.
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self, source: IpAddr, asked: &Asked<'_>) -> Result<(), Refusal> {
        if !asked.own && !self.admits(source) {
            return Err(Refusal::Source);
        }
        if asked.proxied {
            return Err(Refusal::Proxy);
        }
        if !self.knows(asked.host) {
            return Err(Refusal::Host);
        }
        if asked.changes && !from_us(asked) {
            return Err(Refusal::Origin);
        }
        Ok(())
    }

    /// Whether this source lies in a network that may see the pages. Members of the network are not on the LAN: their
    /// IPv6 addresses lie within [`LOCAL_V6`] all the same, so a network of their own has to name them.
    #[must_use]
    pub fn admits(&self, source: IpAddr) -> bool {
        let member = IpNet::V6(TAILNET_V6).contains(&source);
        self.networks.iter().any(|n| n.contains(&source) && !(member && *n == LOCAL_V6))
    }

    /// Whether this box goes by that name; addresses are always known.
    #[must_use]
    pub fn knows(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let is_address = name.parse::<IpAddr>().is_ok() || (name.starts_with('[') && bare.parse::<Ipv6Addr>().is_ok());
        is_address || name == "localhost" || self.hosts.contains(&name)
    }
}

/// Whether one of our own pages sent the request. Programs that are no browsers send neither header; they have no
/// cookies that somebody else could use.
fn from_us(asked: &Asked<'_>) -> bool {
    if asked.fetch_site.is_some_and(|s| s != "same-origin" && s != "none") {
        return false;
    }
    match asked.origin {
        None => true,
        Some(origin) => origin.split_once("://").is_some_and(|(_, host)| host.eq_ignore_ascii_case(asked.host)),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (name.starts_with('[') || !name.contains(':')) =>
        {
            name
        }
        _ => host,
    }
}
