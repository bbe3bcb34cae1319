//! Users and nodes.

use crate::{Attribute, RelayLatency};
use hearthgate_keys::{DiscoPublic, MachinePublic, NodePublic};
use hearthgate_read::{Read, Scalar, Unfit, deserialize, names_of, struct_of};
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::Hostinfo;
use ipnet::IpNet;
use jiff::Timestamp;
use serde::Serialize;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// The user that tagged nodes appear under, as at Tailscale and Headscale.
pub const TAGGED_DEVICES: UserId = UserId(2_147_455_555);

/// Routes that one node may advertise; more are refused.
pub const MAX_ROUTES_PER_NODE: usize = 1024;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);
        impl Read for $name {
            fn start() -> Self {
                Self(0)
            }
            fn expected(&self) -> &'static str {
                self.0.expected()
            }
            fn takes_null(&self) -> bool {
                false
            }
            fn scalar(&mut self, scalar: Scalar<'_>) -> std::result::Result<(), Unfit> {
                self.0.scalar(scalar)
            }
        }
        deserialize!($name);
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.parse().map(Self)
            }
        }
    };
}
id! {
    /// A node's number: positive, below 2^53, never used twice.
    NodeId
}
id! {
    /// A user's number: positive, never used twice.
    UserId
}

/// A person (or a role) who owns nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct User {
    /// Number, also `UserID` and `LoginID` on the wire.
    pub id: UserId,
    /// Login name; unique.
    pub name: String,
    /// Name to show; empty if none.
    pub display_name: String,
    /// Mail address; empty if none.
    pub email: String,
    /// URL of a picture; empty if none.
    pub picture_url: String,
    /// Who vouches for the person: `oidc`, or empty for a user made by hand.
    pub provider: String,
    /// Issuer and subject at that provider.
    pub provider_id: String,
    /// Groups at the provider, as of the last login.
    pub groups: Vec<String>,
    /// Role in the tailnet, as policies name it after `autogroup:`; empty for a plain member.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// When it was made.
    pub created: Timestamp,
}

struct_of!(User;
must { id: "id", name: "name", created: "created" }
may {
    display_name: "display_name",
    email: "email",
    picture_url: "picture_url",
    provider: "provider",
    provider_id: "provider_id",
    groups: "groups",
    role: "role",
}
not {});

impl User {
    /// What clients see as `LoginName`; they expect an `@` in it.
    #[must_use]
    pub fn login_name(&self, base_domain: &str) -> String {
        if !self.email.is_empty() {
            self.email.clone()
        } else if self.name.contains('@') {
            self.name.clone()
        } else {
            format!("{}@{base_domain}", self.name)
        }
    }

    /// What clients see as `DisplayName`.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        if self.display_name.is_empty() { &self.name } else { &self.display_name }
    }
}

/// How a node came in; the text forms are those of Headscale's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum RegisterMethod {
    /// Not known.
    #[default]
    #[serde(rename = "REGISTER_METHOD_UNSPECIFIED")]
    Unspecified,
    /// By a pre-auth key.
    #[serde(rename = "REGISTER_METHOD_AUTH_KEY")]
    AuthKey,
    /// Approved on the command line, the API or the page.
    #[serde(rename = "REGISTER_METHOD_CLI")]
    Cli,
    /// By an OpenID provider.
    #[serde(rename = "REGISTER_METHOD_OIDC")]
    Oidc,
}

names_of!(RegisterMethod {
    "REGISTER_METHOD_UNSPECIFIED" => Self::Unspecified,
    "REGISTER_METHOD_AUTH_KEY" => Self::AuthKey,
    "REGISTER_METHOD_CLI" => Self::Cli,
    "REGISTER_METHOD_OIDC" => Self::Oidc,
});

