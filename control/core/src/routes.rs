//! Subnet routes: advertised by the node, approved by a person or the policy, served by one primary per prefix.

use crate::{Change, CoreError, NodeId, Result, World};
use hearthgate_sorted::{SortedMap, SortedSet};
use ipnet::IpNet;
use std::sync::Arc;

/// Whether this is `0.0.0.0/0` or `::/0`.
#[must_use]
pub fn is_exit_route(route: &IpNet) -> bool {
    route.prefix_len() == 0
}

/// Who serves which prefix, and who failed its last control pings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Primaries {
    by_prefix: Arc<SortedMap<IpNet, NodeId>>,
    unhealthy: Arc<SortedSet<NodeId>>,
}

impl World {
    /// Approves exactly these routes of a node. Either default route approves both.
    ///
    /// # Errors
    /// No such node.
    pub fn approve_routes(&mut self, id: NodeId, routes: &[IpNet]) -> Result<()> {
        let mut wanted: SortedSet<IpNet> = routes.iter().map(IpNet::trunc).collect();
        if wanted.iter().any(is_exit_route) {
            wanted.extend(exit_routes());
        }
        let wanted: Vec<IpNet> = wanted.into_iter().collect();
        if self.node(id)?.approved_routes != wanted {
            self.edit_node(id, true, Change::Upserted(id), |n| n.record.approved_routes = wanted)?;
        }
        self.elect_primaries();
        Ok(())
    }

    /// Takes the answer (or the silence) to a control ping of a router.
    pub fn router_health(&mut self, id: NodeId, healthy: bool) {
        let set = Arc::make_mut(&mut self.primaries.unhealthy);
        let changed = if healthy { set.remove(&id) } else { set.insert(id) };
        if changed {
            self.elect_primaries();
        }
    }

    /// Routers worth a control ping: online nodes that share an enabled prefix with another one.
    #[must_use]
    pub fn routers_to_probe(&self) -> Vec<NodeId> {
        let mut by_prefix: SortedMap<IpNet, Vec<NodeId>> = SortedMap::new();
        for node in self.nodes.iter().filter(|n| n.path.online) {
            for route in node.enabled_routes().filter(|r| !is_exit_route(r)) {
                by_prefix.entry(route).or_default().push(node.id);
            }
        }
        let shared: SortedSet<NodeId> = by_prefix.into_values().filter(|ids| ids.len() > 1).flatten().collect();
        shared.into_iter().collect()
    }

    /// Approves what the policy approves by itself; it never takes an approval back.
    pub(crate) fn auto_approve(&mut self, id: NodeId) -> Result<()> {
        let node = self.node(id)?.clone();
        let mut approved: SortedSet<IpNet> = node.approved_routes.iter().copied().collect();
        let before = approved.len();
        let by_policy = |r: &&IpNet| self.policy.auto_approves(&node, **r);
        approved.extend(node.advertised_routes().iter().filter(by_policy).copied());
        if approved.iter().any(is_exit_route) {
            approved.extend(exit_routes());
        }
        if approved.len() > before {
            self.edit_node(id, true, Change::Upserted(id), |n| {
                n.record.approved_routes = approved.into_iter().collect()
            })?;
        }
        Ok(())
    }

    /// Chooses one primary per prefix: the present one while it is online and healthy, else the lowest number;
    /// when all are unhealthy, the present one stays, because moving to another dead router helps nobody.
    pub(crate) fn elect_primaries(&mut self) {
        let mut candidates: SortedMap<IpNet, Vec<(NodeId, bool)>> = SortedMap::new();
        for node in self.nodes.iter() {
            if node.record.approved_routes.is_empty() || node.waiting {
                continue;
            }
            for route in node.enabled_routes().filter(|r| !is_exit_route(r)) {
                let good = node.path.online && !self.primaries.unhealthy.contains(&node.id);
                candidates.entry(route).or_default().push((node.id, good));
            }
        }
        let old = self.primaries.by_prefix.clone();
        let mut chosen = SortedMap::new();
        for (route, nodes) in candidates {
            let present = old.get(&route).filter(|id| nodes.iter().any(|(n, _)| n == *id));
            let present_good = present.filter(|id| nodes.contains(&(**id, true)));
            let first_good = nodes.iter().find(|(_, good)| *good).map(|(id, _)| id);
            let pick = present_good.or(first_good).or(present).or(nodes.first().map(|(id, _)| id));
            if let Some(id) = pick {
                chosen.insert(route, *id);
            }
        }
        if chosen == *old {
            return;
        }
        let mut touched: SortedSet<NodeId> = SortedSet::new();
        for (route, id) in chosen.iter().filter(|(r, id)| old.get(r) != Some(id)) {
            touched.insert(*id);
            touched.extend(old.get(route));
        }
        touched.extend(old.iter().filter(|(r, _)| !chosen.contains_key(r)).map(|(_, id)| *id));
        self.primaries.by_prefix = Arc::new(chosen);
        for id in touched {
            let mine: Vec<IpNet> =
                self.primaries.by_prefix.iter().filter(|(_, n)| **n == id).map(|(r, _)| *r).collect();
            let edited = self.edit_node(id, false, Change::Upserted(id), |n| n.primary_routes = mine);
            // A node that was just deleted has no routes to lose.
            debug_assert!(matches!(edited, Ok(_) | Err(CoreError::NotFound(_))));
        }
    }
}

fn exit_routes() -> impl Iterator<Item = IpNet> {
    ["0.0.0.0/0", "::/0"].into_iter().filter_map(|r| r.parse().ok())
}
