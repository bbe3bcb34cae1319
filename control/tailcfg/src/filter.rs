//! Packet filter rules (`tailcfg.FilterRule`): inbound, evaluated by the destination.

use crate::node::CapMap;
use hearthgate_read::struct_of;
use ipnet::IpNet;
use serde::Serialize;

/// One rule: it has destinations with ports, or grants capabilities, never both.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct FilterRule {
    /// Sources: address, prefix, `a-b`, `*`, or `cap:<node capability>` (capability version 109).
    #[serde(rename = "SrcIPs")]
    pub src_ips: Vec<String>,
    /// Destinations.
    #[serde(rename = "DstPorts", skip_serializing_if = "Vec::is_empty")]
    pub dst_ports: Vec<NetPortRange>,
    /// IP protocol numbers; empty is TCP, UDP, ICMP and ICMPv6.
    #[serde(rename = "IPProto", skip_serializing_if = "Vec::is_empty")]
    pub ip_proto: Vec<i32>,
    /// Capabilities of the sources at these destinations.
    #[serde(rename = "CapGrant", skip_serializing_if = "Vec::is_empty")]
    pub cap_grant: Vec<CapGrant>,
}

struct_of!(FilterRule { src_ips: "SrcIPs", dst_ports: "DstPorts", ip_proto: "IPProto", cap_grant: "CapGrant" });

impl FilterRule {
    /// Everything from everywhere.
    #[must_use]
    pub fn allow_all() -> Self {
        let any = NetPortRange { ip: "*".into(), ports: PortRange { first: 0, last: u16::MAX } };
        Self { src_ips: vec!["*".into()], dst_ports: vec![any], ..Default::default() }
    }
}

/// A destination.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct NetPortRange {
    /// Address, prefix, `a-b` or `*`.
    #[serde(rename = "IP")]
    pub ip: String,
    /// Ports.
    #[serde(rename = "Ports")]
    pub ports: PortRange,
}

struct_of!(NetPortRange { ip: "IP", ports: "Ports" });

/// Ports from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PortRange {
    /// Lowest port.
    #[serde(rename = "First")]
    pub first: u16,
    /// Highest port.
    #[serde(rename = "Last")]
    pub last: u16,
}

struct_of!(PortRange { first: "First", last: "Last" });

/// Capabilities granted at destinations.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct CapGrant {
    /// Destinations.
    #[serde(rename = "Dsts")]
    pub dsts: Vec<IpNet>,
    /// Plain capabilities (old form).
    #[serde(rename = "Caps", skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<String>,
    /// Capabilities with values.
    #[serde(rename = "CapMap", skip_serializing_if = "CapMap::is_empty")]
    pub cap_map: CapMap,
}

struct_of!(CapGrant { dsts: "Dsts", caps: "Caps", cap_map: "CapMap" });
