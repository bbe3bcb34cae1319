//! From the TUN device to the network.

use super::{Shared, receive::buffer};
use boringtun::noise::{Tunn, TunnResult};
use std::{io, sync::PoisonError};

/// Reads the TUN device until the plane stops.
pub(super) fn run(shared: &Shared) {
    let (mut packet, mut sealed) = (buffer(), buffer());
    while !shared.is_stopped() {
        match shared.tun.recv_intr(&mut packet, &shared.wake) {
            Ok(length) => shared.transmit(packet.get(..length).unwrap_or_default(), &mut sealed),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::error!(%error, "the TUN device cannot be read any more");
                return;
            }
        }
    }
}

impl Shared {
    /// Seals a packet for the peer that has its destination. Others have no way: they are dropped.
    fn transmit(&self, packet: &[u8], sealed: &mut [u8]) {
        let Some(to) = Tunn::dst_address(packet) else {
            return;
        };
        let peer = self.peers.read().unwrap_or_else(PoisonError::into_inner).by_address(to).cloned();
        let Some(peer) = peer else {
            return;
        };
        // Space for the tag: the TUN device never gives more than its MTU.
        let Some(room) = sealed.get_mut(..(packet.len() + 32).max(148)) else {
            return;
        };
        let mut tunnel = peer.tunnel();
        let result = tunnel.encapsulate(packet, room);
        drop(tunnel);
        if let TunnResult::WriteToNetwork(message) = result {
            self.send_to(&peer, message);
        }
    }
}
