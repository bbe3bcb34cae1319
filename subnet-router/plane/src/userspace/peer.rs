//! Peers: their sessions, the table from addresses to peers, and from session numbers to peers.

use super::Identity;
use crate::{Desired, Endpoint, PeerCounters, PlaneError};
use boringtun::{
    noise::{Tunn, TunnResult, errors::WireGuardError},
    x25519,
};
use hearthgate_keys::NodePublic;
use ip_network::IpNetwork;
use ip_network_table::IpNetworkTable;
use ipnet::IpNet;
use portable_atomic::{AtomicU64, Ordering};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

/// Session numbers have 24 bits for the peer and 8 for the session.
const MAX_INDEX: u32 = 1 << 24;

/// One peer.
pub(super) struct PeerState {
    key: NodePublic,
    index: u32,
    keepalive: u16,
    identity: Arc<Identity>,
    /// Made for the first packet: it has room for eight sessions, which is 11 KiB, and most of a large network never
    /// talk to this node.
    tunnel: Mutex<Option<Box<Tunn>>>,
    endpoint: Mutex<Endpoint>,
    rx: AtomicU64,
    tx: AtomicU64,
}

impl PeerState {
    pub(super) const fn key(&self) -> NodePublic {
        self.key
    }

    fn tunnel(&self) -> MutexGuard<'_, Option<Box<Tunn>>> {
        self.tunnel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seals a packet, or begins a handshake for it.
    pub(super) fn seal<'a>(&self, packet: &[u8], room: &'a mut [u8]) -> TunnResult<'a> {
        self.tunnel().get_or_insert_with(|| Box::new(self.begin())).encapsulate(packet, room)
    }

    /// Opens a message that names this peer; `first` if it is one that a conversation begins with.
    pub(super) fn open<'a>(&self, from: IpAddr, message: &[u8], first: bool, plain: &'a mut [u8]) -> TunnResult<'a> {
        // There boringtun would panic.
        if plain.len() < message.len() {
            return TunnResult::Err(WireGuardError::DestinationBufferTooSmall);
        }
        let mut tunnel = self.tunnel();
        let tunnel = match tunnel.as_mut() {
            Some(tunnel) => tunnel,
            None if first => tunnel.insert(Box::new(self.begin())),
            // Of a session that there never was: nothing in it is authentic.
            None => return TunnResult::Err(WireGuardError::NoCurrentSession),
        };
        tunnel.decapsulate(Some(from), message, plain)
    }

    fn begin(&self) -> Tunn {
        Tunn::new(
            x25519::StaticSecret::from(*self.identity.private.secret_bytes()),
            x25519::PublicKey::from(*self.key.as_bytes()),
            None,
            (self.keepalive > 0).then_some(self.keepalive),
            self.index,
            Some(Arc::clone(&self.identity.limiter)),
        )
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_endpoint(&self, endpoint: Endpoint) {
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner) = canonical(endpoint);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.tx.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.rx.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What the timers want sent.
    pub(super) fn tick<'a>(&self, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        match self.tunnel().as_mut()?.update_timers(buffer) {
            TunnResult::WriteToNetwork(message) => Some(message),
            _ => None,
        }
    }

    pub(super) fn counters(&self, moment_ago: fn(Duration) -> Option<SystemTime>) -> PeerCounters {
        PeerCounters {
            key: self.key,
            rx_bytes: self.rx.load(Ordering::Relaxed),
            tx_bytes: self.tx.load(Ordering::Relaxed),
            last_handshake: self.tunnel().as_ref().and_then(|tunnel| tunnel.stats().0).and_then(moment_ago),
            endpoint: self.endpoint(),
        }
    }
}

/// IPv4 inside IPv6 is written as IPv4: there is a socket for each family.
fn canonical(endpoint: Endpoint) -> Endpoint {
    let plain = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
    match endpoint {
        Endpoint::Relayed => Endpoint::Relayed,
        Endpoint::Direct(addr) => Endpoint::Direct(plain(addr)),
        Endpoint::Both(addr) => Endpoint::Both(plain(addr)),
    }
}

/// All peers.
pub(super) struct Peers {
    by_key: HashMap<NodePublic, Arc<PeerState>>,
    by_index: HashMap<u32, Arc<PeerState>>,
    by_address: IpNetworkTable<Arc<PeerState>>,
    last_index: u32,
}

impl Default for Peers {
    fn default() -> Self {
        Self { by_key: HashMap::new(), by_index: HashMap::new(), by_address: IpNetworkTable::new(), last_index: 0 }
    }
}

impl Peers {
    pub(super) fn by_key(&self, key: &NodePublic) -> Option<&Arc<PeerState>> {
        self.by_key.get(key)
    }

    /// The peer a message is for, by the receiver's number in it.
    pub(super) fn by_receiver(&self, receiver: u32) -> Option<&Arc<PeerState>> {
        self.by_index.get(&(receiver >> 8))
    }

