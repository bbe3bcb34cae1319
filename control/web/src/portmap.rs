//! Ports that the household's router opens to the world: what is mapped, why not, and what to do.

use crate::reach::{Finding, Level};
use hearthgate_addresses::is_shared;
use hearthgate_core::host_of;
use hearthgate_portmap::{Method, Status, Trouble, Wanted};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port of `https://` without one.
pub const HTTPS: u16 = 443;

/// What to do while it is not over.
const AGAIN: &str = "Look again in a moment.";

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Control protocol and relay.
    Clients,
    /// STUN.
    Stun,
    /// Where an authority for certificates looks for its token.
    Authority,
}

/// One port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// What it is for.
    pub purpose: Purpose,
    /// What the router is asked for.
    pub wanted: Wanted,
    /// How that is.
    pub status: Status,
}

/// The switch, and all ports; none while it is off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports {
    /// The router is asked.
    pub on: bool,
    /// That was chosen here, and does not stand in the configuration.
    pub chosen: bool,
    /// It was looked which router there is; that takes a moment after it was switched on.
    pub begun: bool,
    /// The router that is asked; `None` where there is none, or none is needed.
    pub gateway: Option<Ipv4Addr>,
    /// The ports.
    pub ports: Vec<Port>,
    /// The address that STUN servers see, if they were asked.
    pub outside: Option<Ipv4Addr>,
}

/// The port of a URL with `https://`.
#[must_use]
pub fn https_port(url: &str) -> Option<u16> {
    let authority = url.strip_prefix("https://")?.split(['/', '?', '#']).next()?;
    match authority.rsplit_once(':') {
        // The colons of an IPv6 address are before its bracket.
        Some((_, port)) if !port.ends_with(']') => port.parse().ok(),
        _ => Some(HTTPS),
    }
}

impl Ports {
    /// What there is to say; nothing while it is off.
    #[must_use]
    pub fn findings(&self, server_url: &str) -> Vec<Finding> {
        if !self.on {
            return Vec::new();
        }
        if !self.begun {
            return vec![Finding::new(Level::Warn, "The router in front of this box is being looked for.", AGAIN)];
        }
        if self.ports.is_empty() {
            let what = "There is no port to open: this box listens for itself only.";
            return vec![Finding::new(Level::Warn, what, "Set `listen_addr` to an address that others reach.")];
        }
        let Some(gateway) = self.gateway else {
            let what = "No router that could open a port was found: there is none in front of this box, or it has a \
                        public address of its own.";
            return vec![Finding::new(Level::Warn, what, "")];
        };
        let mut out: Vec<Finding> = self.ports.iter().map(|port| port.finding(gateway)).collect();
        // What is wrong with the first is wrong with all: said once.
        out.dedup_by(|b, a| a.level != Level::Good && b.what == a.what);
        if let Some(address) = self.address() {
            out.extend(self.outside.filter(|seen| *seen != address).map(|seen| behind_another(address, seen)));
        }
        let clients = self.ports.iter().find(|p| p.purpose == Purpose::Clients);
        if let Some((_, at)) = clients.and_then(|p| p.status.mapped) {
            out.extend(url_finding(server_url, at));
        }
        out
    }

    fn address(&self) -> Option<Ipv4Addr> {
        self.ports.iter().find_map(|p| match p.status.mapped?.1.ip() {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        })
    }
}

impl Port {
    fn finding(&self, gateway: Ipv4Addr) -> Finding {
        let (protocol, internal) = (self.wanted.protocol.name(), self.wanted.internal);
        let external = self.wanted.external.unwrap_or(internal);
        let by_hand = format!("forward port {external} ({protocol}) to port {internal} of this box on that router.");
        match (self.status.mapped, self.status.trouble) {
            (Some((method, at)), _) => Finding::new(
                Level::Good,
                format!(
                    "The router {gateway} opened the way ({}): {}, port {} ({protocol}), leads to port {internal} of \
                     this box.",
                    method.name(),
                    at.ip(),
                    at.port()
                ),
                "",
            ),
            (None, None) => {
                Finding::new(Level::Warn, format!("The router {gateway} is being asked to open a port."), AGAIN)
            }
            (None, Some(Trouble::Silent)) => Finding::new(
                Level::Warn,
                format!("The router {gateway} answers neither UPnP, PCP nor NAT-PMP: it opens no port by itself."),
                format!("Switch one of them on in the router's own settings, or {by_hand}"),
            ),
            (None, Some(Trouble::Refused(method, code))) => Finding::new(
                Level::Warn,
                format!(
                    "The router {gateway} refuses to open port {external} ({protocol}): {}.",
                    refusal(method, code)
                ),
                format!("Allow this box to open ports in the router's own settings, or {by_hand}"),
            ),
            (None, Some(Trouble::Inside(at))) => inside(gateway, at),
        }
    }
}

/// What a router's code means, where it says something to a person (RFC 6886 section 3.5, RFC 6887 section 7.4,
/// WANIPConnection:2 section 2.5).
fn refusal(method: Method, code: u16) -> String {
    let name = method.name();
    let meaning = match (method, code) {
        (Method::Pmp | Method::Pcp, 2) | (Method::Upnp, 606) => "it is not allowed to",
        (Method::Pmp, 3) | (Method::Pcp, 7) => "it has no public address",
        (Method::Pmp, 4) | (Method::Pcp, 8) | (Method::Upnp, 728) => "it has no room for more",
        (Method::Upnp, 718) => "another machine has that port",
        (_, 0) => return format!("{name}, without a reason"),
        _ => return format!("{name}, code {code}"),
    };
    format!("{meaning} ({name}, code {code})")
}

