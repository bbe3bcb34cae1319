//! What a client says about itself (`tailcfg.Hostinfo`).

use crate::{is_false, is_zero};
use hearthgate_read::struct_of;
use hearthgate_sorted::SortedMap;
use ipnet::IpNet;
use serde::Serialize;

/// Self-description of a client. Only what a server or a peer has use for is kept; the rest is ignored.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Hostinfo {
    /// Client version.
    #[serde(rename = "IPNVersion", skip_serializing_if = "String::is_empty")]
    pub ipn_version: String,
    /// Log id of the daemon; official servers want one.
    #[serde(rename = "BackendLogID", skip_serializing_if = "String::is_empty")]
    pub backend_log_id: String,
    /// `linux`, `windows`, `macOS`, `iOS`, `android`…
    #[serde(rename = "OS", skip_serializing_if = "String::is_empty")]
    pub os: String,
    /// Version of the operating system.
    #[serde(rename = "OSVersion", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Linux distribution.
    #[serde(rename = "Distro", skip_serializing_if = "String::is_empty")]
    pub distro: String,
    /// Version of the distribution.
    #[serde(rename = "DistroVersion", skip_serializing_if = "String::is_empty")]
    pub distro_version: String,
    /// Program that embeds the client.
    #[serde(rename = "App", skip_serializing_if = "String::is_empty")]
    pub app: String,
    /// How the client was packaged.
    #[serde(rename = "Package", skip_serializing_if = "String::is_empty")]
    pub package: String,
    /// Device model.
    #[serde(rename = "DeviceModel", skip_serializing_if = "String::is_empty")]
    pub device_model: String,
    /// Host name.
    #[serde(rename = "Hostname", skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Blocks inbound connections.
    #[serde(rename = "ShieldsUp", skip_serializing_if = "is_false")]
    pub shields_up: bool,
    /// Processor architecture of the machine.
    #[serde(rename = "Machine", skip_serializing_if = "String::is_empty")]
    pub machine: String,
    /// Architecture of the program.
    #[serde(rename = "GoArch", skip_serializing_if = "String::is_empty")]
    pub go_arch: String,
    /// Routes it advertises now; absent withdraws them all.
    #[serde(rename = "RoutableIPs", skip_serializing_if = "Vec::is_empty")]
    pub routable_ips: Vec<IpNet>,
    /// Tags it asks for.
    #[serde(rename = "RequestTags", skip_serializing_if = "Vec::is_empty")]
    pub request_tags: Vec<String>,
    /// Services; PeerAPI ports among them.
    #[serde(rename = "Services", skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// What it measured of its network; absent is "nothing new".
    #[serde(rename = "NetInfo", skip_serializing_if = "Option::is_none")]
    pub net_info: Option<NetInfo>,
    /// SSH host keys; not empty means that Tailscale SSH is on.
    #[serde(rename = "sshHostKeys", skip_serializing_if = "Vec::is_empty")]
    pub ssh_host_keys: Vec<String>,
    /// Runs without TUN.
    #[serde(rename = "Userspace", skip_serializing_if = "Option::is_none")]
    pub userspace: Option<bool>,
    /// Advertises itself as app connector.
    #[serde(rename = "AppConnector", skip_serializing_if = "Option::is_none")]
    pub app_connector: Option<bool>,
    /// Takes updates that the server asks for, or updates itself.
    #[serde(rename = "AllowsUpdate", skip_serializing_if = "is_false")]
    pub allows_update: bool,
    /// Its state is encrypted on disk; absent is "not known".
    #[serde(rename = "StateEncrypted", skip_serializing_if = "Option::is_none")]
    pub state_encrypted: Option<bool>,
    /// Offers itself as peer relay.
    #[serde(rename = "PeerRelay", skip_serializing_if = "is_false")]
    pub peer_relay: bool,
    /// Where it is.
    #[serde(rename = "Location", skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Exit node in use.
    #[serde(rename = "ExitNodeID", skip_serializing_if = "String::is_empty")]
    pub exit_node_id: String,
}

