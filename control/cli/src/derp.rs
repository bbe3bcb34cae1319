//! `hearthgate derp`: a relay and STUN by themselves, for instance on a machine with a public address.

use crate::{Failure, acme, args::Args, logging, place};
use hearthgate_acme::{Keeper, serve_http};
use hearthgate_config::{AcmeConfig, RelayConfig, parse_duration};
use hearthgate_derp::{
    Admission, AllowAll, BootstrapDns, Front, Gate, MeshPeer, Pages, Rate, Relay, RelayLimits, RelayOptions,
    StunMetrics, TrustedProxies, UrlCheck, identity, run_mesh, run_stun, serve_pages,
    tls::{AlpnChallenges, Certificates, PemPair, pin_of},
};
use hearthgate_fetch::Fetch;
use hearthgate_http::spawn;
use hearthgate_keys::{KEY_LEN, Secret, decode_fixed};
use std::{
    fs,
    future::pending,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    net::{TcpListener, UdpSocket},
    signal::unix::{SignalKind, signal},
};

/// How often the certificate files are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// Port of relays that are named without one.
const HTTPS: u16 = 443;

/// Runs the relay until it is told to stop.
pub(crate) fn derp(args: &Args) -> Result<(), Failure> {
    let config = configuration(args)?;
    logging::start(&config.log.level, &config.log.format);
    place::raise_file_limit();
    let runtime = place::runtime()?;
    runtime.block_on(run(&config))
}

/// The file, with the flags over it.
fn configuration(args: &Args) -> Result<RelayConfig, Failure> {
    let name = args.value("config").unwrap_or_default();
    let text = if name.is_empty() { String::new() } else { read(Path::new(name))? };
    let mut config = RelayConfig::parse(name, &text).map_err(|e| Failure::Failed(e.to_string()))?;
    let flags = [
        ("hostname", &mut config.hostname),
        ("listen-addr", &mut config.listen_addr),
        ("stun-listen-addr", &mut config.stun_listen_addr),
        ("metrics-listen-addr", &mut config.metrics_listen_addr),
        ("verify-client-url", &mut config.verify.url),
    ];
    for (flag, value) in flags {
        if let Some(given) = args.value(flag) {
            given.clone_into(value);
        }
    }
    let paths = [
        ("state-dir", &mut config.state_dir),
        ("tls-cert", &mut config.tls_cert_path),
        ("tls-key", &mut config.tls_key_path),
        ("mesh-key-file", &mut config.mesh.key_path),
    ];
    for (flag, value) in paths {
        if let Some(given) = args.value(flag) {
            *value = given.into();
        }
    }
    if args.value("mesh-with").is_some() {
        config.mesh.with = args.list("mesh-with");
    }
    let problems: Vec<String> = config.problems(name, &text).iter().map(ToString::to_string).collect();
    if problems.is_empty() { Ok(config) } else { Err(Failure::Failed(problems.join("\n"))) }
}

