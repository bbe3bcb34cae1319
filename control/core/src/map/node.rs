//! A node as others see it, as it sees itself, and the profiles of owners (`tailcfg.Node`, `tailcfg.UserProfile`).

use crate::{ClassId, Node, Settings, Snapshot, TAGGED_DEVICES, User, UserId, cert_domain, is_exit_route, names};
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::{self as tailcfg, UserProfile};
use ipnet::IpNet;
use jiff::Timestamp;
use serde_json::Value;

/// `node` as a viewer of class `class` sees it.
#[must_use]
pub fn peer_node(snap: &Snapshot, class: ClassId, node: &Node, now: Timestamp) -> tailcfg::Node {
    let mut peer = common(snap, node);
    let mut serving = node.primary_routes.clone();
    serving.extend(exits_of(node));
    let routes = snap.policy.routes(class, node, serving);
    let exit = routes.iter().filter(|r| is_exit_route(r)).count() == 2;
    peer.primary_routes = routes.iter().copied().filter(|r| !is_exit_route(r)).collect();
    peer.allowed_ips = Some(addresses_of(snap, node).into_iter().chain(routes).collect());
    peer.hostinfo = Some(shown_hostinfo(node));
    if !node.path.online {
        peer.last_seen = node.last_seen.into();
    }
    let caps = snap.policy.peer_capabilities(node, exit);
    if !caps.is_empty() {
        peer.cap_map = Some(caps);
    }
    peer.expired = node.is_expired(now);
    if peer.expired {
        peer.endpoints.clear();
    }
    peer
}

/// `node` as it sees itself.
#[must_use]
pub fn self_node(snap: &Snapshot, node: &Node) -> tailcfg::Node {
    let mut own = common(snap, node);
    own.hostinfo = Some(tailcfg::Hostinfo::clone(&node.hostinfo));
    own.machine = node.machine_key;
    own.online = Some(true);
    own.cap_map = Some(self_capabilities(snap, node));
    own
}

/// Login name, display name and picture of an owner.
#[must_use]
pub fn profile_of(user: Option<&User>, owner: UserId, settings: &Settings) -> (String, String, String) {
    match user {
        _ if owner == TAGGED_DEVICES => {
            (format!("tagged-devices@{}", settings.base_domain), "Tagged Devices".into(), String::new())
        }
        Some(u) => (u.login_name(&settings.base_domain), u.shown_name().to_owned(), u.picture_url.clone()),
        None => (format!("user-{owner}@{}", settings.base_domain), format!("User {owner}"), String::new()),
    }
}

/// The profile of an owner as sent in a map.
pub(super) fn user_profile(snap: &Snapshot, owner: UserId) -> UserProfile {
    let (login_name, display_name, profile_pic_url) = profile_of(snap.users.get(&owner), owner, &snap.settings);
    UserProfile { id: owner.0.cast_signed(), login_name, display_name, profile_pic_url, ..Default::default() }
}

fn common(snap: &Snapshot, node: &Node) -> tailcfg::Node {
    let addresses = addresses_of(snap, node);
    let mut allowed = addresses.clone();
    allowed.extend(node.primary_routes.iter().copied());
    allowed.extend(exits_of(node));
    tailcfg::Node {
        id: node.id.0.cast_signed(),
        stable_id: node.stable_id(),
        name: names::fqdn(&node.given_name, &snap.settings.base_domain),
        user: node.owner().0.cast_signed(),
        key: node.node_key,
        key_expiry: node.expiry.into(),
        disco_key: node.disco_key,
        addresses,
        allowed_ips: Some(allowed),
        endpoints: node.path.endpoints.clone(),
        home_derp: i32::try_from(node.path.home_derp).unwrap_or(0),
        created: Some(node.created).into(),
        cap: node.cap,
        tags: node.tags.clone(),
        primary_routes: node.primary_routes.clone(),
        online: Some(node.path.online),
        machine_authorized: !node.waiting,
        ..Default::default()
    }
}

/// A node's addresses, without IPv4 where the policy says so and there is another.
fn addresses_of(snap: &Snapshot, node: &Node) -> Vec<IpNet> {
    let mut all = node.addresses();
    if node.ipv6.is_some() && snap.policy.hides_ipv4(node) {
        all.retain(|a| matches!(a, IpNet::V6(_)));
    }
    all
}

/// Two default routes or none: clients take only a node that carries both for an exit node.
fn exits_of(node: &Node) -> Vec<IpNet> {
    let exits: Vec<IpNet> = node.enabled_routes().filter(is_exit_route).collect();
    if exits.len() == 2 { exits } else { Vec::new() }
}

/// What peers need of a node's self-description: names, PeerAPI ports, SSH host keys; no push tokens or log ids.
fn shown_hostinfo(node: &Node) -> tailcfg::Hostinfo {
    let own = &node.hostinfo;
    tailcfg::Hostinfo {
        os: own.os.clone(),
        os_version: own.os_version.clone(),
        hostname: own.hostname.clone(),
        ipn_version: own.ipn_version.clone(),
        services: own.services.clone(),
        shields_up: own.shields_up,
        ssh_host_keys: own.ssh_host_keys.clone(),
        routable_ips: own.routable_ips.clone(),
        app: own.app.clone(),
        location: own.location.clone(),
        peer_relay: own.peer_relay,
        ..Default::default()
    }
}

fn self_capabilities(snap: &Snapshot, node: &Node) -> tailcfg::CapMap {
    let mut caps = flags(["https://tailscale.com/cap/is-admin", "https://tailscale.com/cap/ssh"]);
    if snap.settings.taildrop {
        caps.extend(flags(["https://tailscale.com/cap/file-sharing"]));
    }
    if cert_domain(&snap.settings, node).is_some() {
        caps.extend(flags(["https"]));
    }
    caps.insert("default-auto-update".into(), Some(vec![Value::Bool(snap.settings.auto_update)]));
    caps.extend(snap.policy.self_capabilities(node));
    caps
}

fn flags<const N: usize>(names: [&str; N]) -> tailcfg::CapMap {
    let flags: SortedMap<String, Option<Vec<Value>>> = names.into_iter().map(|n| (n.to_owned(), None)).collect();
    flags
}
