//! `[certificates]`: HTTPS certificates for devices, by DNS-01 (RFC 8555 section 8.4). Devices get them by themselves; what
//! they need is a TXT record in public DNS, and here is who writes it.

use crate::{duration::parse_duration, file::Config, read::section};
use std::{fmt, path::PathBuf, time::Duration};

/// Endings that are nobody's in public DNS, so that no authority certifies names below them: RFC 6762, RFC 6761,
/// RFC 8375, ICANN's resolution 2024.07.29.06, and two that routers like.
const PRIVATE: &[&str] = &["internal", "local", "localhost", "lan", "home", "home.arpa"];
/// Longest pause for name servers to take a record over.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Who writes records.
#[derive(Debug, Clone, PartialEq)]
pub struct CertificatesConfig {
    /// `rfc2136` or `httpreq`; empty is nobody.
    pub provider: String,
    /// Pause between a written record and the device hearing of it.
    pub wait: String,
    /// Dynamic updates to a name server.
    pub rfc2136: Rfc2136Config,
    /// A program that is asked over HTTP.
    pub httpreq: HttpreqConfig,
}

section!(CertificatesConfig { provider, wait, rfc2136, httpreq });

/// A name server that takes dynamic updates.
#[derive(Clone, PartialEq, Default)]
pub struct Rfc2136Config {
    /// Host, with a port other than 53.
    pub server: String,
    /// Its zone; empty is `dns.base_domain`.
    pub zone: String,
    /// Name of the shared key.
    pub key_name: String,
    /// Its secret in base64.
    pub key_secret: String,
    /// File with that secret, instead of it.
    pub key_secret_path: PathBuf,
}

section!(Rfc2136Config { server, zone, key_name, key_secret, key_secret_path });

/// A program that writes records, asked as the library lego asks (`httpreq`).
#[derive(Clone, PartialEq, Default)]
pub struct HttpreqConfig {
    /// URL that `/present` and `/cleanup` go behind.
    pub endpoint: String,
    /// User name for it; empty for none.
    pub username: String,
    /// Password.
    pub password: String,
    /// File with that password, instead of it.
    pub password_path: PathBuf,
}

section!(HttpreqConfig { endpoint, username, password, password_path });

impl Default for CertificatesConfig {
    fn default() -> Self {
        Self {
            provider: String::new(),
            wait: "2s".into(),
            rfc2136: Rfc2136Config::default(),
            httpreq: HttpreqConfig::default(),
        }
    }
}

impl fmt::Debug for Rfc2136Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Rfc2136Config");
        out.field("server", &self.server).field("zone", &self.zone).field("key_name", &self.key_name);
        out.finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpreqConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpreqConfig").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Config {
    /// The zone that records are written to: the one named, else all of the base domain. `None` without a provider.
    #[must_use]
    pub fn certificate_zone(&self) -> Option<String> {
        let zone = &self.certificates.rfc2136.zone;
        match self.certificates.provider.as_str() {
            "" => None,
            "rfc2136" if !zone.is_empty() => Some(zone.trim_end_matches('.').to_ascii_lowercase()),
            _ => Some(self.dns.base_domain.to_ascii_lowercase()),
        }
    }
}

impl CertificatesConfig {
    /// What is wrong, by key.
    pub(crate) fn problems(&self, all: &Config) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut wrong = |key: &'static str, message: &str| found.push((key, message.to_owned()));
        let base = all.dns.base_domain.to_ascii_lowercase();
        if parse_duration(&self.wait).is_none_or(|w| w > WAIT_MAX) {
            wrong("certificates.wait", "write it like 5s; 60s at most");
        }
        match self.provider.as_str() {
            "" => {
                let named = !self.rfc2136.server.is_empty() || !self.httpreq.endpoint.is_empty();
                if named {
                    wrong("certificates.provider", "say which one to use: rfc2136 or httpreq");
                }
                return found;
            }
            "rfc2136" => self.rfc2136.problems(&base, &mut wrong),
            "httpreq" => self.httpreq.problems(&mut wrong),
            other => wrong("certificates.provider", &format!("{other:?} is no provider: rfc2136 or httpreq")),
        }
        if !base.contains('.')
            || PRIVATE.iter().any(|p| base.strip_suffix(p).is_some_and(|b| b.is_empty() || b.ends_with('.')))
        {
            let message = format!(
                "no authority certifies names in {base}, which nobody owns in public DNS: set it to a domain of yours, \
                 for instance net.example.org"
            );
            wrong("dns.base_domain", &message);
        }
        found
    }
}

