//! The relay: its key, its rules, and what the rest of the program asks of it.

use crate::{
    client::{Client, ClientView},
    limits::{Bucket, Rate, RelayLimits},
    metrics::{RelayMetrics, add},
    registry::{Registry, Route},
};
use hearthgate_derp_frame::{health_frame, restarting_frame};
use hearthgate_keys::{NodePrivate, NodePublic, Secret, constant_time_eq};
use portable_atomic::{AtomicU64, Ordering::Relaxed};
use std::{
    fmt,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// What clients are told when the relay goes down: come back after so many milliseconds, and try for so many.
const RECONNECT_IN: u32 = 1_000;
/// See [`RECONNECT_IN`].
const RECONNECT_FOR: u32 = 60_000;
/// Longest time for telling them.
const GOODBYE: Duration = Duration::from_millis(500);
/// How often it is looked whether all of them are gone.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Decides who may use the relay. It is asked once per connection, after the client proved that it owns the key.
pub trait Admission: Send + Sync {
    /// Whether the owner of `key`, connecting from `source`, may.
    fn may_connect(&self, key: &NodePublic, source: Option<IpAddr>) -> bool;

    /// A second opinion that has to be waited for, such as that of another server. Asked after
    /// [`Self::may_connect`] said yes; `None` for no further question.
    fn confirm<'a>(
        &'a self,
        key: &NodePublic,
        source: Option<IpAddr>,
    ) -> Option<Pin<Box<dyn Future<Output = bool> + Send + 'a>>> {
        let _ = (key, source);
        None
    }
}

/// Lets everybody in.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

impl Admission for AllowAll {
    fn may_connect(&self, _key: &NodePublic, _source: Option<IpAddr>) -> bool {
        true
    }
}

/// What a relay may have besides its key and its limits.
#[derive(Debug, Clone, Default)]
pub struct RelayOptions {
    /// Key of the mesh of relays that this one belongs to: 64 hexadecimal digits. `None` for no mesh.
    pub mesh_key: Option<Secret>,
    /// Application names that are refused.
    pub refused_app_names: Vec<String>,
    /// Bytes that one client may send per second.
    pub rate: Rate,
    /// New connections per second.
    pub accept: Rate,
}

/// A running relay.
pub struct Relay {
    pub(crate) key: NodePrivate,
    pub(crate) public: NodePublic,
    pub(crate) limits: RelayLimits,
    pub(crate) options: RelayOptions,
    pub(crate) metrics: RelayMetrics,
    pub(crate) registry: Registry,
    admission: Box<dyn Admission>,
    accept: Mutex<Bucket>,
    rate_per_second: AtomicU64,
    rate_burst: AtomicU64,
    next_id: AtomicU64,
    health: Mutex<String>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("public", &self.public).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Relay {
    /// A relay with this key, without mesh or rate limits.
    #[must_use]
    pub fn new(key: NodePrivate, admission: Box<dyn Admission>, limits: RelayLimits) -> Arc<Self> {
        Self::with_options(key, admission, limits, RelayOptions::default())
    }

    /// A relay with all there is to choose.
    #[must_use]
    pub fn with_options(
        key: NodePrivate,
        admission: Box<dyn Admission>,
        limits: RelayLimits,
        options: RelayOptions,
    ) -> Arc<Self> {
        Arc::new(Self {
            public: key.public(),
            key,
            limits,
            metrics: RelayMetrics::default(),
            registry: Registry::default(),
            admission,
            accept: Mutex::new(Bucket::new(options.accept, Instant::now())),
            rate_per_second: AtomicU64::new(options.rate.per_second),
            rate_burst: AtomicU64::new(options.rate.burst),
            options,
            next_id: AtomicU64::new(1),
            health: Mutex::default(),
        })
    }

    /// The relay's public key.
    #[must_use]
    pub fn public_key(&self) -> NodePublic {
        self.public
    }

    /// Its counters.
    #[must_use]
    pub fn metrics(&self) -> &RelayMetrics {
        &self.metrics
    }

    /// The counters in Prometheus' text form.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.metrics.text()
    }

