//! From a network map and the operator's wishes to what data plane and path machine shall do. Pure.

use crate::LocalNetwork;
use hearthgate_client::{Netmap, Prefs};
use hearthgate_filter::{Filter, ParseError, Range, compile, local_nets};
use hearthgate_keys::NodePrivate;
use hearthgate_paths::{PeerInfo, RegionId};
use hearthgate_plane::{Desired, Peer};
use hearthgate_sorted::SortedSet;
use hearthgate_tailcfg::Node;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::IpAddr;

/// A control server's wish that a peer gets no heartbeats (`tailcfg.NodeAttrSilentDisco`).
const SILENT: &str = "silent-disco";

/// The peer through which Internet traffic goes, if the operator chose one and it offers that.
#[must_use]
pub fn exit_node<'a>(map: &'a Netmap, prefs: &Prefs) -> Option<&'a Node> {
    let wish = prefs.exit_node.as_str();
    if wish.is_empty() {
        return None;
    }
    find_peer(map, wish).filter(|peer| offers_exit(peer))
}

/// Why nothing leaves to the Internet although an exit node was chosen, in words for people.
#[must_use]
pub fn exit_node_problem(map: &Netmap, wish: &str) -> Option<String> {
    let why = match find_peer(map, wish) {
        _ if wish.is_empty() => return None,
        None => "is not in the network",
        Some(peer) if !offers_exit(peer) => "offers no way to the Internet, or nobody has approved it",
        Some(peer) if peer.online == Some(false) => "is offline",
        Some(_) => return None,
    };
    Some(format!(
        "the exit node {wish:?} {why}: nothing goes to the Internet meanwhile; `--exit-node=` switches it off"
    ))
}

/// Whether a peer carries others' Internet traffic.
#[must_use]
pub fn offers_exit(peer: &Node) -> bool {
    peer.allowed_ips.iter().flatten().any(|net| net.prefix_len() == 0)
}

/// The peer with this address, name (whole or first label), or stable id.
#[must_use]
pub fn find_peer<'a>(map: &'a Netmap, text: &str) -> Option<&'a Node> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return map.peer_at(address);
    }
    let wanted = text.trim_end_matches('.').to_ascii_lowercase();
    map.nodes().find(|peer| {
        let name = peer.name.trim_end_matches('.');
        peer.stable_id == text || name == wanted || name.split('.').next() == Some(wanted.as_str())
    })
}

/// Everything the data plane shall be. `attached` are the networks of our other interfaces.
#[must_use]
pub fn desired(map: &Netmap, prefs: &Prefs, key: NodePrivate, attached: &[IpNet]) -> Desired {
    let mut desired = Desired::new(key);
    let Some(own) = &map.own else { return desired };
    desired.addresses.clone_from(&own.addresses);
    let exit = exit_node(map, prefs).map(|peer| peer.id);
    let leaves = !prefs.exit_node.is_empty();
    let attached: SortedSet<IpNet> = attached.iter().map(IpNet::trunc).collect();
    let mut routes = SortedSet::new();
    for peer in map.nodes().filter(|peer| usable(peer)) {
        let own = |net: &IpNet| peer.addresses.contains(net);
        let allowed: Vec<IpNet> = peer
            .allowed_ips
            .iter()
            .flatten()
            .filter(|net| match net.prefix_len() {
                0 => exit == Some(peer.id),
                // A route to the network we are in would cut us off from it.
                _ => own(net) || prefs.accept_routes && !attached.contains(&net.trunc()),
            })
            .map(IpNet::trunc)
            .collect();
        routes.extend(allowed.iter().copied());
        desired.peers.push(Peer::new(peer.key, allowed));
    }
    if leaves {
        // Also without the peer, or without its route of a family: what was to go through it must not go past it. With
        // no peer to take it, it ends in the tunnel (`routerConfigLocked` in `ipn/ipnlocal/local.go`, v1.102.5).
        routes.extend([IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]);
    }
    // Our own networks stay ours when an accepted route covers them; with an exit node only if the operator wants it.
    let covered = |net: &&IpNet| routes.iter().any(|route| route.prefix_len() > 0 && route.contains(*net));
    let keep_lan = !leaves || prefs.exit_node_allow_lan_access;
    desired.bypass = attached.iter().filter(|net| covered(net) || leaves && keep_lan).copied().collect();
    desired.routes = routes.into_iter().collect();
    desired.via = prefs.routable().into_iter().filter(hearthgate_plane::is_via).collect();
    desired.snat = prefs.snat_subnet_routes;
    desired.snat6 = prefs.nat66;
    // The LAN's devices have no addresses in the network; sites that know each other's LANs switch this off.
    desired.masquerade_lan = prefs.snat_subnet_routes && (leaves || prefs.accept_routes);
    desired.forward = desired.masquerade_lan || !prefs.routable().is_empty();
    desired
}