struct_of!(Hostinfo {
    ipn_version: "IPNVersion",
    backend_log_id: "BackendLogID",
    os: "OS",
    os_version: "OSVersion",
    distro: "Distro",
    distro_version: "DistroVersion",
    app: "App",
    package: "Package",
    device_model: "DeviceModel",
    hostname: "Hostname",
    shields_up: "ShieldsUp",
    machine: "Machine",
    go_arch: "GoArch",
    routable_ips: "RoutableIPs",
    request_tags: "RequestTags",
    services: "Services",
    net_info: "NetInfo",
    ssh_host_keys: "sshHostKeys",
    userspace: "Userspace",
    app_connector: "AppConnector",
    allows_update: "AllowsUpdate",
    state_encrypted: "StateEncrypted",
    peer_relay: "PeerRelay",
    location: "Location",
    exit_node_id: "ExitNodeID",
});

impl Hostinfo {
    /// Reads one. Server, router and importer read them, too, as parts of messages: here is where that is compiled.
    ///
    /// # Errors
    /// It is not JSON, or a field is of another type.
    pub fn from_json(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }
}

/// A service of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Service {
    /// `tcp`, `udp`, `peerapi4`, `peerapi6`, `peerapi-dns-proxy`…
    #[serde(rename = "Proto")]
    pub proto: String,
    /// Port.
    #[serde(rename = "Port")]
    pub port: u16,
    /// Text.
    #[serde(rename = "Description", skip_serializing_if = "String::is_empty")]
    pub description: String,
}

struct_of!(Service { proto: "Proto", port: "Port", description: "Description" });

/// A place.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Location {
    /// Country.
    #[serde(rename = "Country", skip_serializing_if = "String::is_empty")]
    pub country: String,
    /// Two-letter code.
    #[serde(rename = "CountryCode", skip_serializing_if = "String::is_empty")]
    pub country_code: String,
    /// City.
    #[serde(rename = "City", skip_serializing_if = "String::is_empty")]
    pub city: String,
    /// City code.
    #[serde(rename = "CityCode", skip_serializing_if = "String::is_empty")]
    pub city_code: String,
    /// Degrees north.
    #[serde(rename = "Latitude", skip_serializing_if = "is_zero")]
    pub latitude: f64,
    /// Degrees east.
    #[serde(rename = "Longitude", skip_serializing_if = "is_zero")]
    pub longitude: f64,
    /// Preference among nodes of one place.
    #[serde(rename = "Priority", skip_serializing_if = "is_zero")]
    pub priority: i32,
}

struct_of!(Location {
    country: "Country",
    country_code: "CountryCode",
    city: "City",
    city_code: "CityCode",
    latitude: "Latitude",
    longitude: "Longitude",
    priority: "Priority",
});

/// What a client measured of its network.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct NetInfo {
    /// Hard NAT.
    #[serde(rename = "MappingVariesByDestIP", skip_serializing_if = "Option::is_none")]
    pub mapping_varies_by_dest_ip: Option<bool>,
    /// IPv6 works.
    #[serde(rename = "WorkingIPv6", skip_serializing_if = "Option::is_none")]
    pub working_ipv6: Option<bool>,
    /// UDP works.
    #[serde(rename = "WorkingUDP", skip_serializing_if = "Option::is_none")]
    pub working_udp: Option<bool>,
    /// Home DERP region; 0 is unknown.
    #[serde(rename = "PreferredDERP", skip_serializing_if = "is_zero")]
    pub preferred_derp: i32,
    /// Latency in seconds, by `<region>-v4` or `<region>-v6`.
    #[serde(rename = "DERPLatency", skip_serializing_if = "SortedMap::is_empty")]
    pub derp_latency: SortedMap<String, f64>,
}

struct_of!(NetInfo {
    mapping_varies_by_dest_ip: "MappingVariesByDestIP",
    working_ipv6: "WorkingIPv6",
    working_udp: "WorkingUDP",
    preferred_derp: "PreferredDERP",
    derp_latency: "DERPLatency",
});