impl Rfc2136Config {
    fn problems(&self, base: &str, wrong: &mut dyn FnMut(&'static str, &str)) {
        if self.server.is_empty() {
            wrong("certificates.rfc2136.server", "name the name server that takes updates, like ns1.example.org");
        }
        if self.key_name.is_empty() {
            wrong("certificates.rfc2136.key_name", "name the key that the name server knows: `tsig-keygen` makes one");
        }
        if self.key_secret.is_empty() == self.key_secret_path.as_os_str().is_empty() {
            wrong("certificates.rfc2136.key_secret", "give the key's secret, here or in a file (not both)");
        }
        let zone = self.zone.trim_end_matches('.').to_ascii_lowercase();
        if !zone.is_empty() && base != zone && !base.ends_with(&format!(".{zone}")) {
            wrong("certificates.rfc2136.zone", &format!("dns.base_domain ({base}) does not lie within {zone}"));
        }
    }
}

impl HttpreqConfig {
    fn problems(&self, wrong: &mut dyn FnMut(&'static str, &str)) {
        let url = self.endpoint.strip_prefix("https://").or_else(|| self.endpoint.strip_prefix("http://"));
        if url.is_none_or(str::is_empty) {
            wrong("certificates.httpreq.endpoint", "write it like https://dns.example.org/acme");
        } else if self.endpoint.contains(['?', '#', '@']) {
            wrong("certificates.httpreq.endpoint", "a URL without query or login: the latter has keys of its own");
        }
        if !self.password.is_empty() && !self.password_path.as_os_str().is_empty() {
            wrong("certificates.httpreq.password_path", "give the password here or in a file, not both");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::load;

    fn problems(text: &str) -> String {
        load(Some(("f", text)), &[]).problems.iter().map(|p| format!("{p}\n")).collect()
    }

    const GOOD: &str = "[dns]\nbase_domain = \"net.example.org\"\n[certificates]\nprovider = \"rfc2136\"\n\
        [certificates.rfc2136]\nserver = \"ns1.example.org\"\nkey_name = \"k\"\nkey_secret = \"SeCrEt\"\n";

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(problems(GOOD), "");
        for (from, to, said) in [
            ("rfc2136\"\n[", "route53\"\n[", "certificates.provider: \"route53\" is no provider"),
            ("net.example.org", "hearthgate.internal", "dns.base_domain: no authority"),
            ("net.example.org", "home.arpa", "dns.base_domain: no authority"),
            ("server = \"ns1.example.org\"\n", "", "rfc2136.server: name the name server"),
            ("key_secret = \"SeCrEt\"\n", "", "rfc2136.key_secret: give the key's secret"),
            ("key_name = \"k\"", "key_name = \"k\"\nzone = \"other.org\"", "rfc2136.zone: dns.base_domain"),
            ("provider = \"rfc2136\"", "provider = \"rfc2136\"\nwait = \"2m\"", "certificates.wait"),
            ("provider = \"rfc2136\"", "", "certificates.provider: say which one"),
            ("provider = \"rfc2136\"", "provider = \"httpreq\"", "httpreq.endpoint: write it like"),
        ] {
            let found = problems(&GOOD.replace(from, to));
            assert!(found.contains(said), "{from} -> {to}: {found}");
        }
    }

    #[test]
    fn the_zone_is_the_base_domain_or_the_one_named_and_secrets_are_not_printed() {
        let config = load(Some(("f", GOOD)), &[]).config;
        assert_eq!(config.certificate_zone().as_deref(), Some("net.example.org"));
        let wider = GOOD.replace("key_name", "zone = \"Example.org.\"\nkey_name");
        assert_eq!(load(Some(("f", &wider)), &[]).config.certificate_zone().as_deref(), Some("example.org"));
        assert_eq!(load(None, &[]).config.certificate_zone(), None);
        let from_env = [("HEARTHGATE_CERTIFICATES_HTTPREQ_PASSWORD".to_owned(), "SeCrEt".to_owned())];
        let both = load(Some(("f", GOOD)), &from_env).config;
        assert_eq!(both.certificates.httpreq.password, "SeCrEt");
        assert!(!format!("{both:?}").contains("SeCrEt"));
    }
}
