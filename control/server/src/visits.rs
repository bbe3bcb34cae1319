//! The last device that came to this server from outside by itself: not from the LAN, not through a front, and not from
//! the LAN by way of the household's own public address (NAT loopback, RFC 4787 section 6). That proves that the world
//! reaches this box, where all else is guessing. In memory only.

use crate::state::App;
use hearthgate_addresses::{Scope, scope};
use hearthgate_core::{NodeId, Snapshot, host_of};
use hearthgate_http::spawn;
use hearthgate_tailcfg::DerpMap;
use hearthgate_web::outside::{Visit, is_outside, same_household};
use portable_atomic::{AtomicBool, Ordering::Relaxed};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{net::lookup_host, time::timeout};

/// How long it is believed where the server's name leads; an address at home changes once a day at most.
const NAME_KEPT: Duration = Duration::from_secs(300);
/// How long finding that out may take.
const LOOKUP_WITHIN: Duration = Duration::from_secs(5);
/// Most addresses of the name that are looked at.
const ADDRESSES_MAX: usize = 16;

/// Where the last one is noted.
#[derive(Debug, Default)]
pub struct Visits {
    last: Mutex<Option<(NodeId, Instant)>>,
    /// Where the server's name leads, and when that was found out.
    named: Mutex<Option<(Instant, String, Vec<IpAddr>)>>,
    looking: AtomicBool,
}

impl Visits {
    /// A node of the network came from `source`; `None` is a front.
    pub(crate) fn note(&self, app: &App, node: NodeId, source: Option<IpAddr>) {
        // Most come from the LAN, and are not worth a look at the interfaces.
        let Some(source) = source.filter(|ip| scope(*ip) == Scope::Global) else { return };
        let snap = app.control.current();
        // Of its interfaces; what others tell of the household comes beside.
        let local = crate::admin::own_addresses(&app.admin);
        let mut own = local.clone();
        own.extend(known(&snap.settings.server_url, &snap.derp_map, seen_by_front(app)));
        own.extend(crate::dyndns::seen_addresses(app));
        own.extend(app.portmap.address().map(IpAddr::V4));
        if !is_outside(source, &own) {
            return;
        }
        let host = host_of(&snap.settings.server_url).to_owned();
        if host.parse::<IpAddr>().is_ok() {
            return self.set(node);
        }
        if let Some(named) = self.named(&host) {
            if proves(source, &named, &snap, node, &local) {
                self.set(node);
            }
            return;
        }
        // Where the name leads is often the only thing that tells the own address. One look at a time: the next device
        // that comes is as good a proof.
        if self.looking.swap(true, Relaxed) {
            return;
        }
        let app = app.clone();
        spawn(async move {
            let found = timeout(LOOKUP_WITHIN, lookup_host((host.as_str(), 443))).await;
            // A name that leads nowhere is not looked for at every request all the same.
            let all = found.ok().and_then(Result::ok);
            let named: Vec<IpAddr> = all.into_iter().flatten().take(ADDRESSES_MAX).map(|a| a.ip()).collect();
            // Not what was known before: meanwhile the node may have told its endpoints.
            if proves(source, &named, &app.control.current(), node, &local) {
                app.visits.set(node);
            }
            *app.visits.named.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), host, named));
            app.visits.looking.store(false, Relaxed);
        });
    }

    fn set(&self, node: NodeId) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((node, Instant::now()));
    }

    fn named(&self, host: &str) -> Option<Vec<IpAddr>> {
        let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = named.as_ref().filter(|(at, name, _)| at.elapsed() < NAME_KEPT && name == host);
        fresh.map(|(_, _, addresses)| addresses.clone())
    }

    /// The last one, if it is still there.
    pub(crate) fn last(&self, snap: &Snapshot) -> Option<Visit> {
        let (id, at) = (*self.last.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(Visit { name: snap.node(id)?.given_name.clone(), ago_s: at.elapsed().as_secs() })
    }
}

/// Whether a node that came from `source` came from outside, with a name that leads to `named` and a box
/// with the interfaces `local`. A name
/// that leads nowhere, or cannot be looked up here, tells of no address; then the devices do that are at home.
fn proves(source: IpAddr, named: &[IpAddr], snap: &Snapshot, node: NodeId, local: &[IpAddr]) -> bool {
    if !named.is_empty() {
        return is_outside(source, named);
    }
    let Some(came) = snap.node(node) else { return false };
    let others: Vec<&[SocketAddr]> = snap.nodes().map(|n| n.path.endpoints.as_slice()).collect();
    unnamed(source, &came.path.endpoints, &others, local)
}

/// Whether a device with these endpoints came from outside, where nothing but the endpoints of `all` devices tells the
/// household's public addresses. One that has told none yet may be anywhere. One in a home elsewhere that is numbered
/// like this one is taken for one of this home: another proof will come.
fn unnamed(source: IpAddr, came: &[SocketAddr], all: &[&[SocketAddr]], own: &[IpAddr]) -> bool {
    if came.is_empty() || at_home(came, own) {
        return false;
    }
    let of_home = all.iter().filter(|endpoints| at_home(endpoints, own)).copied().flatten();
    is_outside(source, &of_home.map(SocketAddr::ip).collect::<Vec<_>>())
}

