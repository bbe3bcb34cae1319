//! `/machine/map`, the reporting half: what a client says about itself.
//!
//! Clients report often and mostly the same, so everything is compared first, and nothing here is worth a flash
//! write of its own.

use crate::{Change, ChangeBits, CoreError, Node, NodeId, Result, World, hostinfo::stored_hostinfo, latency};
use hearthgate_keys::MachinePublic;
use hearthgate_sorted::SortedSet;
use hearthgate_tailcfg::MapRequest;
use std::{net::SocketAddr, sync::Arc};

/// Endpoints kept per node; a client sends fewer than ten.
const ENDPOINTS_MAX: usize = 32;
/// `tailcfg.EndpointSTUN`: found by disco anyway, so news of one wakes nobody.
const ENDPOINT_STUN: u8 = 2;

impl World {
    /// Takes in a map request of the machine that `machine` authenticated as; answers which node it is.
    ///
    /// # Errors
    /// The node key is unknown ([`CoreError::NotFound`]) or another machine's ([`CoreError::Denied`]).
    pub fn report(&mut self, machine: MachinePublic, req: &MapRequest) -> Result<NodeId> {
        let node = self.nodes.by_key(&req.node_key).ok_or_else(|| CoreError::not_found("node"))?;
        if node.machine_key != machine {
            return Err(CoreError::denied("this node key belongs to another machine"));
        }
        let id = node.id;
        let mut new = Node::clone(node);
        let mut bits = ChangeBits::NONE;
        let mut whole = false;
        if req.version != 0 && req.version != new.cap {
            new.record.cap = req.version;
            bits = bits.or(ChangeBits::CAP);
        }
        if !req.disco_key.is_zero() && req.disco_key != new.disco_key {
            // A peer without a disco key is ignored by clients, so the first one is news that no patch carries.
            whole |= new.disco_key.is_zero();
            new.record.disco_key = req.disco_key;
            bits = bits.or(ChangeBits::DISCO);
        }
        // In a stream request the endpoints may be empty or old; only an update request is authoritative.
        if !req.stream || !req.endpoints.is_empty() {
            let mut endpoints = req.endpoints.clone();
            endpoints.truncate(ENDPOINTS_MAX);
            if as_set(&endpoints) != as_set(&new.path.endpoints) {
                if brings_news(&new.path.endpoints, &endpoints, &req.endpoint_types) {
                    bits = bits.or(ChangeBits::ENDPOINTS);
                }
                new.path.endpoints = endpoints;
                new.path.endpoint_types = req.endpoint_types.iter().copied().take(ENDPOINTS_MAX).collect();
            }
        }
        if let Some(hostinfo) =
            req.hostinfo.as_ref().filter(|h| !req.stream || !h.hostname.is_empty() || !h.os.is_empty())
        {
            // 0 and absent mean "not measured yet", not "no relay".
            let home = hostinfo.net_info.as_ref().map_or(0, |n| n.preferred_derp);
            if let Some(home) = u32::try_from(home).ok().filter(|h| *h != 0 && *h != new.path.home_derp) {
                new.path.home_derp = home;
                bits = bits.or(ChangeBits::DERP);
            }
            if let Some(info) = hostinfo.net_info.as_ref().filter(|n| !n.derp_latency.is_empty()) {
                let relays = latency::kept(&info.derp_latency);
                if latency::differs(&new.path.relays, &relays) {
                    new.path.relays = relays;
                }
            }
            let stored = stored_hostinfo(hostinfo);
            if *new.record.hostinfo != stored {
                new.record.hostinfo = Arc::new(stored);
                self.follow_hostname(&mut new);
                whole = true;
            }
        }
        let old = self.node(id)?;
        let routes_changed = old.advertised_routes() != new.advertised_routes();
        let renamed = old.given_name != new.given_name;
        if **old == new {
            return Ok(id);
        }
        let change = if whole { Change::Upserted(id) } else { Change::Patched(id, bits) };
        if whole || !bits.is_empty() {
            // A disco key changes once per start of a client, and peers ignore a node without one: after a crash of ours
            // it has to be there before the client comes back.
            let durable = (renamed || bits.has(ChangeBits::DISCO)) && self.early_writes.may(id);
            self.put_node(new, durable, change);
        } else {
            // Known to us, not worth telling: the next map has it.
            self.put_node(new, false, Change::Patched(id, ChangeBits::NONE));
        }
        if routes_changed {
            self.auto_approve(id)?;
            self.elect_primaries();
        }
        Ok(id)
    }
}

fn as_set(endpoints: &[SocketAddr]) -> SortedSet<SocketAddr> {
    endpoints.iter().copied().collect()
}

/// Whether an endpoint set has one that peers cannot find by themselves, or replaces an empty set.
fn brings_news(old: &[SocketAddr], new: &[SocketAddr], kinds: &[u8]) -> bool {
    old.is_empty()
        || new.iter().enumerate().any(|(i, e)| !old.contains(e) && kinds.get(i).copied() != Some(ENDPOINT_STUN))
}