async fn run(config: &RelayConfig) -> Result<(), Failure> {
    let (mut hangup, mut terminate, mut interrupt) =
        (signal(SignalKind::hangup())?, signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listen = config.listen().ok_or_else(|| Failure::Failed("listen_addr is no address".into()))?;
    let state_dir =
        if config.state_dir.as_os_str().is_empty() { place::usual_state_dir() } else { config.state_dir.clone() };
    place::make_state_dir(&state_dir)?;
    let fetch = Fetch::new();
    let key = identity::relay_key(&state_dir)?;
    let mut pair = certificate(config, &state_dir, listen)?;
    let certificates = Certificates::new(&pair, Some(&key.public()))?;
    let relay = Relay::with_options(key, admission(config, &fetch)?, limits(config), options(config)?);
    let mesh = mesh_peers(config, &fetch)?;
    let stun = Arc::new(StunMetrics::default());
    let proxies = Arc::new(TrustedProxies::new(config.trusted_proxies.clone()));
    let alpn = Arc::default();
    if let Some(keys) = config.acme() {
        keep_certificate(&keys, &state_dir, &certificates, &alpn).await?;
    }
    let front = Front {
        relay: Some(relay.clone()),
        tls: certificates.server_config()?,
        alpn,
        gate: Gate::new(config.connections_per_address),
        proxies: proxies.clone(),
    };
    let listener =
        TcpListener::bind(listen).await.map_err(|e| Failure::Failed(format!("listening on {listen}: {e}")))?;
    let listen = listener.local_addr()?;
    let pages = Pages {
        relay: relay.clone(),
        stun: stun.clone(),
        bootstrap_dns: BootstrapDns::new(),
        proxies,
        metrics_for_all: false,
    };
    if let Some(addr) = config.metrics_listen() {
        let listener =
            TcpListener::bind(addr).await.map_err(|e| Failure::Failed(format!("listening on {addr}: {e}")))?;
        let open = Arc::new(Pages { metrics_for_all: true, ..pages.clone() });
        let front = Front { relay: None, ..front.clone() };
        spawn(front.serve(listener, move |stream, remote| serve_pages(open.clone(), stream, remote)));
    }
    let pages = Arc::new(pages);
    let accepting = spawn(front.serve(listener, move |stream, remote| serve_pages(pages.clone(), stream, remote)));
    if let Some(addr) = config.stun_listen() {
        let socket =
            UdpSocket::bind(addr).await.map_err(|e| Failure::Failed(format!("listening for STUN on {addr}: {e}")))?;
        spawn(run_stun(socket, stun, pending()));
    }
    for peer in mesh {
        let (relay, host) = (relay.clone(), peer.host.clone());
        spawn(async move {
            let report =
                |e: &hearthgate_derp::MeshError| tracing::warn!(peer = %peer.host, error = %e, "mesh connection ended");
            if let Err(e) = run_mesh(relay, peer.clone(), report, pending()).await {
                tracing::error!(peer = %host, error = %e, "not meshed");
            }
        });
    }
    greet(config, &pair, &relay, listen)?;
    let mut watch = tokio::time::interval(WATCH_EVERY);
    let mut seen = changed_at(config);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {}
            _ = watch.tick() => {
                let now = changed_at(config);
                if now == seen {
                    continue;
                }
                seen = now;
            }
        }
        let next = certificate(config, &state_dir, listen);
        match next.and_then(|next| Ok(certificates.replace(&next).map(|()| next)?)) {
            Ok(next) => {
                pair = next;
                tracing::info!(pin = %pin_of(&pair)?, "the certificate was read again");
            }
            Err(e) => tracing::error!(error = %e, "the old certificate stays in force"),
        }
    }
    tracing::info!("stopping");
    accepting.abort();
    relay.shut_down().await;
    Ok(())
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|e| Failure::Failed(format!("{} cannot be read: {e}", path.display())))
}

/// Gets certificates from an authority, and shows each new one.
async fn keep_certificate(
    keys: &AcmeConfig,
    state_dir: &Path,
    certificates: &Arc<Certificates>,
    alpn: &Arc<AlpnChallenges>,
) -> Result<(), Failure> {
    let keeper = keeper(keys, state_dir, alpn.clone());
    place::make_state_dir(&keeper.dir)?;
    if let Some(addr) = keys.listen().filter(|_| keys.challenge_type == "HTTP-01") {
        let listener = TcpListener::bind(addr)
            .await
            .map_err(|e| Failure::Failed(format!("listening for HTTP-01 on {addr}: {e}")))?;
        spawn(serve_http(listener, keeper.http.clone(), keeper.settings.host.clone()));
    }
    let certificates = certificates.clone();
    spawn(keeper.run(move |pair| {
        if let Err(e) = certificates.replace(pair) {
            tracing::error!(error = %e, "the new certificate is of no use");
        }
    }));
    Ok(())
}

fn keeper(keys: &AcmeConfig, state_dir: &Path, alpn: Arc<AlpnChallenges>) -> Keeper {
    let (settings, dir) = (acme::settings(keys), acme::folder(keys, state_dir));
    Keeper { settings, dir, fetch: Arc::new(Fetch::new()), http: Arc::default(), alpn }
}

