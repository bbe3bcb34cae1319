//! Frame types, header, and the frames that are always the same.

use hearthgate_keys::NodePublic;

/// Bytes before the payload.
pub const FRAME_HEADER: usize = 5;
/// Largest data packet.
pub const MAX_PACKET: usize = 64 * 1024;
/// Largest client-info payload we take; the official client sends about two hundred bytes.
pub const MAX_CLIENT_INFO: usize = 16 * 1024;
/// Version of the protocol.
pub const PROTOCOL_VERSION: u32 = 2;
/// First bytes of the server-key frame: `DERP` and a key emoji.
pub const MAGIC: [u8; 8] = [0x44, 0x45, 0x52, 0x50, 0xf0, 0x9f, 0x94, 0x91];
/// First bytes of a disco packet.
pub const DISCO_MAGIC: [u8; 6] = [b'T', b'S', 0xf0, 0x9f, 0x92, 0xac];
/// A keep-alive frame.
pub const KEEP_ALIVE_FRAME: [u8; FRAME_HEADER] = [FrameType::KeepAlive as u8, 0, 0, 0, 0];

/// A header that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of type {kind:#04x} cannot be {len} bytes long")]
pub struct FrameError {
    /// Frame type.
    pub kind: u8,
    /// Payload length.
    pub len: usize,
}

/// Frame types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameType {
    /// Server's public key.
    ServerKey = 0x01,
    /// Client's public key and boxed information.
    ClientInfo = 0x02,
    /// Boxed information of the server.
    ServerInfo = 0x03,
    /// Destination key and packet.
    SendPacket = 0x04,
    /// Source key and packet.
    RecvPacket = 0x05,
    /// A sign of life.
    KeepAlive = 0x06,
    /// This relay is the client's home, or no longer.
    NotePreferred = 0x07,
    /// A peer is gone, with a reason.
    PeerGone = 0x08,
    /// A peer is there (mesh).
    PeerPresent = 0x09,
    /// Source key, destination key and packet (mesh).
    ForwardPacket = 0x0a,
    /// Wants to know of all peers (mesh).
    WatchConns = 0x10,
    /// Close a peer's connection (mesh).
    ClosePeer = 0x11,
    /// Eight bytes to echo.
    Ping = 0x12,
    /// The echo.
    Pong = 0x13,
    /// A problem text; empty clears.
    Health = 0x14,
    /// The server goes away for a while.
    Restarting = 0x15,
}

impl FrameType {
    /// The type with this number; `None` for one we do not know, which is skipped.
    #[must_use]
    pub const fn from_u8(n: u8) -> Option<Self> {
        Some(match n {
            0x01 => Self::ServerKey,
            0x02 => Self::ClientInfo,
            0x03 => Self::ServerInfo,
            0x04 => Self::SendPacket,
            0x05 => Self::RecvPacket,
            0x06 => Self::KeepAlive,
            0x07 => Self::NotePreferred,
            0x08 => Self::PeerGone,
            0x09 => Self::PeerPresent,
            0x0a => Self::ForwardPacket,
            0x10 => Self::WatchConns,
            0x11 => Self::ClosePeer,
            0x12 => Self::Ping,
            0x13 => Self::Pong,
            0x14 => Self::Health,
            0x15 => Self::Restarting,
            _ => return None,
        })
    }
}

/// Why a peer is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum GoneReason {
    /// It disconnected.
    Disconnected = 0x00,
    /// It is not connected here.
    NotHere = 0x01,
}

/// Reads a header: type number and payload length. `None` when it is not whole yet.
///
/// # Errors
/// The payload would be longer than any frame may be: known types have their own limits, others the largest packet.
pub fn parse_header(bytes: &[u8]) -> Result<Option<(u8, usize)>, FrameError> {
    let Some(head) = bytes.get(..FRAME_HEADER) else { return Ok(None) };
    let kind = head[0];
    let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let max = match FrameType::from_u8(kind) {
        Some(FrameType::ClientInfo) => MAX_CLIENT_INFO,
        Some(FrameType::ForwardPacket) => MAX_PACKET + 64,
        Some(FrameType::Ping | FrameType::Pong) => 1000,
        _ => MAX_PACKET + 32,
    };
    // The fixed ones (home note, close peer) are left to the receiver, which has to close on any other length.
    if len > max { Err(FrameError { kind, len }) } else { Ok(Some((kind, len))) }
}

/// Appends a header for a payload of `len` bytes.
pub fn put_header(kind: FrameType, len: usize, out: &mut Vec<u8>) {
    out.push(kind as u8);
    // Payloads are bounded far below 4 GiB.
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
}

/// The first frame of a server.
#[must_use]
pub fn server_key_frame(key: &NodePublic) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_HEADER + 40);
    put_header(FrameType::ServerKey, 40, &mut out);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(key.as_bytes());
    out
}

/// Whether a packet looks like disco: magic, key and nonce are there.
#[must_use]
pub fn is_disco(packet: &[u8]) -> bool {
    packet.len() >= DISCO_MAGIC.len() + 32 + 24 && packet.starts_with(&DISCO_MAGIC)
}
