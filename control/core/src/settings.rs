//! What the operator decides, as the core needs it. The shell makes this from the configuration.

use crate::PlainSettings;
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::{DnsRecord, TAILNET_V4, TAILNET_V6};
use ipnet::{Ipv4Net, Ipv6Net};

/// How addresses are picked from the prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddressAllocation {
    /// The next free one.
    #[default]
    Sequential,
    /// A free one at random.
    Random,
}

/// Settings of the tailnet.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// URL that clients use, without a trailing slash.
    pub server_url: String,
    /// Suffix of MagicDNS names, without dots around it.
    pub base_domain: String,
    /// IPv4 pool; `None` gives no IPv4 addresses.
    pub prefix_v4: Option<Ipv4Net>,
    /// IPv6 pool; `None` gives no IPv6 addresses.
    pub prefix_v6: Option<Ipv6Net>,
    /// How addresses are picked.
    pub allocation: AddressAllocation,
    /// MagicDNS is on.
    pub magic_dns: bool,
    /// Global resolvers replace the client's own.
    pub override_local_dns: bool,
    /// Global resolvers.
    pub resolvers: Vec<String>,
    /// Split DNS: suffix to resolvers.
    pub split_dns: SortedMap<String, Vec<String>>,
    /// Search domains besides the base domain.
    pub search_domains: Vec<String>,
    /// Extra A and AAAA records.
    pub extra_records: Vec<DnsRecord>,
    /// Zone in public DNS that the shell can write challenges of certificates to, in lower case, without dots around it;
    /// `None` when it can to none.
    pub certificate_zone: Option<String>,
    /// Lifetime of an untagged node's key in seconds; 0 is for ever.
    pub node_expiry_s: u64,
    /// New nodes wait until somebody approves them, unless their key says that they need not.
    pub device_approval: bool,
    /// How long an ephemeral node may be offline, in milliseconds.
    pub ephemeral_timeout_ms: u64,
    /// Taildrop may be used.
    pub taildrop: bool,
    /// Clients may send their logs to Tailscale.
    pub logtail: bool,
    /// Default of the clients' automatic updates.
    pub auto_update: bool,
    /// Plain WireGuard for devices without a client; `None` is off.
    pub plain: Option<PlainSettings>,
    /// The policy comes from a file and cannot be set through the API.
    pub policy_from_file: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server_url: "http://127.0.0.1:8080".into(),
            base_domain: "hearthgate.internal".into(),
            prefix_v4: Some(TAILNET_V4),
            prefix_v6: Some(TAILNET_V6),
            allocation: AddressAllocation::Sequential,
            magic_dns: true,
            override_local_dns: false,
            resolvers: Vec::new(),
            split_dns: SortedMap::new(),
            search_domains: Vec::new(),
            extra_records: Vec::new(),
            certificate_zone: None,
            node_expiry_s: 0,
            device_approval: false,
            ephemeral_timeout_ms: 120_000,
            taildrop: true,
            logtail: false,
            auto_update: false,
            plain: None,
            policy_from_file: false,
        }
    }
}
