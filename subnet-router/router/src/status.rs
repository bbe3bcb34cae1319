//! What people see: the official client's JSON (`ipn/ipnstate/ipnstate.go` of tailscale.com v1.104.5), so that tools
//! made for it work here too.

use crate::{Router, plan};
use hearthgate_client::{Netmap, Phase};
use hearthgate_keys::NodePublic;
use hearthgate_paths::{Hop, NetInfo, Path, Report};
use hearthgate_plane::PeerCounters;
use hearthgate_read::json;
use hearthgate_tailcfg::{self as tailcfg, DerpMap, Node};
use serde_json::{Map, Value};
use std::time::SystemTime;

/// Everything about the router and its peers.
pub fn status(router: &Router) -> Value {
    let view = &router.shown;
    let map = view.netmap.as_deref();
    let counters = router.plane.counters().unwrap_or_default();
    let own = map.and_then(|map| map.own.as_ref());
    let mut peers = Map::new();
    for peer in map.iter().flat_map(|map| map.nodes()) {
        peers.insert(peer.key.to_string(), peer_status(router, peer, counters.iter().find(|c| c.key == peer.key)));
    }
    let users: Map<String, Value> = map
        .iter()
        .flat_map(|map| map.users.values())
        .map(|user| {
            let json = json!({ "ID": user.id, "LoginName": user.login_name, "DisplayName": user.display_name });
            (user.id.to_string(), json)
        })
        .collect();
    let mut health: Vec<String> = view
        .problem
        .iter()
        .chain(&router.plane_problem)
        .chain(&router.plane_note)
        .chain(&router.exit_problem)
        .cloned()
        .collect();
    health.extend(map.iter().flat_map(|map| map.messages.values()).map(|message| message.text.clone()));
    let leaves = !router.prefs.exit_node.is_empty();
    if let Some(interface) = leaves.then(|| hearthgate_plane::strict_interface(router.plane.interface())).flatten() {
        health.push(format!(
            "{interface} drops what comes from where an exit node leads (strict rp_filter): sysctl -w net.ipv4.conf.{interface}.rp_filter=2"
        ));
    }
    if own.is_some() && router.paths.home().is_none() {
        health.push("no home relay was found yet".into());
    }
    let exit = map.and_then(|map| plan::exit_node(map, &router.prefs));
    let exit = exit.map(|peer| {
        json!({ "ID": peer.stable_id, "Online": peer.online.unwrap_or(false), "TailscaleIPs": json!(peer.addresses) })
    });
    let auth_url = match &view.phase {
        Phase::NeedsLogin(Some(url)) => url.as_str(),
        _ => "",
    };
    json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "TUN": true,
        "BackendState": view.phase.name(),
        "AuthURL": auth_url,
        "TailscaleIPs": own.map(addresses).unwrap_or_default(),
        "Self": own.map(|own| own_status(router, own)),
        "ExitNodeStatus": exit,
        "Health": health,
        "MagicDNSSuffix": map.map_or("", Netmap::magic_suffix),
        "CurrentTailnet": map.map(|map| json!({ "Name": map.domain, "MagicDNSSuffix": map.magic_suffix(), "MagicDNSEnabled": map.dns.proxied })),
        "Peer": peers,
        "User": users,
        // Ours, beyond the official form:
        "DataPlane": router.plane.kind().name(),
        "Interface": router.plane.interface(),
        "Port": router.plane.port(),
        "ControlConnected": view.live,
        "Relays": router.relays.connected(),
    })
}

fn node(node: &Node) -> Map<String, Value> {
    let info = node.hostinfo.clone().unwrap_or_default();
    let mut map = Map::new();
    map.insert("ID".into(), node.stable_id.clone().into());
    map.insert("PublicKey".into(), node.key.to_string().into());
    map.insert("HostName".into(), if info.hostname.is_empty() { label(node).into() } else { info.hostname.into() });
    map.insert("DNSName".into(), node.name.clone().into());
    map.insert("OS".into(), info.os.into());
    map.insert("UserID".into(), node.user.into());
    map.insert("TailscaleIPs".into(), addresses(node).into());
    map.insert("AllowedIPs".into(), json!(node.allowed_ips));
    if !node.primary_routes.is_empty() {
        map.insert("PrimaryRoutes".into(), json!(node.primary_routes));
    }
    if !node.tags.is_empty() {
        map.insert("Tags".into(), json!(node.tags));
    }
    map.insert("Created".into(), json!(node.created));
    map.insert("ExitNodeOption".into(), plan::offers_exit(node).into());
    map.insert("InNetworkMap".into(), true.into());
    if !node.key_expiry.is_none() {
        map.insert("KeyExpiry".into(), json!(node.key_expiry));
    }
    map
}

fn own_status(router: &Router, own: &Node) -> Value {
    let mut map = node(own);
    let endpoints: Vec<String> = router.paths.endpoints().iter().map(|endpoint| endpoint.addr.to_string()).collect();
    map.insert("Addrs".into(), endpoints.into());
    let derp = router.shown.netmap.as_ref().map(|map| map.derp.clone()).unwrap_or_default();
    map.insert("Relay".into(), router.paths.home().map(|id| region_code(&derp, id)).unwrap_or_default().into());
    map.insert("Online".into(), router.shown.live.into());
    Value::Object(map)
}

