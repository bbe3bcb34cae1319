//! Capabilities that rules grant a source at a destination (`wgengine/filter/filter.go`, `CapsWithValues`).

use crate::{Range, parse::ranges};
use hearthgate_tailcfg::{CapGrant, FilterRule};
use std::net::IpAddr;

/// The rules that grant anything, read once for many questions.
#[derive(Debug, Clone, Default)]
pub struct Grants<'a>(Vec<Granting<'a>>);

#[derive(Debug, Clone)]
struct Granting<'a> {
    /// Node capabilities, one of which a source may have in place of an address.
    holders: Vec<&'a str>,
    sources: Vec<Range>,
    grants: &'a [CapGrant],
}

impl<'a> Grants<'a> {
    /// Of these rules. What cannot be read grants nothing.
    pub fn new(rules: impl IntoIterator<Item = &'a FilterRule>) -> Self {
        // Most rules grant nothing, and a network may have thousands.
        let granting = rules.into_iter().filter(|rule| !rule.cap_grant.is_empty()).map(|rule| {
            let (mut holders, mut sources) = (Vec::new(), Vec::new());
            for text in &rule.src_ips {
                match text.strip_prefix("cap:") {
                    Some(name) => holders.push(name),
                    None => sources.extend(ranges(text).into_iter().flatten()),
                }
            }
            Granting { holders, sources, grants: &rule.cap_grant }
        });
        Self(granting.collect())
    }

    /// Whether `source` has this capability at `destination`. `has` tells whether the source has a node capability.
    pub fn give(&self, source: IpAddr, destination: IpAddr, capability: &str, has: impl Fn(&str) -> bool) -> bool {
        let covers = |range: &Range| range.is_v4() == source.is_ipv4() && range.first <= source && source <= range.last;
        self.0.iter().any(|rule| {
            let gives = rule.grants.iter().any(|grant| {
                let named = grant.cap_map.contains_key(capability) || grant.caps.iter().any(|name| name == capability);
                named && grant.dsts.iter().any(|net| net.contains(&destination))
            });
            gives && (rule.sources.iter().any(covers) || rule.holders.iter().any(|name| has(name)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_names_source_destination_and_capability() {
        let grant = |caps: &[&str], map: &[&str]| CapGrant {
            dsts: vec!["100.64.0.1/32".parse().expect("net")],
            caps: caps.iter().map(|&name| name.to_owned()).collect(),
            cap_map: map.iter().map(|&name| (name.to_owned(), None)).collect(),
        };
        let rule = |sources: &[&str], grant| FilterRule {
            src_ips: sources.iter().map(|&text| text.to_owned()).collect(),
            cap_grant: vec![grant],
            ..Default::default()
        };
        let rules = [
            rule(&["100.64.0.2", "100.64.0.8-100.64.0.9"], grant(&[], &["x/wake"])),
            rule(&["cap:x/holder"], grant(&["x/files"], &[])),
            rule(&["nonsense"], grant(&[], &["x/other"])),
        ];
        let grants = Grants::new(&rules);
        let may = |source: &str, destination: &str, capability: &str, holds: bool| {
            let ip = |text: &str| text.parse().expect("address");
            grants.give(ip(source), ip(destination), capability, |name| holds && name == "x/holder")
        };
        assert!(may("100.64.0.2", "100.64.0.1", "x/wake", false));
        assert!(may("100.64.0.9", "100.64.0.1", "x/wake", false));
        assert!(!may("100.64.0.3", "100.64.0.1", "x/wake", false));
        assert!(!may("100.64.0.2", "100.64.0.4", "x/wake", false));
        assert!(!may("100.64.0.2", "100.64.0.1", "x/files", false));
        assert!(may("fd7a::2", "100.64.0.1", "x/files", true));
        assert!(!may("100.64.0.2", "100.64.0.1", "x/other", false));
    }
}
