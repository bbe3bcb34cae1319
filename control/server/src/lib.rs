//! The control server, the relay and STUN as one running thing: listeners, the writer, and what happens in between.
//!
//! [`start`] opens the store, makes missing keys, binds the listeners and answers a [`Running`] server. Everything
//! about protocols is in other crates; this one moves bytes and keeps time.

mod acme;
mod admin;
mod api_attributes;
mod api_audit;
mod api_policy;
mod api_schema;
mod api_v1;
mod api_v2;
mod api_views;
mod apple;
mod backup;
mod bodies;
mod certificates;
mod check_pages;
mod derp_map;
mod derp_urls;
mod dyndns;
mod encode;
mod feed;
#[cfg(feature = "front")]
mod front;
mod health;
mod http_api;
mod image;
mod interfaces;
mod keys;
mod listener;
mod maps;
mod metrics;
mod network;
mod noise_api;
mod oidc;
mod oidc_pages;
mod options;
mod own_router;
mod pages;
mod pings;
mod plain;
mod portmap;
mod reply;
mod restore;
mod share;
mod state;
mod stream;
mod visits;
mod webhooks;
mod writer;

pub use backup::{restore_into, unpack_key_files, with_key_files};
pub use hearthgate_dyndns::Settings as DyndnsSettings;
pub use http_api::version;
pub use interfaces::guess_lan_address;
pub use options::{
    AcmeOptions, AdminOptions, CertificateOptions, DerpOptions, FeedOptions, HttpreqOptions, ImageOptions, OidcOptions,
    Options, Provider, Rfc2136Options,
};
pub use own_router::AskRouter;
pub use plain::PlainNetwork;
pub use restore::{Refusal, kept_file, own_as_folder, replace, summary};
pub use share::Shared;
pub use writer::Unavailable;

use crate::{
    admin::Admin,
    maps::Maps,
    metrics::Metrics,
    state::{App, Parts},
};
use hearthgate_core::{AllowAll, Fact, Now, Stored, World};
use hearthgate_derp::{
    Admission, BootstrapDns, Front, Gate, Relay, RelayLimits, StunMetrics, TrustedProxies, identity, tls,
};
use hearthgate_http::spawn;
use hearthgate_keys::NodePublic;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::{net::UdpSocket, sync::broadcast, task::JoinHandle};

/// Facts that may wait for slow listeners.
const FACTS: usize = 1024;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] hearthgate_store::StoreError),
    /// A stored record.
    #[error(transparent)]
    Load(#[from] hearthgate_core::LoadError),
    /// The OpenID provider.
    #[error(
        "the OpenID provider cannot be used: {0}. To start without it, set oidc.only_start_if_oidc_is_available = false"
    )]
    Oidc(String),
    /// A key file, or our certificate.
    #[error(transparent)]
    Identity(#[from] identity::IdentityError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// A listener or a file.
    #[error("{what} {place}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        place: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file that is not as expected.
    #[error("{path}: {message}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong, and what to do.
        message: String,
    },
}

impl StartError {
    pub(crate) fn io(what: &'static str, place: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let place = place.into();
        move |source| Self::Io { what, place, source }
    }
}

/// A running server.
pub struct Running {
    app: App,
    writer: writer::WriterThread,
    tasks: Vec<JoinHandle<()>>,
    socket: PathBuf,
    /// URL that clients use.
    pub server_url: String,
    /// Where the HTTP listener really is: port 0 in the options picks a free one.
    pub listen: SocketAddr,
}

