//! What the kernel was told of its peers, and what it has to be told next.
//!
//! Many peers go to the kernel in several messages (`netlink/wireguard.rs`). When one of them fails, those before it have
//! been carried out, so that nothing is taken for known of any peer they were about: it is told in full next time,
//! even if what is wanted then is what was wanted before.

use super::{local_of, relay};
use crate::{
    Endpoint, Peer, PlaneError,
    netlink::{PeerChange, PeerStatus},
};
use hearthgate_keys::NodePublic;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

/// A peer as it was last told to the kernel.
pub(super) struct Known {
    pub index: u32,
    pub peer: Peer,
    pub endpoint: Endpoint,
    /// Our address on the direct path.
    pub local: Option<IpAddr>,
    /// Its endpoint is the one it came with.
    pub fresh: bool,
    /// A change of it failed: its addresses and keepalive in the kernel may be others than these.
    doubtful: bool,
    /// Its addresses as the kernel showed them since anything was told ([`PeerStatus::addresses`]).
    shown: Option<u64>,
}

/// What somebody else did to the peers in the kernel.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Drift {
    /// Ours that are not there, or have other addresses.
    pub changed: Vec<NodePublic>,
    /// Those that are not ours.
    pub foreign: Vec<NodePublic>,
}

#[derive(Default)]
pub(super) struct State {
    pub key: Option<[u8; 32]>,
    pub peers: HashMap<NodePublic, Known>,
    pub by_index: HashMap<u32, NodePublic>,
    last_index: u32,
    /// A change may have been carried out in part: the kernel may have peers that are not among these.
    pub unsure: bool,
}

