//! DNS settings (`tailcfg.DNSConfig`).

use crate::{is_false, null::or_default};
use hearthgate_sorted::SortedMap;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// DNS settings of a node. An empty object is "no DNS settings"; the whole is replaced when sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsConfig {
    /// Resolvers that replace the client's own.
    #[serde(rename = "Resolvers", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub resolvers: Vec<Resolver>,
    /// Split DNS by suffix; an empty or absent list makes the client answer for the suffix itself.
    #[serde(rename = "Routes", deserialize_with = "or_default", skip_serializing_if = "SortedMap::is_empty")]
    pub routes: SortedMap<String, Option<Vec<Resolver>>>,
    /// Resolvers for platforms that cannot split without a default.
    #[serde(rename = "FallbackResolvers", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub fallback_resolvers: Vec<Resolver>,
    /// Search domains without a trailing dot.
    #[serde(rename = "Domains", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// MagicDNS is on.
    #[serde(rename = "Proxied", skip_serializing_if = "is_false")]
    pub proxied: bool,
    /// Names for which the node may get certificates.
    #[serde(rename = "CertDomains", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub cert_domains: Vec<String>,
    /// Extra A and AAAA records.
    #[serde(rename = "ExtraRecords", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub extra_records: Vec<DnsRecord>,
    /// Names that an exit node's DNS proxy refuses.
    #[serde(rename = "ExitNodeFilteredSet", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub exit_node_filtered_set: Vec<String>,
}

/// A resolver (`dnstype.Resolver`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Resolver {
    /// IP, IP and port, or a DNS-over-HTTPS URL.
    #[serde(rename = "Addr", skip_serializing_if = "String::is_empty")]
    pub addr: String,
    /// Addresses of the URL's host.
    #[serde(rename = "BootstrapResolution", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub bootstrap_resolution: Vec<IpAddr>,
    /// Used with an exit node too (capability version 125).
    #[serde(rename = "UseWithExitNode", skip_serializing_if = "is_false")]
    pub use_with_exit_node: bool,
}

/// An extra record: clients answer A and AAAA only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsRecord {
    /// Name.
    #[serde(rename = "Name", alias = "name")]
    pub name: String,
    /// `A`, `AAAA`, or empty for whichever the value is.
    #[serde(rename = "Type", alias = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Address.
    #[serde(rename = "Value", alias = "value")]
    pub value: String,
}