impl Running {
    /// Puts reloaded settings in force: names, DNS, node settings, further relays.
    ///
    /// # Errors
    /// A DERP map file cannot be read, or the store failed. The old settings stay then.
    pub async fn reload(&self, options: &Options) -> Result<(), StartError> {
        let certificate = keys::certificate(options)?;
        let derp_map = self.app.derp_maps.build(options, pin(options, &certificate)?)?;
        // Connections keep what they have; the next handshake shows the new one.
        self.app.certificates.replace(&certificate)?;
        let settings = options.settings.clone();
        let policy_file = options.policy_file.clone();
        let done = self.app.control.call(move |world, context| {
            let settings = network::with_choices(world, settings);
            world.set_settings(settings);
            world.set_derp_map(derp_map);
            if let Some(path) = &policy_file {
                take_policy_file(world, path, context.now);
            }
        });
        self.app.device_certificates.configure(options.certificates.clone());
        dyndns::configure(&self.app, options.dyndns.clone());
        self.app.portmap.configure(options, self.listen);
        done.await.map_err(|e| StartError::File { path: options.state_dir.clone(), message: e.to_string() })?;
        #[cfg(feature = "front")]
        if let Err(e) = front::configure(&self.app, options) {
            tracing::error!(error = %e, "no front");
        }
        Ok(())
    }

    /// Where somebody opens the pages.
    #[must_use]
    pub fn opening(&self) -> hearthgate_web::opening::Opening {
        self.app.admin.opening(&self.server_url)
    }

    /// The code that claims the pages on the LAN, while nobody has.
    #[must_use]
    pub fn setup_code(&self) -> Option<hearthgate_keys::Secret> {
        self.app.admin.setup_code()
    }

    /// Tells how the router in this process is asked for its status; what it says stands on the pages.
    pub fn shows_router(&self, ask: AskRouter) {
        self.app.own_router.is_asked_by(ask);
    }

    /// Tells what the configuration lets the router in this process offer.
    pub fn shares(&self, configured: Shared) {
        self.app.sharing.configure(configured);
    }

    /// What was chosen on the pages for that router to offer, now and after each change; `None` is what the configuration
    /// says.
    #[must_use]
    pub fn shared(&self) -> tokio::sync::watch::Receiver<Option<Shared>> {
        self.app.sharing.follow()
    }

    /// Devices without a client, for the router in this process; nothing while there are none.
    #[must_use]
    pub fn plain_devices(&self) -> tokio::sync::watch::Receiver<Option<PlainNetwork>> {
        plain::follow(&self.app)
    }

    /// Ends when the program has to start anew, because a backup waits to be put in place.
    pub async fn restart_wanted(&self) {
        self.app.restores.restart().notified().await;
    }

    /// Stops: no new connections, what is queued becomes durable, the store is closed.
    pub async fn stop(self) {
        #[cfg(feature = "front")]
        self.app.fronts.stop();
        self.app.portmap.end().await;
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks {
            // Aborted is what we asked for.
            let _ = task.await;
        }
        let _ = std::fs::remove_file(&self.socket);
        if let Some(relay) = &self.app.relay {
            relay.shut_down().await;
        }
        self.app.control.stop().await;
        let writer = self.writer;
        let _ = tokio::task::spawn_blocking(move || writer.join()).await;
    }
}

/// Pin of the certificate in the DERP map. With https the certificate that clients see is the operator's or that of a
/// proxy in front, and has its name.
fn pin(options: &Options, certificate: &tls::PemPair) -> Result<Option<String>, StartError> {
    let pinned = options.certificate.is_none() && options.settings.server_url.starts_with("http://");
    if pinned { Ok(Some(tls::pin_of(certificate)?)) } else { Ok(None) }
}

/// Puts the policy of a file in force; when it is not accepted, the last good one stays.
fn take_policy_file(world: &mut World, path: &std::path::Path, now: Now) {
    let taken = match std::fs::read_to_string(path) {
        Ok(text) => world.take_policy_file(&text, now).map_err(|e| e.to_string()),
        // An unreadable file must open nothing: like a text that nobody accepts.
        Err(e) => world.take_policy_file("", now).map_err(|_| e.to_string()),
    };
    if let Err(e) = taken {
        tracing::error!(path = %path.display(), error = %e, "the policy file was not taken; what was in force stays");
    }
}

/// Lets nodes of the tailnet use the relay.
struct NodesOnly(writer::Control);

impl Admission for NodesOnly {
    fn may_connect(&self, key: &NodePublic, _source: Option<IpAddr>) -> bool {
        self.0.current().node_by_key(key).is_some()
    }
}