fn peer_status(router: &Router, peer: &Node, counters: Option<&PeerCounters>) -> Value {
    let mut map = node(peer);
    let derp = router.shown.netmap.as_ref().map(|map| map.derp.clone()).unwrap_or_default();
    let path = router.routes.get(&peer.key);
    let direct = match path {
        Some(Path::Direct(addr)) => addr.to_string(),
        Some(Path::Both { hop, .. }) => hop.addr.to_string(),
        _ => String::new(),
    };
    let peer_relay = match path {
        Some(Path::PeerRelay { addr, vni }) => format!("{addr}:vni:{vni}"),
        _ => String::new(),
    };
    map.insert("Addrs".into(), json!(peer.endpoints));
    map.insert("CurAddr".into(), direct.into());
    map.insert("PeerRelay".into(), peer_relay.into());
    map.insert(
        "Relay".into(),
        u16::try_from(peer.home_derp).map(|id| region_code(&derp, id)).unwrap_or_default().into(),
    );
    // Ours, beyond the official form: the round trip on the path that carries packets now.
    let hop = match path {
        Some(Path::Direct(addr)) => Some(Hop::direct(*addr)),
        Some(Path::PeerRelay { addr, vni }) => Some(Hop { addr: *addr, vni: Some(*vni) }),
        _ => None,
    };
    let best = router.paths.status(&peer.key, router.now()).and_then(|status| status.best);
    let measured = best.filter(|best| hop == Some(best.hop));
    map.insert("LatencyMs".into(), json!(measured.map(|m| m.latency.as_secs_f64() * 1000.0)));
    map.insert("RxBytes".into(), counters.map_or(0, |c| c.rx_bytes).into());
    map.insert("TxBytes".into(), counters.map_or(0, |c| c.tx_bytes).into());
    map.insert("LastHandshake".into(), json!(tailcfg::Time::from(counters.and_then(|c| time(c.last_handshake?)))));
    map.insert("LastSeen".into(), json!(peer.last_seen));
    map.insert("Online".into(), peer.online.unwrap_or(false).into());
    map.insert("Active".into(), counters.is_some_and(|c| c.last_handshake.is_some()).into());
    map.insert("InEngine".into(), counters.is_some().into());
    let exit = router.shown.netmap.as_deref().and_then(|map| plan::exit_node(map, &router.prefs)).map(|peer| peer.id);
    map.insert("ExitNode".into(), (exit == Some(peer.id)).into());
    map.insert("WhyRelayed".into(), why_relayed(router, peer).into());
    Value::Object(map)
}

/// Why a peer is reached through a relay, in words; empty if it is not.
fn why_relayed(router: &Router, peer: &Node) -> String {
    let status = router.paths.status(&peer.key, router.now());
    status.and_then(|status| status.why_relayed).map(|why| why.to_string()).unwrap_or_default()
}

fn time(at: SystemTime) -> Option<jiff::Timestamp> {
    jiff::Timestamp::try_from(at).ok()
}

fn addresses(node: &Node) -> Vec<String> {
    node.addresses.iter().map(|net| net.addr().to_string()).collect()
}

fn label(node: &Node) -> String {
    node.name.split('.').next().unwrap_or_default().to_owned()
}

/// The first address and label of the peer with this key; empty if it is not in the map.
pub fn address_and_name(map: Option<&Netmap>, key: &NodePublic) -> (String, String) {
    let peer = map.and_then(|map| map.nodes().find(|peer| peer.key == *key));
    peer.map(|peer| (addresses(peer).into_iter().next().unwrap_or_default(), label(peer))).unwrap_or_default()
}

/// Short name of a relay region; its number if it has none.
pub fn region_code(map: &DerpMap, id: u16) -> String {
    let code = map.regions.get(&i32::from(id)).map(|region| region.region_code.clone());
    code.filter(|code| !code.is_empty()).unwrap_or_else(|| id.to_string())
}

/// What the control server is told of our network.
pub fn net_info(info: &NetInfo) -> tailcfg::NetInfo {
    let latency = |map: &hearthgate_sorted::SortedMap<u16, std::time::Duration>, family: &str| -> Vec<(String, f64)> {
        map.iter().map(|(id, time)| (format!("{id}-{family}"), time.as_secs_f64())).collect()
    };
    tailcfg::NetInfo {
        mapping_varies_by_dest_ip: info.mapping_varies,
        working_ipv6: Some(info.working_ipv6),
        working_udp: Some(info.working_udp),
        preferred_derp: info.home.map_or(0, i32::from),
        derp_latency: [latency(&info.latency_v4, "v4"), latency(&info.latency_v6, "v6")].concat().into_iter().collect(),
    }
}

/// A network check in the official client's form, with codes of the regions beside their numbers.
pub fn netcheck(report: &Report, info: &NetInfo, map: &DerpMap) -> Value {
    let nanos = |map: &hearthgate_sorted::SortedMap<u16, std::time::Duration>| -> Map<String, Value> {
        map.iter()
            .map(|(id, time)| (id.to_string(), json!(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))))
            .collect()
    };
    let seen = |v6: bool| {
        report.observed.keys().find(|addr| addr.is_ipv6() == v6).map(ToString::to_string).unwrap_or_default()
    };
    let codes: Map<String, Value> = map
        .regions
        .keys()
        .filter_map(|id| Some((id.to_string(), region_code(map, u16::try_from(*id).ok()?).into())))
        .collect();
    json!({
        "UDP": report.udp(),
        "IPv4": report.v4,
        "IPv6": report.v6,
        "OSHasIPv6": info.has_ipv6,
        "MappingVariesByDestIP": report.mapping_varies,
        "PreferredDERP": report.home.unwrap_or(0),
        "RegionLatency": nanos(&report.latency),
        "RegionV4Latency": nanos(&report.latency_v4),
        "RegionV6Latency": nanos(&report.latency_v6),
        "GlobalV4": seen(false),
        "GlobalV6": seen(true),
        "RegionCodes": codes,
    })
}
