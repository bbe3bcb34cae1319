//! What the kernel was told of its peers, and what it has to be told next.
//!
//! Many peers go to the kernel in several messages (`netlink/wireguard.rs`). When one of them fails, those before it have
//! been carried out, so that nothing is taken for known of any peer they were about: it is told in full next time,
//! even if what is wanted then is what was wanted before.

use super::{local_of, relay};
use crate::{Endpoint, Peer, PlaneError, netlink::PeerChange};
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
        for PeerChange { peer, .. } in changes {
            if let Some(known) = self.peers.get_mut(&peer.key) {
                known.doubtful = !done;
                if done {
                    known.peer = (*peer).clone();
                }
            } else if let Some(index) = fresh.get(&peer.key) {
                if done {
                    let (peer, endpoint, local) = ((*peer).clone(), peer.endpoint, local_of(peer.endpoint));
                    let known = Known { index: *index, peer, endpoint, local, fresh: true, doubtful: false };
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
