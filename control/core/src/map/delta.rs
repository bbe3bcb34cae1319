//! What changed between a stream's cursor and a snapshot.

use super::{dns_config, node::user_profile, peer_node, self_node};
use crate::{Change, ChangeBits, ClassId, Node, NodeId, Snapshot, UserId};
use hearthgate_sorted::{SortedMap, SortedSet};
use hearthgate_tailcfg::{MapResponse, PeerChange};
use jiff::Timestamp;

/// Changes merged per node: a removal beats an upsert, an upsert beats patches.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delta {
    upserted: SortedSet<NodeId>,
    removed: SortedSet<NodeId>,
    patched: SortedMap<NodeId, ChangeBits>,
    selves: SortedSet<NodeId>,
    whole: SortedSet<NodeId>,
    users: SortedSet<UserId>,
    dns: bool,
    /// Visibility or filters changed: every stream needs a whole map.
    pub resync: bool,
}

impl Delta {
    /// Merges what changed after `cursor`; `None` when that is no longer kept and a whole map is needed.
    #[must_use]
    pub fn since(snap: &Snapshot, cursor: u64) -> Option<Self> {
        let mut delta = Self::default();
        for change in snap.changes_since(cursor)? {
            match *change {
                Change::Upserted(id) => {
                    delta.upserted.insert(id);
                }
                Change::Removed(id) => {
                    delta.removed.insert(id);
                }
                Change::Patched(id, bits) => {
                    let known = delta.patched.entry(id).or_default();
                    *known = known.or(bits);
                }
                Change::SelfOnly(id) => {
                    delta.selves.insert(id);
                }
                Change::Whole(id) => {
                    delta.whole.insert(id);
                }
                Change::User(id) => {
                    delta.users.insert(id);
                }
                // With certificates, each node's DNS settings have its own name.
                Change::Dns if snap.settings.certificate_zone.is_some() => delta.resync = true,
                Change::Dns => delta.dns = true,
                // What a DERP map looks like depends on the age of the client.
                Change::Policy | Change::DerpMap => delta.resync = true,
            }
        }
        // Ids are never used again, so a removed node stays removed.
        delta.upserted.retain(|id| !delta.removed.contains(id));
        delta
            .patched
            .retain(|id, bits| !bits.is_empty() && !delta.removed.contains(id) && !delta.upserted.contains(id));
        Some(delta)
    }

    /// Whether `node`'s own stream needs a whole map: it sees other peers than before.
    #[must_use]
    pub fn is_whole_for(&self, node: NodeId) -> bool {
        self.resync || self.whole.contains(&node)
    }

    /// Nodes that are gone.
    #[must_use]
    pub fn removed(&self) -> &SortedSet<NodeId> {
        &self.removed
    }

    /// Whether `node`'s own stream needs a body of its own. A patch about itself must not reach it: clients of 1.102
    /// drop all patches of a message in which one is about a node that is not their peer.
    #[must_use]
    pub fn is_private_to(&self, node: NodeId) -> bool {
        self.upserted.contains(&node)
            || self.patched.contains_key(&node)
            || self.selves.contains(&node)
            || self.removed.contains(&node)
    }

    /// The messages for every viewer of `class` that this is not private to, in order; none when there is nothing to say.
    #[must_use]
    pub fn shared(&self, snap: &Snapshot, class: ClassId, now: Timestamp) -> Vec<MapResponse> {
        self.messages(snap, class, None, now)
    }

    /// The messages for `viewer`'s own stream, in order; none when there is nothing to say.
    #[must_use]
    pub fn private(&self, snap: &Snapshot, viewer: &Node, now: Timestamp) -> Vec<MapResponse> {
        let class = snap.policy.class_of(viewer);
        self.messages(snap, class, Some(viewer), now)
    }

