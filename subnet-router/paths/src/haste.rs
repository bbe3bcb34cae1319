//! What makes a relayed path direct soon after it can be: while packets go over a relay, the peer's likeliest endpoints
//! are pinged twice a second, and a STUN server too while UDP does not work at all. Who found a path calls a peer that
//! goes on sending over the relay. (Ours; official clients try every five seconds, which decides how long they take.)

use crate::{
    Hop, Now, Paths, RegionId, Via,
    engine::Purpose,
    peer::Peer,
    timers::Timer,
    timing::{CALL_AGAIN, HASTE_IDLE, HASTE_INTERVAL},
};
use hearthgate_keys::NodePublic;
use std::net::SocketAddr;

/// Most endpoints of one peer that are pinged this often. A peer may name anybody's address; more are pinged each five
/// seconds, as by official clients.
const ENDPOINTS_LIMIT: usize = 8;
/// With more pings than this under way there are enough: a router with hundreds of relayed peers has other work.
const OUTSTANDING_LIMIT: usize = 256;

impl Peer {
    /// Whether packets go over a relay at this moment, both ways as far as is known.
    fn is_hasty(&self, now: Now) -> bool {
        let lately = |at: Option<Now>| at.is_some_and(|at| now.saturating_sub(at) < HASTE_IDLE);
        let flows = lately(self.last_sent) || lately(self.last_received);
        flows && self.is_active(now) && !self.is_direct(now) && !self.info.silent && !self.disco.is_zero()
    }
}

impl Paths {
    /// Packets flow without a direct path: sees that it is looked for until there is one, or no packets.
    pub(crate) fn hasten(&mut self, node: NodePublic, now: Now) {
        if let Some(peer) = self.peers.get_mut(&node)
            && !peer.hastening
            && peer.is_hasty(now)
        {
            peer.hastening = true;
            self.timers.set(now + HASTE_INTERVAL, Timer::Haste(node));
        }
    }

    /// Looks for a direct path once.
    pub(crate) fn haste(&mut self, node: NodePublic, now: Now) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.hastening = false;
        }
        self.hasten(node, now);
        if self.peers.get(&node).is_some_and(|peer| peer.hastening) {
            self.probe_udp(now);
            self.ping_likeliest(node, now);
        }
    }

    fn ping_likeliest(&mut self, node: NodePublic, now: Now) {
        if self.pings.len() >= OUTSTANDING_LIMIT {
            return;
        }
        let Some(peer) = self.peers.get(&node) else {
            return;
        };
        for addr in peer.candidates.likeliest(ENDPOINTS_LIMIT, now) {
            self.ping(node, Via::Hop(Hop::direct(addr)), Purpose::Haste, now);
        }
    }

    /// Asks a STUN server whether UDP works again, if it did not.
    fn probe_udp(&mut self, now: Now) {
        if let Some(to) = self.own.wants_probe(now) {
            let txid = self.random();
            self.own.probe = Some((txid, now));
            let bytes = hearthgate_stun::request(&txid);
            self.actions.push_back(crate::Action::SendUdp { to, bytes });
        }
    }

    /// A STUN server answered [`Self::probe_udp`]: peers hear at once where we are now.
    pub(crate) fn udp_works(&mut self, seen: SocketAddr, now: Now) {
        self.own.reopened(seen, now);
        self.own_changed(now, |_| ());
        let hasty: Vec<_> = self.peers.iter().filter(|(_, peer)| peer.is_hasty(now)).map(|(node, _)| *node).collect();
        for node in hasty {
            // Our pings open our own NAT before the peer's come.
            self.ping_likeliest(node, now);
            self.want_call_me_maybe(node, now);
        }
        self.start_check(now);
    }

    /// A packet of a peer came over a relay. If we have a direct path for a while, the peer does not know of it.
    pub(crate) fn still_relayed(&mut self, node: NodePublic, now: Now) {
        if let Some(peer) = self.peers.get_mut(&node)
            && peer.is_direct(now)
            && peer.call_at <= now
        {
            peer.call_at = now + CALL_AGAIN;
            self.want_call_me_maybe(node, now);
        }
    }
}

/// The STUN server that tells whether UDP works: the home relay's if there is one; over IPv4 if we have that.
pub(crate) fn probe_target(regions: &[crate::Region], home: Option<RegionId>, v4: bool) -> Option<SocketAddr> {
    let of = |region: &crate::Region| region.nodes.iter().find_map(|node| if v4 { node.v4 } else { node.v6 });
    let is_home = |region: &&crate::Region| Some(region.id) == home;
    regions.iter().find(is_home).and_then(of).or_else(|| regions.iter().filter(|r| !r.no_measure).find_map(of))
}
