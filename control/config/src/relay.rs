//! The configuration of a relay that runs by itself, `hearthgate derp`: a file of its own, because it is another
//! machine's.

use crate::{
    Problem, Severity,
    load::{at, listen, no_toml, place_of_key},
    parse_duration,
    read::{entries, section},
};
use ipnet::IpNet;
use std::{net::SocketAddr, path::PathBuf};
use toml::de::DeTable;

/// All of it. Absent keys keep their defaults; unknown keys are mistakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayConfig {
    /// Name by which clients reach it, for its own certificate; empty for the address it listens on.
    pub hostname: String,
    /// TCP address; TLS and plain HTTP are told apart by their first byte.
    pub listen_addr: String,
    /// UDP address of STUN; empty for none.
    pub stun_listen_addr: String,
    /// TCP address where everybody may read the metrics; empty for none.
    pub metrics_listen_addr: String,
    /// Folder of its key and certificate; empty for the usual place of the user that runs it.
    pub state_dir: PathBuf,
    /// Certificate chain (PEM); empty for a self-signed one.
    pub tls_cert_path: PathBuf,
    /// Private key (PEM).
    pub tls_key_path: PathBuf,
    /// Directory of an ACME authority.
    pub acme_url: String,
    /// Mail address for it.
    pub acme_email: String,
    /// Name that certificates are got for; empty for none.
    pub tls_letsencrypt_hostname: String,
    /// Folder for them; empty is `acme` in the state folder.
    pub tls_letsencrypt_cache_dir: PathBuf,
    /// `HTTP-01` or `TLS-ALPN-01`.
    pub tls_letsencrypt_challenge_type: String,
    /// TCP address for HTTP-01.
    pub tls_letsencrypt_listen: String,
    /// Networks of reverse proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections one address may have; 0 for no limit.
    pub connections_per_address: u32,
    /// Who may use it.
    pub verify: VerifyConfig,
    /// The relays that it shares its region with.
    pub mesh: MeshConfig,
    /// Limits.
    pub limits: RelayLimitsConfig,
    /// Log.
    pub log: crate::LogConfig,
}

section!(RelayConfig {
    hostname,
    listen_addr,
    stun_listen_addr,
    metrics_listen_addr,
    state_dir,
    tls_cert_path,
    tls_key_path,
    acme_url,
    acme_email,
    tls_letsencrypt_hostname,
    tls_letsencrypt_cache_dir,
    tls_letsencrypt_challenge_type,
    tls_letsencrypt_listen,
    trusted_proxies,
    connections_per_address,
    verify,
    mesh,
    limits,
    log,
});

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            hostname: String::new(),
            listen_addr: "0.0.0.0:8443".into(),
            stun_listen_addr: "0.0.0.0:3478".into(),
            metrics_listen_addr: String::new(),
            state_dir: PathBuf::new(),
            tls_cert_path: PathBuf::new(),
            tls_key_path: PathBuf::new(),
            acme_url: crate::acme::LETS_ENCRYPT.into(),
            acme_email: String::new(),
            tls_letsencrypt_hostname: String::new(),
            tls_letsencrypt_cache_dir: PathBuf::new(),
            tls_letsencrypt_challenge_type: "HTTP-01".into(),
            tls_letsencrypt_listen: ":80".into(),
            trusted_proxies: Vec::new(),
            connections_per_address: 256,
            verify: VerifyConfig::default(),
            mesh: MeshConfig::default(),
            limits: RelayLimitsConfig::default(),
            log: crate::LogConfig::default(),
        }
    }
}

/// Who may use a relay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyConfig {
    /// URL that is asked for each client, such as `https://control.example.org/verify`; empty lets everybody in.
    pub url: String,
    /// Clients are let in while that URL cannot be reached.
    pub fail_open: bool,
}

section!(VerifyConfig { url, fail_open });

/// Other relays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MeshConfig {
    /// File with the key that all of them have: 64 hexadecimal digits. Empty for no mesh.
    pub key_path: PathBuf,
    /// `host`, `host:port`, or `http://host:port` without TLS.
    pub with: Vec<String>,
}

section!(MeshConfig { key_path, with });