    /// Whether one more connection may be accepted now. When not, the listener closes it at once.
    pub fn may_accept(&self) -> bool {
        if self.options.accept.per_second == 0 {
            return true;
        }
        let may = self.accept.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
        add(&self.metrics.accept_limited, u64::from(!may));
        may
    }

    /// Sets what one client may send per second, for the connections there are too.
    pub fn set_rate(&self, rate: Rate) {
        self.rate_burst.store(rate.burst, Relaxed);
        self.rate_per_second.store(rate.per_second, Relaxed);
    }

    pub(crate) fn rate(&self) -> Rate {
        Rate { per_second: self.rate_per_second.load(Relaxed), burst: self.rate_burst.load(Relaxed) }
    }

    /// Cuts all connections of a key: its node was removed, or has another key now.
    pub fn close_peer(&self, key: &NodePublic) {
        for client in self.registry.connections(key) {
            client.outbox.close();
        }
    }

    /// Cuts all connections.
    pub fn close_all(&self) {
        for client in self.registry.all() {
            client.outbox.close();
        }
    }

    /// Tells every client, and every one to come, of a problem of this relay; an empty text clears it.
    pub fn set_health(&self, problem: &str) {
        {
            let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
            if *health == problem {
                return;
            }
            problem.clone_into(&mut health);
        }
        for client in self.registry.all() {
            client.outbox.tell(health_frame(problem));
        }
    }

    pub(crate) fn health(&self) -> String {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells every client that the relay goes down for a while. Both times in milliseconds.
    pub fn announce_restart(&self, reconnect_ms: u32, try_for_ms: u32) {
        for client in self.registry.all() {
            client.outbox.tell(restarting_frame(reconnect_ms, try_for_ms));
        }
    }

    /// Tells every client that the relay goes down, and closes their connections. Takes half a second at most.
    pub async fn shut_down(&self) {
        self.announce_restart(RECONNECT_IN, RECONNECT_FOR);
        self.close_all();
        let gone = async {
            while self.connection_count() > 0 {
                sleep(LOOK_EVERY).await;
            }
        };
        // Whoever takes no goodbye in this time gets none.
        let _ = timeout(GOODBYE, gone).await;
    }

    /// Whether a key is connected to this relay.
    #[must_use]
    pub fn is_connected(&self, key: &NodePublic) -> bool {
        matches!(self.registry.find(key), Some(Route::Local(_)))
    }

    /// Connections open now.
    #[must_use]
    pub fn connection_count(&self) -> u64 {
        self.metrics.connections.load(Relaxed)
    }

    /// Every connection, for an operator to look at.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientView> {
        let views = self.registry.all().into_iter().map(|c| ClientView {
            key: c.key,
            addr: c.origin.addr,
            connected_secs: c.since.elapsed().as_secs(),
            home: c.home.load(Relaxed),
            active: c.active.load(Relaxed),
        });
        views.collect()
    }

    pub(crate) async fn admits(&self, client: &Client) -> bool {
        if client.mesh {
            return true;
        }
        if self.metrics.connections.load(Relaxed) >= self.limits.connections_max {
            return false;
        }
        if !client.app_name.is_empty() && self.options.refused_app_names.iter().any(|name| **name == *client.app_name) {
            return false;
        }
        let source = client.origin.addr.map(|a| a.ip());
        if !self.admission.may_connect(&client.key, source) {
            return false;
        }
        match self.admission.confirm(&client.key, source) {
            Some(answer) => answer.await,
            None => true,
        }
    }

    /// The part of [`Self::admits`] that may have changed since, and costs nothing to ask.
    pub(crate) fn still_admits(&self, client: &Client) -> bool {
        client.mesh || self.admission.may_connect(&client.key, client.origin.addr.map(|a| a.ip()))
    }

    /// Whether a client that presents this key is a relay of our mesh.
    pub(crate) fn is_mesh_key(&self, presented: Option<&Secret>) -> bool {
        match (&self.options.mesh_key, presented) {
            (Some(ours), Some(theirs)) => constant_time_eq(ours.reveal().as_bytes(), theirs.reveal().as_bytes()),
            _ => false,
        }
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }
}
