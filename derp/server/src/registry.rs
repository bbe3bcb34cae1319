//! Who is connected, and where packets for a key go: to the connection of it that sent last, or to a relay of the mesh.

use crate::{
    client::Client,
    metrics::{RelayMetrics, add, less, step},
    outbox::{Outbox, WATCHER_CONTROL_MAX},
};
use hearthgate_derp_frame::{GoneReason, peer_gone_frame};
use hearthgate_keys::NodePublic;
use portable_atomic::Ordering::Relaxed;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// Parts of the table, each with its own lock.
const SHARDS: usize = 32;
/// Connections of one key. Beyond it the one that sent longest ago is closed: a client that reconnects in a hurry
/// leaves such behind.
const DUPLICATES_MAX: usize = 8;

/// Connection to another relay, over which packets for its clients go.
#[derive(Debug)]
pub(crate) struct Forwarder {
    /// Older relays win when several have the same client.
    pub(crate) index: u64,
    pub(crate) outbox: Outbox,
}

/// Where packets for a key go.
#[derive(Debug, Clone)]
pub(crate) enum Route {
    Local(Arc<Client>),
    Mesh(Arc<Forwarder>),
}

#[derive(Debug, Default)]
struct Slot {
    /// The last one is active.
    connections: Vec<Arc<Client>>,
    forwarders: Vec<Arc<Forwarder>>,
}

impl Slot {
    fn is_empty(&self) -> bool {
        self.connections.is_empty() && self.forwarders.is_empty()
    }

    /// Exactly the last connection is active, and all know whether they are alone.
    fn settle(&self) {
        let duplicated = self.connections.len() > 1;
        for (n, client) in self.connections.iter().rev().enumerate() {
            client.active.store(n == 0, Relaxed);
            client.duplicated.store(duplicated, Relaxed);
        }
    }
}

type Shard = HashMap<NodePublic, Slot>;

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    shards: [RwLock<Shard>; SHARDS],
    watchers: Mutex<Vec<Arc<Client>>>,
}

impl Registry {
    fn shard(&self, key: &NodePublic) -> &RwLock<Shard> {
        // Keys are uniformly distributed, so any byte picks a shard well; the index is below SHARDS.
        &self.shards[usize::from(key.as_bytes()[7]) % SHARDS]
    }

