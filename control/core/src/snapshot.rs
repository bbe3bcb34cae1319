//! What readers see: an immutable view of the world and the recent changes that led to it.

use crate::{Node, NodeId, Policy, Settings, User, UserId};
use hearthgate_keys::{MachinePublic, NodePublic};
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::DerpMap;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// Nodes in one page: the unit of copying and of shared map bodies.
pub const PAGE_NODES: u64 = 64;

/// Publications whose changes are kept; a stream further behind gets a full map again.
pub const TICKS_KEPT: usize = 256;

/// The page that a node is on.
pub(crate) fn page_of(id: NodeId) -> u64 {
    id.0 / PAGE_NODES
}

/// Up to [`PAGE_NODES`] nodes with neighbouring numbers.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Number of the last change to any node here: the key for cached bodies.
    pub revision: u64,
    nodes: Vec<Arc<Node>>,
}

impl Page {
    /// The nodes, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.iter()
    }

    /// The node with this number.
    #[must_use]
    pub fn get(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.nodes.binary_search_by_key(&id, |n| n.id).ok().and_then(|i| self.nodes.get(i))
    }

    pub(crate) fn put(&mut self, node: Node, revision: u64) {
        self.revision = revision;
        let node = Arc::new(node);
        match self.nodes.binary_search_by_key(&node.id, |n| n.id) {
            Ok(i) => self.nodes[i] = node,
            Err(i) => self.nodes.insert(i, node),
        }
    }

    /// Removes a node; true when the page is empty now.
    pub(crate) fn remove(&mut self, id: NodeId, revision: u64) -> bool {
        self.revision = revision;
        self.nodes.retain(|n| n.id != id);
        self.nodes.is_empty()
    }
}

/// Which patchable parts of a node changed (`tailcfg.PeerChange`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeBits(u8);

impl ChangeBits {
    /// Online or last seen.
    pub const ONLINE: Self = Self(1);
    /// Endpoints.
    pub const ENDPOINTS: Self = Self(2);
    /// Home DERP region.
    pub const DERP: Self = Self(4);
    /// Disco key.
    pub const DISCO: Self = Self(8);
    /// Key expiry.
    pub const EXPIRY: Self = Self(16);
    /// Capability version.
    pub const CAP: Self = Self(32);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This one with nothing of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// One change that viewers may have to be told about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A node is new, or changed in a way that no patch can carry.
    Upserted(NodeId),
    /// A node is gone.
    Removed(NodeId),
    /// Patchable facts of a node changed.
    Patched(NodeId, ChangeBits),
    /// A node's own view of itself changed, others see no difference.
    SelfOnly(NodeId),
    /// A user's name changed.
    User(UserId),
    /// DNS settings changed.
    Dns,
    /// The DERP map changed.
    DerpMap,
    /// Policy changed: filters, visibility, SSH rules.
    Policy,
    /// A node sees other peers, or sees them otherwise: its stream needs a whole map.
    Whole(NodeId),
}

/// The changes of one publication.
#[derive(Debug)]
pub struct Tick {
    /// Sequence number of the snapshot it led to.
    pub seq: u64,
    /// What changed, in order.
    pub changes: Vec<Change>,
}

/// An immutable view of the world.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Sequence number; grows by one with each publication.
    pub seq: u64,
    /// Settings.
    pub settings: Arc<Settings>,
    /// Policy.
    pub policy: Arc<dyn Policy>,
    /// DERP map.
    pub derp_map: Arc<DerpMap>,
    /// Users by number.
    pub users: Arc<SortedMap<UserId, User>>,
    pub(crate) pages: Arc<SortedMap<u64, Arc<Page>>>,
    pub(crate) by_key: Arc<HashMap<NodePublic, NodeId>>,
    pub(crate) by_machine: Arc<HashMap<MachinePublic, Vec<NodeId>>>,
    pub(crate) recent: VecDeque<Arc<Tick>>,
    pub(crate) count: usize,
}

impl Snapshot {
    /// Pages by number.
    pub fn pages(&self) -> impl Iterator<Item = (u64, &Arc<Page>)> {
        self.pages.iter().map(|(n, p)| (*n, p))
    }

    /// All nodes by number.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.pages.values().flat_map(|p| p.iter())
    }

    /// How many nodes there are.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.count
    }

    /// The node with this number.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.pages.get(&page_of(id))?.get(id)
    }

    /// The node with this key.
    #[must_use]
    pub fn node_by_key(&self, key: &NodePublic) -> Option<&Arc<Node>> {
        self.node(*self.by_key.get(key)?)
    }

    /// Whether a node is on this machine: strangers have machine keys too.
    #[must_use]
    pub fn knows_machine(&self, key: &MachinePublic) -> bool {
        self.by_machine.contains_key(key)
    }

    /// Changes after `cursor` up to this snapshot; `None` when some of them are no longer kept.
    pub fn changes_since(&self, cursor: u64) -> Option<impl Iterator<Item = &Change>> {
        let oldest_needed = cursor + 1;
        if cursor < self.seq && self.recent.front().is_none_or(|t| t.seq > oldest_needed) {
            return None;
        }
        Some(self.recent.iter().filter(move |t| t.seq > cursor).flat_map(|t| t.changes.iter()))
    }
}