/// Limits of a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayLimitsConfig {
    /// Connections at once.
    pub connections: u64,
    /// New connections per second; 0 for no limit.
    pub accept_per_second: u64,
    /// The same at once.
    pub accept_burst: u64,
    /// Bytes that one client may send per second; 0 for no limit.
    pub client_bytes_per_second: u64,
    /// The same at once.
    pub client_bytes_burst: u64,
    /// How long a client may take nothing of what waits for it; `0` for ever.
    pub write_timeout: String,
}

section!(RelayLimitsConfig {
    connections,
    accept_per_second,
    accept_burst,
    client_bytes_per_second,
    client_bytes_burst,
    write_timeout,
});

impl Default for RelayLimitsConfig {
    fn default() -> Self {
        Self {
            connections: hearthgate_limits::RELAY_CONNECTIONS,
            accept_per_second: 0,
            accept_burst: 0,
            client_bytes_per_second: 0,
            client_bytes_burst: 0,
            write_timeout: "2s".into(),
        }
    }
}

impl RelayConfig {
    /// Reads it. `name` is the file's, for the mistakes.
    ///
    /// # Errors
    /// The file is no TOML, or has unknown keys or values of the wrong type.
    pub fn parse(name: &str, text: &str) -> Result<Self, Problem> {
        let mut config = Self::default();
        let mut mistakes = Vec::new();
        match DeTable::parse(text) {
            Ok(table) => entries(&mut config, table.get_ref(), &mut mistakes),
            Err(e) => mistakes.push(no_toml(&e)),
        }
        let first = mistakes.iter().min_by_key(|mistake| mistake.span.start);
        first.map_or(Ok(config), |mistake| Err(at(name, text, mistake)))
    }

    /// What is wrong between or within values that have the right type.
    #[must_use]
    pub fn problems(&self, name: &str, text: &str) -> Vec<Problem> {
        let mut found: Vec<(&str, String)> = Vec::new();
        if self.listen().is_none() {
            found.push((
                "listen_addr",
                format!("{:?} is no address to listen on: write it like 0.0.0.0:8443 or :8443", self.listen_addr),
            ));
        }
        for (key, value) in
            [("stun_listen_addr", &self.stun_listen_addr), ("metrics_listen_addr", &self.metrics_listen_addr)]
        {
            if !value.is_empty() && listen(value).is_none() {
                found.push((
                    key,
                    format!(
                        "{value:?} is no address to listen on: write it like 0.0.0.0:3478, or leave it empty for none"
                    ),
                ));
            }
        }
        if self.tls_cert_path.as_os_str().is_empty() != self.tls_key_path.as_os_str().is_empty() {
            found.push((
                "tls_cert_path",
                "certificate and key belong together: set both tls_cert_path and tls_key_path, or none".into(),
            ));
        }
        found.extend(self.acme().map(|a| a.problems(!self.tls_cert_path.as_os_str().is_empty())).unwrap_or_default());
        if !self.mesh.with.is_empty() && self.mesh.key_path.as_os_str().is_empty() {
            found.push(("with", "a mesh needs a key that all its relays have: set mesh.key_path".into()));
        }
        if parse_duration(&self.limits.write_timeout).is_none() {
            found.push((
                "write_timeout",
                format!("{:?} is no duration: write it like 2s or 0", self.limits.write_timeout),
            ));
        }
        let problem = |(key, message): (&str, String)| {
            let (line, column) = place_of_key(text, key);
            Problem { place: name.into(), line, column, key: key.into(), message, severity: Severity::Error }
        };
        found.into_iter().map(problem).collect()
    }

    /// Address of the TCP listener.
    #[must_use]
    pub fn listen(&self) -> Option<SocketAddr> {
        listen(&self.listen_addr)
    }

    /// Address of the STUN socket; `None` for none.
    #[must_use]
    pub fn stun_listen(&self) -> Option<SocketAddr> {
        listen(&self.stun_listen_addr)
    }

    /// Address of the metrics listener; `None` for none.
    #[must_use]
    pub fn metrics_listen(&self) -> Option<SocketAddr> {
        listen(&self.metrics_listen_addr)
    }
}
