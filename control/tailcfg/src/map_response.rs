//! A message of a map stream (`tailcfg.MapResponse`).

use crate::{
    bytes::Bytes,
    derp::DerpMap,
    dns::DnsConfig,
    filter::FilterRule,
    is_false,
    node::{Node, PeerChange, UserProfile},
    ssh::SshPolicy,
    time::Time,
};
use hearthgate_read::struct_of;
use hearthgate_sorted::SortedMap;
use serde::Serialize;

/// A whole map or a part of one. Absent is "unchanged" everywhere; the first message of a stream must carry
/// [`Self::node`].
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct MapResponse {
    /// A sign of life; all else but a ping is ignored then.
    #[serde(rename = "KeepAlive", skip_serializing_if = "is_false")]
    pub keep_alive: bool,
    /// Something to answer.
    #[serde(rename = "PingRequest", skip_serializing_if = "Option::is_none")]
    pub ping_request: Option<PingRequest>,
    /// The node itself, replaced whole.
    #[serde(rename = "Node", skip_serializing_if = "Option::is_none")]
    pub node: Option<Node>,
    /// Relays.
    #[serde(rename = "DERPMap", skip_serializing_if = "Option::is_none")]
    pub derp_map: Option<DerpMap>,
    /// All peers, sorted by number. Empty is "unchanged", so it is never sent.
    #[serde(rename = "Peers", skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<Node>,
    /// Peers to add or replace, sorted by number.
    #[serde(rename = "PeersChanged", skip_serializing_if = "Vec::is_empty")]
    pub peers_changed: Vec<Node>,
    /// Peers that are gone; applied first.
    #[serde(rename = "PeersRemoved", skip_serializing_if = "Vec::is_empty")]
    pub peers_removed: Vec<i64>,
    /// Patches; applied last, those of unknown peers are ignored.
    #[serde(rename = "PeersChangedPatch", skip_serializing_if = "Vec::is_empty")]
    pub peers_changed_patch: Vec<PeerChange>,
    /// Peers just seen, or (false) gone from sight; the old form of patches, read for other servers' sake.
    #[serde(rename = "PeerSeenChange", skip_serializing_if = "SortedMap::is_empty")]
    pub peer_seen_change: SortedMap<i64, bool>,
    /// Peers that came or went; the old form of patches, read for other servers' sake.
    #[serde(rename = "OnlineChange", skip_serializing_if = "SortedMap::is_empty")]
    pub online_change: SortedMap<i64, bool>,
    /// DNS, replaced whole.
    #[serde(rename = "DNSConfig", skip_serializing_if = "Option::is_none")]
    pub dns_config: Option<DnsConfig>,
    /// Name of the tailnet.
    #[serde(rename = "Domain", skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// False: send PeerAPI services only.
    #[serde(rename = "CollectServices", skip_serializing_if = "Option::is_none")]
    pub collect_services: Option<bool>,
    /// Inbound rules; an empty list blocks everything.
    #[serde(rename = "PacketFilter", skip_serializing_if = "Option::is_none")]
    pub packet_filter: Option<Vec<FilterRule>>,
    /// Inbound rules in named parts: `null` deletes a part, `"*": null` deletes all first.
    #[serde(rename = "PacketFilters", skip_serializing_if = "Option::is_none")]
    pub packet_filters: Option<SortedMap<String, Option<Vec<FilterRule>>>>,
    /// Owners; added or updated, never removed within a stream.
    #[serde(rename = "UserProfiles", skip_serializing_if = "Vec::is_empty")]
    pub user_profiles: Vec<UserProfile>,
    /// Problems to show (clients before capability version 117); empty clears.
    #[serde(rename = "Health", skip_serializing_if = "Option::is_none")]
    pub health: Option<Vec<String>>,
    /// Problems to show; `null` deletes one, `"*": null` deletes all first.
    #[serde(rename = "DisplayMessages", skip_serializing_if = "Option::is_none")]
    pub display_messages: Option<SortedMap<String, Option<DisplayMessage>>>,
    /// SSH rules.
    #[serde(rename = "SSHPolicy", skip_serializing_if = "Option::is_none")]
    pub ssh_policy: Option<SshPolicy>,
    /// The server's time.
    #[serde(rename = "ControlTime", skip_serializing_if = "Time::is_none")]
    pub control_time: Time,
    /// One-shot switches.
    #[serde(rename = "Debug", skip_serializing_if = "Option::is_none")]
    pub debug: Option<Debug>,
    /// News about client versions.
    #[serde(rename = "ClientVersion", skip_serializing_if = "Option::is_none")]
    pub client_version: Option<ClientVersion>,
}

