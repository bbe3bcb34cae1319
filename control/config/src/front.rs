//! `[front]`: a front, for a box that nothing reaches.

use crate::{Config, read::section};

/// What a pairing line begins with.
const LINE: &str = "hgfront-";

/// The box's side of a front.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct FrontConfig {
    /// The line that `hearthgate front` printed; empty for none, or for the one that was paired on the pages.
    pub pairing: String,
}

section!(FrontConfig { pairing });

impl std::fmt::Debug for FrontConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrontConfig").field("paired", &!self.pairing.is_empty()).finish()
    }
}

impl FrontConfig {
    /// What is wrong, by key. That the line is whole is found out by whoever uses it.
    pub(crate) fn problems(&self, all: &Config) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if self.pairing.is_empty() {
            return found;
        }
        if !self.pairing.starts_with(LINE) {
            let message =
                format!("this is no line of a front: `hearthgate front` prints it, and it begins with {LINE}");
            found.push(("front.pairing", message));
        }
        if !all.server_url.starts_with("https://") {
            let message =
                "a front passes on encrypted connections only: set it to https:// and a name that leads to the front";
            found.push(("server_url", message.into()));
        }
        if all.tls_cert_path.as_os_str().is_empty() && all.tls_letsencrypt_hostname.is_empty() {
            let message = "clients come through the front with TLS and want a certificate that they trust: set \
                tls_letsencrypt_hostname, or tls_cert_path and tls_key_path";
            found.push(("front.pairing", message.into()));
        }
        if !all.tls_letsencrypt_hostname.is_empty() && all.tls_letsencrypt_challenge_type == "HTTP-01" {
            let message = "a front does not pass on port 80, so HTTP-01 cannot work through it: choose TLS-ALPN-01";
            found.push(("tls_letsencrypt_challenge_type", message.into()));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use crate::load;

    fn keys(text: &str) -> Vec<String> {
        load(Some(("config.toml", text)), &[]).problems.into_iter().map(|p| p.key).collect()
    }

    #[test]
    fn a_front_needs_tls_that_clients_trust() {
        let paired = "[front]\npairing = \"hgfront-AAAA\"\n";
        assert_eq!(keys(paired), ["server_url", "front.pairing"]);
        let url = "server_url = \"https://vpn.example.org\"\n";
        assert_eq!(keys(&format!("{url}{paired}")), ["front.pairing"]);
        let acme = "tls_letsencrypt_hostname = \"vpn.example.org\"\n";
        assert_eq!(keys(&format!("{url}{acme}{paired}")), ["tls_letsencrypt_challenge_type"]);
        let alpn = "tls_letsencrypt_challenge_type = \"TLS-ALPN-01\"\n";
        assert!(keys(&format!("{url}{acme}{alpn}{paired}")).is_empty());
        assert_eq!(keys(&format!("{url}{acme}{alpn}[front]\npairing = \"tskey\"\n")), ["front.pairing"]);
        assert!(keys("[front]\npairing = \"\"\n").is_empty());
    }

    #[test]
    fn the_line_is_not_printed() {
        let config = load(Some(("c", "[front]\npairing = \"hgfront-SECRET\"\n")), &[]).config;
        assert!(!format!("{config:?}").contains("SECRET"));
    }
}