/// Whether one of a device's endpoints is in a local network that this box is in.
fn at_home(endpoints: &[SocketAddr], own: &[IpAddr]) -> bool {
    // Every link has the same link-local network, so it tells nothing.
    let local = |ip: &IpAddr| {
        let link = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        scope(*ip) == Scope::Local && !link
    };
    let own: Vec<IpAddr> = own.iter().copied().filter(local).collect();
    endpoints.iter().map(|e| e.ip().to_canonical()).filter(local).any(|ip| same_household(ip, &own))
}

/// Public addresses of this household that something else tells: the URL, the relay of this box, a front.
fn known(server_url: &str, relays: &DerpMap, seen: Option<IpAddr>) -> Vec<IpAddr> {
    let host = host_of(server_url);
    let nodes = relays.regions.values().flat_map(|r| &r.nodes).filter(|n| n.host_name.eq_ignore_ascii_case(host));
    let told = nodes.flat_map(|n| [n.ipv4.as_str(), n.ipv6.as_str()]).chain([host]);
    told.filter_map(|text| text.parse().ok()).chain(seen).collect()
}

/// Where a front saw this box.
#[cfg(feature = "front")]
fn seen_by_front(app: &App) -> Option<IpAddr> {
    app.fronts.view()?.seen.map(|s| s.reached.address)
}

#[cfg(not(feature = "front"))]
fn seen_by_front(_app: &App) -> Option<IpAddr> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_at_home_that_comes_by_the_public_address_is_not_outside() {
        let relays: DerpMap = serde_json::from_value(serde_json::json!({ "Regions": {
            "900": { "RegionID": 900, "RegionCode": "home", "RegionName": "Home", "Nodes": [
                { "Name": "900a", "RegionID": 900, "HostName": "vpn.example.org", "IPv4": "198.51.100.7", "IPv6": "none" } ] },
            "901": { "RegionID": 901, "RegionCode": "far", "RegionName": "Far", "Nodes": [
                { "Name": "901a", "RegionID": 901, "HostName": "far.example.org", "IPv4": "192.0.2.9" } ] },
        } })).expect("a map");
        let outside = |source: &str, url: &str, seen: Option<&str>| {
            let known = known(url, &relays, seen.map(|s| s.parse().expect("an address")));
            is_outside(source.parse().expect("an address"), &known)
        };
        assert!(!outside("198.51.100.7", "https://VPN.example.org:8443", None), "told by the relay");
        assert!(outside("192.0.2.9", "https://vpn.example.org", None), "somebody else's relay");
        assert!(!outside("203.0.113.5", "https://203.0.113.5/", None), "told by the URL");
        assert!(!outside("2001:db8:5::9", "https://[2001:db8:5::1]:8443", None));
        assert!(!outside("203.0.113.5", "https://vpn.example.org", Some("203.0.113.5")), "told by a front");
        assert!(outside("203.0.113.5", "https://vpn.example.org", Some("203.0.114.5")));
    }

    #[test]
    fn without_a_name_that_leads_anywhere_the_devices_at_home_tell() {
        let own: Vec<IpAddr> = ["127.0.0.1", "192.168.1.1", "fe80::1", "fd00:1::1"]
            .iter()
            .map(|a| a.parse().expect("an address"))
            .collect();
        let of = |all: &[&str]| -> Vec<SocketAddr> { all.iter().map(|e| e.parse().expect("an endpoint")).collect() };
        let printer = of(&["192.168.1.9:41641", "203.0.113.5:41641"]);
        let away = of(&["10.0.0.4:41641", "198.51.100.8:1024", "[fe80::2]:41641"]);
        let all: [&[SocketAddr]; 2] = [&printer, &away];
        let outside = |source: &str, came: &[&str], all: &[&[SocketAddr]]| {
            unnamed(source.parse().expect("an address"), &of(came), all, &own)
        };
        let phone = ["192.168.1.7:41641", "203.0.113.5:9999"];
        assert!(!outside("203.0.113.5", &phone, &[]), "at home, by NAT loopback");
        assert!(!outside("203.0.113.5", &["[fd00:1::7]:41641"], &[]), "by IPv6 as well");
        assert!(outside("198.51.100.8", &["10.0.0.4:41641", "[fe80::2]:41641"], &all), "at work");
        assert!(outside("198.51.100.8", &["198.51.100.8:41641"], &[]), "a machine in the Internet");
        assert!(!outside("203.0.113.5", &["203.0.113.5:41641"], &all), "the printer has told that this is home");
        assert!(outside("203.0.113.5", &["203.0.113.5:41641"], &[&away]), "nobody has");
        assert!(!outside("198.51.100.8", &[], &all), "it has not told anything yet");
        assert!(
            !outside("198.51.100.8", &["127.0.0.1:1"], &[&of(&["192.168.1.2:1", "198.51.100.77:1"])]),
            "one network"
        );
    }
}
