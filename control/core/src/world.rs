//! The state of the control plane and what one batch of commands did to it.

use crate::{
    AuditEntry, Change, CoreError, Enforced, Entropy, Event, EventKind, Node, NodeId, Now, PathFacts, Policy,
    PolicyVersion, PreAuthKey, Result, Settings, Snapshot, Stored, TICKS_KEPT, Tick, User, UserId, Write, address,
    api_keys::ApiKey,
    checks::Checks,
    early_writes::EarlyWrites,
    nodes::Nodes,
    pending::{AuthId, Pending},
    presence::Presence,
    records::Records,
    routes::Primaries,
};
use hearthgate_keys::NodePublic;
use hearthgate_sorted::{SortedMap, SortedSet};
use hearthgate_tailcfg::DerpMap;
use ipnet::IpNet;
use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// Something the shell has to do or to pass on after a batch is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fact {
    /// A waiting login was approved or rejected: wake the request that is held for it.
    LoginFinished(AuthId),
    /// A node key is no longer valid: cut its relay connection and, after a last map, its streams.
    KeyRetired(NodePublic),
    /// Something that people outside may want to hear of.
    Happened(Box<Event>),
    /// A device without a client was added or removed.
    PlainDevicesChanged,
}

/// What a batch of commands did.
#[derive(Debug, Default)]
pub struct Batch {
    /// Records to make durable before anything is acknowledged.
    pub writes: Vec<Write>,
    /// What the shell has to do afterwards.
    pub facts: Vec<Fact>,
}

/// Everything the control server knows. Cloning is cheap, so that a batch can be thrown away when it cannot be stored.
#[derive(Debug, Clone)]
pub struct World {
    pub(crate) settings: Arc<Settings>,
    pub(crate) policy: Arc<dyn Policy>,
    /// The same, when it is a policy file.
    pub(crate) enforced: Option<Arc<Enforced>>,
    /// Versions of the policy, by number.
    pub(crate) policies: Arc<SortedMap<u64, PolicyVersion>>,
    /// Nodes that changed since the policy was applied last.
    pub(crate) unsettled: SortedSet<NodeId>,
    /// People changed since then.
    pub(crate) unsettled_people: bool,
    pub(crate) derp_map: Arc<DerpMap>,
    /// The same before the policy had its say.
    own_derp_map: Arc<DerpMap>,
    pub(crate) users: Arc<SortedMap<UserId, User>>,
    pub(crate) nodes: Nodes,
    pub(crate) preauth: Arc<SortedMap<u64, PreAuthKey>>,
    pub(crate) api_keys: Arc<SortedMap<u64, ApiKey>>,
    pub(crate) records: Arc<Records>,
    pub(crate) audit: Arc<Vec<AuditEntry>>,
    /// Where the next entry goes on flash.
    pub(crate) audit_slot: u64,
    pub(crate) pending: Pending,
    pub(crate) checks: Checks,
    pub(crate) presence: Presence,
    pub(crate) primaries: Primaries,
    next_id: u64,
    seq: u64,
    /// Counts every change to a node, published or not: the key for cached bodies.
    revision: u64,
    recent: VecDeque<Arc<Tick>>,
    last_v4: Option<Ipv4Addr>,
    last_v6: Option<Ipv6Addr>,
    /// Nodes whose record differs from flash in facts that are not worth a write of their own.
    stale_on_flash: SortedSet<NodeId>,
    pub(crate) early_writes: EarlyWrites,
    changes: Vec<Change>,
    writes: Vec<Write>,
    facts: Vec<Fact>,
}

