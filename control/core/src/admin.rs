//! What a person or a tool does to nodes.

use crate::{Change, CoreError, EventKind, Fact, NodeId, Now, Result, World, address, names};
use jiff::Timestamp;
use std::net::Ipv4Addr;

impl World {
    /// Gives a node another name; it sticks when the host name changes later.
    ///
    /// # Errors
    /// No such node, no valid label, or the name is taken.
    pub fn rename_node(&mut self, id: NodeId, name: &str) -> Result<()> {
        let label = name.to_ascii_lowercase();
        if !names::is_label(&label) {
            return Err(CoreError::invalid(format!(
                "{name:?} is not a name for a node: letters, digits and '-', 63 at most, no '-' at the ends"
            )));
        }
        self.node(id)?;
        if self.nodes.name_taken_by_other(&label, id) {
            return Err(CoreError::conflict(format!("another node is named {label:?}")));
        }
        self.edit_node(id, true, Change::Upserted(id), |n| {
            n.record.given_name = label;
            n.record.renamed = true;
        })?;
        Ok(())
    }

    /// Sets, moves or (with `None`) lifts the expiry of a node's key.
    ///
    /// # Errors
    /// No such node.
    pub fn set_node_expiry(&mut self, id: NodeId, expiry: Option<Timestamp>, now: Now) -> Result<()> {
        let node = self.edit_node(id, true, Change::Upserted(id), |n| n.record.expiry = expiry)?;
        if node.is_expired(now.wall) {
            self.fact(Fact::KeyRetired(node.node_key));
        }
        Ok(())
    }

    /// Gives a node to tags. The last tag cannot be taken away: a node must be owned.
    ///
    /// # Errors
    /// No such node, no tags, or a malformed tag.
    pub fn set_node_tags(&mut self, id: NodeId, tags: Vec<String>) -> Result<()> {
        if tags.is_empty() {
            return Err(CoreError::invalid(
                "a tagged node keeps at least one tag: log it in again as a user to take the tags off",
            ));
        }
        if let Some(bad) = tags.iter().find(|t| !names::is_tag(t)) {
            return Err(CoreError::invalid(format!(
                "{bad:?} is not a tag: write tag: and a letter, then letters, digits and '-'"
            )));
        }
        let mut tags = tags;
        hearthgate_sorted::sort(&mut tags);
        tags.dedup();
        self.edit_node(id, true, Change::Upserted(id), |n| {
            n.record.tags = tags;
            n.record.expiry = None;
        })?;
        Ok(())
    }

    /// Gives a node another IPv4 address of the tailnet.
    ///
    /// # Errors
    /// No such node, an address outside the tailnet's prefix or with another use, or one that another node has.
    pub fn set_node_ipv4(&mut self, id: NodeId, ip: Ipv4Addr) -> Result<()> {
        let ours = self.settings.prefix_v4.is_some_and(|p| p.contains(&ip));
        if !ours || address::is_reserved(&ip.into()) {
            return Err(CoreError::invalid(format!(
                "{ip} is no address for a device: it is not in prefixes.v4, or has another use"
            )));
        }
        if self.node(id)?.ipv4 == Some(ip) {
            return Ok(());
        }
        if self.nodes.ip_taken(&ip.into()) {
            return Err(CoreError::conflict(format!("another device has the address {ip}")));
        }
        self.edit_node(id, true, Change::Upserted(id), |n| n.record.ipv4 = Some(ip))?;
        Ok(())
    }

    /// Lets a node in that waits for approval, or makes one wait again: then it sees no peers and none sees it.
    ///
    /// # Errors
    /// No such node.
    pub fn set_node_approved(&mut self, id: NodeId, approved: bool) -> Result<()> {
        if self.node(id)?.waiting != approved {
            return Ok(());
        }
        self.edit_node(id, true, Change::Upserted(id), |n| n.record.waiting = !approved)?;
        if approved {
            let node = self.node(id)?.clone();
            self.happened(EventKind::NodeApproved, &node);
        }
        // Its own stream told it of no peers, or of too many.
        self.change(Change::Whole(id));
        self.elect_primaries();
        Ok(())
    }

    /// Removes a node; its numbers and addresses become free, its id is never used again.
    ///
    /// # Errors
    /// No such node.
    pub fn delete_node(&mut self, id: NodeId) -> Result<()> {
        self.drop_node(id).map(|_| ())
    }

    /// Gives addresses to nodes that lack one of a family in use, and takes away those of a family no longer used.
    /// The answer says what was done, a line a node.
    ///
    /// # Errors
    /// A pool is full.
    pub fn backfill_addresses(&mut self, rng: &mut dyn crate::Entropy) -> Result<Vec<String>> {
        let (want_v4, want_v6) = (self.settings.prefix_v4.is_some(), self.settings.prefix_v6.is_some());
        let ids: Vec<NodeId> = self
            .nodes
            .iter()
            .filter(|n| n.ipv4.is_some() != want_v4 || n.ipv6.is_some() != want_v6)
            .map(|n| n.id)
            .collect();
        let mut done = Vec::new();
        for id in ids {
            let node = self.node(id)?;
            let pools = self.enforced().map(|e| e.pools_for(node.user, &node.tags)).unwrap_or_default();
            let (v4, v6) = self.allocate(&pools, rng)?;
            let node = self.edit_node(id, true, Change::Upserted(id), |n| {
                n.record.ipv4 = if want_v4 { n.record.ipv4.or(v4) } else { None };
                n.record.ipv6 = if want_v6 { n.record.ipv6.or(v6) } else { None };
            })?;
            let ips: Vec<String> = node.ips().map(|ip| ip.to_string()).collect();
            done.push(format!("node {id} ({}) has {}", node.given_name, ips.join(" and ")));
        }
        Ok(done)
    }
}
