//! What of a client's self-description is kept: as much as honest clients say, and no more. It lies in memory and on
//! flash for each node, goes out to every peer, and while a login waits it is a stranger's.

use crate::MAX_ROUTES_PER_NODE;
use hearthgate_tailcfg::{Hostinfo, RegisterRequest, Service};

/// Longest text, a host name for instance, in bytes.
const TEXT_MAX: usize = 255;
/// Most tags that a client may ask for.
pub(crate) const TAGS_MAX: usize = 64;
/// Longest of all tags together, in bytes.
pub(crate) const TAGS_BYTES_MAX: usize = 4096;
/// Most services kept; what peers need are four.
const SERVICES_MAX: usize = 64;
/// How the names of those begin (`tailcfg.PeerAPI4` and its like in `tailcfg/tailcfg.go` of tailscale.com v1.102.5).
const PEER_API: &str = "peerapi";
/// Most SSH host keys; OpenSSH makes three.
const HOST_KEYS_MAX: usize = 16;
/// Longest SSH host key that is kept, in bytes: one of RSA with 8192 bits is shorter.
const HOST_KEY_MAX: usize = 2048;
/// Most routes kept of a login that waits; the node tells all of them once it is in.
const WAITING_ROUTES_MAX: usize = 128;

/// What is kept of a node's: relays and measurements apart, and bounded.
pub(crate) fn stored_hostinfo(hostinfo: &Hostinfo) -> Hostinfo {
    let mut kept = hostinfo.clone();
    kept.net_info = None;
    kept.routable_ips = kept.routable_ips.iter().map(ipnet::IpNet::trunc).take(MAX_ROUTES_PER_NODE).collect();
    kept.request_tags.truncate(TAGS_MAX);
    if kept.services.len() > SERVICES_MAX {
        // Clients name the ports that programs listen on first, and what peers need last.
        let peers_need = |s: &Service| s.proto.starts_with(PEER_API);
        let (mut first, rest): (Vec<_>, Vec<_>) = kept.services.into_iter().partition(peers_need);
        first.extend(rest);
        first.truncate(SERVICES_MAX);
        kept.services = first;
    }
    kept.ssh_host_keys.retain(|key| key.len() <= HOST_KEY_MAX);
    kept.ssh_host_keys.truncate(HOST_KEYS_MAX);
    let place = kept.location.iter_mut();
    let place = place.flat_map(|l| [&mut l.country, &mut l.country_code, &mut l.city, &mut l.city_code]);
    let services = kept.services.iter_mut().flat_map(|s| [&mut s.proto, &mut s.description]);
    let texts = [
        &mut kept.ipn_version,
        &mut kept.backend_log_id,
        &mut kept.os,
        &mut kept.os_version,
        &mut kept.distro,
        &mut kept.distro_version,
        &mut kept.app,
        &mut kept.package,
        &mut kept.device_model,
        &mut kept.hostname,
        &mut kept.machine,
        &mut kept.go_arch,
        &mut kept.exit_node_id,
    ];
    texts.into_iter().chain(kept.request_tags.iter_mut()).chain(services).chain(place).for_each(cut);
    kept
}

/// What is kept of a request while somebody is asked about it; a node that is let in again has the rest of it
/// [`from_before`].
pub(crate) fn waiting_request(request: &RegisterRequest) -> RegisterRequest {
    let mut hostinfo = request.hostinfo.as_ref().map(stored_hostinfo);
    if let Some(kept) = &mut hostinfo {
        kept.services = Vec::new();
        kept.ssh_host_keys = Vec::new();
        kept.routable_ips.truncate(WAITING_ROUTES_MAX);
        kept.routable_ips.shrink_to_fit();
    }
    RegisterRequest {
        version: request.version,
        node_key: request.node_key,
        expiry: request.expiry,
        ephemeral: request.ephemeral,
        hostinfo,
        ..RegisterRequest::default()
    }
}

