//! The DNS part of a map (`tailcfg.DNSConfig`).

use crate::{Node, Settings, cert_domain};
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::{DnsConfig, Resolver};

/// DNS settings as `node` gets them; with `None` as every node would without certificates.
#[must_use]
pub fn dns_config(settings: &Settings, node: Option<&Node>) -> DnsConfig {
    let resolvers = |list: &[String]| -> Vec<Resolver> {
        list.iter().map(|addr| Resolver { addr: addr.clone(), ..Default::default() }).collect()
    };
    let mut routes: SortedMap<String, Option<Vec<Resolver>>> =
        settings.split_dns.iter().map(|(suffix, list)| (suffix.clone(), Some(resolvers(list)))).collect();
    let mut domains = Vec::new();
    if settings.magic_dns {
        domains.push(settings.base_domain.clone());
        // An empty list: the client answers for the suffix itself.
        routes.entry(settings.base_domain.clone()).or_insert(Some(Vec::new()));
    }
    domains.extend(settings.search_domains.iter().filter(|d| **d != settings.base_domain).cloned());
    let global = resolvers(&settings.resolvers);
    let (resolvers, fallback_resolvers) =
        if settings.override_local_dns { (global, Vec::new()) } else { (Vec::new(), global) };
    DnsConfig {
        resolvers,
        fallback_resolvers,
        routes,
        domains,
        proxied: settings.magic_dns,
        extra_records: settings.extra_records.clone(),
        cert_domains: node.and_then(|n| cert_domain(settings, n)).into_iter().collect(),
        ..Default::default()
    }
}