struct_of!(MapResponse {
    keep_alive: "KeepAlive",
    ping_request: "PingRequest",
    node: "Node",
    derp_map: "DERPMap",
    peers: "Peers",
    peers_changed: "PeersChanged",
    peers_removed: "PeersRemoved",
    peers_changed_patch: "PeersChangedPatch",
    peer_seen_change: "PeerSeenChange",
    online_change: "OnlineChange",
    dns_config: "DNSConfig",
    domain: "Domain",
    collect_services: "CollectServices",
    packet_filter: "PacketFilter",
    packet_filters: "PacketFilters",
    user_profiles: "UserProfiles",
    health: "Health",
    display_messages: "DisplayMessages",
    ssh_policy: "SSHPolicy",
    control_time: "ControlTime",
    debug: "Debug",
    client_version: "ClientVersion",
});

/// A question to a client (`tailcfg.PingRequest`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PingRequest {
    /// Where to answer; the same URL twice is ignored.
    #[serde(rename = "URL")]
    pub url: String,
    /// Answer over Noise.
    #[serde(rename = "URLIsNoise", skip_serializing_if = "is_false")]
    pub url_is_noise: bool,
    /// Log it.
    #[serde(rename = "Log", skip_serializing_if = "is_false")]
    pub log: bool,
    /// Empty, `c2n`, or a list of `disco`, `TSMP`, `ICMP`, `peerapi`.
    #[serde(rename = "Types", skip_serializing_if = "String::is_empty")]
    pub types: String,
    /// Address to ping.
    #[serde(rename = "IP", skip_serializing_if = "String::is_empty")]
    pub ip: String,
    /// Raw HTTP request for `c2n`.
    #[serde(rename = "Payload", skip_serializing_if = "Bytes::is_empty")]
    pub payload: Bytes,
}

struct_of!(PingRequest {
    url: "URL",
    url_is_noise: "URLIsNoise",
    log: "Log",
    types: "Types",
    ip: "IP",
    payload: "Payload",
});

/// A problem to show (`tailcfg.DisplayMessage`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DisplayMessage {
    /// Heading.
    #[serde(rename = "Title")]
    pub title: String,
    /// Text.
    #[serde(rename = "Text")]
    pub text: String,
    /// `high`, `medium` or `low`.
    #[serde(rename = "Severity")]
    pub severity: String,
    /// Connectivity suffers.
    #[serde(rename = "ImpactsConnectivity", skip_serializing_if = "is_false")]
    pub impacts_connectivity: bool,
}

struct_of!(DisplayMessage {
    title: "Title",
    text: "Text",
    severity: "Severity",
    impacts_connectivity: "ImpactsConnectivity",
});

/// One-shot switches (`tailcfg.Debug`).
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Debug {
    /// Stop sending logs to Tailscale, for the life of the process.
    #[serde(rename = "DisableLogTail", skip_serializing_if = "is_false")]
    pub disable_log_tail: bool,
}

struct_of!(Debug { disable_log_tail: "DisableLogTail" });

/// News about client versions (`tailcfg.ClientVersion`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ClientVersion {
    /// Nothing newer is out.
    #[serde(rename = "RunningLatest", skip_serializing_if = "is_false")]
    pub running_latest: bool,
    /// The newest.
    #[serde(rename = "LatestVersion", skip_serializing_if = "String::is_empty")]
    pub latest_version: String,
}

struct_of!(ClientVersion { running_latest: "RunningLatest", latest_version: "LatestVersion" });
