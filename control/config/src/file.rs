//! The keys as types. Absent keys keep their defaults; unknown keys are mistakes.

use crate::{
    AdminConfig, CertificatesConfig, DyndnsConfig, FrontConfig, ImageConfig, OidcConfig, RouterConfig, UpgradeConfig,
    read::{self, Given, Mistake, Read, Single, section},
};
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::{TAILNET_V4, TAILNET_V6};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// URL that clients use; empty lets the server pick `http://<its LAN address>:<port>`.
    pub server_url: String,
    /// Address of the HTTP listener; plain HTTP and TLS are told apart by their first byte.
    pub listen_addr: String,
    /// Folder of keys and store; empty is the usual place for the user that runs it.
    pub state_dir: PathBuf,
    /// Path of the socket for the command line; empty is `<state_dir>/hearthgate.sock`.
    pub unix_socket: PathBuf,
    /// Mode of that socket, as octal text.
    pub unix_socket_permission: String,
    /// Networks of reverse proxies whose word about client addresses (`X-Forwarded-For`) is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections one address may have; 0 for no limit.
    pub connections_per_address: u32,
    /// The router in front is asked to open the ports that the world needs.
    pub port_mapping: bool,
    /// Certificate chain for TLS (PEM); empty for a self-signed one.
    pub tls_cert_path: PathBuf,
    /// Private key for TLS (PEM).
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
    /// TCP address where everybody may read the metrics; empty for none.
    pub metrics_listen_addr: String,
    /// Store.
    pub store: StoreConfig,
    /// Address pools.
    pub prefixes: Prefixes,
    /// Relays.
    pub derp: DerpConfig,
    /// DNS of the tailnet.
    pub dns: DnsConfig,
    /// Nodes.
    pub node: NodeConfig,
    /// Logins through an OpenID provider.
    pub oidc: OidcConfig,
    /// The pages on the LAN.
    pub admin: AdminConfig,
    /// A front, for a box that nothing reaches.
    pub front: FrontConfig,
    /// HTTPS certificates for devices.
    pub certificates: CertificatesConfig,
    /// A name that follows this box's addresses.
    pub dyndns: DyndnsConfig,
    /// Upgrades of a box with one of our images.
    pub image: ImageConfig,
    /// The feed of new versions.
    pub upgrade: UpgradeConfig,
    /// How the command line reaches a server elsewhere.
    pub cli: CliConfig,
    /// The policy file of the tailnet.
    pub policy: PolicyConfig,
    /// This machine as a member of its own network.
    pub router: RouterConfig,
    /// Log.
    pub log: LogConfig,
    /// Taildrop.
    pub taildrop: Switch,
    /// Clients may send their logs to Tailscale.
    pub logtail: Switch,
    /// Default of the clients' automatic updates.
    pub auto_update: Switch,
}

section!(Config {
    server_url,
    listen_addr,
    state_dir,
    unix_socket,
    unix_socket_permission,
    trusted_proxies,
    connections_per_address,
    port_mapping,
    tls_cert_path,
    tls_key_path,
    acme_url,
    acme_email,
    tls_letsencrypt_hostname,
    tls_letsencrypt_cache_dir,
    tls_letsencrypt_challenge_type,
    tls_letsencrypt_listen,
    metrics_listen_addr,
    store,
    prefixes,
    derp,
    dns,
    node,
    oidc,
    admin,
    front,
    certificates,
    dyndns,
    image,
    upgrade,
    cli,
    policy,
    router,
    log,
    taildrop,
    logtail,
    auto_update,
});

impl Default for Config {
    fn default() -> Self {
        Self {
            server_url: String::new(),
            listen_addr: "0.0.0.0:8080".into(),
            state_dir: PathBuf::new(),
            unix_socket: PathBuf::new(),
            unix_socket_permission: "0770".into(),
            trusted_proxies: Vec::new(),
            connections_per_address: 256,
            port_mapping: false,
            tls_cert_path: PathBuf::new(),
            tls_key_path: PathBuf::new(),
            acme_url: crate::acme::LETS_ENCRYPT.into(),
            acme_email: String::new(),
            tls_letsencrypt_hostname: String::new(),
            tls_letsencrypt_cache_dir: PathBuf::new(),
            tls_letsencrypt_challenge_type: "HTTP-01".into(),
            tls_letsencrypt_listen: ":80".into(),
            metrics_listen_addr: String::new(),
            store: StoreConfig::default(),
            prefixes: Prefixes::default(),
            derp: DerpConfig::default(),
            dns: DnsConfig::default(),
            node: NodeConfig::default(),
            oidc: OidcConfig::default(),
            admin: AdminConfig::default(),
            front: FrontConfig::default(),
            certificates: CertificatesConfig::default(),
            dyndns: DyndnsConfig::default(),
            image: ImageConfig::default(),
            upgrade: UpgradeConfig::default(),
            cli: CliConfig::default(),
            policy: PolicyConfig::default(),
            router: RouterConfig::default(),
            log: LogConfig::default(),
            taildrop: Switch { enabled: true },
            logtail: Switch { enabled: false },
            auto_update: Switch { enabled: false },
        }
    }
}

