//! DNS settings (`tailcfg.DNSConfig`).

use crate::is_false;
use hearthgate_read::{Keys, Read, Shape, Unfit, deserialize, struct_of};
use hearthgate_sorted::SortedMap;
use serde::Serialize;
use std::net::IpAddr;

/// DNS settings of a node. An empty object is "no DNS settings"; the whole is replaced when sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DnsConfig {
    /// Resolvers that replace the client's own.
    #[serde(rename = "Resolvers", skip_serializing_if = "Vec::is_empty")]
    pub resolvers: Vec<Resolver>,
    /// Split DNS by suffix; an empty or absent list makes the client answer for the suffix itself.
    #[serde(rename = "Routes", skip_serializing_if = "SortedMap::is_empty")]
    pub routes: SortedMap<String, Option<Vec<Resolver>>>,
    /// Resolvers for platforms that cannot split without a default.
    #[serde(rename = "FallbackResolvers", skip_serializing_if = "Vec::is_empty")]
    pub fallback_resolvers: Vec<Resolver>,
    /// Search domains without a trailing dot.
    #[serde(rename = "Domains", skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// MagicDNS is on.
    #[serde(rename = "Proxied", skip_serializing_if = "is_false")]
    pub proxied: bool,
    /// Names for which the node may get certificates.
    #[serde(rename = "CertDomains", skip_serializing_if = "Vec::is_empty")]
    pub cert_domains: Vec<String>,
    /// Extra A and AAAA records.
    #[serde(rename = "ExtraRecords", skip_serializing_if = "Vec::is_empty")]
    pub extra_records: Vec<DnsRecord>,
    /// Names that an exit node's DNS proxy refuses.
    #[serde(rename = "ExitNodeFilteredSet", skip_serializing_if = "Vec::is_empty")]
    pub exit_node_filtered_set: Vec<String>,
}

struct_of!(DnsConfig {
    resolvers: "Resolvers",
    routes: "Routes",
    fallback_resolvers: "FallbackResolvers",
    domains: "Domains",
    proxied: "Proxied",
    cert_domains: "CertDomains",
    extra_records: "ExtraRecords",
    exit_node_filtered_set: "ExitNodeFilteredSet",
});

/// A resolver (`dnstype.Resolver`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Resolver {
    /// IP, IP and port, or a DNS-over-HTTPS URL.
    #[serde(rename = "Addr", skip_serializing_if = "String::is_empty")]
    pub addr: String,
    /// Addresses of the URL's host.
    #[serde(rename = "BootstrapResolution", skip_serializing_if = "Vec::is_empty")]
    pub bootstrap_resolution: Vec<IpAddr>,
    /// Used with an exit node too (capability version 125).
    #[serde(rename = "UseWithExitNode", skip_serializing_if = "is_false")]
    pub use_with_exit_node: bool,
}

struct_of!(Resolver {
    addr: "Addr",
    bootstrap_resolution: "BootstrapResolution",
    use_with_exit_node: "UseWithExitNode",
});

/// An extra record: clients answer A and AAAA only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DnsRecord {
    /// Name.
    #[serde(rename = "Name")]
    pub name: String,
    /// `A`, `AAAA`, or empty for whichever the value is.
    #[serde(rename = "Type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Address.
    #[serde(rename = "Value")]
    pub value: String,
}

impl Read for DnsRecord {
    fn start() -> Self {
        Self::default()
    }

    fn expected(&self) -> &'static str {
        "struct DnsRecord"
    }

    fn begin(&mut self, shape: Shape) -> bool {
        shape == Shape::Object
    }

    /// Files with records that people write have the keys in small letters.
    fn entry(&mut self, key: &str, keys: &mut Keys) -> Result<Option<&mut dyn Read>, Unfit> {
        let number = keys.number(&["Name", "Type", "Value", "name", "type", "value"], key)?;
        Ok(match number {
            Some(0 | 3) => Some(&mut self.name),
            Some(1 | 4) => Some(&mut self.kind),
            Some(2 | 5) => Some(&mut self.value),
            _ => None,
        })
    }
}

deserialize!(DnsRecord);
