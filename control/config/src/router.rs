//! `[router]`: this machine as a member of its own network.

use ipnet::IpNet;
use serde::Deserialize;
use std::path::PathBuf;

/// What this machine does for the network, and takes from it; names as the flags of `hearthgate router up`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
    /// `auto`, `kernel` or `userspace`.
    pub data_plane: String,
    /// Name of the tunnel's interface.
    pub interface: String,
    /// WireGuard's UDP port; 0 is any.
    pub port: u16,
    /// Where `hearthgate status` asks; empty is the usual place.
    pub socket: PathBuf,
}

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
            data_plane: "auto".into(),
            interface: "tailscale0".into(),
            port: 41641,
            socket: PathBuf::new(),
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
        if self.interface.is_empty() || self.interface.len() > INTERFACE_MAX || self.interface.contains(['/', ' ']) {
            found.push(("router.interface", format!("{:?} is no name of an interface", self.interface)));
        }
        if self.tags.is_empty() || self.tags.iter().any(|tag| tag.strip_prefix("tag:").is_none_or(str::is_empty)) {
            found.push(("router.tags", "at least one tag such as \"tag:router\" is needed".into()));
        }
        found
    }
}
