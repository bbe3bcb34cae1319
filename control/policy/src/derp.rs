//! The `derpMap` of a policy: relays of one's own beside or instead of the server's.
//!
//! Source: `tailcfg/derpmap.go` of tailscale.com v1.102.5, and Tailscale's documentation of custom DERP servers.

use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::{DerpMap, DerpRegion};
use serde::Deserialize;

/// Regions by number; `null` takes one of the server's away.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyDerpMap {
    #[serde(rename = "OmitDefaultRegions", alias = "omitDefaultRegions")]
    omit_default_regions: bool,
    #[serde(rename = "Regions", alias = "regions")]
    regions: SortedMap<i32, Option<DerpRegion>>,
}

impl PolicyDerpMap {
    /// The map that clients get where the server's own is `base`.
    #[must_use]
    pub fn over(&self, base: &DerpMap) -> DerpMap {
        let mut map = base.clone();
        if self.omit_default_regions {
            map.regions.clear();
        }
        for (id, region) in &self.regions {
            match region {
                Some(region) => map.regions.insert(*id, region.clone()),
                None => map.regions.remove(id),
            };
        }
        map
    }
}