/// What is kept of a node on flash.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct NodeRecord {
    /// Number.
    pub id: NodeId,
    /// Noise key of the machine; one machine may own a node per user.
    pub machine_key: MachinePublic,
    /// Current node key.
    pub node_key: NodePublic,
    /// Last known disco key; zero before the first map request.
    pub disco_key: DiscoPublic,
    /// Owner, or who made the tagged node; [`Node::owner`] is what others see.
    pub user: UserId,
    /// Tags; not empty means owned by tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// First label of the MagicDNS name; unique.
    pub given_name: String,
    /// The name was set by a person and does not follow the host name.
    pub renamed: bool,
    /// IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// When it registered first.
    pub created: Timestamp,
    /// When the node key expires; `None` is never.
    pub expiry: Option<Timestamp>,
    /// How it came in.
    pub method: RegisterMethod,
    /// Pre-auth key it used last.
    pub preauth_key: Option<u64>,
    /// Removed some time after it goes offline.
    pub ephemeral: bool,
    /// Logged in, but not let in yet: it sees no peers and none sees it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub waiting: bool,
    /// Routes a person or the policy approved; approval outlives advertisement.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approved_routes: Vec<IpNet>,
    /// Values for postures that somebody gave it, by name (`custom:tier`).
    #[serde(skip_serializing_if = "SortedMap::is_empty")]
    pub attributes: SortedMap<String, Attribute>,
    /// What the client last said about itself.
    pub hostinfo: Arc<Hostinfo>,
    /// Capability version of the client, from its last request.
    pub cap: u32,
    /// Last time it was seen; coarse, written with other changes only.
    pub last_seen: Option<Timestamp>,
}

struct_of!(NodeRecord;
must {
    id: "id",
    machine_key: "machine_key",
    node_key: "node_key",
    user: "user",
    given_name: "given_name",
    created: "created",
}
may {
    disco_key: "disco_key",
    tags: "tags",
    renamed: "renamed",
    ipv4: "ipv4",
    ipv6: "ipv6",
    expiry: "expiry",
    method: "method",
    preauth_key: "preauth_key",
    ephemeral: "ephemeral",
    waiting: "waiting",
    approved_routes: "approved_routes",
    attributes: "attributes",
    hostinfo: "hostinfo",
    cap: "cap",
    last_seen: "last_seen",
}
not {});

/// How to reach a node right now; never on flash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PathFacts {
    /// Candidate addresses.
    pub endpoints: Vec<SocketAddr>,
    /// Kinds of the candidates, parallel to `endpoints`.
    pub endpoint_types: Vec<u8>,
    /// Region of the home DERP; 0 is unknown.
    pub home_derp: u32,
    /// How far the relays are from it, nearest first; empty while it has not told.
    pub relays: Vec<RelayLatency>,
    /// It has a map stream open, or had one within the grace time.
    pub online: bool,
}

/// A node: its record and how to reach it.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What is on flash.
    pub record: NodeRecord,
    /// What is not.
    pub path: PathFacts,
    /// Routes it serves now as primary, exit routes apart.
    pub primary_routes: Vec<IpNet>,
}

impl std::ops::Deref for Node {
    type Target = NodeRecord;
    fn deref(&self) -> &NodeRecord {
        &self.record
    }
}

impl Node {
    /// Whether tags own it.
    #[must_use]
    pub fn is_tagged(&self) -> bool {
        !self.record.tags.is_empty()
    }

    /// The user that others see as owner.
    #[must_use]
    pub fn owner(&self) -> UserId {
        if self.is_tagged() { TAGGED_DEVICES } else { self.record.user }
    }

    /// Whether the node key has expired at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.record.expiry.is_some_and(|e| e <= now)
    }

    /// Its own addresses as host prefixes, IPv4 first.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpNet> {
        self.ips().map(IpNet::from).collect()
    }

    /// Its own addresses, IPv4 first.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.record.ipv4.map(IpAddr::V4).into_iter().chain(self.record.ipv6.map(IpAddr::V6))
    }

    /// Routes it advertises at present.
    #[must_use]
    pub fn advertised_routes(&self) -> &[IpNet] {
        &self.record.hostinfo.routable_ips
    }

    /// Routes both advertised and approved.
    pub fn enabled_routes(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.advertised_routes().iter().copied().filter(|r| self.record.approved_routes.contains(r))
    }

    /// Opaque identifier that clients keep (exit-node choice).
    #[must_use]
    pub fn stable_id(&self) -> String {
        format!("n{}", self.record.id)
    }
}