impl World {
    /// Builds the world from what is on flash.
    #[must_use]
    pub fn load(stored: Stored, settings: Settings, policy: Arc<dyn Policy>, derp_map: DerpMap, now: Now) -> Self {
        let mut audit = stored.audit;
        hearthgate_sorted::sort_by_key(&mut audit, |(_, e)| e.id);
        let audit_slot = audit.last().map_or(0, |(slot, _)| crate::audit::after(*slot));
        let mut world = Self {
            settings: Arc::new(settings),
            policy,
            enforced: None,
            policies: Arc::new(stored.policies.into_iter().map(|p| (p.version, p)).collect()),
            unsettled: SortedSet::new(),
            unsettled_people: false,
            own_derp_map: Arc::new(derp_map.clone()),
            derp_map: Arc::new(derp_map),
            users: Arc::new(stored.users.into_iter().map(|u| (u.id, u)).collect()),
            nodes: Nodes::default(),
            preauth: Arc::new(stored.preauth.into_iter().map(|k| (k.id, k)).collect()),
            api_keys: Arc::new(stored.api_keys.into_iter().map(|k| (k.id, k)).collect()),
            records: Arc::new(stored.records),
            audit: Arc::new(audit.into_iter().map(|(_, e)| e).collect()),
            audit_slot,
            pending: Pending::default(),
            checks: Checks::default(),
            presence: Presence::default(),
            primaries: Primaries::default(),
            next_id: stored.next_id.max(1),
            seq: 0,
            revision: 0,
            recent: VecDeque::new(),
            last_v4: None,
            last_v6: None,
            stale_on_flash: SortedSet::new(),
            early_writes: EarlyWrites::default(),
            changes: Vec::new(),
            writes: Vec::new(),
            facts: Vec::new(),
        };
        for record in stored.nodes {
            world.next_id = world.next_id.max(record.id.0 + 1);
            world.last_v4 = world.last_v4.max(record.ipv4);
            world.last_v6 = world.last_v6.max(record.ipv6);
            let node = Node { record, path: PathFacts::default(), primary_routes: Vec::new() };
            if node.ephemeral {
                world.presence.start_ephemeral_timer(node.id, now, world.settings.ephemeral_timeout_ms);
            }
            world.nodes.put(node, 0);
        }
        world.presence.start_expiry_check(now);
        world
    }

    /// Takes out what the commands since the last call did.
    pub fn take_batch(&mut self) -> Batch {
        self.settle_policy();
        if !self.writes.is_empty() {
            // A write happens anyway: let it carry the coarse facts that wait.
            self.flush_stale();
        }
        Batch { writes: std::mem::take(&mut self.writes), facts: std::mem::take(&mut self.facts) }
    }

    /// Queues the records whose coarse facts differ from flash (at shutdown).
    pub fn flush_stale(&mut self) {
        for id in std::mem::take(&mut self.stale_on_flash) {
            if let Some(node) = self.nodes.get(id) {
                let write = Write::node(node);
                if !self.writes.iter().any(|w| w.key == write.key) {
                    self.writes.push(write);
                }
            }
        }
    }

    /// An immutable view with the changes since the last publication; `None` when nothing changed.
    pub fn publish(&mut self) -> Option<Snapshot> {
        if self.changes.is_empty() {
            return None;
        }
        self.seq += 1;
        let changes = std::mem::take(&mut self.changes);
        self.recent.push_back(Arc::new(Tick { seq: self.seq, changes }));
        while self.recent.len() > TICKS_KEPT {
            self.recent.pop_front();
        }
        Some(self.view())
    }

    /// Whether there are changes that no publication has carried yet.
    #[must_use]
    pub fn has_unpublished(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The state right now, under the sequence number of the last publication: what came since is told again with
    /// the next one, which does no harm, because messages carry state and not events.
    #[must_use]
    pub fn view(&self) -> Snapshot {
        Snapshot {
            seq: self.seq,
            settings: self.settings.clone(),
            policy: self.policy.clone(),
            derp_map: self.derp_map.clone(),
            users: self.users.clone(),
            pages: self.nodes.pages.clone(),
            by_key: self.nodes.by_key.clone(),
            by_machine: self.nodes.by_machine.clone(),
            recent: self.recent.clone(),
            count: self.nodes.len(),
        }
    }

    /// The node with this number.
    ///
    /// # Errors
    /// No such node.
    pub fn node(&self, id: NodeId) -> Result<&Arc<Node>> {
        self.nodes.get(id).ok_or_else(|| CoreError::not_found(format!("node {id}")))
    }

    /// All nodes by number.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.iter()
    }

    /// Settings in force.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Puts new settings in force.
    pub fn set_settings(&mut self, settings: Settings) {
        if *self.settings != settings {
            self.unsettled_people |= crate::enforce::depends_on(&self.settings, &settings);
            self.settings = Arc::new(settings);
            // Names, DNS and capability maps may differ: everybody gets a whole map.
            self.change(Change::Policy);
        }
    }

    /// Puts another policy in force.
    pub fn set_policy(&mut self, policy: Arc<dyn Policy>) {
        self.policy = policy;
        self.change(Change::Policy);
    }

    /// The DERP map in force.
    #[must_use]
    pub fn derp_map(&self) -> &Arc<DerpMap> {
        &self.derp_map
    }

