//! Nodes, patches, users (`tailcfg.Node`, `PeerChange`, `User`, `Login`, `UserProfile`).

use crate::{dns::Resolver, hostinfo::Hostinfo, is_false, is_zero, time::Time};
use hearthgate_keys::{DiscoPublic, MachinePublic, NodePublic};
use hearthgate_read::struct_of;
use hearthgate_sorted::SortedMap;
use ipnet::IpNet;
use serde::Serialize;
use serde_json::Value;
use std::net::SocketAddr;

/// Capabilities with values; `null` is a flag.
pub type CapMap = SortedMap<String, Option<Vec<Value>>>;

/// A node.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Node {
    /// Number, above 0, for life.
    #[serde(rename = "ID")]
    pub id: i64,
    /// Identifier that clients keep.
    #[serde(rename = "StableID")]
    pub stable_id: String,
    /// Name with its suffix and a trailing dot.
    #[serde(rename = "Name")]
    pub name: String,
    /// Owner; a profile of every owner has to be sent in the same stream.
    #[serde(rename = "User")]
    pub user: i64,
    /// WireGuard key.
    #[serde(rename = "Key")]
    pub key: NodePublic,
    /// When the key expires.
    #[serde(rename = "KeyExpiry", skip_serializing_if = "Time::is_none")]
    pub key_expiry: Time,
    /// Machine key; not needed for peers.
    #[serde(rename = "Machine", skip_serializing_if = "MachinePublic::is_zero")]
    pub machine: MachinePublic,
    /// Disco key; clients ignore a peer without one.
    #[serde(rename = "DiscoKey", skip_serializing_if = "DiscoPublic::is_zero")]
    pub disco_key: DiscoPublic,
    /// Its own addresses.
    #[serde(rename = "Addresses")]
    pub addresses: Vec<IpNet>,
    /// Addresses and routes it serves; absent is "the same as `addresses`", empty is "nothing".
    #[serde(rename = "AllowedIPs", skip_serializing_if = "Option::is_none")]
    pub allowed_ips: Option<Vec<IpNet>>,
    /// Candidate addresses.
    #[serde(rename = "Endpoints", skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<SocketAddr>,
    /// Home DERP region; 0 is unknown.
    #[serde(rename = "HomeDERP", skip_serializing_if = "is_zero")]
    pub home_derp: i32,
    /// The same in the form before capability version 111, `127.3.3.40:<region>`; read for other servers' sake.
    #[serde(rename = "DERP", skip_serializing_if = "String::is_empty")]
    pub legacy_derp: String,
    /// Self-description.
    #[serde(rename = "Hostinfo", skip_serializing_if = "Option::is_none")]
    pub hostinfo: Option<Hostinfo>,
    /// When it joined.
    #[serde(rename = "Created", skip_serializing_if = "Time::is_none")]
    pub created: Time,
    /// Its own capability version.
    #[serde(rename = "Cap", skip_serializing_if = "is_zero")]
    pub cap: u32,
    /// Tags.
    #[serde(rename = "Tags", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Routes it serves as primary, default routes apart.
    #[serde(rename = "PrimaryRoutes", skip_serializing_if = "Vec::is_empty")]
    pub primary_routes: Vec<IpNet>,
    /// When it was seen last; only for nodes that are offline.
    #[serde(rename = "LastSeen", skip_serializing_if = "Time::is_none")]
    pub last_seen: Time,
    /// Online; absent is unknown.
    #[serde(rename = "Online", skip_serializing_if = "Option::is_none")]
    pub online: Option<bool>,
    /// The machine may join; false on the self node means "needs approval".
    #[serde(rename = "MachineAuthorized", skip_serializing_if = "is_false")]
    pub machine_authorized: bool,
    /// Capabilities.
    #[serde(rename = "CapMap", skip_serializing_if = "Option::is_none")]
    pub cap_map: Option<CapMap>,
    /// Capabilities in their older form, without values; read for other servers' sake.
    #[serde(rename = "Capabilities", skip_serializing_if = "Vec::is_empty")]
    pub legacy_capabilities: Vec<String>,
    /// Its key has expired.
    #[serde(rename = "Expired", skip_serializing_if = "is_false")]
    pub expired: bool,
    /// A plain WireGuard peer.
    #[serde(rename = "IsWireGuardOnly", skip_serializing_if = "is_false")]
    pub is_wireguard_only: bool,
    /// May not initiate towards us.
    #[serde(rename = "IsJailed", skip_serializing_if = "is_false")]
    pub is_jailed: bool,
    /// Resolvers of a plain WireGuard exit node.
    #[serde(rename = "ExitNodeDNSResolvers", skip_serializing_if = "Vec::is_empty")]
    pub exit_node_dns_resolvers: Vec<Resolver>,
}

