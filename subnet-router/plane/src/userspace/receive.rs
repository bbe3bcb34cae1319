//! From the network to the TUN device.

use super::{PeerState, Shared};
use crate::PlaneEvent;
use boringtun::{
    noise::{Packet, Tunn, TunnResult, handshake::parse_handshake_anon},
    x25519,
};
use hearthgate_disco::demux::{Kind, kind};
use hearthgate_keys::NodePublic;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError},
};

/// The largest datagram there is.
const MAX_DATAGRAM: usize = 65_535;

/// A buffer for any message.
pub(super) fn buffer() -> Vec<u8> {
    vec![0; MAX_DATAGRAM]
}

/// Reads a socket until the plane stops.
pub(super) fn run(shared: &Shared, v6: bool) {
    let (mut datagram, mut plain) = (buffer(), buffer());
    while !shared.is_stopped() {
        let Some((length, from)) = shared.sockets.receive(v6, &mut datagram) else {
            continue;
        };
        let Some(bytes) = datagram.get(..length) else {
            continue;
        };
        match kind(bytes) {
            Kind::WireGuard => shared.udp(from, bytes, &mut plain),
            _ => {
                // A full queue drops the packet: disco repeats itself.
                let _ = shared.events.try_send(PlaneEvent::Side { from, bytes: bytes.to_vec() });
            }
        }
    }
}

impl Shared {
    /// A WireGuard message straight from the network.
    fn udp(&self, from: SocketAddr, bytes: &[u8], plain: &mut [u8]) {
        if let Some(peer) = self.sender(from, bytes) {
            self.open(&peer, from.ip(), bytes, plain);
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

    /// Opens a message of a peer: packets go to the TUN device if their source is the peer's, answers go back.
    pub(super) fn open(&self, peer: &PeerState, from: IpAddr, bytes: &[u8], plain: &mut [u8]) {
        let mut input = bytes;
        loop {
            let mut tunnel = peer.tunnel();
            let result = tunnel.decapsulate(Some(from), input, plain);
            drop(tunnel);
            if matches!(result, TunnResult::Err(_)) {
                return;
            }
            // Only what was authentic is counted, and once.
            peer.received(input.len());
            match result {
                TunnResult::WriteToNetwork(message) => self.send_to(peer, message),
                TunnResult::WriteToTunnelV4(packet, source) => return self.accept(peer, source.into(), packet),
                TunnResult::WriteToTunnelV6(packet, source) => return self.accept(peer, source.into(), packet),
                TunnResult::Done | TunnResult::Err(_) => return,
            }
            // Ask again for what had waited for this handshake.
            input = &[];
        }
    }

    fn accept(&self, peer: &PeerState, source: IpAddr, packet: &[u8]) {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        let owner = peers.by_address(source).is_some_and(|owner| owner.key() == peer.key());
        drop(peers);
        if owner && let Err(error) = self.tun.send(packet) {
            tracing::debug!(%error, "packet not accepted by the TUN device");
        }
    }
}