/// How the command line reaches a server elsewhere.
#[derive(Clone, PartialEq, Default)]
pub struct CliConfig {
    /// URL of the server, or host and port for `https://`; empty uses the unix socket.
    pub address: String,
    /// API key for it.
    pub api_key: String,
}

section!(CliConfig { address, api_key });

impl std::fmt::Debug for CliConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CliConfig").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A thing that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    /// Whether it is on.
    pub enabled: bool,
}

section!(Switch { enabled } required { enabled });

/// Store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// `log`, `redb` or `sled`.
    pub engine: String,
}

section!(StoreConfig { engine });

impl Default for StoreConfig {
    fn default() -> Self {
        Self { engine: "log".into() }
    }
}

/// Where the policy comes from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PolicyConfig {
    /// `file` (read from `path`, also when it changes) or `database` (set through the API and kept in the store); empty
    /// is `file` with a path and `database` without.
    pub mode: String,
    /// The policy file (HuJSON).
    pub path: PathBuf,
}

section!(PolicyConfig { mode, path });

impl PolicyConfig {
    /// The file that the policy is read from; `None` when it is kept in the store.
    #[must_use]
    pub fn file(&self) -> Option<&std::path::Path> {
        (self.mode != "database" && !self.path.as_os_str().is_empty()).then_some(self.path.as_path())
    }
}

/// Address pools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefixes {
    /// IPv4 pool, within [`TAILNET_V4`].
    pub v4: Option<Ipv4Net>,
    /// IPv6 pool, within [`TAILNET_V6`].
    pub v6: Option<Ipv6Net>,
    /// `sequential` or `random`.
    pub allocation: String,
}

section!(Prefixes { v4, v6, allocation });

impl Default for Prefixes {
    fn default() -> Self {
        Self { v4: Some(TAILNET_V4), v6: Some(TAILNET_V6), allocation: "sequential".into() }
    }
}

/// Relays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerpConfig {
    /// The built-in relay.
    pub server: DerpServer,
    /// URLs of further regions, in the form of `paths`, which win over these.
    pub urls: Vec<String>,
    /// Whether the URLs are asked again and again.
    pub auto_update_enabled: bool,
    /// How often.
    pub update_frequency: String,
    /// JSON files with further regions; a region set to null removes it.
    pub paths: Vec<PathBuf>,
}

section!(DerpConfig { server, urls, auto_update_enabled, update_frequency, paths });

impl Default for DerpConfig {
    fn default() -> Self {
        Self {
            server: DerpServer::default(),
            urls: Vec::new(),
            auto_update_enabled: true,
            update_frequency: "3h".into(),
            paths: Vec::new(),
        }
    }
}

/// The built-in relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerpServer {
    /// Whether it runs.
    pub enabled: bool,
    /// Region number; 900 to 999 are for self-hosters.
    pub region_id: u16,
    /// Short code of the region.
    pub region_code: String,
    /// Name of the region.
    pub region_name: String,
    /// Only nodes of the tailnet may use it.
    pub verify_clients: bool,
    /// UDP address of STUN; empty for none.
    pub stun_listen_addr: String,
    /// Put the built-in relay into the map.
    pub automatically_add_embedded_derp_region: bool,
    /// Public IPv4 address, when clients cannot find it by the name in `server_url`.
    pub ipv4: Option<Ipv4Addr>,
    /// Public IPv6 address, likewise.
    pub ipv6: Option<Ipv6Addr>,
}

section!(DerpServer {
    enabled,
    region_id,
    region_code,
    region_name,
    verify_clients,
    stun_listen_addr,
    automatically_add_embedded_derp_region,
    ipv4,
    ipv6,
});