/// Puts what [`waiting_request`] leaves out or cuts back in from what the node said `before`, until it tells it anew:
/// peers would lose its peer API, and the network its routes.
pub(crate) fn from_before(kept: &mut Hostinfo, before: &Hostinfo) {
    kept.services.clone_from(&before.services);
    kept.ssh_host_keys.clone_from(&before.ssh_host_keys);
    kept.routable_ips.clone_from(&before.routable_ips);
}

/// Whether more tags are asked for than anybody needs. They are refused, not cut: what is left could mean something
/// else.
pub(crate) fn too_many_tags(tags: &[String]) -> bool {
    tags.len() > TAGS_MAX || tags.iter().map(String::len).sum::<usize>() > TAGS_BYTES_MAX
}

fn cut(text: &mut String) {
    if text.len() > TEXT_MAX {
        let end = (0..=TEXT_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        // A copy: the rest of a long text would stay in memory.
        *text = text.get(..end).unwrap_or_default().to_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_tailcfg::Location;

    fn huge() -> Hostinfo {
        let text = || "ä".repeat(50_000);
        let service = Service { proto: text(), port: 1, description: text() };
        Hostinfo {
            ipn_version: text(),
            backend_log_id: text(),
            os: text(),
            os_version: text(),
            distro: text(),
            distro_version: text(),
            app: text(),
            package: text(),
            device_model: text(),
            hostname: text(),
            machine: text(),
            go_arch: text(),
            exit_node_id: text(),
            routable_ips: (0..5000u32)
                .map(|n| std::net::Ipv4Addr::from(n << 8).into())
                .map(|ip: std::net::IpAddr| ip.into())
                .collect(),
            request_tags: vec![text(); 1000],
            services: vec![service; 1000],
            ssh_host_keys: (0..1000).map(|n| "k".repeat(n * 4)).collect(),
            location: Some(Location {
                country: text(),
                country_code: text(),
                city: text(),
                city_code: text(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_node_says_no_more_than_honest_ones_do() {
        let kept = stored_hostinfo(&huge());
        let size = serde_json::to_vec(&kept).expect("JSON").len();
        assert!(size < 128 * 1024, "{size}");
        assert_eq!((kept.os.len(), kept.services.len(), kept.ssh_host_keys.len()), (254, SERVICES_MAX, HOST_KEYS_MAX));
        let small = Hostinfo { hostname: "a".into(), request_tags: vec!["tag:x".into()], ..Default::default() };
        assert_eq!(stored_hostinfo(&small), small);
    }

    #[test]
    fn what_peers_need_is_kept_of_many_services() {
        let service = |proto: &str, port| Service { proto: proto.into(), port, ..Default::default() };
        let mut services: Vec<Service> = (1..500).map(|port| service("tcp", port)).collect();
        services.extend([service("peerapi4", 5000), service("peerapi6", 5001), service("peerapi-dns-proxy", 1)]);
        let kept = stored_hostinfo(&Hostinfo { services: services.clone(), ..Default::default() }).services;
        assert_eq!(kept.len(), SERVICES_MAX);
        assert!(services[499..].iter().all(|s| kept.contains(s)));
        let few = services.split_off(490);
        assert_eq!(stored_hostinfo(&Hostinfo { services: few.clone(), ..Default::default() }).services, few);
    }

    #[test]
    fn a_stranger_who_waits_costs_little() {
        let tags = vec!["t".repeat(64); 64];
        assert!(
            !too_many_tags(&tags) && too_many_tags(&huge().request_tags) && too_many_tags(&vec![String::new(); 65])
        );
        let hostinfo = Hostinfo { request_tags: tags, ..huge() };
        let request = RegisterRequest {
            followup: "x".repeat(1_000_000),
            tailnet: "x".repeat(1_000_000),
            node_key_signature: vec![0; 1_000_000].into(),
            hostinfo: Some(hostinfo),
            version: 113,
            ephemeral: true,
            ..Default::default()
        };
        let kept = waiting_request(&request);
        let size = serde_json::to_vec(&kept).expect("JSON").len();
        assert!(size < 16 * 1024, "{size}");
        assert_eq!((kept.version, kept.ephemeral), (113, true));
    }
}
