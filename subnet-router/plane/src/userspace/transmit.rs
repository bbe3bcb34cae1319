//! From the TUN device to the network: as many packets as there are, then one system call for those that go together.

use super::{PeerState, Shared, receive::MAX_DATAGRAM, udp};
use crate::Endpoint;
use boringtun::noise::{Tunn, TunnResult};
use hearthgate_offload::{Segments, VNET_LEN, VnetHeader};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, PoisonError},
};

/// What sealing adds: header and tag of a data message.
const SEAL_LEN: usize = 32;
/// Longest message of a handshake.
const HANDSHAKE_MAX: usize = 148;
/// Reads of the device before waiting datagrams are sent although more packets are there.
const READS: usize = 64;

/// Datagrams for one address, one after another; all but the last have one length.
struct Outgoing {
    buffer: Vec<u8>,
    used: usize,
    size: usize,
    count: usize,
    to: Option<SocketAddr>,
}

/// Reads the TUN device until the plane stops.
pub(super) fn run(shared: &Shared) {
    let mut packet = vec![0; VNET_LEN + MAX_DATAGRAM];
    let mut single = vec![0; MAX_DATAGRAM];
    let mut out = Outgoing { buffer: vec![0; 2 * MAX_DATAGRAM + SEAL_LEN], used: 0, size: 0, count: 0, to: None };
    let mut reads = 0;
    while !shared.is_stopped() {
        match shared.tun.recv(&mut packet) {
            Ok(length) => {
                shared.cut(packet.get_mut(..length).unwrap_or_default(), &mut single, &mut out);
                reads += 1;
                if reads == READS {
                    shared.flush(&mut out);
                    reads = 0;
                }
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                tracing::error!(%error, "the TUN device cannot be read any more");
                return;
            }
        }
        shared.flush(&mut out);
        reads = 0;
        if let Err(error) = shared.tun.wait_readable_intr(&shared.wake)
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(%error, "the TUN device cannot be waited for any more");
            return;
        }
    }
}

impl Shared {
    /// Takes what one read gave.
    fn cut(&self, read: &mut [u8], single: &mut [u8], out: &mut Outgoing) {
        if !self.offload {
            return self.transmit(read, out);
        }
        let Some((header, packet)) = read.split_first_chunk_mut::<VNET_LEN>() else { return };
        let Some(mut segments) = VnetHeader::decode(*header).and_then(|header| Segments::new(header, packet)) else {
            return tracing::debug!("a packet that cannot be cut");
        };
        while let Some(length) = segments.write_next(single) {
            self.transmit(single.get(..length).unwrap_or_default(), out);
        }
    }

    /// Seals a packet for the peer that has its destination. Others have no way: they are dropped.
    fn transmit(&self, packet: &[u8], out: &mut Outgoing) {
        let Some(to) = Tunn::dst_address(packet) else {
            return;
        };
        let peer = self.peers.read().unwrap_or_else(PoisonError::into_inner).by_address(to).cloned();
        let Some(peer) = peer else {
            return;
        };
        let room = (packet.len() + SEAL_LEN).max(HANDSHAKE_MAX);
        let Some(room) = out.buffer.get_mut(out.used..out.used + room) else {
            return;
        };
        if let TunnResult::WriteToNetwork(message) = peer.seal(packet, room) {
            let length = message.len();
            match peer.endpoint() {
                Endpoint::Direct(to) => self.gather(&peer, to, length, out),
                Endpoint::Both(_) | Endpoint::Relayed => self.send_to(&peer, message),
            }
        }
    }

    /// Adds the message that lies behind those that wait, or sends those first.
    fn gather(&self, peer: &Arc<PeerState>, to: SocketAddr, length: usize, out: &mut Outgoing) {
        peer.sent(length);
        let fits = out.to == Some(to)
            && length <= out.size
            && out.count < udp::SEGMENTS_MAX
            && out.used + length <= udp::BYTES_MAX;
        if !fits {
            let start = out.used;
            self.flush(out);
            out.buffer.copy_within(start..start + length, 0);
            (out.to, out.size) = (Some(to), length);
        }
        out.used += length;
        out.count += 1;
        if length < out.size {
            self.flush(out);
        }
    }

    fn flush(&self, out: &mut Outgoing) {
        if let Some(to) = out.to.take() {
            self.batches.send(&self.sockets, to, out.buffer.get(..out.used).unwrap_or_default(), out.size);
        }
        (out.used, out.count, out.size) = (0, 0, 0);
    }
}
