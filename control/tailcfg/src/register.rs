//! Bodies of `/machine/register` (`tailcfg.RegisterRequest`, `RegisterResponse`).

use crate::{
    hostinfo::Hostinfo,
    is_false,
    node::{Login, User},
    null::{base64_bytes, or_default},
    time::Time,
};
use hearthgate_keys::{NlPublic, NodePublic, Secret};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A request to join, to come back, to rotate the key or to log out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
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
    #[serde(rename = "NodeKeySignature", with = "base64_bytes")]
    pub node_key_signature: Vec<u8>,
    /// Tailnet wanted by device management.
    #[serde(rename = "Tailnet", deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub tailnet: String,
}

/// Credentials of a register request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterResponseAuth {
    /// Pre-auth key.
    pub auth_key: Secret,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct AuthWire {
    #[serde(rename = "AuthKey", deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    auth_key: String,
}

impl Serialize for RegisterResponseAuth {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        AuthWire { auth_key: self.auth_key.reveal().to_owned() }.serialize(s)
    }
}

impl<'de> Deserialize<'de> for RegisterResponseAuth {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        AuthWire::deserialize(d).map(|w| Self { auth_key: Secret::new(w.auth_key) })
    }
}

/// Answer to a register request; status 200 even for a refusal, whose text is in [`Self::error`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
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