    fn messages(&self, snap: &Snapshot, class: ClassId, viewer: Option<&Node>, now: Timestamp) -> Vec<MapResponse> {
        let own = viewer.map(|n| n.id);
        let visible = |id: &NodeId| snap.node(*id).filter(|n| Some(n.id) != own && snap.policy.sees(class, n));
        let changed: Vec<_> = self.upserted.iter().filter_map(visible).collect();
        let hidden: Vec<NodeId> = self.upserted.iter().copied().filter(|id| visible(id).is_none()).collect();
        let mut owners: SortedSet<UserId> = changed.iter().map(|n| n.owner()).collect();
        owners.extend(self.users.iter().copied());
        let patched: Vec<_> = self.patched.iter().filter_map(|(id, bits)| Some((visible(id)?, *bits))).collect();
        let mut response = MapResponse {
            peers_changed: changed.iter().map(|n| peer_node(snap, class, n, now)).collect(),
            // A changed node that is not visible may have been: telling it is gone does no harm.
            peers_removed: self
                .removed
                .iter()
                .chain(&hidden)
                .filter(|id| Some(**id) != own)
                .map(|id| id.0.cast_signed())
                .collect(),
            peers_changed_patch: patched.iter().map(|(node, bits)| patch(node, first_part(*bits))).collect(),
            user_profiles: owners.into_iter().map(|o| user_profile(snap, o)).collect(),
            ..Default::default()
        };
        if self.dns {
            response.dns_config = Some(dns_config(&snap.settings, viewer));
        }
        if let Some(viewer) = viewer.filter(|v| self.upserted.contains(&v.id) || self.selves.contains(&v.id)) {
            response.node = Some(self_node(snap, viewer));
            if snap.settings.certificate_zone.is_some() {
                // Its name may be another.
                response.dns_config = Some(dns_config(&snap.settings, Some(viewer)));
            }
            response.packet_filters = Some(SortedMap::from([("base".to_owned(), Some(snap.policy.filters(viewer)))]));
            response.ssh_policy = snap.policy.ssh(viewer);
            response.user_profiles.push(user_profile(snap, viewer.owner()));
        }
        let second = patched.iter().filter(|(_, bits)| first_part(*bits) != *bits);
        let second = MapResponse {
            peers_changed_patch: second.map(|(node, _)| patch(node, ChangeBits::ENDPOINTS)).collect(),
            ..Default::default()
        };
        [response, second].into_iter().filter(|r| *r != MapResponse::default()).collect()
    }
}

/// What of a node's changes may stand in one patch. Clients from 1.86 to 1.98 hand only the first of a node's changed
/// fields to the part that sends packets (`ipn/ipnlocal/node_backend.go`, v1.90.9, `UpdateNetmapDelta`): with a new home
/// relay *and* new endpoints in one message, they would not know the endpoints and stay on the relay. The endpoints
/// then go into a message of their own. Of the other fields that part only needs to know one at a time.
fn first_part(bits: ChangeBits) -> ChangeBits {
    if bits.has(ChangeBits::DERP) { bits.without(ChangeBits::ENDPOINTS) } else { bits }
}

/// The patch of one node (`tailcfg.PeerChange`).
fn patch(node: &Node, bits: ChangeBits) -> PeerChange {
    let mut change = PeerChange { node_id: node.id.0.cast_signed(), ..Default::default() };
    if bits.has(ChangeBits::ONLINE) {
        change.online = Some(node.path.online);
        if !node.path.online {
            change.last_seen = node.last_seen.into();
        }
    }
    if bits.has(ChangeBits::ENDPOINTS) {
        change.endpoints = Some(node.path.endpoints.clone());
    }
    if bits.has(ChangeBits::DERP) {
        change.derp_region = i32::try_from(node.path.home_derp).unwrap_or(0);
    }
    if bits.has(ChangeBits::DISCO) {
        change.disco_key = Some(node.disco_key);
    }
    if bits.has(ChangeBits::EXPIRY) {
        change.key_expiry = Some(node.expiry.into());
    }
    if bits.has(ChangeBits::CAP) {
        change.cap = node.cap;
    }
    change
}
