//! What people set, checked; and the request that is made from it.

use crate::{
    Addresses, Gone, Service, TemplateError, Words,
    service::{DYNDNS2, DYNDNS2_PATH, OWN_URL},
    template::fill,
};
use hearthgate_addresses::{Scope, scope};
use hearthgate_read::struct_of;
use serde::Serialize;
use std::{fmt, net::IpAddr};

/// Longest field in bytes.
const FIELD_MAX: usize = 500;
/// Longest name in bytes.
const NAME_MAX: usize = 253;
/// Life of a record in caches, in seconds: what is taken without one, and the bounds.
const TTL_S: u32 = 60;
const TTL_BOUNDS_S: (u32, u32) = (30, 86400);

/// Why settings are not taken. No secret is in the texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mistake {
    /// There is no such service.
    #[error("there is no service {0:?}; there are {1}")]
    Service(String, String),
    /// The name.
    #[error("{0:?} is no whole name of a host: write it like home.example.org")]
    Name(String),
    /// A name that the service cannot keep.
    #[error("{0:?} is no name of this service: they end with .{1}")]
    NotUnder(String, &'static str),
    /// A field that this service needs.
    #[error("this service needs: {0}")]
    Missing(&'static str),
    /// A field that is too long or has signs that cannot be sent.
    #[error("{0}: too long, or with signs that cannot be sent")]
    Field(&'static str),
    /// The address of a server.
    #[error("the address begins with https:// (http:// only for an address of the local network), and names no user")]
    Url,
    /// The template.
    #[error("the URL: {0}")]
    Template(#[from] TemplateError),
    /// A template without an address.
    #[error("the URL has no place for an address: {{ip4}}, {{ip6}} or {{ips}}")]
    NoAddress,
    /// No family is left.
    #[error("one of IPv4 and IPv6 has to be on, and one that this service takes")]
    NoFamily,
    /// The zone.
    #[error("the name does not lie within the zone {0:?}")]
    Zone(String),
    /// Life in caches.
    #[error("the time in caches is {} to {} seconds", TTL_BOUNDS_S.0, TTL_BOUNDS_S.1)]
    Ttl,
}

/// A dynamic name and the service that keeps it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// Id of a [`Service`].
    pub service: String,
    /// The whole name, like `home.example.org`.
    pub name: String,
    /// User name, or name of the key of a name server.
    pub user: String,
    /// Password or token, or secret of that key in base64.
    pub secret: String,
    /// Address of the server, or template, or name server, for services that are not listed.
    pub url: String,
    /// Zone of a name server; empty is the name without its first label.
    pub zone: String,
    /// How long a record may stay in caches, in seconds.
    pub ttl: u32,
    /// The name leads to the IPv4 address.
    pub ipv4: bool,
    /// The name leads to the IPv6 address.
    pub ipv6: bool,
}

struct_of!(Settings {
    service: "service",
    name: "name",
    user: "user",
    secret: "secret",
    url: "url",
    zone: "zone",
    ttl: "ttl",
    ipv4: "ipv4",
    ipv6: "ipv6",
});

impl Default for Settings {
    fn default() -> Self {
        let none = String::new;
        Self {
            service: none(),
            name: none(),
            user: none(),
            secret: none(),
            url: none(),
            zone: none(),
            ttl: TTL_S,
            ipv4: true,
            ipv6: true,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A template may hold a secret as well.
        let mut out = f.debug_struct("Settings");
        out.field("service", &self.service).field("name", &self.name).finish_non_exhaustive()
    }
}

/// What to ask a service. Its URL may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// GET this.
    pub url: String,
    /// User and password for HTTP basic authentication.
    pub login: Option<(String, String)>,
    /// Grammar of the answer.
    pub words: Words,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("words", &self.words).finish_non_exhaustive()
    }
}

impl Settings {
    /// Checks them, and puts the name into its usual form.
    ///
    /// # Errors
    /// What is wrong.
    pub fn checked(mut self) -> Result<Self, Mistake> {
        let service = self.known()?;
        self.name = self.name.trim().trim_end_matches('.').to_ascii_lowercase();
        self.zone = self.zone.trim().trim_end_matches('.').to_ascii_lowercase();
        self.url = self.url.trim().to_owned();
        if let Some(domain) = service.under.filter(|_| !self.name.is_empty() && !self.name.contains('.')) {
            self.name = format!("{}.{domain}", self.name);
        }
        if !is_host(&self.name) {
            return Err(Mistake::Name(self.name.chars().take(80).collect()));
        }
        if let Some(domain) = service.under.filter(|d| !self.name.strip_suffix(d).is_some_and(|n| n.ends_with('.'))) {
            return Err(Mistake::NotUnder(self.name.chars().take(80).collect(), domain));
        }
        for (field, what) in [
            (&self.user, service.user.unwrap_or("User name")),
            (&self.secret, service.secret),
            (&self.url, service.url.unwrap_or("URL")),
            (&self.zone, "Zone"),
        ] {
            if field.len() > FIELD_MAX || field.chars().any(char::is_control) {
                return Err(Mistake::Field(what));
            }
        }
        // A URL of one's own may hold everything itself.
        let own = service.id == OWN_URL;
        if self.secret.is_empty() && !own {
            return Err(Mistake::Missing(service.secret));
        }
        if let Some(what) = service.user.filter(|_| self.user.is_empty() && !own) {
            return Err(Mistake::Missing(what));
        }
        if let Some(what) = service.url.filter(|_| self.url.is_empty()) {
            return Err(Mistake::Missing(what));
        }
        if !(TTL_BOUNDS_S.0..=TTL_BOUNDS_S.1).contains(&self.ttl) {
            return Err(Mistake::Ttl);
        }
        if !self.ipv4 && !self.ipv6 {
            return Err(Mistake::NoFamily);
        }
        if service.is_name_server() {
            let zone = self.zone();
            let within = self.name == zone || self.name.strip_suffix(zone).is_some_and(|n| n.ends_with('.'));
            if !is_host(zone) || !within {
                return Err(Mistake::Zone(zone.to_owned()));
            }
            return Ok(self);
        }
        let template = self.template(service);
        if !template.contains("{ip") {
            return Err(Mistake::NoAddress);
        }
        // Everything filled in, to find places that there are not.
        let all = Addresses { v4: Some([192, 0, 2, 1].into()), v6: Some(std::net::Ipv6Addr::LOCALHOST) };
        let request = self.request(&all)?;
        if self.takes(all).is_empty() {
            return Err(Mistake::NoFamily);
        }
        if !may_be_sent(&request.url) {
            return Err(Mistake::Url);
        }
        Ok(self)
    }

    /// The service.
    ///
    /// # Errors
    /// There is none of this id.
    pub fn known(&self) -> Result<&'static Service, Mistake> {
        Service::find(&self.service).ok_or_else(|| {
            let all: Vec<&str> = crate::SERVICES.iter().map(|s| s.id).collect();
            Mistake::Service(self.service.chars().take(40).collect(), all.join(", "))
        })
    }

    /// The zone of a name server.
    #[must_use]
    pub fn zone(&self) -> &str {
        if self.zone.is_empty() { self.name.split_once('.').map_or("", |(_, zone)| zone) } else { &self.zone }
    }

    fn template(&self, service: &Service) -> String {
        match service.id {
            DYNDNS2 => {
                let base = self.url.trim_end_matches('/');
                let scheme = if base.contains("://") { "" } else { "https://" };
                // Some are told with their path.
                let path = if base.ends_with("/update") {
                    DYNDNS2_PATH.trim_start_matches("/nic/update")
                } else {
                    DYNDNS2_PATH
                };
                format!("{scheme}{base}{path}")
            }
            _ if service.template.is_empty() => self.url.clone(),
            _ => service.template.to_owned(),
        }
    }

    /// Those of the addresses that the service can be told now: of families that are on and that its template has a
    /// place for. None if the template needs another one as well.
    #[must_use]
    pub fn takes(&self, seen: Addresses) -> Addresses {
        let Ok(service) = self.known() else { return Addresses::default() };
        let (v4, v6) = if service.is_name_server() {
            (true, true)
        } else {
            let template = self.template(service);
            let both = template.contains("{ips");
            (both || template.contains("{ip4"), both || template.contains("{ip6"))
        };
        let what = Addresses { v4: seen.v4.filter(|_| v4 && self.ipv4), v6: seen.v6.filter(|_| v6 && self.ipv6) };
        let waits =
            !service.is_name_server() && matches!(self.request(&what), Err(Mistake::Template(TemplateError::Missing)));
        if waits { Addresses::default() } else { what }
    }

    /// Whether the service can be told that there is no IPv6 address any more.
    #[must_use]
    pub fn tells_gone(&self) -> bool {
        self.ipv6 && self.known().is_ok_and(|service| service.tells_gone(&self.template(service)))
    }

    /// The request that tells these addresses; not for name servers.
    ///
    /// # Errors
    /// There is no such service, or its template is none.
    pub fn request(&self, addresses: &Addresses) -> Result<Request, Mistake> {
        let service = self.known()?;
        self.filled(service, &self.template(service), addresses, false)
    }

    /// The requests that tell the IPv4 address, and that there is no IPv6 address any more, in this order; not for name
    /// servers.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn requests_without_v6(&self, addresses: &Addresses) -> Result<Vec<Request>, Mistake> {
        let service = self.known()?;
        let mut all = Vec::new();
        if let Gone::First(template) = service.gone {
            all.push(self.filled(service, template, addresses, false)?);
        }
        all.push(self.filled(service, &self.template(service), addresses, service.gone == Gone::Empty)?);
        Ok(all)
    }

    /// A template filled in. `empty` has an IPv6 address that is not there stand as an empty value.
    fn filled(
        &self,
        service: &Service,
        template: &str,
        addresses: &Addresses,
        empty: bool,
    ) -> Result<Request, Mistake> {
        let label = || self.name.rsplit('.').nth(2).unwrap_or(&self.name).to_owned();
        let ips = || addresses.iter().map(|ip| ip.to_string()).collect::<Vec<_>>().join(",");
        let url = fill(template, &|place| {
            Ok(match place {
                "name" => Some(self.name.clone()),
                "label" => Some(label()),
                "user" => Some(self.user.clone()),
                "secret" => Some(self.secret.clone()),
                "ip4" => addresses.v4.map(|ip| ip.to_string()),
                "ip6" => addresses.v6.map(|ip| ip.to_string()).or_else(|| empty.then(String::new)),
                "ips" => Some(ips()).filter(|ips| !ips.is_empty()),
                "ttl" => Some(self.ttl.to_string()),
                _ => return Err(TemplateError::Unknown),
            })
        })?;
        let user = if self.user.is_empty() && service.user.is_none() { &self.name } else { &self.user };
        let login =
            (service.basic && !user.is_empty() && !self.secret.is_empty()).then(|| (user.clone(), self.secret.clone()));
        Ok(Request { url, login, words: service.words })
    }
}

/// A host's whole name: labels of letters, digits and `-`, two or more.
fn is_host(name: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    name.len() <= NAME_MAX && name.contains('.') && name.split('.').all(label) && name.parse::<IpAddr>().is_err()
}

/// Whether a secret may go there: encrypted, or not beyond the local network.
fn may_be_sent(url: &str) -> bool {
    let near = |host: &str| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| scope(ip) != Scope::Global)
    };
    let (rest, plain) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (rest, false),
        (_, Some(rest)) => (rest, true),
        _ => return false,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let sendable = url.bytes().all(|b| b.is_ascii_graphic());
    !host.is_empty() && !authority.contains('@') && sendable && (!plain || near(host))
}