/// The operator's certificate, an authority's, or one of our own.
fn certificate(config: &RelayConfig, state_dir: &Path, listen: SocketAddr) -> Result<PemPair, Failure> {
    if !config.tls_cert_path.as_os_str().is_empty() {
        return Ok(PemPair { certificate: read(&config.tls_cert_path)?, key: read(&config.tls_key_path)? });
    }
    if let Some(pair) = config.acme().and_then(|keys| keeper(&keys, state_dir, Arc::default()).stored()) {
        return Ok(pair);
    }
    let host = if config.hostname.is_empty() { listen.ip().to_string() } else { config.hostname.clone() };
    Ok(identity::own_certificate(state_dir, &host)?)
}

fn changed_at(config: &RelayConfig) -> [Option<SystemTime>; 2] {
    [&config.tls_cert_path, &config.tls_key_path].map(|path| fs::metadata(path).and_then(|m| m.modified()).ok())
}

fn admission(config: &RelayConfig, fetch: &Fetch) -> Result<Box<dyn Admission>, Failure> {
    let url = &config.verify.url;
    if url.is_empty() {
        return Ok(Box::new(AllowAll));
    }
    let tls = if url.starts_with("https:") { Some(fetch.tls()?) } else { None };
    Ok(Box::new(UrlCheck::new(url, tls, config.verify.fail_open)?))
}

fn limits(config: &RelayConfig) -> RelayLimits {
    let write_timeout = parse_duration(&config.limits.write_timeout).unwrap_or(RelayLimits::default().write_timeout);
    RelayLimits { connections_max: config.limits.connections, write_timeout, ..RelayLimits::default() }
}

fn options(config: &RelayConfig) -> Result<RelayOptions, Failure> {
    let limits = &config.limits;
    let mesh_key =
        if config.mesh.key_path.as_os_str().is_empty() { None } else { Some(mesh_key(&config.mesh.key_path)?) };
    let accept = Rate { per_second: limits.accept_per_second, burst: limits.accept_burst.max(1) };
    let rate = Rate::of_bytes(limits.client_bytes_per_second, limits.client_bytes_burst);
    Ok(RelayOptions { mesh_key, rate, accept, ..RelayOptions::default() })
}

fn mesh_key(path: &PathBuf) -> Result<Secret, Failure> {
    let text = read(path)?;
    let key = text.trim();
    if decode_fixed::<KEY_LEN>(key).is_err() {
        return Err(Failure::Failed(format!(
            "{} holds no mesh key: 64 hexadecimal digits, for instance from `openssl rand -hex 32`",
            path.display()
        )));
    }
    Ok(Secret::new(key.to_ascii_lowercase()))
}

fn mesh_peers(config: &RelayConfig, fetch: &Fetch) -> Result<Vec<MeshPeer>, Failure> {
    let peer = |(index, text): (usize, &String)| {
        let (tls, rest) = match text.strip_prefix("http://") {
            Some(rest) => (None, rest),
            None => (Some(fetch.tls()?), text.strip_prefix("https://").unwrap_or(text)),
        };
        let authority: http::uri::Authority = rest
            .trim_end_matches('/')
            .parse()
            .map_err(|_| Failure::Failed(format!("{text:?} is no relay: host, host:port or http://host:port")))?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if tls.is_some() { HTTPS } else { 80 });
        Ok(MeshPeer { host, dial: format!("{}:{port}", authority.host()), tls, index: index as u64 })
    };
    config.mesh.with.iter().enumerate().map(peer).collect()
}

/// Says where it is, and what a DERP map has to say about it.
fn greet(config: &RelayConfig, pair: &PemPair, relay: &Relay, listen: SocketAddr) -> Result<(), Failure> {
    println!("hearthgate {} relay is running.", env!("CARGO_PKG_VERSION"));
    println!();
    println!("  listening on      {listen}, TLS and plain");
    println!(
        "  STUN              {}",
        if config.stun_listen_addr.is_empty() { "none" } else { &config.stun_listen_addr }
    );
    println!("  key               {}", relay.public_key());
    if config.tls_cert_path.as_os_str().is_empty() && config.acme().is_none() {
        println!("  CertName          {}", pin_of(pair)?);
    }
    println!("  admission         {}", if config.verify.url.is_empty() { "everybody" } else { &config.verify.url });
    Ok(())
}
