//! Client info and server info: JSON in a NaCl box, which proves that the client owns its node key.

use crate::MAX_APP_NAME;
use hearthgate_keys::{BOX_NONCE_LEN, BOX_TAG_LEN, KEY_LEN, NodePrivate, NodePublic, OpenError, Secret};
use serde::{Deserialize, Serialize};

/// What a client says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientInfo {
    /// Protocol version.
    pub version: u32,
    /// It answers pings.
    pub can_ack_pings: bool,
    /// It is a prober.
    pub is_prober: bool,
    /// Proof of being a relay of the same mesh.
    pub mesh_key: Option<Secret>,
    /// What the application calls itself; empty for most. Not checked: see [`is_app_name`].
    pub app_name: String,
}

/// Whether a server takes this application name: at most [`MAX_APP_NAME`] bytes of printable ASCII.
#[must_use]
pub fn is_app_name(name: &str) -> bool {
    name.len() <= MAX_APP_NAME && name.bytes().all(|b| (0x20..0x7f).contains(&b))
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Wire {
    #[serde(rename = "meshKey", skip_serializing_if = "Option::is_none")]
    mesh_key: Option<String>,
    version: u32,
    #[serde(rename = "CanAckPings")]
    can_ack_pings: bool,
    #[serde(rename = "IsProber", skip_serializing_if = "std::ops::Not::not")]
    is_prober: bool,
    #[serde(rename = "AppName", skip_serializing_if = "String::is_empty")]
    app_name: String,
}

/// What a server says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerInfo {
    /// Protocol version.
    pub version: u32,
    /// A client has to drop what it would send beyond so many bytes per second; 0 for no limit.
    #[serde(rename = "TokenBucketBytesPerSecond", skip_serializing_if = "is_zero")]
    pub bytes_per_second: u64,
    /// Bytes that it may send at once beyond that rate.
    #[serde(rename = "TokenBucketBytesBurst", skip_serializing_if = "is_zero")]
    pub burst_bytes: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Payload of a client-info frame.
#[must_use]
pub fn seal_client_info(
    client: &NodePrivate,
    server: &NodePublic,
    info: &ClientInfo,
    nonce: [u8; BOX_NONCE_LEN],
) -> Vec<u8> {
    let wire = Wire {
        mesh_key: info.mesh_key.as_ref().map(|k| k.reveal().to_owned()),
        version: info.version,
        can_ack_pings: info.can_ack_pings,
        is_prober: info.is_prober,
        app_name: info.app_name.clone(),
    };
    let mut out = client.public().as_bytes().to_vec();
    out.extend(client.seal_to(server, nonce, &serde_json::to_vec(&wire).unwrap_or_default()));
    out
}

/// Opens the payload of a client-info frame: the client's key, and what it says.
///
/// # Errors
/// The payload is too short, or was not sealed by the owner of that key for us.
pub fn open_client_info(server: &NodePrivate, payload: &[u8]) -> Result<(NodePublic, ClientInfo), OpenError> {
    let (key, sealed) = payload.split_at_checked(KEY_LEN).ok_or(OpenError)?;
    if sealed.len() < BOX_NONCE_LEN + BOX_TAG_LEN {
        return Err(OpenError);
    }
    let key = NodePublic::from_bytes(key.try_into().map_err(|_| OpenError)?);
    let json = server.open_from(&key, sealed)?;
    let wire: Wire = serde_json::from_slice(&json).map_err(|_| OpenError)?;
    let info = ClientInfo {
        version: wire.version,
        can_ack_pings: wire.can_ack_pings,
        is_prober: wire.is_prober,
        app_name: wire.app_name,
        mesh_key: wire.mesh_key.filter(|k| !k.is_empty()).map(Secret::new),
    };
    Ok((key, info))
}

/// Payload of a server-info frame.
#[must_use]
pub fn seal_server_info(
    server: &NodePrivate,
    client: &NodePublic,
    info: &ServerInfo,
    nonce: [u8; BOX_NONCE_LEN],
) -> Vec<u8> {
    server.seal_to(client, nonce, &serde_json::to_vec(info).unwrap_or_default())
}

/// Opens the payload of a server-info frame.
///
/// # Errors
/// It was not sealed by that server for us.
pub fn open_server_info(client: &NodePrivate, server: &NodePublic, payload: &[u8]) -> Result<ServerInfo, OpenError> {
    serde_json::from_slice(&client.open_from(server, payload)?).map_err(|_| OpenError)
}
