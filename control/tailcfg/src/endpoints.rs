//! Bodies of the smaller endpoints.

use crate::is_false;
use hearthgate_keys::{ChallengePublic, MachinePublic, NodePublic};
use hearthgate_read::struct_of;
use serde::{Deserialize, Serialize};

/// Answer of `GET /key` (`tailcfg.OverTLSPublicKeyResponse`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OverTlsPublicKeyResponse {
    /// Key of the obsolete protocol: zero.
    #[serde(rename = "legacyPublicKey", default)]
    pub legacy_public_key: MachinePublic,
    /// Noise key of the server.
    #[serde(rename = "publicKey")]
    pub public_key: MachinePublic,
}

/// Payload before HTTP/2 (`tailcfg.EarlyNoise`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlyNoise {
    /// A fresh key per connection.
    #[serde(rename = "nodeKeyChallenge")]
    pub node_key_challenge: ChallengePublic,
}

/// Body of `/machine/set-dns`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SetDnsRequest {
    /// Capability version.
    #[serde(rename = "Version")]
    pub version: u32,
    /// The node that asks.
    #[serde(rename = "NodeKey")]
    pub node_key: NodePublic,
    /// Record name.
    #[serde(rename = "Name")]
    pub name: String,
    /// Record type.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Record value.
    #[serde(rename = "Value")]
    pub value: String,
}

struct_of!(SetDnsRequest { version: "Version", node_key: "NodeKey", name: "Name", kind: "Type", value: "Value" });

/// Body of `/machine/feature/query`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct QueryFeatureRequest {
    /// `serve`, `funnel`…
    #[serde(rename = "Feature")]
    pub feature: String,
    /// The node that asks.
    #[serde(rename = "NodeKey")]
    pub node_key: NodePublic,
}

struct_of!(QueryFeatureRequest { feature: "Feature", node_key: "NodeKey" });

/// Answer of `/machine/feature/query`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct QueryFeatureResponse {
    /// The feature can be used.
    #[serde(rename = "Complete", skip_serializing_if = "is_false")]
    pub complete: bool,
    /// What to tell the person.
    #[serde(rename = "Text", skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Where to send the person.
    #[serde(rename = "URL", skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// The client shall wait for the capability.
    #[serde(rename = "ShouldWait", skip_serializing_if = "is_false")]
    pub should_wait: bool,
}

struct_of!(QueryFeatureResponse { complete: "Complete", text: "Text", url: "URL", should_wait: "ShouldWait" });

/// Body of `/machine/id-token`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TokenRequest {
    /// Capability version.
    #[serde(rename = "CapVersion")]
    pub cap_version: u32,
    /// The node that asks.
    #[serde(rename = "NodeKey")]
    pub node_key: NodePublic,
    /// For whom the token is.
    #[serde(rename = "Audience")]
    pub audience: String,
}

struct_of!(TokenRequest { cap_version: "CapVersion", node_key: "NodeKey", audience: "Audience" });

/// Answer of `/machine/id-token`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TokenResponse {
    /// A JWT.
    pub id_token: String,
}

/// Body of `POST /verify` (`tailcfg.DERPAdmitClientRequest`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct VerifyRequest {
    /// The client that connects to the relay.
    #[serde(rename = "NodePublic")]
    pub node_public: NodePublic,
    /// From where.
    #[serde(rename = "Source")]
    pub source: String,
}

struct_of!(VerifyRequest { node_public: "NodePublic", source: "Source" });

/// Answer of `POST /verify`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct VerifyResponse {
    /// It may use the relay.
    #[serde(rename = "Allow")]
    pub allow: bool,
}

struct_of!(VerifyResponse { allow: "Allow" });
