//! Certificates from an authority such as Let's Encrypt: what the control server's file and the relay's have in common.

use crate::{Config, RelayConfig, load::listen};
use std::{net::SocketAddr, path::PathBuf};

/// The directory of Let's Encrypt.
pub(crate) const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The keys about it, which lie at the top of both files under Headscale's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeConfig {
    /// URL of the authority's directory.
    pub url: String,
    /// Mail address for it; may be empty.
    pub email: String,
    /// The name.
    pub hostname: String,
    /// Folder of account and certificates; empty is `acme` in the state folder.
    pub cache_dir: PathBuf,
    /// `HTTP-01` or `TLS-ALPN-01`.
    pub challenge_type: String,
    /// TCP address for HTTP-01.
    pub listen: String,
}

macro_rules! acme_of {
    ($config:ty) => {
        impl $config {
            /// Certificates from an authority; `None` when no name is set.
            #[must_use]
            pub fn acme(&self) -> Option<AcmeConfig> {
                (!self.tls_letsencrypt_hostname.is_empty()).then(|| AcmeConfig {
                    url: self.acme_url.clone(),
                    email: self.acme_email.clone(),
                    hostname: self.tls_letsencrypt_hostname.clone(),
                    cache_dir: self.tls_letsencrypt_cache_dir.clone(),
                    challenge_type: self.tls_letsencrypt_challenge_type.clone(),
                    listen: self.tls_letsencrypt_listen.clone(),
                })
            }
        }
    };
}
acme_of!(Config);
acme_of!(RelayConfig);

impl AcmeConfig {
    /// Address for HTTP-01. Headscale's default is `:http`, which is port 80.
    #[must_use]
    pub fn listen(&self) -> Option<SocketAddr> {
        if self.listen == ":http" { listen(":80") } else { listen(&self.listen) }
    }

    /// What is wrong, by key.
    pub(crate) fn problems(&self, own_files: bool) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if own_files {
            let message = "certificates come from files or from an authority: remove tls_cert_path or this".into();
            found.push(("tls_letsencrypt_hostname", message));
        }
        let name = &self.hostname;
        let public =
            name.contains('.') && name.split('.').all(|l| !l.is_empty()) && name.parse::<std::net::IpAddr>().is_err();
        if !public || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.') {
            found.push((
                "tls_letsencrypt_hostname",
                format!("{name:?} is no public name: write it like vpn.example.org"),
            ));
        }
        if !self.url.starts_with("https://") {
            found.push(("acme_url", format!("{:?} is no https URL of an authority's directory", self.url)));
        }
        match self.challenge_type.as_str() {
            "HTTP-01" if self.listen().is_none() => {
                let message = format!("{:?} is no address to listen on: write it like :80", self.listen);
                found.push(("tls_letsencrypt_listen", message));
            }
            "HTTP-01" | "TLS-ALPN-01" => {}
            other => found
                .push(("tls_letsencrypt_challenge_type", format!("{other:?} is no challenge: HTTP-01 or TLS-ALPN-01"))),
        }
        found
    }
}