    /// Puts another DERP map in force; the policy may add relays of its own or take some away.
    pub fn set_derp_map(&mut self, map: DerpMap) {
        self.own_derp_map = Arc::new(map);
        self.settle_derp_map();
    }

    /// Works the DERP map out anew, after the policy changed.
    pub(crate) fn settle_derp_map(&mut self) {
        let named =
            self.enforced.as_ref().and_then(|e| e.engine().policy().derp_map().map(|m| m.over(&self.own_derp_map)));
        let map = named.map_or_else(|| self.own_derp_map.clone(), Arc::new);
        if self.derp_map != map {
            self.derp_map = map;
            self.change(Change::DerpMap);
        }
    }

    /// Addresses of both families for a new node; the policy may name pools for the IPv4 address.
    pub(crate) fn allocate(
        &mut self,
        pools: &[IpNet],
        rng: &mut dyn Entropy,
    ) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>)> {
        let how = self.settings.allocation;
        let nodes = &self.nodes;
        let taken = |ip: &IpAddr| nodes.ip_taken(ip);
        let full =
            |net: String| CoreError::Full(format!("no free address left in {net}: widen the prefix or delete nodes"));
        let mut named = pools.iter().filter_map(|p| if let IpNet::V4(net) = p { Some(*net) } else { None });
        let v4 = match self.settings.prefix_v4 {
            None => None,
            Some(_) if !pools.is_empty() => {
                let free = named.find_map(|p| address::pick_v4(p, how, None, rng, taken));
                Some(free.ok_or_else(|| full("the policy's ipPool".into()))?)
            }
            Some(p) => Some(address::pick_v4(p, how, self.last_v4, rng, taken).ok_or_else(|| full(p.to_string()))?),
        };
        let v6 = match self.settings.prefix_v6 {
            None => None,
            Some(p) => Some(address::pick_v6(p, how, self.last_v6, rng, taken).ok_or_else(|| full(p.to_string()))?),
        };
        if pools.is_empty() {
            self.last_v4 = v4.or(self.last_v4);
        }
        self.last_v6 = v6.or(self.last_v6);
        Ok((v4, v6))
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.writes.retain(|w| w.key != Write::next_id(0).key);
        self.writes.push(Write::next_id(self.next_id));
        id
    }

    /// Stores a node as changed in memory and, when `durable`, on flash.
    pub(crate) fn put_node(&mut self, node: Node, durable: bool, change: Change) {
        let id = node.id;
        if durable {
            let write = Write::node(&node);
            self.writes.retain(|w| w.key != write.key);
            self.writes.push(write);
            self.stale_on_flash.remove(&id);
        } else if self.nodes.get(id).is_some_and(|old| old.record != node.record) {
            self.stale_on_flash.insert(id);
        }
        self.revision += 1;
        self.nodes.put(node, self.revision);
        self.change(change);
    }

    /// Changes one node by a function on a copy.
    pub(crate) fn edit_node(
        &mut self,
        id: NodeId,
        durable: bool,
        change: Change,
        edit: impl FnOnce(&mut Node),
    ) -> Result<Arc<Node>> {
        let mut node = Node::clone(self.node(id)?);
        edit(&mut node);
        self.put_node(node, durable, change);
        self.node(id).cloned()
    }

    pub(crate) fn drop_node(&mut self, id: NodeId) -> Result<Arc<Node>> {
        self.revision += 1;
        let old = self.nodes.remove(id, self.revision).ok_or_else(|| CoreError::not_found(format!("node {id}")))?;
        self.presence.forget(id);
        self.stale_on_flash.remove(&id);
        self.writes.retain(|w| w.key != Write::delete_node(id).key);
        self.write(Write::delete_node(id));
        self.change(Change::Removed(id));
        self.fact(Fact::KeyRetired(old.node_key));
        self.happened(EventKind::NodeDeleted, &old);
        self.elect_primaries();
        Ok(old)
    }

    pub(crate) fn change(&mut self, change: Change) {
        match change {
            Change::Upserted(id) | Change::Removed(id) => {
                self.unsettled.insert(id);
            }
            Change::User(_) => self.unsettled_people = true,
            _ => {}
        }
        // The same change twice in a batch says nothing new.
        if self.changes.last() != Some(&change) {
            self.changes.push(change);
        }
    }

    pub(crate) fn write(&mut self, write: Write) {
        self.writes.push(write);
    }

    pub(crate) fn fact(&mut self, fact: Fact) {
        self.facts.push(fact);
    }
}
