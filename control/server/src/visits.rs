//! The last device that came to this server from outside by itself: not from the LAN, not through a front, and not from
//! the LAN by way of the household's own public address (NAT loopback, RFC 4787 section 6). That proves that the world
//! reaches this box, where all else is guessing. In memory only.

use crate::state::App;
use hearthgate_addresses::{Scope, scope};
use hearthgate_core::{NodeId, Snapshot, host_of};
use hearthgate_http::spawn;
use hearthgate_tailcfg::DerpMap;
use hearthgate_web::outside::{Visit, is_outside};
use portable_atomic::{AtomicBool, Ordering::Relaxed};
use std::{
    net::IpAddr,
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
        let mut own = crate::admin::own_addresses(&app.admin);
        own.extend(known(&snap.settings.server_url, &snap.derp_map, seen_by_front(app)));
        own.extend(crate::dyndns::seen_addresses(app));
        if !is_outside(source, &own) {
            return;
        }
        let host = host_of(&snap.settings.server_url).to_owned();
        if host.parse::<IpAddr>().is_ok() {
            return self.set(node);
        }
        if let Some(named) = self.named(&host) {
            if is_outside(source, &named) {
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
            // A name that leads nowhere tells of no address; it is not looked for at every request all the same.
            let all = found.ok().and_then(Result::ok);
            let named: Vec<IpAddr> = all.into_iter().flatten().take(ADDRESSES_MAX).map(|a| a.ip()).collect();
            if is_outside(source, &named) {
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
}
