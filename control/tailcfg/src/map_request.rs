//! Body of `/machine/map` (`tailcfg.MapRequest`).

use crate::{hostinfo::Hostinfo, is_false};
use hearthgate_keys::{DiscoPublic, NodePublic};
use hearthgate_read::struct_of;
use serde::Serialize;
use std::net::SocketAddr;

/// A poll, an update, or both: see [`Self::stream`] and [`Self::omit_peers`].
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct MapRequest {
    /// Capability version.
    #[serde(rename = "Version")]
    pub version: u32,
    /// `zstd` or empty.
    #[serde(rename = "Compress", skip_serializing_if = "String::is_empty")]
    pub compress: String,
    /// Keep-alives are wanted.
    #[serde(rename = "KeepAlive", skip_serializing_if = "is_false")]
    pub keep_alive: bool,
    /// The node.
    #[serde(rename = "NodeKey")]
    pub node_key: NodePublic,
    /// Its disco key.
    #[serde(rename = "DiscoKey")]
    pub disco_key: DiscoPublic,
    /// The response shall go on for ever.
    #[serde(rename = "Stream", skip_serializing_if = "is_false")]
    pub stream: bool,
    /// Self-description.
    #[serde(rename = "Hostinfo", skip_serializing_if = "Option::is_none")]
    pub hostinfo: Option<Hostinfo>,
    /// Candidate addresses.
    #[serde(rename = "Endpoints", skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<SocketAddr>,
    /// Kinds of the candidates, in parallel: 1 local, 2 STUN, 3 port-mapped, 4 STUN with local port, 5 explicit.
    #[serde(rename = "EndpointTypes", skip_serializing_if = "Vec::is_empty")]
    pub endpoint_types: Vec<u8>,
    /// With `stream` unset: an update only, no map is wanted.
    #[serde(rename = "OmitPeers", skip_serializing_if = "is_false")]
    pub omit_peers: bool,
    /// Hints for people (`warn-ip-forwarding-off`…).
    #[serde(rename = "DebugFlags", skip_serializing_if = "Vec::is_empty")]
    pub debug_flags: Vec<String>,
}

struct_of!(MapRequest {
    version: "Version",
    compress: "Compress",
    keep_alive: "KeepAlive",
    node_key: "NodeKey",
    disco_key: "DiscoKey",
    stream: "Stream",
    hostinfo: "Hostinfo",
    endpoints: "Endpoints",
    endpoint_types: "EndpointTypes",
    omit_peers: "OmitPeers",
    debug_flags: "DebugFlags",
});
