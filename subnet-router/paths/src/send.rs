//! Making packets: pings, rounds of pings, pongs, call-me-maybe.

use crate::{
    Action, Hop, Now, Paths, RegionId, Via,
    engine::{Outstanding, Purpose},
    timers::Timer,
    timing::{HASTE_TIMEOUT, PING_TIMEOUT},
};
use hearthgate_disco::{
    Message, Ping,
    geneve::{Header, Protocol},
    seal,
};
use hearthgate_keys::{DiscoPublic, NodePublic};

impl Paths {
    /// Pings every candidate that was not pinged lately; with `call`, asks the peer to do the same.
    ///
    /// The order matters: our pings open our own NAT before the peer's come.
    pub(crate) fn round(&mut self, node: NodePublic, call: bool, now: Now) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if peer.disco.is_zero() {
            return;
        }
        peer.last_round = Some(now);
        let targets: Vec<_> =
            peer.candidates.iter().filter(|(_, c)| c.may_ping(now)).map(|(addr, _)| Hop::direct(addr)).collect();
        for &hop in &targets {
            self.ping(node, Via::Hop(hop), Purpose::Discovery, now);
        }
        if call && !targets.is_empty() {
            self.want_call_me_maybe(node, now);
        }
    }

    /// Sends one ping.
    pub(crate) fn ping(&mut self, node: NodePublic, via: Via, purpose: Purpose, now: Now) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if peer.disco.is_zero() {
            return;
        }
        if let (Via::Hop(Hop { addr, vni: None }), Purpose::Discovery | Purpose::Heartbeat) = (via, purpose)
            && let Some(candidate) = peer.candidates.get_mut(addr)
        {
            candidate.pinged = Some(now);
        }
        let disco = peer.disco;
        if !self.room_for_ping() {
            return;
        }
        let txid = self.random();
        self.pings.insert(txid, Outstanding { peer: node, via, sent: now, purpose });
        let limit = if purpose == Purpose::Haste { HASTE_TIMEOUT } else { PING_TIMEOUT };
        self.timers.set(now + limit, Timer::PingTimeout(txid));
        let ping = Message::Ping(Ping { txid, node: Some(self.config.node), padding: 0 });
        self.send(node, disco, via, &ping);
    }

    /// Answers a user: how is this peer reached, and how fast?
    pub(crate) fn user_ping(&mut self, node: NodePublic, id: u64, now: Now) {
        let Some(peer) = self.peers.get(&node) else {
            return;
        };
        let mut targets = Vec::new();
        match peer.best.filter(|_| peer.is_trusted(now)) {
            Some(best) => targets.push(Via::Hop(best.hop)),
            None => {
                targets.extend(peer.candidates.iter().map(|(addr, _)| Via::Hop(Hop::direct(addr))));
                targets.extend(peer.region().map(Via::Relay));
            }
        }
        for via in targets {
            self.ping(node, via, Purpose::User(id), now);
        }
        // A user's ping is a wish to talk: it starts the search for a better path.
        self.handle_wish(node, now);
    }

    fn handle_wish(&mut self, node: NodePublic, now: Now) {
        if self.peers.get(&node).is_some_and(|peer| !peer.is_direct(now)) {
            self.round(node, true, now);
        }
    }

    /// Tells a peer where to ping us, over its relay.
    pub(crate) fn call_me_maybe(&mut self, node: NodePublic) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if !std::mem::take(&mut peer.calling) {
            return;
        }
        let (Some(region), disco) = (peer.region(), peer.disco) else {
            return;
        };
        let endpoints = self.own.endpoints().iter().map(|endpoint| endpoint.addr).collect();
        self.send(node, disco, Via::Relay(region), &Message::CallMeMaybe(endpoints));
    }

    /// Seals a message for a peer and sends it.
    pub(crate) fn send(&mut self, node: NodePublic, disco: DiscoPublic, via: Via, message: &Message) {
        let nonce = self.random();
        let Some(used) = self.by_disco.get_mut(&disco) else {
            return;
        };
        let shared = used.shared.get_or_insert_with(|| self.config.disco.shared(&disco));
        let bytes = seal(&self.disco, shared, &nonce, message);
        self.actions.push_back(match via {
            Via::Relay(region) => Action::SendRelay { region, peer: node, bytes },
            Via::Hop(Hop { addr, vni: None }) => Action::SendUdp { to: addr, bytes },
            Via::Hop(Hop { addr, vni: Some(vni) }) => {
                let header = Header { protocol: Protocol::Disco, vni, control: false };
                Action::SendUdp { to: addr, bytes: header.wrap(&bytes) }
            }
        });
    }

    /// The address that stands for a relay in a pong.
    pub(crate) fn relay_address(region: RegionId) -> std::net::SocketAddr {
        std::net::SocketAddr::from((crate::RELAY_MAGIC_IP, region))
    }
}
