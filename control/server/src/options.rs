//! What a server is started with.

use hearthgate_core::Settings;
use hearthgate_derp::tls::PemPair;
use hearthgate_store::EngineKind;
use ipnet::IpNet;
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// What a server is started with.
#[derive(Clone)]
pub struct Options {
    /// Folder of keys and store.
    pub state_dir: PathBuf,
    /// Store engine.
    pub engine: EngineKind,
    /// HTTP listener, plain and TLS.
    pub listen: SocketAddr,
    /// Socket for the command line.
    pub unix_socket: PathBuf,
    /// Its mode.
    pub unix_socket_mode: u32,
    /// Reverse proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections one address may have; 0 for no limit.
    pub connections_per_address: u32,
    /// A certificate of the operator's; `None` for a self-signed one.
    pub certificate: Option<PemPair>,
    /// Certificates from an authority.
    pub acme: Option<AcmeOptions>,
    /// Where everybody may read the metrics; `None` for nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// The tailnet.
    pub settings: Settings,
    /// The policy file; `None` keeps the policy in the store.
    pub policy_file: Option<PathBuf>,
    /// The relay.
    pub derp: DerpOptions,
    /// Logins through an OpenID provider.
    pub oidc: Option<OidcOptions>,
    /// The pages on the LAN.
    pub admin: AdminOptions,
    /// Pairing line of a front (`hgfront-…`); `None` for none, or for the one that was paired on the pages.
    pub front: Option<String>,
    /// Upgrades of a box with one of our images.
    pub image: ImageOptions,
    /// The feed of new versions.
    pub feed: FeedOptions,
    /// Who writes records for HTTPS certificates of devices.
    pub certificates: Option<CertificateOptions>,
    /// A name that follows this box's addresses; `None` for none, or for the one that was set on the pages.
    pub dyndns: Option<hearthgate_dyndns::Settings>,
    /// The router in front is asked to open this box's ports to the world, unless something else was chosen on the pages.
    pub port_mapping: bool,
    /// How often routers are asked for a sign of life; zero never.
    pub probe_interval: Duration,
    /// How long they may take.
    pub probe_timeout: Duration,
}

/// Certificates from an authority.
#[derive(Debug, Clone)]
pub struct AcmeOptions {
    /// What is wanted.
    pub settings: hearthgate_acme::Settings,
    /// Folder of account and certificates.
    pub dir: PathBuf,
    /// Where the page of HTTP-01 is served besides the usual port; `None` for nowhere.
    pub listen: Option<SocketAddr>,
}

/// Who writes records for HTTPS certificates of devices.
#[derive(Debug, Clone)]
pub struct CertificateOptions {
    /// Who.
    pub provider: Provider,
    /// Pause after a record was written.
    pub wait: Duration,
}

/// Who writes records into public DNS.
#[derive(Debug, Clone)]
pub enum Provider {
    /// A name server that takes dynamic updates.
    Rfc2136(Rfc2136Options),
    /// A program that is asked over HTTP.
    Httpreq(HttpreqOptions),
}

/// A name server that takes dynamic updates.
#[derive(Debug, Clone)]
pub struct Rfc2136Options {
    /// Host, with a port other than 53.
    pub server: String,
    /// Its zone.
    pub zone: String,
    /// The key that it knows.
    pub key: hearthgate_dns_update::Key,
}

/// A program that is asked over HTTP.
#[derive(Debug, Clone)]
pub struct HttpreqOptions {
    /// URL that `/present` and `/cleanup` go behind.
    pub endpoint: String,
    /// User name for it; empty for none.
    pub username: String,
    /// Password.
    pub password: hearthgate_keys::Secret,
}

/// An OpenID provider, and who may come in through it.
#[derive(Debug, Clone)]
pub struct OidcOptions {
    /// URL of the provider.
    pub issuer: String,
    /// What it knows us as; its redirect address is filled in from the server's URL.
    pub client: hearthgate_oidc::Client,
    /// Who may come in.
    pub rules: hearthgate_oidc::Rules,
    /// Devices expire with the token that let them in.
    pub use_expiry_from_token: bool,
    /// The provider has to be there when the server starts.
    pub only_start_if_available: bool,
}

/// The pages on the LAN.
#[derive(Debug, Clone, Default)]
pub struct AdminOptions {
    /// They are served.
    pub enabled: bool,
    /// To whom, and by which names.
    pub gate: hearthgate_web::gate::Gate,
}

/// Where a box with one of our images takes upgrades.
#[derive(Debug, Clone, Default)]
pub struct ImageOptions {
    /// Folder for received files; `None` without an image.
    pub upgrade_dir: Option<PathBuf>,
    /// What the image's init writes.
    pub status_file: Option<PathBuf>,
}

/// A feed of new versions.
#[derive(Debug, Clone, Default)]
pub struct FeedOptions {
    /// Where it is; `None`: nobody is asked.
    pub url: Option<String>,
    /// Who signs it; `None`: whose key came with the program.
    pub key: Option<PathBuf>,
    /// An image fetches and restarts by itself.
    pub automatic: bool,
}

impl Options {
    /// The usual values, with all state under `state_dir`, on `listen`.
    #[must_use]
    pub fn new(state_dir: &Path, listen: SocketAddr) -> Self {
        Self {
            state_dir: state_dir.into(),
            engine: EngineKind::Log,
            listen,
            unix_socket: state_dir.join("hearthgate.sock"),
            unix_socket_mode: 0o600,
            trusted_proxies: Vec::new(),
            connections_per_address: hearthgate_derp::PER_ADDRESS,
            certificate: None,
            acme: None,
            metrics_listen: None,
            settings: Settings::default(),
            policy_file: None,
            derp: DerpOptions::default(),
            probe_interval: Duration::ZERO,
            probe_timeout: Duration::ZERO,
            oidc: None,
            admin: AdminOptions::default(),
            front: None,
            image: ImageOptions::default(),
            feed: FeedOptions::default(),
            certificates: None,
            dyndns: None,
            port_mapping: false,
        }
    }
}

impl Default for DerpOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            in_map: true,
            region_id: 900,
            region_code: "home".into(),
            region_name: "Home".into(),
            verify_clients: true,
            stun_listen: None,
            ipv4: None,
            ipv6: None,
            urls: Vec::new(),
            update_every: Duration::ZERO,
            paths: Vec::new(),
        }
    }
}

/// The built-in relay.
#[derive(Debug, Clone)]
pub struct DerpOptions {
    /// It runs.
    pub enabled: bool,
    /// It is in the map.
    pub in_map: bool,
    /// Region number.
    pub region_id: u16,
    /// Region code.
    pub region_code: String,
    /// Region name.
    pub region_name: String,
    /// Only nodes of the tailnet may use it.
    pub verify_clients: bool,
    /// Address of STUN.
    pub stun_listen: Option<SocketAddr>,
    /// Public IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Public IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// URLs with further regions.
    pub urls: Vec<String>,
    /// How often they are asked; zero for once.
    pub update_every: Duration,
    /// Files with further regions.
    pub paths: Vec<PathBuf>,
}
