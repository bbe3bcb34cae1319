//! Who is connected, and which connection of a key gets its packets.

use crate::{
    client::{Client, Packet},
    metrics::{RelayMetrics, add},
};
use hearthgate_derp_frame::is_disco;
use hearthgate_keys::{NodePrivate, NodePublic};
use portable_atomic::{AtomicU64, Ordering::Relaxed};
use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Parts of the table, each with its own lock.
const SHARDS: usize = 16;

/// Decides who may use the relay.
pub trait Admission: Send + Sync {
    /// Whether the owner of `key`, connecting from `source`, may.
    fn may_connect(&self, key: &NodePublic, source: Option<IpAddr>) -> bool;
}

/// Lets everybody in.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

impl Admission for AllowAll {
    fn may_connect(&self, _key: &NodePublic, _source: Option<IpAddr>) -> bool {
        true
    }
}

/// Limits of the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayLimits {
    /// Connections at once.
    pub connections_max: u64,
    /// Silence after which a keep-alive goes out; up to a twelfth more is added per connection.
    pub keep_alive: Duration,
    /// Longest time one write may take.
    pub write_timeout: Duration,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self { connections_max: 10_000, keep_alive: Duration::from_secs(60), write_timeout: Duration::from_secs(2) }
    }
}

/// A running relay.
pub struct Relay {
    pub(crate) key: NodePrivate,
    pub(crate) public: NodePublic,
    pub(crate) limits: RelayLimits,
    pub(crate) metrics: RelayMetrics,
    admission: Box<dyn Admission>,
    shards: [Mutex<HashMap<NodePublic, Vec<Arc<Client>>>>; SHARDS],
    next_id: AtomicU64,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("public", &self.public).field("limits", &self.limits).finish_non_exhaustive()
    }
}

type Shard<'a> = MutexGuard<'a, HashMap<NodePublic, Vec<Arc<Client>>>>;

impl Relay {
    /// A relay with this key.
    #[must_use]
    pub fn new(key: NodePrivate, admission: Box<dyn Admission>, limits: RelayLimits) -> Arc<Self> {
        Arc::new(Self {
            public: key.public(),
            key,
            limits,
            metrics: RelayMetrics::default(),
            admission,
            shards: Default::default(),
            next_id: AtomicU64::new(1),
        })
    }

    /// The relay's public key.
    #[must_use]
    pub fn public_key(&self) -> NodePublic {
        self.public
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &RelayMetrics {
        &self.metrics
    }

    /// The counters in Prometheus' text form.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.metrics.text()
    }

    /// Cuts all connections of a key: its node was removed, or has another key now.
    pub fn close_peer(&self, key: &NodePublic) {
        for client in self.shard(key).get(key).into_iter().flatten() {
            client.close();
        }
    }

    pub(crate) fn admits(&self, key: &NodePublic, source: Option<IpAddr>) -> bool {
        self.metrics.connections.load(Relaxed) < self.limits.connections_max && self.admission.may_connect(key, source)
    }

    /// Enters a connection; the newest of a key gets its packets.
    pub(crate) fn enter(&self, key: NodePublic) -> Arc<Client> {
        let client = Arc::new(Client::new(self.next_id.fetch_add(1, Relaxed), key));
        let mut shard = self.shard(&key);
        let connections = shard.entry(key).or_default();
        connections.push(client.clone());
        if connections.len() > 1 {
            add(&self.metrics.duplicates, 1);
            connections.iter().for_each(|c| c.duplicated.store(true, Relaxed));
        }
        add(&self.metrics.connections, 1);
        client
    }

    /// Takes a connection out; true when it was the last of its key.
    pub(crate) fn leave(&self, client: &Client) -> bool {
        crate::metrics::less(&self.metrics.connections);
        let mut shard = self.shard(&client.key);
        let Some(connections) = shard.get_mut(&client.key) else { return true };
        connections.retain(|c| c.id != client.id);
        match connections.as_slice() {
            [] => {
                shard.remove(&client.key);
                true
            }
            [last] => {
                last.duplicated.store(false, Relaxed);
                false
            }
            _ => false,
        }
    }

    /// Of several connections of a key, the one that sent last gets the packets.
    pub(crate) fn make_active(&self, client: &Client) {
        if let Some(connections) = self.shard(&client.key).get_mut(&client.key)
            && let Some(at) = connections.iter().position(|c| c.id == client.id)
        {
            let active = connections.remove(at);
            connections.push(active);
        }
    }

    /// The connection that gets the packets of a key.
    pub(crate) fn find(&self, key: &NodePublic) -> Option<Arc<Client>> {
        self.shard(key).get(key)?.last().cloned()
    }

    /// Hands a packet to a client; the oldest in its queue goes if there is no room.
    pub(crate) fn deliver(&self, to: &Client, packet: Packet) {
        let disco = is_disco(&packet.payload);
        if to.push(packet, disco).is_some() {
            add(&self.metrics.dropped_queue_head, 1);
        }
    }

    fn shard(&self, key: &NodePublic) -> Shard<'_> {
        // Keys are uniformly distributed, so any byte picks a shard well; the index is below SHARDS.
        let n = usize::from(key.as_bytes()[7]) % SHARDS;
        self.shards[n].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
