//! Which peers are greeted through the tunnel after a start, and when. Pure.
//!
//! A peer that had a WireGuard session with this node before a restart goes on sending with it, and nothing here can
//! open that: wireguard-go notices after 15 s (`KeepaliveTimeout` + `RekeyTimeout`). A packet from our side makes
//! WireGuard begin a handshake at once, and the peer's next packet uses the new session. So each peer gets one small
//! packet, as soon as it is heard from for the first time: whoever sleeps is not woken.
//!
//! WireGuard tries a handshake again only after 5 s, so the first try should not be lost: a peer that was heard
//! straight from the network is greeted when its direct path is proven, or when that takes too long. The peer takes the
//! new session into use only when a packet comes with it, so a lost greeting would cost those 15 s again: two more
//! follow.

use hearthgate_keys::NodePublic;
use hearthgate_paths::Now;
use hearthgate_sorted::SortedMap;
use std::time::Duration;

/// Time between the greetings of a peer.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// How long after a peer was heard through a relay. What is heard first is often its call for a path, right before a
/// handshake of its own: two that cross each other both fail, and WireGuard waits 5 s before the next.
const ASIDE: Duration = Duration::from_millis(200);
/// How long a direct path is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time between two greetings: a handshake costs a slow router some milliseconds of key agreement.
const PACE: Duration = Duration::from_millis(20);

/// Who waits to be greeted. Holds no more peers than the network has: forget those that leave.
#[derive(Debug, Default)]
pub struct Greeter {
    /// When, and how many greetings went before.
    waiting: SortedMap<NodePublic, (Now, usize)>,
    next: Now,
}

impl Greeter {
    /// A peer was heard for the first time. `straight` means not through a relay, so that a direct path may follow.
    pub fn heard(&mut self, peer: NodePublic, straight: bool, now: Now) {
        self.waiting.insert(peer, (now + if straight { PATIENCE } else { ASIDE }, 0));
    }

    /// Our side has lost its session with a peer: it is greeted at once.
    pub fn again(&mut self, peer: NodePublic, now: Now) {
        self.waiting.insert(peer, (now, 0));
    }

    /// A peer's direct path is proven.
    pub fn path_found(&mut self, peer: &NodePublic, now: Now) {
        if let Some((at, 0)) = self.waiting.get_mut(peer) {
            *at = now.min(*at);
        }
    }

    /// A peer has left the network, or needs no greeting any more.
    pub fn forget(&mut self, peer: &NodePublic) {
        self.waiting.remove(peer);
    }

    /// The peer to greet now, if there is one, and whether it is for the first time; ask again until there is none.
    pub fn due(&mut self, now: Now) -> Option<(NodePublic, bool)> {
        if now < self.next {
            return None;
        }
        let (&peer, &(_, before)) =
            self.waiting.iter().filter(|(_, (at, _))| *at <= now).min_by_key(|(_, (at, _))| *at)?;
        match AGAIN.get(before) {
            Some(pause) => self.waiting.insert(peer, (now + *pause, before + 1)),
            None => self.waiting.remove(&peer),
        };
        self.next = now + PACE;
        Some((peer, before == 0))
    }

    /// When [`Self::due`] should be asked next.
    #[must_use]
    pub fn next_timer(&self) -> Option<Now> {
        self.waiting.values().map(|(at, _)| *at).min().map(|at| at.max(self.next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(id: u16) -> NodePublic {
        let mut bytes = [1; 32];
        bytes[..2].copy_from_slice(&id.to_be_bytes());
        NodePublic::from_bytes(bytes)
    }

    const fn at(milliseconds: u64) -> Now {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_relayed_peer_is_greeted_soon_and_twice_more() {
        let mut greeter = Greeter::default();
        greeter.heard(peer(1), false, at(5000));
        let mut seen = Vec::new();
        while let Some(now) = greeter.next_timer() {
            assert_eq!(greeter.due(now - at(1)), None);
            seen.push((now, greeter.due(now)));
        }
        let first = |first| Some((peer(1), first));
        assert_eq!(seen, [(at(5200), first(true)), (at(6200), first(false)), (at(8200), first(false))]);
        greeter.heard(peer(2), false, at(9000));
        greeter.forget(&peer(2));
        assert_eq!((greeter.due(at(9000)), greeter.next_timer()), (None, None));
    }

    #[test]
    fn who_is_greeted_again_need_not_wait() {
        let mut greeter = Greeter::default();
        greeter.again(peer(1), at(5000));
        assert_eq!(greeter.due(at(5000)), Some((peer(1), true)));
    }

    #[test]
    fn a_direct_path_is_waited_for_but_not_long() {
        let mut greeter = Greeter::default();
        greeter.heard(peer(1), true, at(0));
        greeter.heard(peer(2), true, at(0));
        assert_eq!(greeter.due(at(100)), None);
        greeter.path_found(&peer(2), at(100));
        assert_eq!(greeter.due(at(100)), Some((peer(2), true)));
        // A later path is no reason to hurry.
        greeter.path_found(&peer(2), at(200));
        assert_eq!(greeter.due(at(900)), None);
        assert_eq!((greeter.next_timer(), greeter.due(at(1000))), (Some(at(1000)), Some((peer(1), true))));
        // Nobody who was not heard is greeted, whatever is known of the way there.
        let mut greeter = Greeter::default();
        greeter.path_found(&peer(3), at(2000));
        assert_eq!(greeter.due(at(9000)), None);
    }

    #[test]
    fn a_thousand_at_once_are_greeted_one_after_another() {
        let mut greeter = Greeter::default();
        for id in 0..1000 {
            greeter.heard(peer(id), false, at(0));
        }
        let mut times = Vec::new();
        while let Some(now) = greeter.next_timer() {
            assert!(greeter.due(now).is_some());
            assert_eq!(greeter.due(now), None, "two at {now:?}");
            times.push(now);
        }
        assert_eq!(times.len(), 3000);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= PACE));
    }
}
