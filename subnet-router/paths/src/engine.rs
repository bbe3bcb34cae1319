//! The state machine's frame: state, events in, actions out, timers.

use crate::{
    Action, Config, Event, Hop, Now, Path, PeerInfo, RegionId, Via,
    own::OwnNetwork,
    peer::Peer,
    peer_relay::PeerRelays,
    timers::{Timer, Timers},
    timing::{CALL_HOLD, ENDPOINTS_WAIT, HEARTBEAT, TRUST},
};
use hearthgate_disco::TxId;
use hearthgate_keys::{DiscoPublic, DiscoShared, NodePublic};
use hearthgate_sorted::{SortedMap, SortedSet};
use std::{collections::VecDeque, fmt, net::SocketAddr};

/// Most pings that wait for an answer at one time; beyond it new ones are not sent.
const OUTSTANDING_LIMIT: usize = 20_000;

/// A source of random bytes good enough for nonces, such as the operating system's.
pub trait Entropy {
    /// Fills `out`.
    fn fill(&mut self, out: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Entropy for F {
    fn fill(&mut self, out: &mut [u8]) {
        self(out);
    }
}

/// Why a ping was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Discovery,
    Heartbeat,
    /// One of many, which do not count as a try of the endpoint.
    Haste,
    User(u64),
}

/// A ping that is not answered yet.
#[derive(Debug, Clone, Copy)]
pub struct Outstanding {
    pub peer: NodePublic,
    pub via: Via,
    pub sent: Now,
    pub purpose: Purpose,
}

/// Who uses a disco key; several nodes of one machine may share it.
#[derive(Debug, Default)]
pub struct DiscoUse {
    pub nodes: SortedSet<NodePublic>,
    /// Computed when first needed: a thousand X25519 at once would stop a small router for a second.
    pub shared: Option<DiscoShared>,
}

/// The state machine. See the crate's documentation.
pub struct Paths {
    pub(crate) config: Config,
    pub(crate) disco: DiscoPublic,
    pub(crate) entropy: Box<dyn Entropy + Send>,
    pub(crate) peers: SortedMap<NodePublic, Peer>,
    pub(crate) by_disco: SortedMap<DiscoPublic, DiscoUse>,
    pub(crate) pings: SortedMap<TxId, Outstanding>,
    pub(crate) timers: Timers,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) own: OwnNetwork,
    pub(crate) peer_relays: PeerRelays,
}

impl fmt::Debug for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paths").field("peers", &self.peers.len()).field("disco", &self.disco).finish_non_exhaustive()
    }
}

impl Paths {
    /// A machine that knows nobody yet.
    #[must_use]
    pub fn new(config: Config, entropy: Box<dyn Entropy + Send>) -> Self {
        let mut paths = Self {
            disco: config.disco.public(),
            own: OwnNetwork::new(config.port, config.port_is_fixed),
            config,
            entropy,
            peers: SortedMap::new(),
            by_disco: SortedMap::new(),
            pings: SortedMap::new(),
            timers: Timers::default(),
            actions: VecDeque::new(),
            peer_relays: PeerRelays::default(),
        };
        let seed = paths.random();
        paths.own.seed(u32::from_ne_bytes(seed));
        paths
    }

