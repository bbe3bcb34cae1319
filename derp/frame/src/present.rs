//! Peer-present and peer-gone frames: what a mesh watcher is told of the clients of a relay.

use crate::{FRAME_HEADER, FrameType, GoneReason, put_header};
use hearthgate_keys::{KEY_LEN, NodePublic};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Longest application name, in bytes.
pub const MAX_APP_NAME: usize = 32;

/// What kind of client a present peer is: bits of the flags byte of a peer-present frame. Zero means that the server
/// is too old to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct PresentFlags(pub u8);

impl PresentFlags {
    /// An ordinary client; set only when no other bit is.
    pub const REGULAR: Self = Self(1);
    /// A relay of the same mesh.
    pub const MESH_PEER: Self = Self(2);
    /// A prober.
    pub const PROBER: Self = Self(4);
    /// A client whose ideal relay of the region is another one.
    pub const NOT_IDEAL: Self = Self(8);

    /// Flags of a client.
    #[must_use]
    pub const fn of(mesh_peer: bool, prober: bool, not_ideal: bool) -> Self {
        let bits = if mesh_peer { 2 } else { 0 } | if prober { 4 } else { 0 } | if not_ideal { 8 } else { 0 };
        if bits == 0 { Self::REGULAR } else { Self(bits) }
    }
}

/// A client of another relay, as a peer-present frame tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerPresent {
    /// Its key.
    pub key: NodePublic,
    /// Where it connects from, if the server says so.
    pub addr: Option<SocketAddr>,
    /// What it is.
    pub flags: PresentFlags,
    /// What its application calls itself; empty for most.
    pub app_name: String,
}

/// A peer-present frame, header included.
#[must_use]
pub fn peer_present_frame(key: &NodePublic, addr: Option<SocketAddr>, flags: PresentFlags, app_name: &str) -> Vec<u8> {
    let name = app_name.as_bytes().get(..MAX_APP_NAME).unwrap_or(app_name.as_bytes());
    let len = KEY_LEN + 16 + 2 + 1 + 1 + name.len();
    let mut out = Vec::with_capacity(FRAME_HEADER + len);
    put_header(FrameType::PeerPresent, len, &mut out);
    out.extend_from_slice(key.as_bytes());
    let ip = match addr.map(|a| a.ip()) {
        Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped(),
        Some(IpAddr::V6(v6)) => v6,
        None => Ipv6Addr::UNSPECIFIED,
    };
    out.extend_from_slice(&ip.octets());
    out.extend_from_slice(&addr.map_or(0, |a| a.port()).to_be_bytes());
    out.push(flags.0);
    // At most MAX_APP_NAME.
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    out
}

/// Reads the payload of a peer-present frame. Older servers send less: only the key, or no name.
#[must_use]
pub fn parse_peer_present(payload: &[u8]) -> Option<PeerPresent> {
    let (key, rest) = payload.split_first_chunk::<KEY_LEN>()?;
    let mut present =
        PeerPresent { key: NodePublic::from_bytes(*key), addr: None, flags: PresentFlags(0), app_name: String::new() };
    let Some((ip, rest)) = rest.split_first_chunk::<16>() else { return Some(present) };
    let Some((port, rest)) = rest.split_first_chunk::<2>() else { return Some(present) };
    let ip = IpAddr::from(*ip).to_canonical();
    let addr = SocketAddr::new(ip, u16::from_be_bytes(*port));
    // All zeros is how a server writes that it does not know.
    present.addr = (!ip.is_unspecified() || addr.port() != 0).then_some(addr);
    let Some((flags, rest)) = rest.split_first() else { return Some(present) };
    present.flags = PresentFlags(*flags);
    if let Some((len, rest)) = rest.split_first()
        && let Some(name) = rest.get(..usize::from(*len))
    {
        present.app_name = String::from_utf8_lossy(name).into_owned();
    }
    Some(present)
}

/// A peer-gone frame, header included.
#[must_use]
pub fn peer_gone_frame(key: &NodePublic, reason: GoneReason) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_HEADER + KEY_LEN + 1);
    put_header(FrameType::PeerGone, KEY_LEN + 1, &mut out);
    out.extend_from_slice(key.as_bytes());
    out.push(reason as u8);
    out
}

/// Reads the payload of a peer-gone frame: the key, and the reason's number (0 from servers that give none).
#[must_use]
pub fn parse_peer_gone(payload: &[u8]) -> Option<(NodePublic, u8)> {
    let (key, rest) = payload.split_first_chunk::<KEY_LEN>()?;
    Some((NodePublic::from_bytes(*key), rest.first().copied().unwrap_or(0)))
}
