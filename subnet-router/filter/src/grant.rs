//! Capabilities that rules grant a source at a destination (`wgengine/filter/filter.go`, `CapsWithValues`).

use crate::{Range, parse::ranges};
use hearthgate_tailcfg::FilterRule;
use std::net::IpAddr;

/// Whether a rule grants `source` this capability at `destination`. `has` tells whether the source has a node
/// capability, which rules can name in place of an address. What cannot be read grants nothing.
pub fn granted<'a>(
    rules: impl IntoIterator<Item = &'a FilterRule>,
    source: IpAddr,
    destination: IpAddr,
    capability: &str,
    has: impl Fn(&str) -> bool,
) -> bool {
    let covers = |range: &Range| range.is_v4() == source.is_ipv4() && range.first <= source && source <= range.last;
    let from = |text: &String| match text.strip_prefix("cap:") {
        Some(name) => has(name),
        None => ranges(text).is_ok_and(|ranges| ranges.iter().any(covers)),
    };
    rules.into_iter().any(|rule| {
        let gives = rule.cap_grant.iter().any(|grant| {
            let named = grant.cap_map.contains_key(capability) || grant.caps.iter().any(|name| name == capability);
            named && grant.dsts.iter().any(|net| net.contains(&destination))
        });
        gives && rule.src_ips.iter().any(from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_tailcfg::CapGrant;

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
        let may = |source: &str, destination: &str, capability: &str, holds: bool| {
            let ip = |text: &str| text.parse().expect("address");
            granted(&rules, ip(source), ip(destination), capability, |name| holds && name == "x/holder")
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
