//! What the operator wants: the flags of `hearthgate router up`, kept over restarts.

use hearthgate_keys::Secret;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Preferences, with the names and defaults of the official client's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Prefs {
    /// URL of the control server.
    pub login_server: String,
    /// Pre-auth key to join with; kept in memory only.
    #[serde(skip)]
    pub auth_key: Option<Secret>,
    /// Host name to ask for; empty is the machine's own.
    pub hostname: String,
    /// Subnets offered to others.
    pub advertise_routes: Vec<IpNet>,
    /// Offers to carry others' Internet traffic.
    pub advertise_exit_node: bool,
    /// Tags asked for.
    pub advertise_tags: Vec<String>,
    /// Takes the subnets that others offer.
    pub accept_routes: bool,
    /// Takes the network's DNS settings.
    pub accept_dns: bool,
    /// Sends Internet traffic through this peer: address, name or stable id; empty is off.
    pub exit_node: String,
    /// Our own LAN stays reachable while an exit node is in use.
    pub exit_node_allow_lan_access: bool,
    /// Rewrites the source of what goes to advertised subnets, so that they need no route back.
    pub snat_subnet_routes: bool,
    /// Rewrites the source of IPv6 packets too that leave the tunnel, for providers that give no prefix (NAT66).
    pub nat66: bool,
    /// Folder for files that others send; empty: none are taken.
    pub taildrop_dir: String,
    /// Lets nobody in.
    pub shields_up: bool,
}

impl Default for Prefs {
    fn default() -> Self {
        Self {
            login_server: String::new(),
            auth_key: None,
            hostname: String::new(),
            advertise_routes: Vec::new(),
            advertise_exit_node: false,
            advertise_tags: Vec::new(),
            accept_routes: false,
            accept_dns: true,
            exit_node: String::new(),
            exit_node_allow_lan_access: false,
            snat_subnet_routes: true,
            nat66: false,
            taildrop_dir: String::new(),
            shields_up: false,
        }
    }
}

impl Prefs {
    /// All that is advertised: subnets, and both default routes of an exit node; sorted, each once.
    #[must_use]
    pub fn routable(&self) -> Vec<IpNet> {
        let mut routes: Vec<IpNet> = self.advertise_routes.iter().map(IpNet::trunc).collect();
        if self.advertise_exit_node {
            routes.extend([IpNet::V4(ipnet::Ipv4Net::default()), IpNet::V6(ipnet::Ipv6Net::default())]);
        }
        routes.sort();
        routes.dedup();
        routes
    }
}