/// Who may come in: the map's rules, if there are any. `holders` is asked as [`holders()`] for each capability they name.
///
/// # Errors
/// [`ParseError`]: a rule cannot be understood, and the filter before should stay in force.
pub fn filter(
    map: &Netmap,
    prefs: &Prefs,
    local: &LocalNetwork,
    holders: impl Fn(&str) -> Vec<IpAddr>,
) -> Result<Filter, ParseError> {
    let (Some(own), Some(rules)) = (&map.own, map.rules()) else { return Ok(Filter::closed()) };
    let outside: Vec<IpAddr> = local.addresses.iter().filter(|ip| !ip.is_loopback()).copied().collect();
    let reach: Vec<Range> = local_nets(&own.addresses, &prefs.routable(), &local.attached, &outside);
    if prefs.shields_up {
        return Ok(Filter::shields_up(&reach));
    }
    compile(&rules, &reach, holders)
}

/// Addresses of the peers that have a node capability.
#[must_use]
pub fn holders(map: &Netmap, capability: &str) -> Vec<IpAddr> {
    let has = |peer: &&Node| peer.cap_map.as_ref().is_some_and(|caps| caps.contains_key(capability));
    map.nodes().filter(has).flat_map(|peer| &peer.addresses).map(IpNet::addr).collect()
}

/// The peers for the path machine.
pub fn peers(map: &Netmap) -> impl Iterator<Item = PeerInfo> + '_ {
    map.nodes().filter(|peer| usable(peer)).map(|peer| PeerInfo {
        node: peer.key,
        disco: peer.disco_key,
        endpoints: peer.endpoints.clone(),
        home: RegionId::try_from(peer.home_derp).ok().filter(|&id| id != 0),
        silent: map.own.as_ref().and_then(|own| own.cap_map.as_ref()).is_some_and(|caps| caps.contains_key(SILENT)),
    })
}

