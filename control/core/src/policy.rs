//! Where the policy engine plugs in. Without a policy, [`AllowAll`] stands there: what Tailscale does then.

use crate::{Node, NodeId, Settings, User, UserId};
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::{CapMap, FilterRule, SshPolicy};
use ipnet::IpNet;
use std::{fmt, sync::Arc};

/// Nodes with the same class see the same peers, rendered the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u32);

impl ClassId {
    /// The class of those who see nobody.
    pub const NOBODY: Self = Self(u32::MAX);
}

/// What a policy is applied to.
pub struct Facts<'a> {
    /// All nodes that are let in, by number.
    pub nodes: &'a dyn Fn() -> Vec<Arc<Node>>,
    /// The node with a number, if it is let in.
    pub node: &'a dyn Fn(NodeId) -> Option<Arc<Node>>,
    /// People.
    pub users: &'a SortedMap<UserId, User>,
    /// Settings.
    pub settings: &'a Settings,
}

/// Who may see, reach and do what.
pub trait Policy: fmt::Debug + Send + Sync {
    /// The class of a viewer: whatever in a peer's rendering depends on the viewer is part of it. Nodes that wait for
    /// approval are in [`ClassId::NOBODY`].
    fn class_of(&self, viewer: &Node) -> ClassId;
    /// Whether viewers of a class see `peer`; nobody sees one that waits for approval. Symmetric: a node that may be reached sees who may reach it.
    fn sees(&self, viewer: ClassId, peer: &Node) -> bool;
    /// Of the routes that `peer` serves (exit routes included), those that viewers of a class may use.
    fn routes(&self, viewer: ClassId, peer: &Node, serving: Vec<IpNet>) -> Vec<IpNet>;
    /// Capabilities of `peer` that viewers see; `exit` says whether it is offered to them as an exit node.
    fn peer_capabilities(&self, peer: &Node, exit: bool) -> CapMap;
    /// Inbound rules for `node`.
    fn filters(&self, node: &Node) -> Vec<FilterRule>;
    /// SSH rules for `node`; `None` when the policy has none at all.
    fn ssh(&self, node: &Node) -> Option<SshPolicy>;
    /// Whether `user` may give their node `tag`.
    fn may_use_tag(&self, user: &User, tag: &str) -> bool;
    /// Whether a route that `node` advertises is approved without a person.
    fn auto_approves(&self, node: &Node, route: IpNet) -> bool;
    /// Whether `node` and its peers are not to use its IPv4 address.
    fn hides_ipv4(&self, _node: &Node) -> bool {
        false
    }
    /// Flags and values for the node's own capability map, besides the usual ones.
    fn self_capabilities(&self, node: &Node) -> CapMap;
}

/// No policy: every node reaches every node on every port, nobody approves routes automatically, nobody owns tags.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

impl Policy for AllowAll {
    fn class_of(&self, viewer: &Node) -> ClassId {
        if viewer.waiting { ClassId::NOBODY } else { ClassId(0) }
    }
    fn sees(&self, viewer: ClassId, peer: &Node) -> bool {
        viewer != ClassId::NOBODY && !peer.waiting
    }
    fn routes(&self, _viewer: ClassId, _peer: &Node, serving: Vec<IpNet>) -> Vec<IpNet> {
        serving
    }
    fn peer_capabilities(&self, _peer: &Node, exit: bool) -> CapMap {
        if exit { CapMap::from([("suggest-exit-node".to_owned(), None)]) } else { CapMap::new() }
    }
    fn filters(&self, node: &Node) -> Vec<FilterRule> {
        if node.waiting { Vec::new() } else { vec![FilterRule::allow_all()] }
    }
    fn ssh(&self, _node: &Node) -> Option<SshPolicy> {
        None
    }
    fn may_use_tag(&self, _user: &User, _tag: &str) -> bool {
        false
    }
    fn auto_approves(&self, _node: &Node, _route: IpNet) -> bool {
        false
    }
    fn self_capabilities(&self, _node: &Node) -> CapMap {
        CapMap::new()
    }
}