    fn read(&self, key: &NodePublic) -> RwLockReadGuard<'_, Shard> {
        self.shard(key).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, key: &NodePublic) -> RwLockWriteGuard<'_, Shard> {
        self.shard(key).write().unwrap_or_else(PoisonError::into_inner)
    }

    fn watchers(&self) -> MutexGuard<'_, Vec<Arc<Client>>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection; the newest of a key gets its packets.
    pub(crate) fn enter(&self, client: &Arc<Client>, metrics: &RelayMetrics) {
        add(&metrics.connections, 1);
        let mut shard = self.write(&client.key);
        let slot = shard.entry(client.key).or_default();
        let before = slot.connections.len();
        slot.connections.push(client.clone());
        slot.settle();
        if before >= DUPLICATES_MAX
            && let Some(oldest) = slot.connections.first()
        {
            // It leaves when its own task runs.
            oldest.outbox.close();
        }
        if before == 0 {
            add(&metrics.clients_local, 1);
            if slot.forwarders.is_empty() { add(&metrics.clients_total, 1) } else { less(&metrics.clients_remote, 1) }
        } else {
            add(&metrics.duplicates, 1);
            add(&metrics.duplicate_keys, u64::from(before == 1));
            add(&metrics.duplicate_connections, if before == 1 { 2 } else { 1 });
        }
        drop(shard);
        self.tell_watchers(|| client.present_frame());
    }

    /// Takes a connection out; true when it was the last of its key.
    pub(crate) fn leave(&self, client: &Client, metrics: &RelayMetrics) -> bool {
        less(&metrics.connections, 1);
        {
            let mut watchers = self.watchers();
            let before = watchers.len();
            watchers.retain(|w| w.id != client.id);
            less(&metrics.watchers, (before - watchers.len()) as u64);
        }
        let mut shard = self.write(&client.key);
        client.active.store(false, Relaxed);
        let Some(slot) = shard.get_mut(&client.key) else { return true };
        slot.connections.retain(|c| c.id != client.id);
        slot.settle();
        let left = slot.connections.len();
        if left > 0 {
            less(&metrics.duplicate_keys, u64::from(left == 1));
            less(&metrics.duplicate_connections, if left == 1 { 2 } else { 1 });
            return false;
        }
        less(&metrics.clients_local, 1);
        if slot.forwarders.is_empty() {
            less(&metrics.clients_total, 1)
        } else {
            add(&metrics.clients_remote, 1)
        }
        if slot.is_empty() {
            shard.remove(&client.key);
        }
        drop(shard);
        self.tell_watchers(|| peer_gone_frame(&client.key, GoneReason::Disconnected));
        true
    }

    /// Of several connections of a key, the one that sent last gets the packets.
    pub(crate) fn activate(&self, client: &Client) {
        let mut shard = self.write(&client.key);
        if let Some(slot) = shard.get_mut(&client.key)
            && let Some(at) = slot.connections.iter().position(|c| c.id == client.id)
        {
            let active = slot.connections.remove(at);
            slot.connections.push(active);
            slot.settle();
        }
    }

    /// Where packets for a key go.
    pub(crate) fn find(&self, key: &NodePublic) -> Option<Route> {
        let shard = self.read(key);
        let slot = shard.get(key)?;
        match slot.connections.last() {
            Some(client) => Some(Route::Local(client.clone())),
            None => slot.forwarders.first().cloned().map(Route::Mesh),
        }
    }

    /// All connections of a key.
    pub(crate) fn connections(&self, key: &NodePublic) -> Vec<Arc<Client>> {
        self.read(key).get(key).map(|slot| slot.connections.clone()).unwrap_or_default()
    }

    /// Every connection.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        let lists = self.shards.iter().map(|shard| {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard.values().flat_map(|slot| slot.connections.iter().cloned()).collect::<Vec<_>>()
        });
        lists.flatten().collect()
    }

    /// Tells a relay of the mesh who is here, and from now on who comes and goes.
    pub(crate) fn watch(&self, watcher: &Arc<Client>, metrics: &RelayMetrics) {
        // While this is held nobody is announced, so nobody is missed; one that just came may be told twice.
        let mut watchers = self.watchers();
        if watchers.iter().any(|w| w.id == watcher.id) {
            return;
        }
        watchers.push(watcher.clone());
        add(&metrics.watchers, 1);
        for client in self.all() {
            if !watcher.outbox.control(client.present_frame(), WATCHER_CONTROL_MAX) {
                watcher.outbox.close();
                return;
            }
        }
    }

    fn tell_watchers(&self, frame: impl FnOnce() -> Vec<u8>) {
        let watchers = self.watchers();
        if watchers.is_empty() {
            return;
        }
        let frame = frame();
        for watcher in watchers.iter() {
            if !watcher.outbox.control(frame.clone(), WATCHER_CONTROL_MAX) {
                watcher.outbox.close();
            }
        }
    }

    /// A client is with another relay (`here`), or no longer.
    pub(crate) fn forward(&self, key: &NodePublic, forwarder: &Arc<Forwarder>, here: bool, metrics: &RelayMetrics) {
        let mut shard = self.write(key);
        if here {
            let slot = shard.entry(*key).or_default();
            if slot.forwarders.iter().any(|f| f.index == forwarder.index) {
                return;
            }
            if slot.is_empty() {
                add(&metrics.clients_total, 1);
                add(&metrics.clients_remote, 1);
            }
            slot.forwarders.push(forwarder.clone());
            hearthgate_sorted::sort_by_key(&mut slot.forwarders, |f| f.index);
        } else if let Some(slot) = shard.get_mut(key) {
            let had = !slot.forwarders.is_empty();
            slot.forwarders.retain(|f| f.index != forwarder.index);
            let lost = had && slot.forwarders.is_empty() && slot.connections.is_empty();
            if lost {
                step(&metrics.clients_total, false);
                step(&metrics.clients_remote, false);
                shard.remove(key);
            }
        }
    }
}