/// Has the connections of keys cut that are of no more use; `None` is all keys, when more happened at once than is
/// kept: whoever is still a node comes back.
async fn retired(mut facts: broadcast::Receiver<Fact>, cut: impl Fn(Option<NodePublic>)) {
    loop {
        match facts.recv().await {
            Ok(Fact::KeyRetired(key)) => cut(Some(key)),
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => cut(None),
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Starts everything.
///
/// # Errors
/// The store cannot be opened, a key file is not readable, an address is taken, a file is not as expected.
pub async fn start(options: Options) -> Result<Running, StartError> {
    let (restored, lock) = restore::at_start(&options.state_dir, options.engine)?;
    let store = hearthgate_store::open(&options.state_dir.join("store"), options.engine)?;
    drop(lock);
    let noise_key = keys::machine(&options.state_dir.join("noise_private.key"))?;
    let relay_key = identity::relay_key(&options.state_dir)?;
    let mut stored = Stored::default();
    for prefix in Stored::PREFIXES {
        for (key, value) in store.scan(prefix.as_bytes())? {
            stored.add(&String::from_utf8_lossy(&key), &value)?;
        }
    }
    let certificate = keys::certificate(&options)?;
    let certificates = tls::Certificates::new(&certificate, Some(&relay_key.public()))?;
    let tls_config = certificates.server_config()?;
    let derp_maps = Arc::new(derp_urls::DerpMaps::new(&options.state_dir));
    let derp_map = derp_maps.build(&options, pin(&options, &certificate)?)?;
    let now = Now { wall: jiff::Timestamp::now(), mono_ms: 0 };
    let mut world = World::load(stored, options.settings.clone(), Arc::new(AllowAll), derp_map, now);
    let chosen = network::with_choices(&world, options.settings.clone());
    world.set_settings(chosen);
    for problem in world.restore_policy() {
        tracing::error!(error = %problem, "a stored policy is no longer accepted; an older one is in force");
    }
    if let Some(path) = &options.policy_file {
        take_policy_file(&mut world, path, now);
    }
    let admin = Admin::new(options.admin.clone(), &world);
    let sharing = share::Sharing::new(&world);
    let portmap = portmap::PortMapping::new(&world);
    let (facts, heard) = broadcast::channel(FACTS);
    let (control, writer) =
        writer::start(world, store, facts.clone()).map_err(StartError::io("starting", "the writer"))?;
    let relay = options.derp.enabled.then(|| {
        let admission: Box<dyn Admission> = if options.derp.verify_clients {
            Box::new(NodesOnly(control.clone()))
        } else {
            Box::new(hearthgate_derp::AllowAll)
        };
        Relay::new(relay_key, admission, RelayLimits::default())
    });
    let oidc = options.oidc.clone().map(oidc::Oidc::new);
    if let Some(oidc) = &oidc
        && let Err(e) = oidc.check().await
    {
        if oidc.needed_at_start() {
            return Err(StartError::Oidc(e.to_string()));
        }
        tracing::warn!(error = %e, "the OpenID provider cannot be used at the moment; logins through it will fail");
    }
    let (try_hook, tries) = tokio::sync::mpsc::channel(webhooks::HOOKS_MAX);
    let events = facts.subscribe();
    let device_certificates = Arc::new(certificates::Certificates::new(control.clone()));
    let app = App::new(Parts {
        control,
        oidc,
        facts,
        maps: Arc::new(Maps::new().map_err(StartError::io("setting up", "the compressor"))?),
        noise_bodies: bodies::Places::default(),
        pings: Arc::default(),
        noise_key,
        relay,
        relay_region: options.derp.region_id,
        certificates,
        acme: Arc::default(),
        device_certificates,
        dyndns: dyndns::Dyndns::default(),
        sharing,
        portmap,
        derp_maps: derp_maps.clone(),
        proxies: Arc::new(TrustedProxies::new(options.trusted_proxies.clone())),
        admin,
        #[cfg(feature = "front")]
        fronts: front::Fronts::default(),
        visits: visits::Visits::default(),
        restores: restore::Restores::new(&options.state_dir),
        image: image::Image::new(options.image.clone()),
        feeds: feed::Feeds::new(options.feed.clone(), options.image.upgrade_dir.is_some(), &options.state_dir),
        own_router: own_router::OwnRouter::default(),
        hooks: webhooks::Outcomes::default(),
        try_hook,
        metrics: Metrics::default(),
        tokens: Mutex::default(),
        stun: Arc::new(StunMetrics::default()),
        state_dir: options.state_dir.clone(),
        bootstrap_dns: BootstrapDns::new(),
    });
    if let Some(swapped) = restored {
        restore::note(&app, swapped).await;
    }
    app.device_certificates.configure(options.certificates.clone());
    app.device_certificates.resume().await;
    let mut tasks = Vec::new();
    let tcp = listener::bind_tcp(options.listen)?;
    let listen = tcp.local_addr().map_err(StartError::io("listening on", options.listen.to_string()))?;
    app.admin.listens_on(listen);
    let alpn: Arc<tls::AlpnChallenges> = Arc::default();
    let front = Front {
        relay: app.relay.clone(),
        tls: tls_config,
        alpn: alpn.clone(),
        gate: Gate::new(options.connections_per_address),
        proxies: app.proxies.clone(),
    };
    #[cfg(feature = "front")]
    if let Err(e) = front::start(&app, &options, front.clone()) {
        tracing::error!(error = %e, "no front");
    }
    tasks.push(spawn(listener::serve_tcp(app.clone(), tcp, front)));
    let unix = listener::bind_unix(&options.unix_socket, options.unix_socket_mode)?;
    tasks.push(spawn(listener::serve_unix(app.clone(), unix)));
    if let Some(acme) = &options.acme {
        tasks.extend(acme::start(&app, acme, &alpn).await?);
    }
    if let Some(addr) = options.metrics_listen {
        let listener = listener::bind_tcp(addr)?;
        tasks.push(spawn(listener::serve_metrics(app.clone(), listener)));
    }
    if !options.derp.urls.is_empty() {
        let control = app.control.clone();
        let publish = move |map| control.cast(move |world, _| world.set_derp_map(map));
        tasks.push(spawn(derp_urls::keep_fresh(derp_maps, options.derp.update_every, publish)));
    }
    if let Some(addr) = options.derp.stun_listen.filter(|_| options.derp.enabled) {
        let socket = UdpSocket::bind(addr).await.map_err(StartError::io("listening for STUN on", addr.to_string()))?;
        tasks.push(spawn(hearthgate_derp::run_stun(socket, app.stun.clone(), std::future::pending())));
    }
    if !options.probe_interval.is_zero() {
        tasks.push(spawn(health::watch_routers(app.clone(), options.probe_interval, options.probe_timeout)));
    }
    if options.admin.enabled {
        tasks.push(spawn(own_router::count(app.clone())));
    }
    dyndns::configure(&app, options.dyndns.clone());
    tasks.push(spawn(dyndns::keep(app.clone())));
    app.portmap.configure(&options, listen);
    tasks.push(spawn(portmap::keep(app.clone())));
    tasks.push(spawn(feed::run(app.clone())));
    tasks.push(spawn(webhooks::run(app.clone(), events, tries)));
    if let Some(relay) = app.relay.clone() {
        tasks.push(spawn(retired(heard, move |key| match key {
            Some(key) => relay.close_peer(&key),
            None => relay.close_all(),
        })));
    }
    Ok(Running { app, writer, tasks, socket: options.unix_socket, server_url: options.settings.server_url, listen })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_retired_key_that_was_missed_is_cut_all_the_same() {
        let (tell, heard) = broadcast::channel(2);
        let key = |n| NodePublic::from_bytes([n; 32]);
        let cut = Mutex::new(Vec::new());
        for n in 0..4 {
            // A channel that somebody listens to takes everything.
            let _ = tell.send(Fact::KeyRetired(key(n)));
        }
        drop(tell);
        retired(heard, |key| cut.lock().expect("a lock").push(key)).await;
        assert_eq!(*cut.lock().expect("a lock"), [None, Some(key(2)), Some(key(3))]);
    }
}
