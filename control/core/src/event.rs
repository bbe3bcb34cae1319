//! What happens in the network that people outside may want to hear of. The names on the wire are Tailscale's
//! (tailscale.com/kb/1213).

use crate::{Fact, Node, NodeId, World};
use jiff::Timestamp;

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// A node is new.
    NodeCreated,
    /// A new node waits for approval.
    NodeNeedsApproval,
    /// A node that waited is let in.
    NodeApproved,
    /// The key of a node has expired.
    NodeKeyExpired,
    /// A node is gone.
    NodeDeleted,
    /// Another policy is in force.
    PolicyUpdate,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::NodeCreated,
        Self::NodeNeedsApproval,
        Self::NodeApproved,
        Self::NodeKeyExpired,
        Self::NodeDeleted,
        Self::PolicyUpdate,
    ];

    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NodeCreated => "nodeCreated",
            Self::NodeNeedsApproval => "nodeNeedsApproval",
            Self::NodeApproved => "nodeApproved",
            Self::NodeKeyExpired => "nodeKeyExpired",
            Self::NodeDeleted => "nodeDeleted",
            Self::PolicyUpdate => "policyUpdate",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }
}

/// An event: what, and to which node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The node it happened to, as it was then.
    pub node: Option<EventNode>,
}

/// What is told of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventNode {
    /// Number.
    pub id: NodeId,
    /// Identifier that clients show.
    pub stable_id: String,
    /// Whole name in the network.
    pub name: String,
    /// Login name of its owner.
    pub owner: String,
    /// When its key expires.
    pub expiry: Option<Timestamp>,
}

impl World {
    /// Tells of something that happened to a node.
    pub(crate) fn happened(&mut self, kind: EventKind, node: &Node) {
        let owner = node.owner();
        let (login, _, _) = crate::map::profile_of(self.users.get(&owner), owner, &self.settings);
        let node = EventNode {
            id: node.id,
            stable_id: node.stable_id(),
            name: crate::names::fqdn(&node.given_name, &self.settings.base_domain).trim_end_matches('.').to_owned(),
            owner: login,
            expiry: node.expiry,
        };
        self.fact(Fact::Happened(Box::new(Event { kind, node: Some(node) })));
    }
}