    /// The peer that has an address.
    pub(super) fn by_address(&self, ip: IpAddr) -> Option<&Arc<PeerState>> {
        self.by_address.longest_match(ip).map(|(_, peer)| peer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<PeerState>> {
        self.by_key.values()
    }

    pub(super) fn endpoints(&self) -> Vec<(NodePublic, Endpoint)> {
        self.iter().map(|peer| (peer.key, peer.endpoint())).collect()
    }

    /// Makes the peers what they shall be; those that stay keep session and endpoint.
    pub(super) fn set(&mut self, desired: &Desired, identity: &Arc<Identity>) -> Result<(), PlaneError> {
        let mut table = IpNetworkTable::new();
        let mut by_key = HashMap::with_capacity(desired.peers.len());
        let mut by_index = HashMap::with_capacity(desired.peers.len());
        for wanted in &desired.peers {
            let same = self.by_key.get(&wanted.key).filter(|old| old.keepalive == wanted.keepalive).cloned();
            let state = match same {
                Some(state) => state,
                None => {
                    let index = self.free_index().ok_or(PlaneError::UnknownPeer)?;
                    let endpoint = self.by_key.get(&wanted.key).map_or(wanted.endpoint, |old| old.endpoint());
                    let state = PeerState {
                        key: wanted.key,
                        index,
                        keepalive: wanted.keepalive,
                        identity: Arc::clone(identity),
                        tunnel: Mutex::new(None),
                        endpoint: Mutex::new(canonical(endpoint)),
                        rx: AtomicU64::new(0),
                        tx: AtomicU64::new(0),
                    };
                    if state.keepalive > 0 {
                        // It speaks first.
                        *state.tunnel() = Some(Box::new(state.begin()));
                    }
                    Arc::new(state)
                }
            };
            for net in &wanted.allowed_ips {
                table.insert(network(net), Arc::clone(&state));
            }
            by_index.insert(state.index, Arc::clone(&state));
            by_key.insert(wanted.key, state);
        }
        (self.by_key, self.by_index, self.by_address) = (by_key, by_index, table);
        Ok(())
    }

    /// A number that no peer has: late messages for a removed peer must not reach another one.
    fn free_index(&mut self) -> Option<u32> {
        for _ in 0..MAX_INDEX {
            self.last_index = (self.last_index + 1) % MAX_INDEX;
            if !self.by_index.contains_key(&self.last_index) {
                return Some(self.last_index);
            }
        }
        None
    }
}

fn network(net: &IpNet) -> IpNetwork {
    // `trunc` clears the host's bits, so there is nothing that could be refused.
    let net = net.trunc();
    IpNetwork::new_truncate(net.addr(), net.prefix_len()).unwrap_or_else(|_| IpNetwork::from(net.addr()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Peer;
    use hearthgate_keys::NodePrivate;

    /// Type and, behind it, zeros: what anybody can send to a peer whose number they guess.
    fn forged(kind: u8, length: usize) -> Vec<u8> {
        let mut message = vec![0; length];
        message[0] = kind;
        message
    }

    #[test]
    fn what_names_no_session_is_an_error_and_makes_none() {
        let key = NodePrivate::from_random([1; 32]);
        let mut desired = Desired::new(key.clone());
        let other = NodePrivate::from_random([2; 32]).public();
        desired.peers.push(Peer::new(other, Vec::new()));
        let mut peers = Peers::default();
        peers.set(&desired, &Arc::new(Identity::new(key))).expect("peers");
        let peer = peers.by_key(&other).expect("peer");
        let from = IpAddr::from([192, 0, 2, 1]);
        let mut plain = [0; 2048];
        // Response, cookie, data of a keepalive's length.
        for (kind, length) in [(2, 92), (3, 64), (4, 32)] {
            let result = peer.open(from, &forged(kind, length), false, &mut plain);
            assert!(matches!(result, TunnResult::Err(_)), "{kind}");
        }
        assert!(peer.tunnel().is_none(), "forged messages take memory");
    }

    #[test]
    fn a_message_that_finds_no_room_is_an_error() {
        let keys = [1, 2].map(|number| NodePrivate::from_random([number; 32]));
        let peer = |own: &NodePrivate, other: &NodePrivate| {
            let mut desired = Desired::new(own.clone());
            desired.peers.push(Peer::new(other.public(), Vec::new()));
            let mut peers = Peers::default();
            peers.set(&desired, &Arc::new(Identity::new(own.clone()))).expect("peers");
            Arc::clone(peers.by_key(&other.public()).expect("peer"))
        };
        let (a, b) = (peer(&keys[0], &keys[1]), peer(&keys[1], &keys[0]));
        let from = IpAddr::from([192, 0, 2, 1]);
        let message = |result: TunnResult<'_>| match result {
            TunnResult::WriteToNetwork(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        };
        let mut room = vec![0; 2048];
        // An IPv4 packet of a thousand bytes.
        let mut packet = vec![0; 1000];
        packet[..4].copy_from_slice(&[0x45, 0, 3, 0xe8]);
        let hello = message(a.seal(&packet, &mut room));
        let answer = message(b.open(from, &hello, true, &mut room));
        message(a.open(from, &answer, false, &mut room));
        let data = message(a.seal(&packet, &mut room));
        assert!(matches!(b.open(from, &data, false, &mut room[..999]), TunnResult::Err(_)));
        assert!(matches!(b.open(from, &data, false, &mut room), TunnResult::WriteToTunnelV4(..)));
    }
}
