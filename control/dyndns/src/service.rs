//! The services. Most speak the protocol of dyndns.org ("dyndns2"), each in its own dialect; so each is a template of a
//! URL and the grammar of its answers.
//!
//! Sources, read in November 2026: duckdns.org/spec.jsp, dynv6.com/docs/apis, desec.readthedocs.io (IP update API),
//! noip.com/integrate/request, help.dyn.com/remote-access-api, dynu.com (IP update API), freedns.afraid.org/dynamic,
//! and the table of OpenWrt's package ddns-scripts for INWX, OVH and Strato.

/// The grammar of a service's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// The words of dyndns2; anything else is no answer.
    Dyndns2,
    /// `OK` or `KO`; anything else is no answer.
    OkKo,
    /// HTTP's status decides, and words of the others that say no.
    Status,
}

/// How a service is told that there is no IPv6 address any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It cannot be told: people take the address away there.
    Cannot,
    /// By an empty value in place of the address.
    Empty,
    /// By this request, which takes both addresses away, before the one that tells IPv4.
    First(&'static str),
    /// By what the template has in place of one that is missing (`{ip6|word}`), if it has that.
    Word,
}

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// What it is called in settings.
    pub id: &'static str,
    /// What people call it.
    pub label: &'static str,
    /// Its URL; empty when people give it. [`crate::Settings::request`] fills it in.
    pub template: &'static str,
    /// It needs a user name; none takes the name itself if `basic` is set.
    pub user: Option<&'static str>,
    /// What its secret is called there.
    pub secret: &'static str,
    /// What the address of the server or the template is called, when people give it.
    pub url: Option<&'static str>,
    /// User and secret are sent as HTTP basic authentication.
    pub basic: bool,
    /// Its answers.
    pub words: Words,
    /// How IPv6 is taken away.
    pub gone: Gone,
    /// The domain that all its names are under, where there is only one.
    pub under: Option<&'static str>,
}

/// A name server that takes signed updates (RFC 2136); the shell talks to it, so it has no template.
pub(crate) const RFC2136: &str = "rfc2136";
/// Any server that speaks dyndns2.
pub(crate) const DYNDNS2: &str = "dyndns2";
/// A URL that people give.
pub(crate) const OWN_URL: &str = "url";
/// What is put behind the address of a server that speaks dyndns2.
pub(crate) const DYNDNS2_PATH: &str = "/nic/update?hostname={name}&myip={ips}";

const fn token(id: &'static str, label: &'static str, template: &'static str, words: Words) -> Service {
    Service {
        id,
        label,
        template,
        user: None,
        secret: "Token",
        url: None,
        basic: false,
        words,
        gone: Gone::Cannot,
        under: None,
    }
}

const fn login(id: &'static str, label: &'static str, template: &'static str) -> Service {
    Service {
        id,
        label,
        template,
        user: Some("User name"),
        secret: "Password",
        url: None,
        basic: true,
        words: Words::Dyndns2,
        gone: Gone::Cannot,
        under: None,
    }
}

/// All of them, in the order of the pages: first those that want a name and a token only.
pub const SERVICES: [Service; 13] = [
    Service {
        gone: Gone::First("https://www.duckdns.org/update?domains={label}&token={secret}&clear=true"),
        under: Some("duckdns.org"),
        ..token(
            "duckdns",
            "DuckDNS",
            "https://www.duckdns.org/update?domains={label}&token={secret}&ip={ip4}&ipv6={ip6}",
            Words::OkKo,
        )
    },
    Service {
        basic: true,
        gone: Gone::Empty,
        ..token(
            "desec",
            "deSEC (dedyn.io)",
            "https://update.dedyn.io/?hostname={name}&myipv4={ip4|preserve}&myipv6={ip6|preserve}",
            Words::Dyndns2,
        )
    },
    token(
        "dynv6",
        "dynv6",
        "https://dynv6.com/api/update?hostname={name}&token={secret}&ipv4={ip4}&ipv6={ip6}",
        Words::Status,
    ),
    token(
        "freedns",
        "FreeDNS (afraid.org), IPv4",
        "https://freedns.afraid.org/dynamic/update.php?{secret}&address={ip4}",
        Words::Status,
    ),
    login("noip", "No-IP", "https://dynupdate.no-ip.com/nic/update?hostname={name}&myip={ip4}&myipv6={ip6}"),
    login("dyn", "Dyn (dyndns.org)", "https://members.dyndns.org/v3/update?hostname={name}&myip={ips}"),
    login("dynu", "Dynu", "https://api.dynu.com/nic/update?hostname={name}&myip={ip4|no}&myipv6={ip6|no}"),
    login("inwx", "INWX", "https://dyndns.inwx.com/nic/update?hostname={name}&myip={ip4}&myipv6={ip6}"),
    login("ovh", "OVH, IPv4", "https://dns.eu.ovhapis.com/nic/update?system=dyndns&hostname={name}&myip={ip4}"),
    login("strato", "Strato", "https://dyndns.strato.com/nic/update?hostname={name}&myip={ips}"),
    Service { url: Some("Address of the server"), ..login(DYNDNS2, "Another service that speaks dyndns2", "") },
    Service {
        url: Some("URL"),
        user: Some("User name"),
        secret: "Password or token",
        basic: true,
        gone: Gone::Word,
        ..token(OWN_URL, "Any other service, by its URL", "", Words::Status)
    },
    Service {
        url: Some("Name server"),
        user: Some("Name of the key"),
        ..token(RFC2136, "A name server of your own (RFC 2136)", "", Words::Status)
    },
];

impl Service {
    /// The service of this id.
    #[must_use]
    pub fn find(id: &str) -> Option<&'static Self> {
        SERVICES.iter().find(|s| s.id == id)
    }

    /// Where IPv6 has to be taken away by hand, the service or the template is why.
    pub(crate) fn tells_gone(&self, template: &str) -> bool {
        match self.gone {
            Gone::Cannot => self.is_name_server(),
            Gone::Empty | Gone::First(_) => true,
            Gone::Word => template.contains("{ip6|"),
        }
    }

    /// Whether it can be told either family, so that people may choose.
    #[must_use]
    pub fn takes_both(&self) -> bool {
        let t = self.template;
        t.is_empty() || t.contains("{ips") || (t.contains("{ip4") && t.contains("{ip6"))
    }

    /// Whether it can be told how long caches keep the name.
    #[must_use]
    pub fn takes_ttl(&self) -> bool {
        self.is_name_server() || self.id == OWN_URL
    }

    /// Updates are signed messages to a name server, not HTTP.
    #[must_use]
    pub fn is_name_server(&self) -> bool {
        self.id == RFC2136
    }
}
