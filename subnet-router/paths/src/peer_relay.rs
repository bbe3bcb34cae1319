//! Peer relays, as a client: nodes of the tailnet that forward for two others over UDP, when no direct path is found
//! (source: `wgengine/magicsock/relaymanager.go` and `net/udprelay` of tailscale.com v1.104.5).
//!
//! We ask a relay over DERP for an endpoint for us and a peer, tell the peer (call-me-maybe-via), and both bind their
//! addresses to it in a handshake of three messages. From then on it is a path like any other, with a Geneve header.

use crate::{
    Action, Hop, Now, Paths, Via,
    engine::Purpose,
    timers::Timer,
    timing::{ALLOCATE_LIMIT, ALLOCATE_RETRY, BIND_LIMIT, BIND_RETRY},
};
use hearthgate_disco::{
    Allocate, Allocated, BindEndpoint, CHALLENGE_LEN, Envelope, Message, RelayEndpoint,
    geneve::{Header, Protocol},
    seal,
};
use hearthgate_keys::{DiscoPublic, DiscoShared, NodePublic};
use hearthgate_sorted::SortedMap;
use std::{net::SocketAddr, time::Duration};

/// Most relays asked for one peer.
const RELAYS_LIMIT: usize = 8;
/// Most endpoints under way or in use for one peer.
const PER_PEER_LIMIT: usize = 8;
/// Most endpoints under way or in use at all.
const ENDPOINTS_LIMIT: usize = 1024;
/// Most pings through an endpoint before it has answered.
const PINGS_LIMIT: u8 = 10;
/// An endpoint that is in use is kept this long at least, whatever the relay says.
const STEADY_LEAST: Duration = Duration::from_secs(30);

/// A request to a relay.
#[derive(Debug)]
struct Asked {
    generation: u32,
    until: Now,
    retry: Option<Now>,
}

/// An endpoint at a relay.
#[derive(Debug)]
struct Endpoint {
    peer: NodePublic,
    peer_disco: DiscoPublic,
    shared: DiscoShared,
    generation: u32,
    lamport: u64,
    addrs: Vec<SocketAddr>,
    /// The relay's address that answered.
    bound: Option<SocketAddr>,
    pings: u8,
    /// It goes when nothing has come through it until then.
    until: Now,
    steady: Duration,
}

/// Everything about peer relays.
#[derive(Debug, Default)]
pub struct PeerRelays {
    relays: Vec<NodePublic>,
    generation: u32,
    asked: SortedMap<(NodePublic, NodePublic), Asked>,
    /// By the relay's own disco key and its number for the endpoint.
    endpoints: SortedMap<(DiscoPublic, u32), Endpoint>,
    ticking: bool,
}

impl PeerRelays {
    pub fn set_relays(&mut self, relays: Vec<NodePublic>) {
        self.relays = relays;
    }

    /// A peer left, or has another disco key.
    pub fn forget(&mut self, peer: &NodePublic) {
        self.asked.retain(|(_, of), _| of != peer);
        self.endpoints.retain(|_, endpoint| endpoint.peer != *peer);
    }

    fn next_generation(&mut self) -> u32 {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.generation
    }

    /// Whose packets come from this address with this number.
    fn peer_at(&self, from: SocketAddr, vni: u32) -> Option<NodePublic> {
        let mut all = self.endpoints.iter();
        all.find(|((_, n), e)| *n == vni && e.bound == Some(from)).map(|(_, e)| e.peer)
    }
}

