//! `nodeAttrs`: flags and values in the capability map of machines, and address pools.

use crate::{Policy, ipset::IpSet, resolve::Resolver};
use hearthgate_tailcfg::{CapMap, TAILNET_V4};
use ipnet::IpNet;
use std::collections::HashMap;

/// Ports on which Funnel may listen.
const FUNNEL_PORTS: &str = "https://tailscale.com/cap/funnel-ports?ports=443,8443,10000";

/// Capability maps of machines; machines with the same attributes share one.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    maps: Vec<CapMap>,
    of: Vec<u32>,
}

impl Attributes {
    /// What the policy gives a machine.
    pub(crate) fn of(&self, machine: usize) -> Option<&CapMap> {
        self.maps.get(*self.of.get(machine)? as usize)
    }
}

/// Whether addresses may be given out of a pool.
pub(crate) fn pool_allowed(net: IpNet) -> bool {
    let meets = |text: &str| text.parse::<IpNet>().is_ok_and(|other| other.contains(&net) || net.contains(&other));
    IpNet::V4(TAILNET_V4).contains(&net)
        && !["100.100.0.0/24", "100.100.100.0/24", "100.115.92.0/23"].into_iter().any(meets)
}

/// The capability map of machines that these entries are for.
fn map_of(policy: &Policy, fits: &[bool]) -> CapMap {
    let chosen = || policy.node_attrs.iter().zip(fits).filter(|(_, f)| **f).map(|(a, _)| a);
    let mut map = CapMap::new();
    if policy.randomize_client_port {
        map.insert("randomize-client-port".into(), None);
    }
    if policy.disable_ipv4 {
        map.insert("disable-ipv4".into(), None);
    }
    if let Some(v) = &policy.one_cgnat_route {
        let on = matches!(v.as_str(), "mac-always" | "always" | "true");
        map.insert(format!("one-cgnat?v={on}"), None);
    }
    for name in chosen().flat_map(|a| &a.attr) {
        map.entry(name.clone()).or_insert(None);
        if name == "funnel" {
            map.insert(FUNNEL_PORTS.into(), None);
        }
    }
    for (name, values) in chosen().flat_map(|a| &a.app) {
        let list = map.entry(name.clone()).or_insert(None);
        if let Some(values) = values {
            list.get_or_insert_default().extend(values.iter().cloned());
        }
    }
    map
}

pub(crate) fn compile(r: &Resolver<'_>) -> Attributes {
    let policy = r.policy;
    let of_all = |fits: &[bool]| map_of(policy, fits);
    if policy.node_attrs.is_empty() {
        return Attributes { maps: vec![of_all(&[])], of: vec![0; r.net.machines.len()] };
    }
    let targets: Vec<Vec<std::sync::Arc<IpSet>>> =
        policy.node_attrs.iter().map(|a| a.target.iter().map(|t| r.set(&t.value)).collect()).collect();
    let mut out = Attributes::default();
    let mut known: HashMap<Vec<bool>, u32> = HashMap::new();
    for machine in &r.net.machines {
        let fits: Vec<bool> =
            targets.iter().map(|sets| sets.iter().any(|s| machine.ips.iter().any(|ip| s.contains(*ip)))).collect();
        let fresh = u32::try_from(out.maps.len()).unwrap_or(u32::MAX);
        let id = *known.entry(fits).or_insert_with_key(|fits| {
            out.maps.push(of_all(fits));
            fresh
        });
        out.of.push(id);
    }
    out
}

impl crate::Engine {
    /// Capabilities a machine has by itself: those every machine has, and what `nodeAttrs` give it.
    #[must_use]
    pub fn capabilities(&self, machine: usize) -> CapMap {
        let mut caps = self.attributes.of(machine).cloned().unwrap_or_default();
        caps.entry("https://tailscale.com/cap/file-sharing".into()).or_insert(None);
        caps.entry("https://tailscale.com/cap/ssh".into()).or_insert(None);
        caps.entry("default-auto-update".into()).or_insert_with(|| Some(vec![serde_json::Value::Bool(false)]));
        caps
    }

    /// What `nodeAttrs` give a machine.
    #[must_use]
    pub fn node_attributes(&self, machine: usize) -> CapMap {
        self.attributes.of(machine).cloned().unwrap_or_default()
    }

    /// Whether a machine has no IPv4 address as far as clients are told.
    #[must_use]
    pub fn hides_ipv4(&self, machine: usize) -> bool {
        self.attributes.of(machine).is_some_and(|a| a.contains_key("disable-ipv4"))
    }
}
