//! `[router]`: this machine as a member of its own network.

use crate::read::section;
use hearthgate_tailcfg::why_not_advertised;
use ipnet::{IpNet, Ipv4Net};
use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

/// What this machine does for the network, and takes from it; names as the flags of `hearthgate router up`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouterConfig {
    /// It is a member, and joins by itself.
    pub enabled: bool,
    /// Name in the network; empty is the machine's own.
    pub hostname: String,
    /// Its owner in the network; tagged nodes do not expire.
    pub tags: Vec<String>,
    /// Subnets it offers; approved by being named here.
    pub advertise_routes: Vec<IpNet>,
    /// It carries others' Internet traffic; approved by being switched on here.
    pub advertise_exit_node: bool,
    /// It takes the subnets that others offer, for itself and its LAN.
    pub accept_routes: bool,
    /// It answers names of the network at 100.100.100.100.
    pub accept_dns: bool,
    /// Peer that carries the Internet traffic of this machine and its LAN; empty is none.
    pub exit_node: String,
    /// Its own LANs stay reachable meanwhile.
    pub exit_node_allow_lan_access: bool,
    /// Sources towards its subnets are rewritten, so that they need no route back.
    pub snat_subnet_routes: bool,
    /// IPv6 sources too, towards its subnets and the Internet (NAT66).
    pub nat66: bool,
    /// Folder for files that others send (Taildrop); empty: none are taken.
    pub taildrop_dir: String,
    /// `auto`, `kernel` or `userspace`.
    pub data_plane: String,
    /// Name of the tunnel's interface.
    pub interface: String,
    /// WireGuard's UDP port; 0 is any.
    pub port: u16,
    /// Where `hearthgate status` asks; empty is the usual place.
    pub socket: PathBuf,
    /// Plain WireGuard for devices without a client.
    pub wireguard: WireguardConfig,
}

section!(RouterConfig {
    enabled,
    hostname,
    tags,
    advertise_routes,
    advertise_exit_node,
    accept_routes,
    accept_dns,
    exit_node,
    exit_node_allow_lan_access,
    snat_subnet_routes,
    nat66,
    taildrop_dir,
    data_plane,
    interface,
    port,
    socket,
    wireguard,
});

/// `[router.wireguard]`: an interface for devices that cannot run a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireguardConfig {
    /// There is one; needs the router.
    pub enabled: bool,
    /// Its name.
    pub interface: String,
    /// Its UDP port.
    pub port: u16,
    /// The devices' addresses; the first is this machine's.
    pub network: Ipv4Net,
    /// Host that the devices connect to; empty is that of `server_url`.
    pub endpoint: String,
    /// Resolvers that the devices are told; none leaves them their own.
    pub dns: Vec<IpAddr>,
    /// What "the LAN" is; empty is `advertise_routes`.
    pub lan: Vec<IpNet>,
}

section!(WireguardConfig { enabled, interface, port, network, endpoint, dns, lan });

impl Default for WireguardConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            interface: "hearthgate0".into(),
            port: 51820,
            network: DEVICES,
            endpoint: String::new(),
            dns: Vec::new(),
            lan: Vec::new(),
        }
    }
}

/// Addresses of devices without a client, where nothing else is configured.
const DEVICES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 213, 77, 0), 24);
/// Shortest and longest prefix of their network.
const DEVICES_PREFIX: std::ops::RangeInclusive<u8> = 16..=30;

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            hostname: String::new(),
            tags: vec!["tag:router".into()],
            advertise_routes: Vec::new(),
            advertise_exit_node: false,
            accept_routes: false,
            accept_dns: true,
            exit_node: String::new(),
            exit_node_allow_lan_access: true,
            snat_subnet_routes: true,
            nat66: false,
            taildrop_dir: String::new(),
            data_plane: "auto".into(),
            interface: "tailscale0".into(),
            port: 41641,
            socket: PathBuf::new(),
            wireguard: WireguardConfig::default(),
        }
    }
}

/// Longest name of an interface, in bytes.
const INTERFACE_MAX: usize = 15;

impl RouterConfig {
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if !matches!(self.data_plane.as_str(), "auto" | "kernel" | "userspace") {
            let text = format!("{:?} is no data plane: auto, kernel or userspace", self.data_plane);
            found.push(("router.data_plane", text));
        }
        let names = [("router.interface", &self.interface), ("router.wireguard.interface", &self.wireguard.interface)];
        for (key, name) in names {
            if name.is_empty() || name.len() > INTERFACE_MAX || name.contains(['/', ' ']) {
                found.push((key, format!("{name:?} is no name of an interface")));
            }
        }
        let wrong = self.advertise_routes.iter().filter_map(why_not_advertised);
        found.extend(wrong.map(|why| ("router.advertise_routes", why)));
        found.extend(self.wireguard.problems(self));
        if !self.taildrop_dir.is_empty() && !self.taildrop_dir.starts_with('/') {
            found.push(("router.taildrop_dir", format!("{:?} is no whole path", self.taildrop_dir)));
        }
        if self.tags.is_empty() || self.tags.iter().any(|tag| tag.strip_prefix("tag:").is_none_or(str::is_empty)) {
            found.push(("router.tags", "at least one tag such as \"tag:router\" is needed".into()));
        }
        found
    }
}

impl WireguardConfig {
    fn problems(&self, router: &RouterConfig) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if !self.enabled {
            return found;
        }
        if !router.enabled {
            found.push(("router.wireguard.enabled", "it is part of the router: set `router.enabled` too".into()));
        }
        if self.interface == router.interface {
            found.push(("router.wireguard.interface", "the router's own interface has this name".into()));
        }
        if self.port == 0 || self.port == router.port {
            found.push(("router.wireguard.port", "a fixed port is needed, and not the router's own".into()));
        }
        if !DEVICES_PREFIX.contains(&self.network.prefix_len()) || !self.network.network().is_private() {
            let text = format!("{} is no private network of 4 to 65536 addresses", self.network);
            found.push(("router.wireguard.network", text));
        }
        let odd = |c: char| c.is_whitespace() || c.is_control() || "/@[]".contains(c);
        if self.endpoint.contains(odd) {
            found.push(("router.wireguard.endpoint", format!("{:?} is no host: a name or an address", self.endpoint)));
        }
        found
    }
}
