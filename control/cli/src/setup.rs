//! From arguments, environment and file to what the server is started with.

use crate::{Failure, acme, args::Args, certificates, dyndns, place};
use hearthgate_config::{Config, Loaded, load, parse_duration};
use hearthgate_core::{AddressAllocation, PlainSettings, Settings};
use hearthgate_derp::tls::PemPair;
use hearthgate_oidc::{Client, PkceMethod, Rules};
use hearthgate_server::{
    AcmeOptions, AdminOptions, DerpOptions, FeedOptions, ImageOptions, OidcOptions, Options, guess_lan_address,
};
use hearthgate_tailcfg::DnsRecord;
use hearthgate_web::gate::{Gate, LAN};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Reads the configuration that the arguments and the environment name.
pub(crate) fn read(args: &Args) -> Result<Loaded, Failure> {
    let env: Vec<(String, String)> = std::env::vars().collect();
    let from_env = env.iter().find(|(n, _)| n == "HEARTHGATE_CONFIG").map(|(_, v)| v.clone());
    let file = args.value("config").map(str::to_owned).or(from_env);
    let text = match &file {
        Some(name) => Some(
            fs::read_to_string(name)
                .map_err(|e| Failure::Failed(format!("the configuration {name} cannot be read: {e}")))?,
        ),
        None => None,
    };
    let mut loaded = load(file.as_deref().zip(text.as_deref()), &env);
    if let Some(dir) = args.value("state-dir") {
        loaded.config.state_dir = dir.into();
    }
    Ok(loaded)
}

/// Reads the configuration and refuses to go on with a broken one.
pub(crate) fn usable(args: &Args) -> Result<Config, Failure> {
    let loaded = read(args)?;
    for problem in &loaded.problems {
        eprintln!("{problem}");
    }
    if loaded.is_usable() {
        Ok(loaded.config)
    } else {
        Err(Failure::Failed("the configuration has mistakes; see above".into()))
    }
}

/// Folder of the state.
pub(crate) fn state_dir(config: &Config) -> PathBuf {
    if !config.state_dir.as_os_str().is_empty() {
        return config.state_dir.clone();
    }
    place::usual_state_dir()
}

/// Path of the socket for the command line.
pub(crate) fn socket(config: &Config) -> PathBuf {
    if config.unix_socket.as_os_str().is_empty() {
        state_dir(config).join("hearthgate.sock")
    } else {
        config.unix_socket.clone()
    }
}

/// What the server is started with.
pub(crate) fn options(config: &Config) -> Result<Options, Failure> {
    let listen = config.listen().ok_or_else(|| Failure::Failed("listen_addr is no address".into()))?;
    let server_url = if config.server_url.is_empty() {
        let ip = if listen.ip().is_unspecified() { guess_lan_address() } else { listen.ip() };
        format!("http://{}", std::net::SocketAddr::new(ip, listen.port()))
    } else {
        config.server_url.trim_end_matches('/').to_owned()
    };
    let seconds = |text: &str| parse_duration(text).unwrap_or(Duration::ZERO);
    let millis = |text: &str| u64::try_from(seconds(text).as_millis()).unwrap_or(u64::MAX);
    let certificate = if config.tls_cert_path.as_os_str().is_empty() {
        None
    } else {
        let read = |p: &Path| {
            fs::read_to_string(p).map_err(|e| Failure::Failed(format!("{} cannot be read: {e}", p.display())))
        };
        Some(PemPair { certificate: read(&config.tls_cert_path)?, key: read(&config.tls_key_path)? })
    };
    let settings = Settings {
        policy_from_file: config.policy.file().is_some(),
        plain: plain(config),
        server_url,
        base_domain: config.dns.base_domain.clone(),
        prefix_v4: config.prefixes.v4,
        prefix_v6: config.prefixes.v6,
        allocation: if config.prefixes.allocation == "random" {
            AddressAllocation::Random
        } else {
            AddressAllocation::Sequential
        },
        magic_dns: config.dns.magic_dns,
        override_local_dns: config.dns.override_local_dns,
        resolvers: config.dns.nameservers.global.clone(),
        split_dns: config.dns.nameservers.split.clone(),
        search_domains: config.dns.search_domains.clone(),
        extra_records: extra_records(config)?,
        certificate_zone: config.certificate_zone(),
        node_expiry_s: seconds(&config.node.expiry).as_secs(),
        device_approval: config.node.approval,
        ephemeral_timeout_ms: millis(&config.node.ephemeral.inactivity_timeout),
        taildrop: config.taildrop.enabled,
        logtail: config.logtail.enabled,
        auto_update: config.auto_update.enabled,
    };
    let derp = &config.derp.server;
    Ok(Options {
        state_dir: state_dir(config),
        engine: config.store.engine.parse()?,
        listen,
        unix_socket: socket(config),
        unix_socket_mode: u32::from_str_radix(&config.unix_socket_permission, 8)?,
        trusted_proxies: config.trusted_proxies.clone(),
        connections_per_address: config.connections_per_address,
        certificate,
        acme: config.acme().map(|keys| AcmeOptions {
            settings: acme::settings(&keys),
            dir: acme::folder(&keys, &state_dir(config)),
            listen: keys.listen().filter(|_| keys.challenge_type == "HTTP-01"),
        }),
        metrics_listen: config.metrics_listen(),
        settings,
        policy_file: config.policy.file().map(Into::into),
        derp: DerpOptions {
            enabled: derp.enabled,
            in_map: derp.automatically_add_embedded_derp_region,
            region_id: derp.region_id,
            region_code: derp.region_code.clone(),
            region_name: derp.region_name.clone(),
            verify_clients: derp.verify_clients,
            stun_listen: config.stun_listen(),
            ipv4: derp.ipv4,
            ipv6: derp.ipv6,
            urls: config.derp.urls.clone(),
            update_every: if config.derp.auto_update_enabled {
                seconds(&config.derp.update_frequency)
            } else {
                Duration::ZERO
            },
            paths: config.derp.paths.clone(),
        },
        oidc: oidc(config)?,
        image: ImageOptions {
            upgrade_dir: given(&config.image.upgrade_dir),
            status_file: given(&config.image.status_file),
        },
        feed: FeedOptions {
            url: Some(config.upgrade.feed_url.clone()).filter(|url| !url.is_empty()),
            key: given(&config.upgrade.feed_key),
            automatic: config.upgrade.automatic,
        },
        front: front(config)?,
        certificates: certificates::options(config)?,
        dyndns: dyndns::options(config),
        port_mapping: config.port_mapping,
        admin: AdminOptions { enabled: config.admin.enabled, gate: gate(config) },
        probe_interval: seconds(&config.node.routes.ha.probe_interval),
        probe_timeout: seconds(&config.node.routes.ha.probe_timeout),
    })
}

