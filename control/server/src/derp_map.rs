//! The DERP map: the built-in relay, and regions from files.

use crate::{Options, StartError};
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::{DerpMap, DerpNode, DerpRegion};
use serde::Deserialize;
use std::{fs, net::IpAddr};

/// Largest map file.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// Further regions, as files and URLs give them.
#[derive(Deserialize)]
pub(crate) struct File {
    #[serde(rename = "Regions")]
    regions: SortedMap<i32, Option<DerpRegion>>,
}

impl File {
    /// Whether no region has a relay.
    pub(crate) fn is_empty(&self) -> bool {
        self.regions.values().flatten().all(|region| region.nodes.is_empty())
    }

    fn put_into(self, map: &mut DerpMap) {
        for (id, region) in self.regions {
            match region {
                // Clients once crashed on regions without relays.
                Some(region) if !region.nodes.is_empty() => map.regions.insert(id, region),
                _ => map.regions.remove(&id),
            };
        }
    }
}

/// What a front offers to the nodes of this box.
#[cfg_attr(not(feature = "front"), allow(dead_code, reason = "only a build with fronts has one"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrontRegion {
    /// Its IPv4 address.
    pub(crate) ipv4: Option<String>,
    /// Its IPv6 address.
    pub(crate) ipv6: Option<String>,
    /// TCP port of its relay.
    pub(crate) port: u16,
    /// UDP port of its STUN; 0 for none.
    pub(crate) stun_port: u16,
    /// Its relay: name for TLS, and pin.
    pub(crate) relay: Option<(String, String)>,
}

/// Puts the map together: our own relay, that of a front, then regions of URLs, then those of files, the later winning. `pin` is the
/// certificate pin of a self-signed relay.
///
/// # Errors
/// A file cannot be read, or is no DERP map.
pub(crate) fn build(
    options: &Options,
    pin: Option<&str>,
    front: Option<&FrontRegion>,
    from_urls: Vec<File>,
) -> Result<DerpMap, StartError> {
    let mut map = DerpMap::default();
    if options.derp.enabled && options.derp.in_map {
        let mut region = embedded(options, pin);
        // The name in our URL is the front's address: STUN there is the front's, and belongs to the nearer relay.
        let stun = front.map(|f| if f.relay.is_some() { 0 } else { f.stun_port });
        if let (Some(port), Some(node)) = (stun, region.nodes.first_mut()) {
            node.stun_port = stun_port(port);
        }
        map.regions.insert(i32::from(options.derp.region_id), region);
    }
    if let Some(region) = front.and_then(|f| beside(f, i32::from(options.derp.region_id) + 1)) {
        map.regions.insert(region.region_id, region);
    }
    for file in from_urls {
        file.put_into(&mut map);
    }
    for path in &options.derp.paths {
        let wrong = |message: String| StartError::File { path: path.clone(), message };
        let size = fs::metadata(path).map_err(StartError::io("reading", path.display().to_string()))?.len();
        if size > FILE_MAX {
            return Err(wrong(format!("a DERP map of {size} bytes is too large")));
        }
        let text = fs::read_to_string(path).map_err(StartError::io("reading", path.display().to_string()))?;
        let file: File =
            serde_json::from_slice(text.as_bytes()).map_err(|e| wrong(format!("this is no DERP map in JSON: {e}")))?;
        file.put_into(&mut map);
    }
    Ok(map)
}

/// Port as a DERP map has it: 0 would be the usual one.
fn stun_port(port: u16) -> i32 {
    if port == 0 { -1 } else { i32::from(port) }
}

/// The region of a front's relay.
fn beside(front: &FrontRegion, id: i32) -> Option<DerpRegion> {
    let (host_name, pin) = front.relay.clone()?;
    let none = || "none".to_owned();
    let node = DerpNode {
        name: format!("{id}a"),
        region_id: id,
        host_name,
        cert_name: pin,
        ipv4: front.ipv4.clone().unwrap_or_else(none),
        ipv6: front.ipv6.clone().unwrap_or_else(none),
        stun_port: stun_port(front.stun_port),
        derp_port: i32::from(front.port),
        ..Default::default()
    };
    Some(DerpRegion {
        region_id: id,
        region_code: "front".into(),
        region_name: "Front".into(),
        nodes: vec![node],
        ..Default::default()
    })
}

fn embedded(options: &Options, pin: Option<&str>) -> DerpRegion {
    let derp = &options.derp;
    let url = &options.settings.server_url;
    let (scheme, authority) = url.split_once("://").unwrap_or(("http", url));
    let (host, port) = split_host(authority);
    let default_port = if scheme == "https" { 443 } else { 80 };
    let literal: Option<IpAddr> = host.parse().ok();
    let text = |configured: Option<String>, from_host: Option<String>| configured.or(from_host).unwrap_or_default();
    let (host_v4, host_v6) = match literal {
        Some(IpAddr::V4(ip)) => (Some(ip.to_string()), Some("none".to_owned())),
        Some(IpAddr::V6(ip)) => (Some("none".to_owned()), Some(ip.to_string())),
        None => (None, None),
    };
    let id = i32::from(derp.region_id);
    let node = DerpNode {
        name: format!("{id}a"),
        region_id: id,
        host_name: host.to_owned(),
        cert_name: pin.unwrap_or_default().to_owned(),
        ipv4: text(derp.ipv4.map(|i| i.to_string()), host_v4),
        ipv6: text(derp.ipv6.map(|i| i.to_string()), host_v6),
        stun_port: derp.stun_listen.map_or(-1, |a| i32::from(a.port())),
        derp_port: i32::from(port.unwrap_or(default_port)),
        ..Default::default()
    };
    DerpRegion {
        region_id: id,
        region_code: derp.region_code.clone(),
        region_name: derp.region_name.clone(),
        nodes: vec![node],
        ..Default::default()
    }
}

/// Host without brackets, and port.
fn split_host(authority: &str) -> (&str, Option<u16>) {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, tail) = rest.split_once(']').unwrap_or((rest, ""));
        return (host, tail.strip_prefix(':').and_then(|p| p.parse().ok()));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_front_takes_stun_and_a_region_of_its_own() {
        let mut options = Options::new(std::path::Path::new("/nowhere"), ([127, 0, 0, 1], 0).into());
        options.settings.server_url = "https://vpn.example.org".into();
        options.derp.stun_listen = Some(([0, 0, 0, 0], 3478).into());
        let mut front = FrontRegion {
            ipv4: Some("203.0.113.7".into()),
            ipv6: None,
            port: 443,
            stun_port: 3478,
            relay: Some(("relay.front.internal".into(), "sha256-raw:00".into())),
        };
        let stun = |map: &DerpMap, id: i32| map.regions[&id].nodes[0].stun_port;
        let map = build(&options, None, None, Vec::new()).unwrap();
        assert!(map.regions.len() == 1 && stun(&map, 900) == 3478);
        let map = build(&options, None, Some(&front), Vec::new()).unwrap();
        assert_eq!((stun(&map, 900), stun(&map, 901)), (-1, 3478), "STUN at the URL's address is the front's");
        let node = &map.regions[&901].nodes[0];
        assert_eq!((node.ipv4.as_str(), node.ipv6.as_str(), node.derp_port), ("203.0.113.7", "none", 443));
        front.relay = None;
        let map = build(&options, None, Some(&front), Vec::new()).unwrap();
        assert!(map.regions.len() == 1 && stun(&map, 900) == 3478);
        front.stun_port = 0;
        assert_eq!(stun(&build(&options, None, Some(&front), Vec::new()).unwrap(), 900), -1);
    }
}
