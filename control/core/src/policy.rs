//! Where the policy engine plugs in. Until it does, [`AllowAll`] stands there: what Tailscale does without a policy.

use crate::{Node, User};
use hearthgate_tailcfg::{FilterRule, SshPolicy};
use ipnet::IpNet;
use std::fmt;

/// Nodes with the same class see the same peers, rendered the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u32);

/// Who may see, reach and do what.
pub trait Policy: fmt::Debug + Send + Sync {
    /// The class of a viewer: whatever in a peer's rendering depends on the viewer is part of it.
    fn class_of(&self, viewer: &Node) -> ClassId;
    /// Whether viewers of a class see `peer`. Symmetric: a node that may be reached sees who may reach it.
    fn sees(&self, viewer: ClassId, peer: &Node) -> bool;
    /// Inbound rules for `node`.
    fn filters(&self, node: &Node) -> Vec<FilterRule>;
    /// SSH rules for `node`; `None` when the policy has none at all.
    fn ssh(&self, node: &Node) -> Option<SshPolicy>;
    /// Whether `user` may give their node `tag`.
    fn may_use_tag(&self, user: &User, tag: &str) -> bool;
    /// Whether a route that `node` advertises is approved without a person.
    fn auto_approves(&self, node: &Node, route: IpNet) -> bool;
    /// Flags and values for the node's own capability map, besides the usual ones.
    fn self_capabilities(&self, node: &Node) -> Vec<String>;
}

/// No policy: every node reaches every node on every port, nobody approves routes automatically, nobody owns tags.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

impl Policy for AllowAll {
    fn class_of(&self, _viewer: &Node) -> ClassId {
        ClassId(0)
    }
    fn sees(&self, _viewer: ClassId, _peer: &Node) -> bool {
        true
    }
    fn filters(&self, _node: &Node) -> Vec<FilterRule> {
        vec![FilterRule::allow_all()]
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
    fn self_capabilities(&self, _node: &Node) -> Vec<String> {
        Vec::new()
    }
}