impl Paths {
    /// Asks relays for a path to a peer, if one is wanted and it is time.
    pub(crate) fn find_relays(&mut self, node: NodePublic, now: Now) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if self.peer_relays.relays.is_empty() || peer.disco.is_zero() || !peer.wants_relay(now) {
            return;
        }
        peer.last_relay_discovery = Some(now);
        let asked: Vec<_> =
            self.peer_relays.relays.iter().copied().filter(|relay| *relay != node).take(RELAYS_LIMIT).collect();
        for relay in asked {
            let generation = self.peer_relays.next_generation();
            let asked = Asked { generation, until: now + ALLOCATE_LIMIT, retry: Some(now + ALLOCATE_RETRY) };
            self.peer_relays.asked.insert((relay, node), asked);
            self.ask_relay(relay, node, generation);
        }
        self.tick_relays(now);
    }

    fn ask_relay(&mut self, relay: NodePublic, node: NodePublic, generation: u32) {
        let (Some(relay_peer), Some(peer)) = (self.peers.get(&relay), self.peers.get(&node)) else { return };
        let (Some(region), relay_disco) = (relay_peer.region(), relay_peer.disco) else { return };
        let request = Message::Allocate(Some(Allocate::new(self.disco, peer.disco, generation)));
        self.send(relay, relay_disco, Via::Relay(region), &request);
    }

    /// A relay answered.
    pub(crate) fn allocated(&mut self, relay: NodePublic, answer: Allocated, now: Now) {
        let asked = &mut self.peer_relays.asked;
        let found = asked.iter().find(|((by, _), asked)| *by == relay && asked.generation == answer.generation);
        let Some(key) = found.map(|(key, _)| *key) else { return };
        asked.remove(&key);
        let node = key.1;
        let Some(peer) = self.peers.get(&node) else { return };
        let (region, disco) = (peer.region(), peer.disco);
        if !self.bind(node, &answer.endpoint, now) {
            return;
        }
        if let Some(region) = region {
            self.send(node, disco, Via::Relay(region), &Message::CallMeMaybeVia(Some(answer.endpoint)));
        }
    }

    /// Starts the handshake for an endpoint; `false` if it is not for us and this peer, or an old one.
    pub(crate) fn bind(&mut self, node: NodePublic, endpoint: &RelayEndpoint, now: Now) -> bool {
        let Some(peer) = self.peers.get(&node) else { return false };
        let both = Allocate::new(self.disco, peer.disco, 0).clients;
        if endpoint.clients != both || peer.disco.is_zero() || endpoint.server.is_zero() {
            return false;
        }
        let relays = &mut self.peer_relays;
        let key = (endpoint.server, endpoint.vni);
        let same_relay = |(server, _): &(DiscoPublic, u32), e: &Endpoint| *server == key.0 && e.peer == node;
        if relays.endpoints.iter().any(|(k, e)| same_relay(k, e) && e.lamport > endpoint.lamport) {
            return false;
        }
        if relays.endpoints.get(&key).is_some_and(|e| e.peer == node && e.lamport == endpoint.lamport) {
            // Both sides asked the same relay: the handshake is under way.
            return true;
        }
        relays.endpoints.retain(|k, e| !same_relay(k, e));
        let of_peer = relays.endpoints.values().filter(|e| e.peer == node).count();
        if of_peer >= PER_PEER_LIMIT || relays.endpoints.len() >= ENDPOINTS_LIMIT {
            return false;
        }
        let generation = relays.next_generation();
        let new = Endpoint {
            peer: node,
            peer_disco: peer.disco,
            shared: self.config.disco.shared(&endpoint.server),
            generation,
            lamport: endpoint.lamport,
            addrs: endpoint.addrs.clone(),
            bound: None,
            pings: 0,
            until: now + endpoint.bind_lifetime.min(BIND_LIMIT),
            steady: endpoint.steady_lifetime.max(STEADY_LEAST),
        };
        self.peer_relays.endpoints.insert(key, new);
        self.send_binds(key);
        self.tick_relays(now);
        true
    }

    fn send_binds(&mut self, key: (DiscoPublic, u32)) {
        let Some(endpoint) = self.peer_relays.endpoints.get(&key) else { return };
        let bind = BindEndpoint {
            vni: key.1,
            generation: endpoint.generation,
            remote: endpoint.peer_disco,
            challenge: [0; CHALLENGE_LEN],
        };
        for addr in endpoint.addrs.clone() {
            self.send_to_relay(key, addr, &Message::Bind(bind));
        }
    }

    fn send_to_relay(&mut self, key: (DiscoPublic, u32), to: SocketAddr, message: &Message) {
        let nonce = self.random();
        let Some(endpoint) = self.peer_relays.endpoints.get(&key) else { return };
        let packet = seal(&self.disco, &endpoint.shared, &nonce, message);
        let header = Header { protocol: Protocol::Disco, vni: key.1, control: true };
        self.actions.push_back(Action::SendUdp { to, bytes: header.wrap(&packet) });
    }

    /// A datagram with a Geneve header.
    pub(crate) fn geneve(&mut self, from: SocketAddr, bytes: &[u8], now: Now) {
        let Some((header, inner)) = Header::parse(bytes) else { return };
        match (header.protocol, header.control) {
            (Protocol::Disco, true) => self.relay_says(from, header.vni, inner, now),
            (Protocol::Disco, false) => {
                if let Some(peer) = self.peer_relays.peer_at(from, header.vni) {
                    let via = Via::Hop(Hop { addr: from, vni: Some(header.vni) });
                    self.disco_packet(inner, via, Some(peer), now);
                }
            }
            (Protocol::WireGuard, false) => {
                if let Some(peer) = self.peer_relays.peer_at(from, header.vni) {
                    self.actions.push_back(Action::Inject { peer, bytes: inner.to_vec() });
                }
            }
            (Protocol::WireGuard, true) => {}
        }
    }

    /// The relay's own message: a challenge.
    fn relay_says(&mut self, from: SocketAddr, vni: u32, packet: &[u8], now: Now) {
        let Some(envelope) = Envelope::parse(packet) else { return };
        let key = (envelope.sender, vni);
        let Some(endpoint) = self.peer_relays.endpoints.get_mut(&key) else { return };
        let Ok(Message::BindChallenge(bind)) = envelope.open(&endpoint.shared) else { return };
        let fits = (bind.vni, bind.generation, bind.remote) == (vni, endpoint.generation, endpoint.peer_disco);
        if !fits || !endpoint.addrs.contains(&from) || endpoint.bound.is_some_and(|addr| addr != from) {
            return;
        }
        endpoint.bound = Some(from);
        self.send_to_relay(key, from, &Message::BindAnswer(bind));
        self.ping_endpoint(key, now);
    }

    fn ping_endpoint(&mut self, key: (DiscoPublic, u32), now: Now) {
        let Some(endpoint) = self.peer_relays.endpoints.get_mut(&key) else { return };
        let Some(addr) = endpoint.bound.filter(|_| endpoint.pings < PINGS_LIMIT) else { return };
        endpoint.pings += 1;
        let node = endpoint.peer;
        self.ping(node, Via::Hop(Hop { addr, vni: Some(key.1) }), Purpose::Discovery, now);
    }

    /// The peer's ping came through an endpoint: its side is bound, so ours may work as well.
    pub(crate) fn pinged_through(&mut self, hop: Hop, now: Now) {
        let mut all = self.peer_relays.endpoints.iter();
        let found = all.find(|((_, vni), e)| Some(*vni) == hop.vni && e.bound == Some(hop.addr));
        let Some((&key, endpoint)) = found else { return };
        if self.peers.get(&endpoint.peer).is_some_and(|peer| !peer.is_trusted(now)) {
            self.ping_endpoint(key, now);
        }
    }

    /// An answer came through an endpoint: it works.
    pub(crate) fn endpoint_works(&mut self, hop: Hop, now: Now) {
        let mut all = self.peer_relays.endpoints.iter_mut();
        if let Some((_, e)) = all.find(|((_, vni), e)| Some(*vni) == hop.vni && e.bound == Some(hop.addr)) {
            e.until = now + e.steady;
            e.pings = PINGS_LIMIT;
        }
    }

    fn tick_relays(&mut self, now: Now) {
        if !self.peer_relays.ticking {
            self.peer_relays.ticking = true;
            self.timers.set(now + BIND_RETRY, Timer::PeerRelay);
        }
    }

    /// Asks again, binds again, pings again, and forgets what came to nothing.
    pub(crate) fn run_relays(&mut self, now: Now) {
        self.peer_relays.ticking = false;
        self.peer_relays.asked.retain(|_, asked| now < asked.until);
        self.peer_relays.endpoints.retain(|_, endpoint| now < endpoint.until);
        let mut again = Vec::new();
        for (&(relay, node), asked) in &mut self.peer_relays.asked {
            if asked.retry.is_some_and(|at| now >= at) {
                asked.retry = None;
                again.push((relay, node, asked.generation));
            }
        }
        for (relay, node, generation) in again {
            self.ask_relay(relay, node, generation);
        }
        let keys: Vec<_> = self.peer_relays.endpoints.iter().map(|(key, e)| (*key, e.bound.is_some())).collect();
        for &(key, bound) in &keys {
            if bound { self.ping_endpoint(key, now) } else { self.send_binds(key) }
        }
        if !keys.is_empty() || !self.peer_relays.asked.is_empty() {
            self.tick_relays(now);
        }
    }
}