/// The router's own address is none of the Internet.
fn inside(gateway: Ipv4Addr, at: SocketAddr) -> Finding {
    let own = at.ip();
    if matches!(own, IpAddr::V4(v4) if is_shared(v4)) {
        return Finding::new(
            Level::Bad,
            format!(
                "The router {gateway} would open the way, but its own address is {own}: the provider shares one \
                 address among customers (CGNAT), and nobody can come in by IPv4."
            ),
            "Ask the provider for an IPv4 address of your own, rely on IPv6, or use a front (below).",
        );
    }
    Finding::new(
        Level::Bad,
        format!(
            "The router {gateway} would open the way, but its own address is {own}: there is another router in front \
             of it (double NAT)."
        ),
        format!(
            "Let the outer router forward the ports to {own}, or make it a plain modem (bridge mode), or use a \
             front (below)."
        ),
    )
}

fn behind_another(told: Ipv4Addr, seen: Ipv4Addr) -> Finding {
    Finding::new(
        Level::Bad,
        format!(
            "The router says that its address is {told}, but the Internet sees {seen}: something in between translates \
             addresses as well, so nobody may get through."
        ),
        "Ask the provider for an address of your own, or use a front (below).",
    )
}

/// What the URL has to be, as devices come by it.
fn url_finding(url: &str, at: SocketAddr) -> Option<Finding> {
    let suffix = if at.port() == HTTPS { String::new() } else { format!(":{}", at.port()) };
    match https_port(url) {
        Some(port) if port == at.port() => None,
        Some(_) => Some(Finding::new(
            Level::Warn,
            format!("Devices are told to come to {url}, but from outside this box is at port {}.", at.port()),
            format!(
                "Set `server_url` to https://{}{suffix}, or free that port on the router.",
                bracketed(host_of(url))
            ),
        )),
        None => Some(Finding::new(
            Level::Warn,
            format!("Devices are still told to come to {url}, which leads here at home only."),
            format!(
                "Give the box a name that leads to {} (below), and set `server_url` to https://NAME{suffix}.",
                at.ip()
            ),
        )),
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_portmap::{Gateway, Protocol};

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

    fn on() -> Ports {
        Ports { on: true, chosen: true, begun: true, ..Ports::default() }
    }

    const URL: &str = "https://home.example.org";

    fn port(mapped: Option<&str>, trouble: Option<Trouble>) -> Port {
        let gateway = Some(Gateway { address: GATEWAY, own: [192, 168, 1, 2].into() });
        let mapped = mapped.map(|at| (Method::Upnp, at.parse().unwrap()));
        Port {
            purpose: Purpose::Clients,
            wanted: Wanted { protocol: Protocol::Tcp, internal: 8080, external: Some(443) },
            status: Status { gateway, mapped, trouble },
        }
    }

    fn said(port: Port, url: &str, outside: Option<&str>) -> Vec<(Level, String)> {
        let outside = outside.map(|o| o.parse().unwrap());
        let all = Ports { gateway: Some(GATEWAY), ports: vec![port], outside, ..on() }.findings(url);
        all.into_iter().map(|f| (f.level, format!("{} {}", f.what, f.remedy))).collect()
    }

    #[test]
    fn an_open_way_is_good_and_the_url_has_to_fit() {
        let open = || port(Some("203.0.113.7:443"), None);
        let found = said(open(), URL, Some("203.0.113.7"));
        assert!(found.len() == 1 && found[0].0 == Level::Good, "{found:?}");
        assert!(found[0].1.contains("203.0.113.7, port 443 (TCP), leads to port 8080"), "{found:?}");
        let moved = said(port(Some("203.0.113.7:8443"), None), URL, None);
        assert!(moved.len() == 2 && moved[1].1.contains("https://home.example.org:8443"), "{moved:?}");
        let plain = said(open(), "http://192.168.1.2:8080", None);
        assert!(plain.len() == 2 && plain[1].1.contains("https://NAME."), "{plain:?}");
        let other = said(open(), URL, Some("198.51.100.9"));
        assert!(other.len() == 2 && other[1].0 == Level::Bad && other[1].1.contains("198.51.100.9"), "{other:?}");
    }

    #[test]
    fn what_stands_in_the_way_has_a_remedy() {
        let inside = |at: &str| Some(Trouble::Inside(at.parse().unwrap()));
        for (trouble, level, word) in [
            (inside("100.64.0.9:443"), Level::Bad, "CGNAT"),
            (inside("192.168.0.3:443"), Level::Bad, "double NAT"),
            (Some(Trouble::Silent), Level::Warn, "forward port 443 (TCP) to port 8080"),
            (Some(Trouble::Refused(Method::Upnp, 606)), Level::Warn, "not allowed"),
            (Some(Trouble::Refused(Method::Pcp, 99)), Level::Warn, "PCP, code 99"),
            (None, Level::Warn, "being asked"),
        ] {
            let found = said(port(None, trouble), URL, None);
            assert!(found.len() == 1 && found[0].0 == level && found[0].1.contains(word), "{found:?}");
        }
        let first = |ports: Ports| ports.findings(URL)[0].what.clone();
        assert!(first(Ports { ports: vec![port(None, None)], ..on() }).starts_with("No router"));
        assert!(
            first(on()).contains("no port to open") && first(Ports { begun: false, ..on() }).contains("looked for")
        );
        assert_eq!(Ports::default().findings(URL), []);
    }

    #[test]
    fn ports_of_urls() {
        for (url, port) in [
            ("https://a.example", Some(443)),
            ("https://a.example:8443/x", Some(8443)),
            ("https://[2001:db8::1]", Some(443)),
            ("https://[2001:db8::1]:444", Some(444)),
            ("https://a.example:x", None),
            ("http://192.168.1.2:8080", None),
        ] {
            assert_eq!(https_port(url), port, "{url}");
        }
    }
}