    /// Takes in what happened. Afterwards [`Self::poll`] must be called until it answers `None`.
    pub fn handle(&mut self, now: Now, event: Event<'_>) {
        match event {
            Event::Peer(info) => self.set_peer(info, now),
            Event::PeerGone(node) => self.remove_peer(&node),
            Event::PeerDisco { peer, disco } => self.tunnel_disco(peer, disco, now),
            Event::Udp { from, bytes } => {
                self.udp(SocketAddr::new(from.ip().to_canonical(), from.port()), bytes, now);
            }
            Event::Relayed { region, from, bytes } => self.relayed(region, from, bytes, now),
            Event::RelayLost { region, peer } => self.relay_lost(region, peer, now),
            Event::Traffic { peer, sent, received } => self.traffic(peer, sent, received, now),
            Event::Roamed { peer, to } => self.roamed(peer, to, now),
            Event::Unreachable(addr) => self.unreachable(addr, now),
            Event::LinkChanged => self.link_changed(now),
            Event::LocalAddresses(addrs) => self.own_changed(now, |own| own.set_local(addrs)),
            Event::ExplicitEndpoints(addrs) => self.own_changed(now, |own| own.set_explicit(addrs)),
            Event::PortMapped(addr) => self.own_changed(now, |own| own.set_port_mapped(addr)),
            Event::RelayMap(regions) => self.relay_map(regions, now),
            Event::RelayHeard(region) => self.own.heard(region, now),
            Event::HttpsLatency { region, latency } => self.https_latency(region, latency, now),
            Event::Ping { peer, id } => self.user_ping(peer, id, now),
            Event::CheckNetwork => self.start_check(now),
            Event::PeerRelays(nodes) => self.peer_relays.set_relays(nodes),
            Event::Timer => {}
        }
        self.run_timers(now);
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Event::Timer`] is wanted at the latest.
    #[must_use]
    pub fn next_timer(&self) -> Option<Now> {
        self.timers.next()
    }

    fn run_timers(&mut self, now: Now) {
        while let Some(timer) = self.timers.due(now) {
            match timer {
                Timer::Heartbeat(node) => self.heartbeat(node, now),
                Timer::Trust(node) => {
                    if let Some(peer) = self.peers.get_mut(&node) {
                        peer.watched = false;
                        peer.fall_back(now);
                        if !peer.is_trusted(now) && peer.is_active(now) {
                            self.own.doubt(now);
                        }
                    }
                    self.announce(node, now);
                }
                Timer::PingTimeout(txid) => self.ping_timeout(txid, now),
                Timer::Haste(node) => self.haste(node, now),
                Timer::CallMeMaybe(node) => self.call_me_maybe(node),
                Timer::Check => self.step_check(now),
                Timer::Restun => self.restun(now),
                Timer::PeerRelay => self.run_relays(now),
            }
        }
    }

    fn set_peer(&mut self, info: PeerInfo, now: Now) {
        if info.node == self.config.node {
            return;
        }
        let node = info.node;
        if let Some(peer) = self.peers.get_mut(&node) {
            let before: Vec<_> = peer.disco_keys().collect();
            if peer.info.endpoints != info.endpoints {
                peer.candidates.set_map(&info.endpoints, now);
            }
            if peer.info.disco != info.disco {
                // The newest announcement is the likeliest; a packet under another known key corrects it.
                peer.disco = info.disco;
                peer.forget_measurements();
                self.peer_relays.forget(&node);
            }
            peer.info = info;
            self.reindex(node, &before);
        } else {
            self.peers.insert(node, Peer::new(info, now));
            self.reindex(node, &[]);
        }
        self.announce(node, now);
    }

    fn remove_peer(&mut self, node: &NodePublic) {
        if let Some(peer) = self.peers.remove(node) {
            self.peer_relays.forget(node);
            let keys: Vec<_> = peer.disco_keys().collect();
            self.reindex(*node, &keys);
        }
    }

    fn tunnel_disco(&mut self, node: NodePublic, disco: DiscoPublic, now: Now) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if disco.is_zero() || peer.disco == disco {
            return;
        }
        let before: Vec<_> = peer.disco_keys().collect();
        peer.tunnel_disco = Some(disco);
        peer.disco = disco;
        peer.forget_measurements();
        self.peer_relays.forget(&node);
        self.reindex(node, &before);
        self.announce(node, now);
    }

    /// Keeps `by_disco` right after a peer's keys changed from `before`.
    fn reindex(&mut self, node: NodePublic, before: &[DiscoPublic]) {
        for key in before {
            if let Some(used) = self.by_disco.get_mut(key) {
                used.nodes.remove(&node);
            }
        }
        if let Some(peer) = self.peers.get(&node) {
            for key in peer.disco_keys() {
                self.by_disco.entry(key).or_default().nodes.insert(node);
            }
        }
        for key in before {
            if self.by_disco.get(key).is_some_and(|used| used.nodes.is_empty()) {
                self.by_disco.remove(key);
            }
        }
    }

    fn relay_lost(&mut self, region: RegionId, node: NodePublic, now: Now) {
        if let Some(peer) = self.peers.get_mut(&node)
            && peer.heard_on == Some(region)
        {
            peer.heard_on = None;
            self.announce(node, now);
        }
    }

    fn traffic(&mut self, node: NodePublic, sent: bool, received: bool, now: Now) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if received {
            peer.last_received = Some(now);
            // Without heartbeats, what comes in is the only sign that the path lives.
            if peer.info.silent && peer.is_trusted(now) {
                peer.trust_until = now + TRUST;
            }
        }
        if sent {
            peer.last_sent = Some(now);
            if !peer.beating && !peer.info.silent {
                peer.beating = true;
                self.timers.set(now + HEARTBEAT, Timer::Heartbeat(node));
            }
            if !peer.is_direct(now) {
                self.round(node, true, now);
                self.find_relays(node, now);
            }
        }
        self.hasten(node, now);
    }

    fn heartbeat(&mut self, node: NodePublic, now: Now) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        peer.beating = false;
        if peer.info.silent || !peer.is_active(now) {
            return;
        }
        peer.beating = true;
        self.timers.set(now + HEARTBEAT, Timer::Heartbeat(node));
        let wants_round = peer.wants_round(now);
        if let Some(best) = peer.best {
            self.ping(node, Via::Hop(best.hop), Purpose::Heartbeat, now);
        }
        if wants_round {
            self.round(node, true, now);
            self.find_relays(node, now);
        }
    }

    fn ping_timeout(&mut self, txid: TxId, now: Now) {
        let Some(ping) = self.pings.remove(&txid) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&ping.peer) else {
            return;
        };
        if !peer.is_trusted(now) && peer.best.is_some_and(|best| Via::Hop(best.hop) == ping.via) {
            peer.best = None;
            self.announce(ping.peer, now);
        }
    }

    fn roamed(&mut self, node: NodePublic, to: SocketAddr, now: Now) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if to.ip().is_loopback() || peer.best.is_some_and(|best| best.hop == Hop::direct(to)) {
            return;
        }
        peer.candidates.roamed(to, now);
        if peer.candidates.get_mut(to).is_some_and(|candidate| candidate.may_ping(now)) {
            self.ping(node, Via::Hop(Hop::direct(to)), Purpose::Discovery, now);
        }
    }

    fn unreachable(&mut self, addr: SocketAddr, now: Now) {
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        let hit: Vec<_> =
            self.peers.iter().filter(|(_, p)| p.best.is_some_and(|b| b.hop.addr == addr)).map(|(n, _)| *n).collect();
        for node in hit {
            if let Some(peer) = self.peers.get_mut(&node) {
                peer.best = None;
                if let Some(candidate) = peer.candidates.get_mut(addr) {
                    candidate.pong = None;
                }
            }
            self.announce(node, now);
        }
    }

    fn link_changed(&mut self, now: Now) {
        self.own.forget();
        let nodes: Vec<_> = self.peers.keys().copied().collect();
        for node in nodes {
            let Some(peer) = self.peers.get_mut(&node) else {
                continue;
            };
            peer.forget_measurements();
            let active = peer.is_active(now);
            self.announce(node, now);
            if active {
                self.round(node, true, now);
            }
        }
        self.actions.push_back(Action::MapPort);
        self.start_check(now);
    }

    /// Tells the data plane if the path changed, and sees that the end of its trust is noticed.
    pub(crate) fn announce(&mut self, node: NodePublic, now: Now) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        let path = peer.path(now);
        if peer.announced != Some(path) {
            if matches!(path, Path::Direct(_)) {
                peer.call_at = now + CALL_HOLD;
            }
            peer.announced = Some(path);
            self.actions.push_back(Action::SetPath { peer: node, path });
        }
        if peer.is_trusted(now) && !peer.watched {
            peer.watched = true;
            self.timers.set(peer.trust_until, Timer::Trust(node));
        }
    }

    /// Asks the peer to ping us, as soon as we know where it can.
    pub(crate) fn want_call_me_maybe(&mut self, node: NodePublic, now: Now) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if peer.region().is_none() || peer.calling {
            return;
        }
        peer.calling = true;
        if self.own.is_fresh(now) {
            self.call_me_maybe(node);
        } else {
            self.timers.set(now + ENDPOINTS_WAIT, Timer::CallMeMaybe(node));
            self.start_check(now);
        }
    }

    pub(crate) fn room_for_ping(&self) -> bool {
        self.pings.len() < OUTSTANDING_LIMIT
    }

    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.entropy.fill(&mut out);
        out
    }
}
