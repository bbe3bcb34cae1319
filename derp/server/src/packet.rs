//! Buffers of packets on their way to a client, in wire form, and the pool they come from.
//!
//! A packet is copied once, out of the buffer its batch was read into. Sharing that buffer instead would let one small
//! packet in a slow client's queue hold the whole of it.

use hearthgate_derp_frame::{FRAME_HEADER, FrameType, is_disco, put_header};
use hearthgate_keys::{KEY_LEN, NodePublic};
use std::cell::RefCell;

/// Capacity of a pooled buffer, in bytes: a WireGuard packet of the usual sizes with its header and two keys.
const POOLED: usize = 2048;
/// Frames up to this length, in bytes, get a buffer of their own size: pooling them would waste most of it.
const SMALL: usize = 256;
/// Buffers that one thread keeps.
const POOL_MAX: usize = 128;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Which queue a frame waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A path-finding packet.
    Disco,
    /// Any other packet.
    Other,
    /// Not a packet.
    Control,
}

/// One frame to write, header included.
#[derive(Debug)]
pub(crate) struct Packet {
    bytes: Vec<u8>,
    pub(crate) kind: Kind,
}

impl Packet {
    /// A packet from `from`, as its receiver gets it.
    pub(crate) fn received(from: &NodePublic, packet: &[u8]) -> Self {
        let mut bytes = take(FRAME_HEADER + KEY_LEN + packet.len());
        put_header(FrameType::RecvPacket, KEY_LEN + packet.len(), &mut bytes);
        bytes.extend_from_slice(from.as_bytes());
        bytes.extend_from_slice(packet);
        Self { bytes, kind: kind_of(packet) }
    }

    /// The same for another relay.
    pub(crate) fn forwarded(from: &NodePublic, to: &NodePublic, packet: &[u8]) -> Self {
        let mut bytes = take(FRAME_HEADER + 2 * KEY_LEN + packet.len());
        put_header(FrameType::ForwardPacket, 2 * KEY_LEN + packet.len(), &mut bytes);
        bytes.extend_from_slice(from.as_bytes());
        bytes.extend_from_slice(to.as_bytes());
        bytes.extend_from_slice(packet);
        Self { bytes, kind: kind_of(packet) }
    }

    /// A frame that is no packet.
    pub(crate) fn control(bytes: Vec<u8>) -> Self {
        Self { bytes, kind: Kind::Control }
    }

    /// The whole frame.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        if self.bytes.capacity() != POOLED {
            return;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        // The pool of a thread that is ending is gone already: then the buffer is simply freed.
        let _ = POOL.try_with(|pool| {
            if let Ok(mut pool) = pool.try_borrow_mut()
                && pool.len() < POOL_MAX
            {
                bytes.clear();
                pool.push(bytes);
            }
        });
    }
}

fn kind_of(packet: &[u8]) -> Kind {
    if is_disco(packet) { Kind::Disco } else { Kind::Other }
}

fn take(len: usize) -> Vec<u8> {
    if len <= SMALL || len > POOLED {
        return Vec::with_capacity(len);
    }
    POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(POOLED))
}
