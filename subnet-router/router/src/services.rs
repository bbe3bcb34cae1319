//! What this node itself offers: names to the machine, the peer API and TSMP to peers.

use crate::{
    dns::{self, RESOLVER_V4, RESOLVER_V6, Resolver, Zone},
    peer_api::{Caller, Callers, Facts, PeerApi},
    plan,
    taildrop::Inbox,
    tsmp,
};
use hearthgate_client::{Netmap, Prefs};
use hearthgate_filter::{Filter, Grants, proto};
use hearthgate_plane::{Desired, Said};
use hearthgate_tailcfg::{Node, Service};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::Arc,
};
use tokio::sync::{mpsc, watch};

/// Port by which a peer's right to ask DNS questions is told.
const DNS_PORT: u16 = 53;
/// Stands for the IPv6 Internet in that question.
const ANY_V6: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);

/// The network has file sharing (`tailcfg.CapabilityFileSharing`).
const FILE_SHARING: &str = "https://tailscale.com/cap/file-sharing";
/// A peer may send us files: as Tailscale's server says it (`tailcfg.PeerCapabilityFileSharingSend`), and as policies can,
/// where Tailscale's own names are refused.
const FILES: [&str; 2] = ["https://tailscale.com/cap/file-send", "hearthgate.internal/cap/file-send"];
/// A peer may wake machines here: likewise (`tailcfg.PeerCapabilityWakeOnLAN`).
const WAKE: [&str; 2] = ["https://tailscale.com/cap/wake-on-lan", "hearthgate.internal/cap/wake-on-lan"];

/// Everything that runs for it.
pub struct Services {
    zone: watch::Sender<Arc<Zone>>,
    callers: watch::Sender<Arc<Callers>>,
    port: watch::Sender<u16>,
    inbox: watch::Sender<Option<Arc<Inbox>>>,
    tunnel: Arc<str>,
    resolver: Option<Resolver>,
    /// Why there is none.
    resolver_said: Said,
    api: Option<(Vec<IpAddr>, PeerApi)>,
    tsmp: tsmp::Listener,
}

impl Services {
    /// Nothing is offered yet but TSMP, on the tunnel's interface. The queue has disco keys that peers told.
    pub fn start(interface: &str) -> (Self, mpsc::Receiver<tsmp::Heard>) {
        let (port, seen) = watch::channel(0);
        let (tsmp, heard) = tsmp::start(interface, seen);
        let (zone, callers, inbox) = (watch::Sender::default(), watch::Sender::default(), watch::Sender::default());
        (
            Self {
                zone,
                callers,
                port,
                inbox,
                tunnel: interface.into(),
                resolver: None,
                resolver_said: Said::default(),
                api: None,
                tsmp,
            },
            heard,
        )
    }

    /// Listens on the tunnel's interface anew: it is another one of the same name.
    pub fn renew(&mut self, interface: &str) -> mpsc::Receiver<tsmp::Heard> {
        let (tsmp, heard) = tsmp::start(interface, self.port.subscribe());
        self.tsmp = tsmp;
        heard
    }

    /// Follows the network map; writes into `desired` what the data plane has to do for it.
    pub fn follow(&mut self, map: &Netmap, prefs: &Prefs, filter: &Filter, desired: &mut Desired) {
        let Some(own) = &map.own else { return self.stop() };
        self.zone.send_replace(Arc::new(Zone::new(map, plan::exit_node(map, prefs))));
        self.callers.send_replace(Arc::new(callers(map, own, prefs, filter)));
        self.take_files(&prefs.taildrop_dir);
        self.resolve(prefs.accept_dns);
        if self.resolver.is_some() {
            desired.service_addresses = vec![RESOLVER_V4.into(), RESOLVER_V6.into()];
        }
        let addresses: Vec<IpAddr> = own.addresses.iter().map(ipnet::IpNet::addr).collect();
        if self.api.as_ref().is_none_or(|(at, _)| *at != addresses) {
            let facts = Facts {
                callers: self.callers.subscribe(),
                zone: self.zone.subscribe(),
                inbox: self.inbox.subscribe(),
                tunnel: self.tunnel.clone(),
            };
            // The old one lets go of its ports first.
            self.api = None;
            self.api = Some((addresses.clone(), PeerApi::start(&addresses, &facts)));
        }
        desired.open = self.api.iter().flat_map(|(_, api)| api.places()).copied().collect();
        self.port.send_replace(desired.open.iter().find(|at| at.is_ipv4()).map_or(0, std::net::SocketAddr::port));
    }

    /// Sends a peer something small through the tunnel.
    pub fn greet(&self, peer: IpAddr) {
        self.tsmp.ping(peer);
    }

    /// Out of the network: nothing is offered.
    pub fn stop(&mut self) {
        self.resolver = None;
        self.api = None;
        self.port.send_replace(0);
    }

    /// Files go to this folder from now on; nowhere without one.
    fn take_files(&self, dir: &str) {
        self.inbox.send_if_modified(|inbox| {
            let same = match inbox {
                Some(inbox) => inbox.dir() == Path::new(dir),
                None => dir.is_empty(),
            };
            if !same {
                *inbox = (!dir.is_empty()).then(|| Arc::new(Inbox::new(dir.into())));
            }
            !same
        });
    }

