//! What comes in: who sent it, may it come this way, what follows.

use crate::{
    Action, Hop, Measured, Now, Paths, RegionId, SAFE_WIRE_MTU, Via, engine::Purpose, timers::Timer, timing::DOUBT,
};
use hearthgate_disco::{
    Envelope, Message, Ping, Pong,
    demux::{Kind, kind},
};
use hearthgate_keys::{DiscoPublic, NodePublic};
use std::net::SocketAddr;

impl Paths {
    pub(crate) fn udp(&mut self, from: SocketAddr, bytes: &[u8], now: Now) {
        match kind(bytes) {
            Kind::Stun => self.stun(from, bytes, now),
            Kind::Disco => self.disco_packet(bytes, Via::Hop(Hop::direct(from)), None, now),
            Kind::Geneve => self.geneve(from, bytes, now),
            Kind::WireGuard => {}
        }
    }

    pub(crate) fn relayed(&mut self, region: RegionId, from: NodePublic, bytes: &[u8], now: Now) {
        self.own.heard(region, now);
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        if peer.heard_on != Some(region) {
            peer.heard_on = Some(region);
            self.announce(from, now);
        }
        self.heard(from, Via::Relay(region));
        if Envelope::looks_like(bytes) {
            self.disco_packet(bytes, Via::Relay(region), Some(from), now);
        } else {
            self.still_relayed(from, now);
        }
    }

    /// Opens a disco packet. Whatever is not from a peer is dropped without a word.
    pub(crate) fn disco_packet(&mut self, bytes: &[u8], via: Via, relayed_from: Option<NodePublic>, now: Now) {
        let Some(envelope) = Envelope::parse(bytes) else {
            return;
        };
        let sender = envelope.sender;
        let Some(used) = self.by_disco.get_mut(&sender) else {
            return;
        };
        if relayed_from.is_some_and(|from| !used.nodes.contains(&from)) {
            return;
        }
        let shared = used.shared.get_or_insert_with(|| self.config.disco.shared(&sender));
        let Ok(message) = envelope.open(shared) else {
            return;
        };
        let only = used.nodes.first().copied().filter(|_| used.nodes.len() == 1);
        let named = match &message {
            Message::Ping(ping) => ping.node.filter(|node| used.nodes.contains(node)),
            Message::Pong(pong) => {
                self.pings.get(&pong.txid).map(|ping| ping.peer).filter(|node| used.nodes.contains(node))
            }
            _ => None,
        };
        let node = relayed_from.or(only).or(named);
        if let Some(node) = node {
            self.saw_disco_key(node, sender, now);
            self.heard(node, via);
        }
        match (message, node, via) {
            (Message::Ping(ping), node, via) => self.got_ping(&ping, node, sender, via, now),
            (Message::Pong(pong), Some(node), _) => self.got_pong(&pong, node, now),
            (Message::CallMeMaybe(endpoints), Some(node), Via::Relay(_)) => {
                if let Some(peer) = self.peers.get_mut(&node) {
                    peer.candidates.set_called(&endpoints, now);
                    let mut lone = None;
                    if peer.is_direct(now) {
                        lone = peer.best.map(|best| best.hop).filter(|hop| !peer.candidates.contains(hop.addr));
                        peer.trust_until = peer.trust_until.min(now + DOUBT);
                        self.timers.set(peer.trust_until, Timer::Trust(node));
                    }
                    self.round(node, false, now);
                    if let Some(hop) = lone {
                        self.ping(node, Via::Hop(hop), Purpose::Heartbeat, now);
                    }
                }
            }
            (Message::CallMeMaybeVia(Some(endpoint)), Some(node), Via::Relay(_)) => {
                self.bind(node, &endpoint, now);
            }
            (Message::Allocated(Some(answer)), Some(node), Via::Relay(_)) => self.allocated(node, answer, now),
            _ => {}
        }
    }

    /// A sign of life.
    fn heard(&mut self, node: NodePublic, via: Via) {
        if let Some(peer) = self.peers.get_mut(&node)
            && !peer.heard
        {
            peer.heard = true;
            self.actions.push_back(Action::Heard { peer: node, via });
        }
    }

    /// A packet opened under this key: from now on it is the one to send to.
    fn saw_disco_key(&mut self, node: NodePublic, sender: DiscoPublic, now: Now) {
        if let Some(peer) = self.peers.get_mut(&node)
            && peer.disco != sender
        {
            peer.disco = sender;
            peer.forget_measurements();
            self.peer_relays.forget(&node);
            self.announce(node, now);
        }
    }

    /// A ping is always answered, to where it came from; its source is worth a ping of our own, no more.
    fn got_ping(&mut self, ping: &Ping, node: Option<NodePublic>, sender: DiscoPublic, via: Via, now: Now) {
        let source = match via {
            Via::Hop(hop) => hop.addr,
            Via::Relay(region) => Self::relay_address(region),
        };
        let mut answer_ping = false;
        let mut doubted = None;
        if let (Via::Hop(hop), Some(peer)) = (via, node.and_then(|node| self.peers.get_mut(&node)))
            && hop.is_direct()
        {
            let stranger = !peer.candidates.contains(hop.addr);
            if !peer.candidates.pinged_us(hop.addr, ping.txid, now) {
                return;
            }
            // From an address that nobody told us of: perhaps the peer has moved, and where it was nobody hears us.
            if stranger && peer.is_active(now) && peer.is_direct(now) {
                doubted = peer.best.map(|best| best.hop).filter(|best| *best != hop);
                peer.trust_until = peer.trust_until.min(now + DOUBT);
            }
            answer_ping = peer.is_active(now)
                && (!peer.is_direct(now) || doubted.is_some())
                && peer.candidates.get_mut(hop.addr).is_some_and(|candidate| candidate.ping_back(now));
        }
        let pong = Message::Pong(Pong { txid: ping.txid, source });
        // Over UDP nobody needs to be named; over a relay the node is known.
        self.send(node.unwrap_or_default(), sender, via, &pong);
        if let Via::Hop(hop) = via {
            self.pinged_through(hop, now);
        }
        let Some(node) = node else { return };
        if answer_ping {
            self.ping(node, via, Purpose::Discovery, now);
        }
        if let Some(best) = doubted {
            self.timers.set(now + DOUBT, Timer::Trust(node));
            self.ping(node, Via::Hop(best), Purpose::Heartbeat, now);
        }
    }

    fn got_pong(&mut self, pong: &Pong, node: NodePublic, now: Now) {
        // A stranger cannot end a ping: the answer must come from the node that was asked.
        if self.pings.get(&pong.txid).is_none_or(|ping| ping.peer != node) {
            return;
        }
        let Some(ping) = self.pings.remove(&pong.txid) else {
            return;
        };
        let latency = now.saturating_sub(ping.sent);
        if let (Via::Hop(hop), Some(peer)) = (ping.via, self.peers.get_mut(&node)) {
            // The answer may come from elsewhere; what was measured is the address that was pinged.
            if let Some(candidate) = peer.candidates.get_mut(hop.addr) {
                candidate.pong = Some((latency, now));
            }
            if !hop.is_direct() {
                self.endpoint_works(hop, now);
            }
            let Some(peer) = self.peers.get_mut(&node) else { return };
            peer.measured(Measured { hop, latency, mtu: SAFE_WIRE_MTU }, now);
            self.announce(node, now);
        }
        if let Purpose::User(id) = ping.purpose {
            self.actions.push_back(Action::PingReply { id, peer: node, via: ping.via, latency });
        }
    }
}