impl Default for DerpServer {
    fn default() -> Self {
        Self {
            enabled: true,
            region_id: 900,
            region_code: "home".into(),
            region_name: "Home".into(),
            verify_clients: true,
            stun_listen_addr: "0.0.0.0:3478".into(),
            automatically_add_embedded_derp_region: true,
            ipv4: None,
            ipv6: None,
        }
    }
}

/// DNS of the tailnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsConfig {
    /// MagicDNS: names of nodes resolve.
    pub magic_dns: bool,
    /// Suffix of those names. `internal` is reserved for private use and never public (ICANN, 2024).
    pub base_domain: String,
    /// Clients use the global resolvers below instead of their own.
    pub override_local_dns: bool,
    /// Resolvers.
    pub nameservers: Nameservers,
    /// Search domains besides the base domain.
    pub search_domains: Vec<String>,
    /// Extra A and AAAA records.
    pub extra_records: Vec<ExtraRecord>,
    /// JSON file with extra records, watched.
    pub extra_records_path: PathBuf,
}

section!(DnsConfig {
    magic_dns,
    base_domain,
    override_local_dns,
    nameservers,
    search_domains,
    extra_records,
    extra_records_path,
});

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            magic_dns: true,
            base_domain: "hearthgate.internal".into(),
            override_local_dns: false,
            nameservers: Nameservers::default(),
            search_domains: Vec::new(),
            extra_records: Vec::new(),
            extra_records_path: PathBuf::new(),
        }
    }
}

/// Resolvers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nameservers {
    /// For all names.
    pub global: Vec<String>,
    /// By suffix.
    pub split: SortedMap<String, Vec<String>>,
}

section!(Nameservers { global, split });

/// An extra record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraRecord {
    /// Name.
    pub name: String,
    /// `A` or `AAAA`.
    pub kind: String,
    /// Address.
    pub value: IpAddr,
}

impl Read for ExtraRecord {
    fn read(&mut self, given: &Given<'_>, mistakes: &mut Vec<Mistake>) {
        read::table(self, &["name", "value"], given, mistakes);
    }

    fn keys(&self) -> &'static [&'static str] {
        &["name", "type", "value"]
    }

    fn field(&mut self, number: usize) -> Option<&mut dyn Read> {
        match number {
            0 => Some(&mut self.name),
            1 => Some(&mut self.kind),
            2 => Some(&mut self.value),
            _ => None,
        }
    }
}

impl Single for ExtraRecord {
    fn single(given: &Given<'_>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let unset = Ipv4Addr::UNSPECIFIED.into();
        let mut record = Self { name: String::new(), kind: String::new(), value: unset };
        let before = mistakes.len();
        record.read(given, mistakes);
        (mistakes.len() == before).then_some(record)
    }
}

/// Nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// Lifetime of an untagged node's key; `0` is for ever.
    pub expiry: String,
    /// New nodes wait until somebody approves them.
    pub approval: bool,
    /// Ephemeral nodes.
    pub ephemeral: Ephemeral,
    /// Routers.
    pub routes: Routes,
}

section!(NodeConfig { expiry, approval, ephemeral, routes });

impl Default for NodeConfig {
    fn default() -> Self {
        Self { expiry: "0".into(), approval: false, ephemeral: Ephemeral::default(), routes: Routes::default() }
    }
}

/// Ephemeral nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ephemeral {
    /// How long they may be offline before they are removed.
    pub inactivity_timeout: String,
}

section!(Ephemeral { inactivity_timeout });

impl Default for Ephemeral {
    fn default() -> Self {
        Self { inactivity_timeout: "120s".into() }
    }
}

/// Routers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routes {
    /// Several routers for one prefix.
    pub ha: Ha,
}

section!(Routes { ha });

/// Several routers for one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ha {
    /// How often routers are asked for a sign of life; `0` never.
    pub probe_interval: String,
    /// How long they may take.
    pub probe_timeout: String,
}

section!(Ha { probe_interval, probe_timeout });

impl Default for Ha {
    fn default() -> Self {
        Self { probe_interval: "10s".into(), probe_timeout: "5s".into() }
    }
}

/// Log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// `text` or `json`.
    pub format: String,
}

section!(LogConfig { level, format });

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".into(), format: "text".into() }
    }
}
