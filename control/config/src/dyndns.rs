//! `[dyndns]`: a name that follows this box's public addresses, kept at a dynamic DNS service or a name server.

use crate::read::section;
use hearthgate_dyndns::Settings;
use std::{fmt, path::PathBuf};

/// The name and its service.
#[derive(Clone, PartialEq)]
pub struct DyndnsConfig {
    /// Id of the service; empty for none, or for what was set on the pages.
    pub service: String,
    /// The whole name.
    pub name: String,
    /// User name there, or name of the key of a name server.
    pub user: String,
    /// Password or token there, or secret of that key in base64.
    pub secret: String,
    /// File with that secret, instead of it.
    pub secret_path: PathBuf,
    /// Address of the server, template of the URL, or name server.
    pub url: String,
    /// Zone of a name server; empty is the name without its first label.
    pub zone: String,
    /// Seconds in caches, where that can be said.
    pub ttl: u32,
    /// The name leads to the IPv4 address.
    pub ipv4: bool,
    /// The name leads to the IPv6 address.
    pub ipv6: bool,
}

section!(DyndnsConfig { service, name, user, secret, secret_path, url, zone, ttl, ipv4, ipv6 });

impl Default for DyndnsConfig {
    fn default() -> Self {
        let s = Settings::default();
        Self {
            service: s.service,
            name: s.name,
            user: s.user,
            secret: s.secret,
            secret_path: PathBuf::new(),
            url: s.url,
            zone: s.zone,
            ttl: s.ttl,
            ipv4: s.ipv4,
            ipv6: s.ipv6,
        }
    }
}

impl fmt::Debug for DyndnsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("DyndnsConfig");
        out.field("service", &self.service).field("name", &self.name).finish_non_exhaustive()
    }
}

impl DyndnsConfig {
    /// What is set, with this secret; `None` without a service. Not yet checked.
    #[must_use]
    pub fn settings(&self, secret: String) -> Option<Settings> {
        (!self.service.is_empty()).then(|| Settings {
            service: self.service.clone(),
            name: self.name.clone(),
            user: self.user.clone(),
            secret,
            url: self.url.clone(),
            zone: self.zone.clone(),
            ttl: self.ttl,
            ipv4: self.ipv4,
            ipv6: self.ipv6,
        })
    }

    /// What is wrong, by key.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let from_file = !self.secret_path.as_os_str().is_empty();
        if self.service.is_empty() {
            let set = !self.name.is_empty() || !self.secret.is_empty() || from_file;
            return if set { vec![("dyndns.service", "say which service keeps the name".into())] } else { Vec::new() };
        }
        if from_file && !self.secret.is_empty() {
            return vec![("dyndns.secret_path", "give the secret here or in a file, not both".into())];
        }
        // What is in the file is looked at when the server starts.
        let secret = if from_file { "in the file".to_owned() } else { self.secret.clone() };
        let mistake = self.settings(secret).and_then(|s| s.checked().err());
        mistake.map(|m| ("dyndns", m.to_string())).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::load;

    #[test]
    fn mistakes_are_named_and_the_secret_is_not() {
        let problems =
            |text: &str| load(Some(("f", text)), &[]).problems.iter().map(|p| format!("{p}\n")).collect::<String>();
        const GOOD: &str = "[dyndns]\nservice = \"duckdns\"\nname = \"home.duckdns.org\"\nsecret = \"SeCrEt\"\n";
        assert_eq!(problems(GOOD), "");
        assert_eq!(problems(&GOOD.replace("secret = \"SeCrEt\"", "secret_path = \"/x\"")), "");
        for (from, to, said) in [
            ("duckdns\"\n", "route53\"\n", "dyndns: there is no service \"route53\""),
            ("home.duckdns.org", "home.example.org", "dyndns: \"home.example.org\" is no name of this service"),
            ("secret = \"SeCrEt\"", "", "dyndns: this service needs: Token"),
            ("service = \"duckdns\"", "", "dyndns.service: say which service"),
            ("secret = ", "secret_path = \"/x\"\nsecret = ", "dyndns.secret_path: give the secret here or in a file"),
        ] {
            let found = problems(&GOOD.replace(from, to));
            assert!(found.contains(said) && !found.contains("SeCrEt"), "{from} -> {to}: {found}");
        }
        let loaded = load(Some(("f", &GOOD.replace("home.duckdns.org", "home"))), &[]);
        assert!(loaded.is_usable(), "a box without its name is better than none");
        let env = [("HEARTHGATE_DYNDNS_SECRET".to_owned(), "SeCrEt".to_owned())];
        let config = load(Some(("f", GOOD)), &env).config;
        assert_eq!(config.dyndns.secret, "SeCrEt");
        assert!(!format!("{config:?}").contains("SeCrEt"));
    }
}
