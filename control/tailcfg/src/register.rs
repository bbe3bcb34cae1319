//! Bodies of `/machine/register` (`tailcfg.RegisterRequest`, `RegisterResponse`).

use crate::{
    bytes::Bytes,
    hostinfo::Hostinfo,
    is_false,
    node::{Login, User},
    time::Time,
};
use hearthgate_keys::{NlPublic, NodePublic, Secret};
use hearthgate_read::struct_of;
use serde::{Serialize, Serializer};

/// A request to join, to come back, to rotate the key or to log out.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RegisterRequest {
    /// Capability version.
    #[serde(rename = "Version")]
    pub version: u32,
    /// Key to register.
    #[serde(rename = "NodeKey")]
    pub node_key: NodePublic,
    /// Key to retire; zero if none.
    #[serde(rename = "OldNodeKey")]
    pub old_node_key: NodePublic,
    /// Tailnet-lock key; zero if none.
    #[serde(rename = "NLKey")]
    pub nl_key: NlPublic,
    /// Pre-auth key, sent with every request while the client still has it.
    #[serde(rename = "Auth", skip_serializing_if = "Option::is_none")]
    pub auth: Option<RegisterResponseAuth>,
    /// Wanted expiry; in the past is a logout.
    #[serde(rename = "Expiry")]
    pub expiry: Time,
    /// The auth URL whose end is awaited.
    #[serde(rename = "Followup")]
    pub followup: String,
    /// Self-description.
    #[serde(rename = "Hostinfo")]
    pub hostinfo: Option<Hostinfo>,
    /// The client wants to be ephemeral.
    #[serde(rename = "Ephemeral", skip_serializing_if = "is_false")]
    pub ephemeral: bool,
    /// Tailnet-lock signature.
    #[serde(rename = "NodeKeySignature")]
    pub node_key_signature: Bytes,
    /// Tailnet wanted by device management.
    #[serde(rename = "Tailnet", skip_serializing_if = "String::is_empty")]
    pub tailnet: String,
}

struct_of!(RegisterRequest {
    version: "Version",
    node_key: "NodeKey",
    old_node_key: "OldNodeKey",
    nl_key: "NLKey",
    auth: "Auth",
    expiry: "Expiry",
    followup: "Followup",
    hostinfo: "Hostinfo",
    ephemeral: "Ephemeral",
    node_key_signature: "NodeKeySignature",
    tailnet: "Tailnet",
});

/// Credentials of a register request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterResponseAuth {
    /// Pre-auth key.
    pub auth_key: Secret,
}

#[derive(Serialize)]
struct AuthWire<'a> {
    #[serde(rename = "AuthKey", skip_serializing_if = "str::is_empty")]
    auth_key: &'a str,
}

impl Serialize for RegisterResponseAuth {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        AuthWire { auth_key: self.auth_key.reveal() }.serialize(s)
    }
}

impl Default for RegisterResponseAuth {
    fn default() -> Self {
        Self { auth_key: Secret::new(String::new()) }
    }
}

struct_of!(RegisterResponseAuth { auth_key: "AuthKey" });

/// Answer to a register request; status 200 even for a refusal, whose text is in [`Self::error`].
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RegisterResponse {
    /// Owner.
    #[serde(rename = "User")]
    pub user: User,
    /// How the owner logged in.
    #[serde(rename = "Login")]
    pub login: Login,
    /// The client has to make a new key and come again.
    #[serde(rename = "NodeKeyExpired")]
    pub node_key_expired: bool,
    /// The machine may join.
    #[serde(rename = "MachineAuthorized")]
    pub machine_authorized: bool,
    /// Not empty: a person has to go there.
    #[serde(rename = "AuthURL")]
    pub auth_url: String,
    /// Signature of the node key under tailnet lock, in Base64; this server has none.
    #[serde(rename = "NodeKeySignature")]
    pub node_key_signature: Option<String>,
    /// Not empty: refused, for this reason. Always there, as from the official server: the Rust client needs it.
    #[serde(rename = "Error")]
    pub error: String,
}

struct_of!(RegisterResponse {
    user: "User",
    login: "Login",
    node_key_expired: "NodeKeyExpired",
    machine_authorized: "MachineAuthorized",
    auth_url: "AuthURL",
    node_key_signature: "NodeKeySignature",
    error: "Error",
});
