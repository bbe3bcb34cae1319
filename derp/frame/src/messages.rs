//! Whole frames that clients and servers send besides packets.

use crate::{FRAME_HEADER, FrameType, put_header};
use hearthgate_keys::{KEY_LEN, NodePublic};

/// A frame of this type around a payload.
#[must_use]
pub fn frame(kind: FrameType, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_HEADER + payload.len());
    put_header(kind, payload.len(), &mut out);
    out.extend_from_slice(payload);
    out
}

/// Whether this relay is the client's home.
#[must_use]
pub fn note_preferred_frame(home: bool) -> Vec<u8> {
    frame(FrameType::NotePreferred, &[u8::from(home)])
}

/// A client's packet for the owner of `to`.
#[must_use]
pub fn send_packet_frame(to: &NodePublic, packet: &[u8]) -> Vec<u8> {
    with_key(FrameType::SendPacket, to, packet)
}

/// Appends the same to `out`.
pub fn put_send_packet(to: &NodePublic, packet: &[u8], out: &mut Vec<u8>) {
    put_with_key(FrameType::SendPacket, to, packet, out);
}

/// A packet from `from`, as its receiver gets it.
#[must_use]
pub fn recv_packet_frame(from: &NodePublic, packet: &[u8]) -> Vec<u8> {
    with_key(FrameType::RecvPacket, from, packet)
}

/// A packet that one relay hands to another.
#[must_use]
pub fn forward_packet_frame(from: &NodePublic, to: &NodePublic, packet: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_HEADER + 2 * KEY_LEN + packet.len());
    put_header(FrameType::ForwardPacket, 2 * KEY_LEN + packet.len(), &mut out);
    out.extend_from_slice(from.as_bytes());
    out.extend_from_slice(to.as_bytes());
    out.extend_from_slice(packet);
    out
}

/// A problem to show to the user; an empty text clears it.
#[must_use]
pub fn health_frame(problem: &str) -> Vec<u8> {
    frame(FrameType::Health, problem.as_bytes())
}

/// The server goes away: come back after `reconnect_ms`, and try for `try_for_ms`. Both in milliseconds.
#[must_use]
pub fn restarting_frame(reconnect_ms: u32, try_for_ms: u32) -> Vec<u8> {
    let mut payload = [0u8; 8];
    payload[..4].copy_from_slice(&reconnect_ms.to_be_bytes());
    payload[4..].copy_from_slice(&try_for_ms.to_be_bytes());
    frame(FrameType::Restarting, &payload)
}

fn with_key(kind: FrameType, key: &NodePublic, packet: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_HEADER + KEY_LEN + packet.len());
    put_with_key(kind, key, packet, &mut out);
    out
}

fn put_with_key(kind: FrameType, key: &NodePublic, packet: &[u8], out: &mut Vec<u8>) {
    put_header(kind, KEY_LEN + packet.len(), out);
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(packet);
}
