//! The first message of a stream: everything.

use super::{dns_config, node::user_profile, peer_node, self_node};
use crate::{ClassId, Node, NodeId, Page, Snapshot, UserId};
use hearthgate_sorted::{SortedMap, SortedSet};
use hearthgate_tailcfg::{CapabilityVersion, Debug, DerpMap, MapResponse};
use jiff::Timestamp;

/// The whole map for `viewer` without its peers; `None` when there is no such node. `removed` are nodes that are gone
/// since the stream's last message.
#[must_use]
pub fn head(snap: &Snapshot, viewer: NodeId, removed: &SortedSet<NodeId>, now: Timestamp) -> Option<MapResponse> {
    let node = snap.node(viewer)?;
    let class = snap.policy.class_of(node);
    let (mut owners, mut alone) = (SortedSet::<UserId>::new(), true);
    for peer in snap.nodes().filter(|n| n.id != viewer && snap.policy.sees(class, n)) {
        owners.insert(peer.owner());
        alone = false;
    }
    // No list of peers means "as before": who has none any more is told that all are gone.
    let all = snap.nodes().map(|n| n.id).chain(removed.iter().copied());
    let gone = all.filter(|id| alone && *id != viewer).map(|id| id.0.cast_signed());
    owners.insert(node.owner());
    Some(MapResponse {
        node: Some(self_node(snap, node)),
        derp_map: Some(derp_map_for(snap, CapabilityVersion(node.cap))),
        dns_config: Some(dns_config(&snap.settings, Some(node))),
        domain: snap.settings.base_domain.clone(),
        peers_removed: gone.collect(),
        collect_services: Some(false),
        packet_filters: Some(SortedMap::from([("base".to_owned(), Some(snap.policy.filters(node)))])),
        user_profiles: owners.into_iter().map(|o| user_profile(snap, o)).collect(),
        ssh_policy: snap.policy.ssh(node),
        control_time: Some(now).into(),
        debug: Some(Debug { disable_log_tail: !snap.settings.logtail, ..Default::default() }),
        ..Default::default()
    })
}

/// Whether a node sees no other. An empty list of peers cannot be told, so a stream of such a node that no longer
/// knows what was removed has to begin anew.
#[must_use]
pub fn is_alone(snap: &Snapshot, viewer: &Node) -> bool {
    let class = snap.policy.class_of(viewer);
    !snap.nodes().any(|n| n.id != viewer.id && snap.policy.sees(class, n))
}

/// The DERP map as a client of this age understands it: before 1.82 a pinned certificate looks like a DNS name that
/// does not match, so the check is left out (relayed packets are encrypted end to end all the same).
fn derp_map_for(snap: &Snapshot, cap: CapabilityVersion) -> DerpMap {
    let mut map = (*snap.derp_map).clone();
    if !cap.can_pin_relay_certificate() {
        for node in
            map.regions.values_mut().flat_map(|r| r.nodes.iter_mut()).filter(|n| n.cert_name.starts_with("sha256-raw:"))
        {
            node.cert_name.clear();
            node.insecure_for_tests = true;
        }
    }
    map
}

/// The peers of one page as JSON objects with commas between them, `except` left out; empty when there are none.
///
/// # Errors
/// Serialisation failed, which the types rule out.
pub fn peers_of_page(
    snap: &Snapshot,
    page: &Page,
    class: ClassId,
    except: Option<NodeId>,
    now: Timestamp,
) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::new();
    for node in page.iter().filter(|n| Some(n.id) != except && snap.policy.sees(class, n)) {
        if !out.is_empty() {
            out.push(b',');
        }
        serde_json::to_writer(&mut out, &peer_node(snap, class, node, now))?;
    }
    Ok(out)
}