/// Whether we talk to a peer at all: it has a key that is valid, and speaks disco.
fn usable(peer: &Node) -> bool {
    !peer.key.is_zero() && !peer.expired && !peer.disco_key.is_zero() && !peer.is_wireguard_only
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_keys::{DiscoPublic, NodePublic};
    use hearthgate_tailcfg::FilterRule;
    use std::sync::Arc;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn node(id: u8, routes: &[&str]) -> Node {
        let own = net(&format!("100.64.0.{id}/32"));
        Node {
            id: id.into(),
            stable_id: format!("n{id}"),
            name: format!("p{id}.t.example."),
            key: NodePublic::from_bytes([id; 32]),
            disco_key: DiscoPublic::from_bytes([id; 32]),
            addresses: vec![own],
            allowed_ips: Some([vec![own], routes.iter().map(|r| net(r)).collect()].concat()),
            ..Default::default()
        }
    }

    fn map(peers: Vec<Node>) -> Netmap {
        let peers = peers.into_iter().map(|peer| (peer.id, peer.into())).collect();
        Netmap { own: Some(node(1, &[])), peers, ..Default::default() }
    }

    fn plan(map: &Netmap, prefs: &Prefs, attached: &[IpNet]) -> Desired {
        desired(map, prefs, NodePrivate::from_random([1; 32]), attached)
    }

    #[test]
    fn routes_are_taken_only_when_wanted() {
        let map = map(vec![node(2, &["10.0.0.0/24", "0.0.0.0/0", "::/0"])]);
        let plain = plan(&map, &Prefs::default(), &[]);
        assert_eq!(plain.peers[0].allowed_ips, [net("100.64.0.2/32")]);
        assert_eq!(plain.addresses, [net("100.64.0.1/32")]);
        let accepting = Prefs { accept_routes: true, ..Default::default() };
        assert_eq!(plan(&map, &accepting, &[]).peers[0].allowed_ips, [net("100.64.0.2/32"), net("10.0.0.0/24")]);
        let leaving = Prefs { exit_node: "p2".into(), ..Default::default() };
        assert_eq!(plan(&map, &leaving, &[]).routes, [net("0.0.0.0/0"), net("100.64.0.2/32"), net("::/0")]);
    }

    #[test]
    fn our_own_networks_stay_ours() {
        let map = map(vec![node(2, &["192.168.1.0/24", "10.0.0.0/8"])]);
        let prefs = Prefs { accept_routes: true, ..Default::default() };
        let plan = plan(&map, &prefs, &[net("192.168.1.7/24"), net("10.1.0.1/16"), net("172.16.0.1/24")]);
        assert_eq!(plan.peers[0].allowed_ips, [net("100.64.0.2/32"), net("10.0.0.0/8")]);
        assert_eq!(plan.bypass, [net("10.1.0.0/16")]);
    }

    #[test]
    fn the_lan_goes_through_an_exit_node_unless_it_is_to_stay() {
        let map = map(vec![node(2, &["0.0.0.0/0", "::/0"])]);
        let lan = [net("192.168.1.1/24")];
        let mut prefs = Prefs { exit_node: "100.64.0.2".into(), ..Default::default() };
        assert!(plan(&map, &prefs, &lan).bypass.is_empty());
        prefs.exit_node_allow_lan_access = true;
        assert_eq!(plan(&map, &prefs, &lan).bypass, [net("192.168.1.0/24")]);
    }

    #[test]
    fn without_the_chosen_exit_node_nothing_goes_past_it() {
        let prefs = Prefs { exit_node: "p9".into(), ..Default::default() };
        for map in [map(vec![]), map(vec![node(9, &[])]), map(vec![node(9, &["0.0.0.0/0"])])] {
            let plan = plan(&map, &prefs, &[net("192.168.1.1/24")]);
            assert!(plan.routes.contains(&net("0.0.0.0/0")) && plan.routes.contains(&net("::/0")), "{:?}", plan.routes);
            assert!(plan.peers.iter().all(|p| !p.allowed_ips.contains(&net("::/0"))) && plan.masquerade_lan);
        }
    }

    #[test]
    fn people_hear_why_nothing_leaves() {
        let mut map = map(vec![node(2, &["0.0.0.0/0"]), node(3, &[])]);
        let says = |map: &Netmap, wish: &str| exit_node_problem(map, wish).unwrap_or_default();
        assert_eq!((says(&map, ""), says(&map, "p2")), (String::new(), String::new()));
        assert!(says(&map, "p4").contains("\"p4\" is not in the network"));
        assert!(says(&map, "p3").contains("offers no way"));
        Arc::make_mut(map.peers.get_mut(&2).unwrap()).online = Some(false);
        assert!(says(&map, "100.64.0.2").contains("is offline"));
    }

    #[test]
    fn without_rules_nobody_comes_in() {
        let (prefs, local) = (Prefs::default(), LocalNetwork::default());
        let mut map = map(vec![node(2, &[])]);
        let filter = |map: &Netmap, prefs: &Prefs| filter(map, prefs, &local, |name| holders(map, name)).unwrap();
        assert_eq!(filter(&map, &prefs), Filter::closed());
        map.filters = Some(Arc::new([("base".to_owned(), vec![FilterRule::allow_all()])].into()));
        let open = filter(&map, &prefs);
        assert!(!open.sources.is_empty() && open.local == [Range::from(net("100.64.0.1/32"))], "{open:?}");
        let shields = Prefs { shields_up: true, ..Default::default() };
        assert!(filter(&map, &shields).sources.is_empty());
    }

    #[test]
    fn packets_are_passed_on_only_for_a_reason() {
        let map = map(vec![node(2, &["0.0.0.0/0", "::/0"])]);
        assert!(!plan(&map, &Prefs::default(), &[]).forward);
        let router = Prefs { advertise_routes: vec![net("10.0.0.0/24")], ..Default::default() };
        let desired = plan(&map, &router, &[]);
        assert!(desired.forward && desired.snat && !desired.snat6 && !desired.masquerade_lan);
        assert!(plan(&map, &Prefs { nat66: true, ..router.clone() }, &[]).snat6);
        let via = Prefs { advertise_routes: vec![net("fd7a:115c:a1e0:b1a:0:7:a00:0/120")], ..router.clone() };
        let via = plan(&map, &via, &[]);
        assert!(via.forward && via.via.len() == 1 && desired.via.is_empty());
        let leaving = Prefs { exit_node: "p2".into(), ..Default::default() };
        assert!(plan(&map, &leaving, &[]).masquerade_lan);
        let site = Prefs { accept_routes: true, snat_subnet_routes: false, ..router };
        let desired = plan(&map, &site, &[]);
        assert!(desired.forward && !desired.snat && !desired.masquerade_lan);
    }

    #[test]
    fn who_has_no_valid_key_or_no_disco_is_no_peer() {
        let mute = Node { disco_key: DiscoPublic::ZERO, ..node(2, &[]) };
        let expired = Node { expired: true, ..node(3, &[]) };
        let map = map(vec![mute, expired, node(4, &[])]);
        assert_eq!(plan(&map, &Prefs::default(), &[]).peers.len(), 1);
        assert_eq!(peers(&map).count(), 1);
    }

    #[test]
    fn peers_are_found_by_address_name_and_id() {
        let map = map(vec![node(2, &[]), node(3, &[])]);
        for text in ["100.64.0.3", "p3", "P3.t.example", "p3.t.example.", "n3"] {
            assert_eq!(find_peer(&map, text).map(|peer| peer.id), Some(3), "{text}");
        }
        assert!(find_peer(&map, "p4").is_none());
    }
}