impl State {
    /// What the kernel has to be told so that it has these peers, and the numbers of those that are new; `target` gives the
    /// endpoint of a new one.
    pub(super) fn changes<'a>(
        &mut self,
        wanted: &HashMap<NodePublic, &'a Peer>,
        target: impl Fn(u32, &Peer) -> Option<SocketAddr>,
    ) -> Result<(Vec<PeerChange<'a>>, HashMap<NodePublic, u32>), PlaneError> {
        let (mut changes, mut fresh) = (Vec::new(), HashMap::new());
        for peer in wanted.values().copied() {
            match self.peers.get(&peer.key) {
                Some(known) => {
                    let addresses = known.doubtful || known.peer.allowed_ips != peer.allowed_ips;
                    if addresses || known.peer.keepalive != peer.keepalive {
                        let allowed_ips = addresses.then_some(peer.allowed_ips.as_slice());
                        changes.push(PeerChange { peer, allowed_ips, endpoint: None, update_only: true });
                    }
                }
                None => {
                    let index = self.free_index().ok_or(PlaneError::UnknownPeer)?;
                    self.by_index.insert(index, peer.key);
                    fresh.insert(peer.key, index);
                    let (allowed_ips, endpoint) = (Some(peer.allowed_ips.as_slice()), target(index, peer));
                    changes.push(PeerChange { peer, allowed_ips, endpoint, update_only: false });
                }
            }
        }
        Ok((changes, fresh))
    }

    /// These changes went to the kernel, which carried out all of them, or an unknown part.
    pub(super) fn told(&mut self, changes: &[PeerChange<'_>], fresh: &HashMap<NodePublic, u32>, done: bool) {
        self.unsure |= !done;
        if !changes.is_empty() {
            self.look_anew();
        }
        for PeerChange { peer, .. } in changes {
            if let Some(known) = self.peers.get_mut(&peer.key) {
                known.doubtful = !done;
                if done {
                    known.peer = (*peer).clone();
                }
            } else if let Some(index) = fresh.get(&peer.key) {
                if done {
                    let (peer, endpoint, local) = ((*peer).clone(), peer.endpoint, local_of(peer.endpoint));
                    let (index, fresh) = (*index, true);
                    let known = Known { index, peer, endpoint, local, fresh, doubtful: false, shown: None };
                    self.peers.insert(known.peer.key, known);
                } else {
                    self.by_index.remove(index);
                }
            }
        }
    }

    /// These were to be removed from the kernel, which has done so, or with an unknown part of them: then it is asked
    /// next time whom it has, and those who come back are told as new ones.
    pub(super) fn removed(&mut self, peers: &[NodePublic], done: bool) {
        self.unsure = !done;
        for known in peers.iter().filter_map(|key| self.peers.remove(key)).collect::<Vec<_>>() {
            self.by_index.remove(&known.index);
        }
    }

    /// Compares with what the kernel shows. Nothing is said while a change of our own may have been carried out in
    /// part: it is told again in any case.
    pub(super) fn drift(&mut self, shown: &[PeerStatus]) -> Drift {
        let mut drift = Drift::default();
        if self.unsure || self.peers.values().any(|known| known.doubtful) {
            return drift;
        }
        let mut there = HashMap::with_capacity(shown.len());
        for status in shown {
            let key = NodePublic::from_bytes(status.key);
            if !self.peers.contains_key(&key) {
                drift.foreign.push(key);
            }
            there.insert(key, status.addresses);
        }
        for (key, known) in &mut self.peers {
            match (there.get(key), known.shown) {
                (Some(now), None) => known.shown = Some(*now),
                (Some(now), Some(before)) if *now == before => {}
                _ => drift.changed.push(*key),
            }
        }
        drift
    }

    /// What the kernel shows next is taken for what it was told: an address that two peers have is with one of them
    /// there, and telling one takes it from the other.
    pub(super) fn look_anew(&mut self) {
        for known in self.peers.values_mut() {
            known.shown = None;
        }
    }

    fn free_index(&mut self) -> Option<u32> {
        for _ in 0..relay::MAX_PEERS {
            self.last_index = (self.last_index + 1) % relay::MAX_PEERS;
            if !self.by_index.contains_key(&self.last_index) {
                return Some(self.last_index);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8, addresses: &[&str]) -> Peer {
        Peer::new(
            NodePublic::from_bytes([n; 32]),
            addresses.iter().map(|net| net.parse().expect("a network")).collect(),
        )
    }

    /// Tells these peers: what of each goes to the kernel, as its first byte, addresses and whether it must be there.
    fn tell(state: &mut State, peers: &[Peer], done: bool) -> Vec<(u8, Option<String>, bool)> {
        let wanted: HashMap<NodePublic, &Peer> = peers.iter().map(|peer| (peer.key, peer)).collect();
        let (changes, fresh) = state.changes(&wanted, |_, _| None).expect("numbers");
        state.told(&changes, &fresh, done);
        let shown = |change: &PeerChange<'_>| {
            let addresses =
                change.allowed_ips.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
            (change.peer.key.as_bytes()[0], addresses, change.update_only)
        };
        let mut told: Vec<_> = changes.iter().map(shown).collect();
        told.sort();
        told
    }

    #[test]
    fn a_change_that_failed_is_told_in_full_even_back_to_what_was() {
        let mut state = State::default();
        let before = [peer(1, &["100.64.0.1/32", "10.0.0.0/24"]), peer(2, &["100.64.0.2/32"]), peer(3, &[])];
        let after = [peer(1, &["100.64.0.1/32"]), peer(2, &["100.64.0.2/32", "10.0.0.0/24"]), peer(3, &[])];
        assert_eq!(tell(&mut state, &before, true).len(), 3);
        assert_eq!(tell(&mut state, &before, true), []);
        let back =
            vec![(1, Some("100.64.0.1/32 10.0.0.0/24".to_owned()), true), (2, Some("100.64.0.2/32".to_owned()), true)];
        assert_eq!(tell(&mut state, &after, false).len(), 2);
        assert!(state.unsure);
        assert_eq!(tell(&mut state, &before, false), back, "the kernel may have the other addresses");
        assert_eq!(tell(&mut state, &before, true), back, "until it was told");
        assert_eq!(tell(&mut state, &before, true), []);
    }

    #[test]
    fn a_keepalive_that_failed_is_told_again_too() {
        let mut state = State::default();
        let before = [peer(1, &["100.64.0.1/32"])];
        let after = [Peer { keepalive: 25, ..peer(1, &["100.64.0.1/32"]) }];
        tell(&mut state, &before, true);
        assert_eq!(tell(&mut state, &after, false), [(1, None, true)]);
        assert_eq!(tell(&mut state, &before, true), [(1, Some("100.64.0.1/32".into()), true)]);
    }

    #[test]
    fn new_peers_that_failed_are_new_again() {
        let mut state = State::default();
        let new = [(1, Some("100.64.0.1/32".to_owned()), false)];
        let peers = [peer(1, &["100.64.0.1/32"])];
        assert_eq!(tell(&mut state, &peers, false), new);
        assert!(state.by_index.is_empty());
        assert_eq!(tell(&mut state, &peers, true), new);
        assert_eq!(state.by_index.len(), 1);
    }

    /// What the kernel shows of these peers; the second number stands for their addresses.
    fn shown(peers: &[(u8, u64)]) -> Vec<PeerStatus> {
        let status = |&(n, addresses): &(u8, u64)| PeerStatus {
            key: [n; 32],
            endpoint: None,
            rx: 0,
            tx: 0,
            addresses,
            last_handshake: None,
        };
        peers.iter().map(status).collect()
    }

    #[test]
    fn what_somebody_else_did_is_seen() {
        let mut state = State::default();
        let peers = [peer(1, &["100.64.0.1/32"]), peer(2, &["100.64.0.2/32"])];
        tell(&mut state, &peers, true);
        let key = |n: u8| NodePublic::from_bytes([n; 32]);
        let changed = |n: u8| Drift { changed: vec![key(n)], foreign: vec![] };
        assert_eq!(state.drift(&shown(&[(1, 10)])), changed(2), "never there");
        assert_eq!(state.drift(&shown(&[(1, 10), (2, 20)])), Drift::default(), "this is how it was told");
        assert_eq!(state.drift(&shown(&[(1, 10), (2, 21)])), changed(2), "other addresses");
        assert_eq!(state.drift(&shown(&[(2, 20)])), changed(1), "gone");
        let foreign = Drift { changed: vec![], foreign: vec![key(3)] };
        assert_eq!(state.drift(&shown(&[(1, 10), (2, 20), (3, 0)])), foreign);
        let more = [peer(1, &["100.64.0.1/32", "10.0.0.0/24"]), peers[1].clone()];
        tell(&mut state, &more, true);
        assert_eq!(state.drift(&shown(&[(1, 11), (2, 19)])), Drift::default(), "told; perhaps taken from the other");
        assert_eq!(state.drift(&shown(&[(1, 11), (2, 20)])), changed(2));
        tell(&mut state, &peers, false);
        assert_eq!(state.drift(&shown(&[])), Drift::default(), "a change that failed is told again anyway");
    }

    #[test]
    fn who_comes_back_after_a_removal_that_failed_is_new() {
        let mut state = State::default();
        let peers = [peer(1, &["100.64.0.1/32"])];
        let new = tell(&mut state, &peers, true);
        state.removed(&[peers[0].key], false);
        assert!(state.unsure, "the kernel may still have it");
        assert_eq!(tell(&mut state, &peers, true), new, "or not any more");
    }
}
