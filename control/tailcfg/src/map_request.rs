//! Body of `/machine/map` (`tailcfg.MapRequest`).

use crate::{hostinfo::Hostinfo, is_false, null::or_default};
use hearthgate_keys::{DiscoPublic, NodePublic};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// A poll, an update, or both: see [`Self::stream`] and [`Self::omit_peers`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
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
    #[serde(rename = "Endpoints", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<SocketAddr>,
    /// Kinds of the candidates, in parallel: 1 local, 2 STUN, 3 port-mapped, 4 STUN with local port, 5 explicit.
    #[serde(rename = "EndpointTypes", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub endpoint_types: Vec<u8>,
    /// With `stream` unset: an update only, no map is wanted.
    #[serde(rename = "OmitPeers", skip_serializing_if = "is_false")]
    pub omit_peers: bool,
    /// Hints for people (`warn-ip-forwarding-off`…).
    #[serde(rename = "DebugFlags", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub debug_flags: Vec<String>,
}