/// The pairing line of a front, if it is one.
#[cfg(feature = "front")]
fn front(config: &Config) -> Result<Option<String>, Failure> {
    let line = &config.front.pairing;
    if line.is_empty() {
        return Ok(None);
    }
    line.parse::<hearthgate_front::Line>().map_err(|e| Failure::Failed(format!("front.pairing: {e}")))?;
    Ok(Some(line.clone()))
}

#[cfg(not(feature = "front"))]
fn front(config: &Config) -> Result<Option<String>, Failure> {
    if config.front.pairing.is_empty() {
        return Ok(None);
    }
    Err(Failure::Failed("front.pairing: this build has no front: take the full one".into()))
}

/// A path that may be left empty.
fn given(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

/// A secret that stands in the configuration, or in a file that it names.
pub(crate) fn secret(own: &str, path: &Path) -> Result<String, Failure> {
    if path.as_os_str().is_empty() {
        return Ok(own.to_owned());
    }
    let text =
        fs::read_to_string(path).map_err(|e| Failure::Failed(format!("{} cannot be read: {e}", path.display())))?;
    Ok(text.trim().to_owned())
}

/// The OpenID provider, if there is one.
fn oidc(config: &Config) -> Result<Option<OidcOptions>, Failure> {
    let c = &config.oidc;
    if c.issuer.is_empty() {
        return Ok(None);
    }
    let secret = secret(&c.client_secret, &c.client_secret_path)?;
    let method = if c.pkce.method == "plain" { PkceMethod::Plain } else { PkceMethod::S256 };
    Ok(Some(OidcOptions {
        issuer: c.issuer.clone(),
        client: Client {
            id: c.client_id.clone(),
            secret,
            // Filled in for each login.
            redirect_uri: String::new(),
            scope: c.scope.clone(),
            extra: c.extra_params.clone(),
            pkce: c.pkce.enabled.then_some(method),
        },
        rules: Rules {
            domains: c.allowed_domains.clone(),
            users: c.allowed_users.clone(),
            groups: c.allowed_groups.clone(),
            verified_email: c.email_verified_required,
        },
        use_expiry_from_token: c.use_expiry_from_token,
        only_start_if_available: c.only_start_if_oidc_is_available,
    }))
}

/// Who may see the pages, and by which names.
fn gate(config: &Config) -> Gate {
    let mut hosts: Vec<String> = config.admin.hosts.iter().map(|h| h.to_ascii_lowercase()).collect();
    // Not being able to read it leaves the addresses, which always work.
    let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_ascii_lowercase();
    if !own.is_empty() {
        hosts.extend([own.clone(), format!("{own}.lan"), format!("{own}.local")]);
    }
    Gate { networks: config.admin.networks(&LAN), hosts }
}

/// Extra records from the configuration or from its file.
fn extra_records(config: &Config) -> Result<Vec<DnsRecord>, Failure> {
    let path = &config.dns.extra_records_path;
    if path.as_os_str().is_empty() {
        let record = |r: &hearthgate_config::ExtraRecord| DnsRecord {
            name: r.name.clone(),
            kind: r.kind.clone(),
            value: r.value.to_string(),
        };
        return Ok(config.dns.extra_records.iter().map(record).collect());
    }
    let text =
        fs::read_to_string(path).map_err(|e| Failure::Failed(format!("{} cannot be read: {e}", path.display())))?;
    serde_json::from_str(&text).map_err(|e| {
        Failure::Failed(format!(
            "{}: not a list of records like [{{\"name\":…,\"type\":\"A\",\"value\":…}}]: {e}",
            path.display()
        ))
    })
}

/// What devices without a client get, where there is a router for them.
fn plain(config: &Config) -> Option<PlainSettings> {
    let (router, own) = (&config.router, &config.router.wireguard);
    (cfg!(feature = "router") && router.enabled && own.enabled).then(|| PlainSettings {
        network: own.network.trunc(),
        endpoint: own.endpoint.clone(),
        port: own.port,
        dns: own.dns.clone(),
        lan: if own.lan.is_empty() { router.advertise_routes.clone() } else { own.lan.clone() },
    })
}