    fn resolve(&mut self, wanted: bool) {
        if !wanted {
            self.resolver = None;
        } else if self.resolver.is_none() {
            match dns::start(&self.zone.subscribe()) {
                Ok(resolver) => {
                    self.resolver = Some(resolver);
                    self.resolver_said.clear();
                }
                // Tried again with each network map.
                Err(error) if self.resolver_said.is_news(&error) => {
                    tracing::warn!(%error, "no resolver on {RESOLVER_V4}");
                }
                Err(_) => {}
            }
        }
    }

    /// What the network is told of it.
    #[must_use]
    pub fn announced(&self, prefs: &Prefs) -> Vec<Service> {
        let service = |proto: &str, port: u16| Service { proto: proto.into(), port, ..Default::default() };
        let mut all: Vec<Service> = Vec::new();
        for at in self.api.iter().flat_map(|(_, api)| api.places()) {
            all.push(service(if at.is_ipv4() { "peerapi4" } else { "peerapi6" }, at.port()));
        }
        if prefs.advertise_exit_node && !all.is_empty() {
            // The port of this one is a version number.
            all.push(service("peerapi-dns-proxy", 1));
        }
        all
    }
}

/// Who may call the peer API, and ask it what.
fn callers(map: &Netmap, own: &Node, prefs: &Prefs, filter: &Filter) -> Callers {
    let mut callers = Callers::new();
    let grants = Grants::new(map.filters.iter().flat_map(|parts| parts.values().flatten()));
    let shares = own.cap_map.as_ref().is_some_and(|caps| caps.contains_key(FILE_SHARING));
    for peer in map.nodes() {
        let has = |name: &str| peer.cap_map.as_ref().is_some_and(|caps| caps.contains_key(name));
        let same_owner = peer.user == own.user && peer.tags.is_empty() && own.tags.is_empty();
        for ip in peer.addresses.iter().map(ipnet::IpNet::addr) {
            let outside: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { ANY_V6.into() };
            let may_leave = || prefs.advertise_exit_node && filter.allows(ip, outside, proto::TCP, DNS_PORT);
            let may = |names: [&str; 2]| {
                let here = own.addresses.iter().map(ipnet::IpNet::addr).find(|own| own.is_ipv4() == ip.is_ipv4());
                let given = |here| names.iter().any(|name| grants.give(ip, here, name, has));
                same_owner || here.is_some_and(given)
            };
            let caller = Caller {
                name: peer.name.clone(),
                id: peer.stable_id.clone(),
                dns: same_owner || may_leave(),
                files: shares && may(FILES),
                wake: may(WAKE),
            };
            callers.insert(ip, caller);
        }
    }
    callers
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_tailcfg::{CapGrant, FilterRule};

    #[test]
    fn dns_is_for_ones_own_devices_and_users_of_the_exit_node() {
        let node = |id: u8, user| Node {
            id: id.into(),
            user,
            addresses: vec![format!("100.64.0.{id}/32").parse().unwrap()],
            ..Default::default()
        };
        let own = node(1, 7);
        let map = Netmap {
            own: Some(own.clone()),
            peers: [(2, node(2, 7).into()), (3, node(3, 8).into())].into(),
            filters: Some(Arc::new([("base".to_owned(), vec![FilterRule::allow_all()])].into())),
            ..Default::default()
        };
        let may = |prefs: &Prefs| -> Vec<bool> {
            let mut rules = crate::rules::Rules::default();
            rules.follow(&map, prefs, &crate::LocalNetwork::default());
            callers(&map, &own, prefs, rules.filter()).values().map(|caller| caller.dns).collect()
        };
        assert_eq!(may(&Prefs::default()), [true, false]);
        assert_eq!(may(&Prefs { advertise_exit_node: true, ..Default::default() }), [true, true]);
    }

    #[test]
    fn files_and_waking_are_for_ones_own_devices_and_who_is_granted_it() {
        let node = |id: u8, user| Node {
            id: id.into(),
            user,
            addresses: vec![format!("100.64.0.{id}/32").parse().unwrap()],
            ..Default::default()
        };
        let mut own = node(1, 7);
        let grant = |capability: &str| FilterRule {
            src_ips: vec!["100.64.0.3".into()],
            cap_grant: vec![CapGrant {
                dsts: own.addresses.clone(),
                cap_map: [(capability.to_owned(), None)].into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let rules = vec![grant(FILES[0]), grant(WAKE[1])];
        let tagged = Node { tags: vec!["tag:a".into()], ..node(4, 7) };
        let map = Netmap {
            own: Some(own.clone()),
            peers: [(2, node(2, 7).into()), (3, node(3, 8).into()), (4, tagged.into()), (5, node(5, 8).into())].into(),
            filters: Some(Arc::new([("base".to_owned(), rules)].into())),
            ..Default::default()
        };
        let may = |own: &Node| -> Vec<(bool, bool)> {
            let callers = callers(&map, own, &Prefs::default(), &Filter::closed());
            callers.values().map(|caller| (caller.files, caller.wake)).collect()
        };
        // The network has no file sharing.
        assert_eq!(may(&own), [(false, true), (false, true), (false, false), (false, false)]);
        own.cap_map = Some([(FILE_SHARING.to_owned(), None)].into());
        assert_eq!(may(&own), [(true, true), (true, true), (false, false), (false, false)]);
        // A box with a tag has no owner whose devices could be its own.
        own.tags = vec!["tag:router".into()];
        assert_eq!(may(&own), [(false, false), (true, true), (false, false), (false, false)]);
    }
}
