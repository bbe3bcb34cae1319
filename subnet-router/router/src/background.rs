//! Work that waits for the network, and its results.

use crate::{Router, relay};
use hearthgate_http::spawn;
use hearthgate_paths::{Event, Region, RegionId, RegionNode};
use std::time::Duration;

/// STUN's port.
const STUN_PORT: u16 = 3478;

/// A result.
pub(crate) enum Done {
    /// The relays, with names resolved.
    Resolved(Vec<Region>),
    /// How far a relay is over HTTPS; `None` if it does not answer.
    HttpsLatency { region: RegionId, latency: Option<Duration> },
}

impl Router {
    /// Looks up the relays' names, in the background; an earlier look-up is of no use any more.
    pub(crate) fn resolve(&mut self) {
        let (map, results) = (self.derp.clone(), self.results.clone());
        let task = spawn(async move {
            let mut regions = Vec::new();
            for region in map.regions.values() {
                let Ok(id) = RegionId::try_from(region.region_id) else { continue };
                let mut nodes = Vec::new();
                for node in region.nodes.iter().filter(|node| node.stun_port >= 0) {
                    let port = u16::try_from(node.stun_port).ok().filter(|&port| port != 0).unwrap_or(STUN_PORT);
                    let found = relay::addresses(node, port).await.unwrap_or_default();
                    nodes.push(RegionNode {
                        name: node.name.clone(),
                        v4: found.iter().find(|addr| addr.is_ipv4()).copied(),
                        v6: found.iter().find(|addr| addr.is_ipv6()).copied(),
                    });
                }
                let scores = map.home_params.as_ref();
                let score =
                    scores.and_then(|params| params.region_score.get(&region.region_id)).copied().unwrap_or(1.0);
                let (avoid, no_measure) = (region.avoid, region.no_measure_no_home);
                regions.push(Region { id, avoid, no_measure, score, nodes });
            }
            // The router stopped meanwhile.
            let _ = results.send(Done::Resolved(regions)).await;
        });
        if let Some(before) = self.resolving.replace(task.abort_handle()) {
            before.abort();
        }
    }

    pub(crate) fn measure_https(&self, region: RegionId) {
        let node =
            self.derp.regions.get(&i32::from(region)).and_then(|r| r.nodes.iter().find(|n| !n.stun_only).cloned());
        let (fetch, results) = (self.fetch.clone(), self.results.clone());
        spawn(async move {
            let latency = match node {
                Some(node) => relay::latency(&node, &fetch).await.ok(),
                None => None,
            };
            // The router stopped meanwhile.
            let _ = results.send(Done::HttpsLatency { region, latency }).await;
        });
    }

    pub(crate) fn finish(&mut self, done: Done) {
        match done {
            Done::Resolved(regions) => self.tell(Event::RelayMap(regions)),
            Done::HttpsLatency { region, latency } => self.tell(Event::HttpsLatency { region, latency }),
        }
    }
}