struct_of!(Node {
    id: "ID",
    stable_id: "StableID",
    name: "Name",
    user: "User",
    key: "Key",
    key_expiry: "KeyExpiry",
    machine: "Machine",
    disco_key: "DiscoKey",
    addresses: "Addresses",
    allowed_ips: "AllowedIPs",
    endpoints: "Endpoints",
    home_derp: "HomeDERP",
    legacy_derp: "DERP",
    hostinfo: "Hostinfo",
    created: "Created",
    cap: "Cap",
    tags: "Tags",
    primary_routes: "PrimaryRoutes",
    last_seen: "LastSeen",
    online: "Online",
    machine_authorized: "MachineAuthorized",
    cap_map: "CapMap",
    legacy_capabilities: "Capabilities",
    expired: "Expired",
    is_wireguard_only: "IsWireGuardOnly",
    is_jailed: "IsJailed",
    exit_node_dns_resolvers: "ExitNodeDNSResolvers",
});

/// A patch of one peer. Absent is "unchanged".
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PeerChange {
    /// Which node.
    #[serde(rename = "NodeID")]
    pub node_id: i64,
    /// Home DERP region.
    #[serde(rename = "DERPRegion", skip_serializing_if = "is_zero")]
    pub derp_region: i32,
    /// Capability version.
    #[serde(rename = "Cap", skip_serializing_if = "is_zero")]
    pub cap: u32,
    /// Capabilities; empty clears.
    #[serde(rename = "CapMap", skip_serializing_if = "Option::is_none")]
    pub cap_map: Option<CapMap>,
    /// Candidate addresses; empty clears.
    #[serde(rename = "Endpoints", skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<SocketAddr>>,
    /// Node key.
    #[serde(rename = "Key", skip_serializing_if = "Option::is_none")]
    pub key: Option<NodePublic>,
    /// Disco key.
    #[serde(rename = "DiscoKey", skip_serializing_if = "Option::is_none")]
    pub disco_key: Option<DiscoPublic>,
    /// Online.
    #[serde(rename = "Online", skip_serializing_if = "Option::is_none")]
    pub online: Option<bool>,
    /// When it was seen last.
    #[serde(rename = "LastSeen", skip_serializing_if = "Time::is_none")]
    pub last_seen: Time,
    /// When the key expires; `Some` of no time is written as Go's zero time and lifts the expiry.
    #[serde(rename = "KeyExpiry", skip_serializing_if = "Option::is_none")]
    pub key_expiry: Option<Time>,
}

struct_of!(PeerChange {
    node_id: "NodeID",
    derp_region: "DERPRegion",
    cap: "Cap",
    cap_map: "CapMap",
    endpoints: "Endpoints",
    key: "Key",
    disco_key: "DiscoKey",
    online: "Online",
    last_seen: "LastSeen",
    key_expiry: "KeyExpiry",
});

/// A user.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct User {
    /// Number; 0 breaks Taildrop.
    #[serde(rename = "ID")]
    pub id: i64,
    /// Name to show.
    #[serde(rename = "DisplayName")]
    pub display_name: String,
    /// Picture.
    #[serde(rename = "ProfilePicURL", skip_serializing_if = "String::is_empty")]
    pub profile_pic_url: String,
    /// When made.
    #[serde(rename = "Created", skip_serializing_if = "Time::is_none")]
    pub created: Time,
}

struct_of!(User { id: "ID", display_name: "DisplayName", profile_pic_url: "ProfilePicURL", created: "Created" });

/// How a user logged in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Login {
    /// Number.
    #[serde(rename = "ID")]
    pub id: i64,
    /// Kind of provider.
    #[serde(rename = "Provider")]
    pub provider: String,
    /// Login name, like a mail address.
    #[serde(rename = "LoginName")]
    pub login_name: String,
    /// Name to show.
    #[serde(rename = "DisplayName")]
    pub display_name: String,
    /// Picture.
    #[serde(rename = "ProfilePicURL", skip_serializing_if = "String::is_empty")]
    pub profile_pic_url: String,
}

struct_of!(Login {
    id: "ID",
    provider: "Provider",
    login_name: "LoginName",
    display_name: "DisplayName",
    profile_pic_url: "ProfilePicURL",
});

/// What others see of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct UserProfile {
    /// Number.
    #[serde(rename = "ID")]
    pub id: i64,
    /// Login name, like a mail address.
    #[serde(rename = "LoginName")]
    pub login_name: String,
    /// Name to show.
    #[serde(rename = "DisplayName")]
    pub display_name: String,
    /// Picture.
    #[serde(rename = "ProfilePicURL", skip_serializing_if = "String::is_empty")]
    pub profile_pic_url: String,
    /// Groups.
    #[serde(rename = "Groups", skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

struct_of!(UserProfile {
    id: "ID",
    login_name: "LoginName",
    display_name: "DisplayName",
    profile_pic_url: "ProfilePicURL",
    groups: "Groups",
});
