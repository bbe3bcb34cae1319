//! From the network to the TUN device: as many datagrams as there are, then packets that continue each other as one.

use super::{PeerState, Shared, udp};
use crate::{Endpoint, PlaneEvent};
use boringtun::{
    noise::{Packet, Tunn, TunnResult, handshake::parse_handshake_anon},
    x25519,
};
use hearthgate_disco::demux::{Kind, kind};
use hearthgate_keys::NodePublic;
use hearthgate_offload::{Merger, PLAIN};
use std::{
    io::IoSlice,
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError},
};

/// The largest datagram there is.
pub(super) const MAX_DATAGRAM: usize = 65_535;
/// Batches taken before packets go on although more are there.
const BATCHES: usize = 16;

/// Largest datagrams that fit into the room for opened packets: what waits, a batch, and beyond both whatever an answer
/// may need. A message too large for its room is a panic in boringtun.
const ROOM: usize = 3;

/// First byte of a handshake initiation.
const INITIATION: u8 = 1;
/// First byte of a cookie reply.
const COOKIE: u8 = 3;

/// A buffer for any message.
pub(super) fn buffer() -> Vec<u8> {
    vec![0; MAX_DATAGRAM]
}

/// Reads a socket until the plane stops.
pub(super) fn run(shared: &Shared, v6: bool) {
    let Ok(socket) = shared.sockets.of(v6) else { return };
    let (mut datagrams, mut options) = (buffer(), udp::options());
    let mut plain = Plain { buffer: vec![0; ROOM * MAX_DATAGRAM], used: 0, merger: Merger::default() };
    while !shared.is_stopped() {
        for batch in 0..BATCHES {
            let Some(got) = udp::receive(socket, batch == 0, &mut datagrams, &mut options) else { break };
            for bytes in datagrams.get(..got.len).unwrap_or_default().chunks(got.size) {
                match kind(bytes) {
                    Kind::WireGuard => shared.udp(got.from, bytes, &mut plain),
                    _ => {
                        // A full queue drops the packet: disco repeats itself.
                        let _ = shared.events.try_send(PlaneEvent::Side { from: got.from, bytes: bytes.to_vec() });
                    }
                }
            }
            // The next batch must have room.
            if plain.used > MAX_DATAGRAM {
                shared.give(&mut plain);
            }
        }
        shared.give(&mut plain);
    }
}

/// Opened packets that wait for the TUN device.
struct Plain {
    buffer: Vec<u8>,
    used: usize,
    merger: Merger,
}

impl Shared {
    /// A WireGuard message straight from the network.
    fn udp(&self, from: SocketAddr, bytes: &[u8], plain: &mut Plain) {
        if let Some(peer) = self.sender(from, bytes)
            && let Some(room) = plain.buffer.get_mut(plain.used..)
            && let Some(length) = self.open(&peer, from, bytes, room)
        {
            let place = plain.used..plain.used + length;
            plain.used += length;
            if self.offload {
                plain.merger.push(&plain.buffer, place);
            } else {
                self.write(&[IoSlice::new(plain.buffer.get(place).unwrap_or_default())]);
            }
        }
    }

    /// Hands what waits to the TUN device.
    fn give(&self, plain: &mut Plain) {
        if !plain.merger.is_empty() {
            plain.merger.flush(&mut plain.buffer, |slices| self.write(slices));
        }
        plain.used = 0;
    }

    /// Hands one packet to the TUN device.
    pub(super) fn accept(&self, packet: &[u8]) {
        if self.offload {
            self.write(&[IoSlice::new(&PLAIN), IoSlice::new(packet)]);
        } else {
            self.write(&[IoSlice::new(packet)]);
        }
    }

    fn write(&self, slices: &[IoSlice<'_>]) {
        if let Err(error) = self.tun.send_vectored(slices) {
            tracing::debug!(%error, "packet not accepted by the TUN device");
        }
    }

    /// Which peer a message is from. An initiation names its sender under encryption, which costs a key agreement;
    /// rate limit and cookies come first.
    fn sender(&self, from: SocketAddr, bytes: &[u8]) -> Option<Arc<PeerState>> {
        let receiver = match Tunn::parse_incoming_packet(bytes).ok()? {
            Packet::HandshakeInit(_) => {
                let identity = self.identity.read().unwrap_or_else(PoisonError::into_inner);
                let mut cookie = [0; 64];
                let packet = match identity.limiter.verify_packet(Some(from.ip()), bytes, &mut cookie) {
                    Ok(Packet::HandshakeInit(packet)) => packet,
                    Err(TunnResult::WriteToNetwork(reply)) => {
                        let _ = self.sockets.send(from, reply);
                        return None;
                    }
                    _ => return None,
                };
                let secret = x25519::StaticSecret::from(*identity.private.secret_bytes());
                let public = x25519::PublicKey::from(&secret);
                let half = parse_handshake_anon(&secret, &public, &packet).ok()?;
                let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
                return peers.by_key(&NodePublic::from_bytes(half.peer_static_public)).cloned();
            }
            Packet::HandshakeResponse(packet) => packet.receiver_idx,
            Packet::PacketCookieReply(packet) => packet.receiver_idx,
            Packet::PacketData(packet) => packet.receiver_idx,
        };
        self.peers.read().unwrap_or_else(PoisonError::into_inner).by_receiver(receiver).cloned()
    }

    /// Opens a message of a peer: answers go back, and a packet whose source is the peer's lies at the beginning of
    /// `plain` then. Tells its length.
    pub(super) fn open(&self, peer: &PeerState, from: SocketAddr, bytes: &[u8], plain: &mut [u8]) -> Option<usize> {
        let mut input = bytes;
        loop {
            let result = peer.open(from.ip(), input, bytes.first() == Some(&INITIATION), plain);
            if matches!(result, TunnResult::Err(_)) {
                return None;
            }
            // Only what was authentic is counted, and once.
            peer.received(input.len());
            if self.plain && !is_cookie(&result) {
                peer.set_endpoint(Endpoint::Direct(from));
            }
            match result {
                TunnResult::WriteToNetwork(message) => self.send_to(peer, message),
                TunnResult::WriteToTunnelV4(packet, source) => {
                    return self.owns(peer, source.into()).then_some(packet.len());
                }
                TunnResult::WriteToTunnelV6(packet, source) => {
                    return self.owns(peer, source.into()).then_some(packet.len());
                }
                TunnResult::Done | TunnResult::Err(_) => return None,
            }
            // Ask again for what had waited for this handshake.
            input = &[];
        }
    }

    fn owns(&self, peer: &PeerState, source: IpAddr) -> bool {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.by_address(source).is_some_and(|owner| owner.key() == peer.key())
    }
}

/// Whether an answer asks its receiver to prove its address first: nothing is authentic yet.
fn is_cookie(result: &TunnResult<'_>) -> bool {
    matches!(result, TunnResult::WriteToNetwork(message) if message.first() == Some(&COOKIE))
}
