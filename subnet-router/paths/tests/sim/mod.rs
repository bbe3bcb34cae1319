//! A small internet in virtual time: hosts behind NATs, two STUN servers, a relay, losses, and a data plane that does
//! what the kernel's does. Everything follows from the seed.

pub mod nat;
pub mod peer_relay;

use hearthgate_disco::geneve::{Header, Protocol};
use hearthgate_keys::{DiscoPrivate, NodePublic};
use hearthgate_paths::{Action, Config, Event, Hop, Path, Paths, PeerInfo, Region, RegionNode};
use hearthgate_sorted::{SortedMap, SortedSet};
use nat::{Kind, Nat};
use peer_relay::PeerRelay;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// WireGuard's port on every host.
pub const PORT: u16 = 41641;
/// How often the data plane looks at the kernel's counters while a path is direct.
const COUNTERS: Duration = Duration::from_secs(3);
const STUN_SERVERS: [([u8; 4], u16); 2] = [([198, 51, 100, 1], 1), ([198, 51, 100, 2], 2)];

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A deterministic stream of numbers (xorshift64*).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            *byte = (self.next() >> 32) as u8;
        }
    }
}

#[derive(Debug)]
enum Parcel {
    /// Reaches a public address.
    Wire { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    /// Reaches a host over the relay.
    Relay { from: usize, to: usize, bytes: Vec<u8> },
    /// The peer relay's answer over the relay.
    FromPeerRelay { node: NodePublic, to: usize, bytes: Vec<u8> },
    /// A host of our own sends the next piece of data.
    Data { from: usize, to: usize, every: Duration, until: Duration },
    /// A host reads the kernel's counters.
    Counters(usize),
}

pub struct Host {
    pub paths: Paths,
    pub node: NodePublic,
    pub disco: DiscoPrivate,
    pub addrs: Vec<IpAddr>,
    /// Which of the world's NATs it is behind.
    pub nat: usize,
    pub udp_blocked: bool,
    pub path: SortedMap<NodePublic, Path>,
    /// Each change of path with its time.
    pub changes: Vec<(Duration, NodePublic, Path)>,
    pub received: SortedSet<(usize, u64)>,
    pub pings_sent: u64,
    sent: SortedMap<NodePublic, u64>,
    sent_since: SortedSet<NodePublic>,
    got_since: SortedSet<NodePublic>,
}

pub struct World {
    pub now: Duration,
    pub hosts: Vec<Host>,
    pub nats: Vec<Nat>,
    /// A node that relays for the others, if there is one.
    pub peer_relay: Option<PeerRelay>,
    /// Of a thousand datagrams, so many are lost (relays lose nothing).
    pub loss: u64,
    pub wire: Duration,
    pub relay: Duration,
    random: Random,
    queue: SortedMap<(Duration, u64), Parcel>,
    parcels: u64,
}

pub fn regions() -> Vec<Region> {
    let region = |(ip, id): ([u8; 4], u16)| Region {
        id,
        avoid: false,
        no_measure: false,
        score: 1.0,
        nodes: vec![RegionNode { name: format!("{id}a"), v4: Some(SocketAddr::from((ip, 3478))), v6: None }],
    };
    STUN_SERVERS.into_iter().map(region).collect()
}

fn wrap(vni: u32, bytes: &[u8]) -> Vec<u8> {
    Header { protocol: Protocol::WireGuard, vni, control: false }.wrap(bytes)
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            now: s(1000),
            hosts: Vec::new(),
            nats: Vec::new(),
            peer_relay: None,
            loss: 0,
            wire: ms(20),
            relay: ms(60),
            random: Random::new(seed),
            queue: SortedMap::new(),
            parcels: 0,
        }
    }

    /// Adds a NAT.
    pub fn nat(&mut self, kind: Kind) -> usize {
        let n = self.nats.len();
        self.nats.push(Nat::new(kind, IpAddr::from([203, 0, 113, 10 + n as u8])));
        n
    }

    /// Adds a host behind a NAT; it starts when [`Self::start`] is called.
    pub fn host(&mut self, nat: usize) -> usize {
        let n = self.hosts.len();
        let addrs = match self.nats[nat].kind {
            Kind::Open | Kind::Firewall => vec![self.nats[nat].public],
            _ => vec![IpAddr::from([192, 168, nat as u8, 10 + n as u8])],
        };
        let mut key = [0; 32];
        self.random.fill(&mut key);
        let host = Self::make_host(NodePublic::from_bytes(key), addrs, nat, &mut self.random);
        self.hosts.push(host);
        n
    }

    fn make_host(node: NodePublic, addrs: Vec<IpAddr>, nat: usize, random: &mut Random) -> Host {
        let mut secret = [0; 32];
        random.fill(&mut secret);
        let disco = DiscoPrivate::from_random(secret);
        let mut own = Random::new(random.next());
        let config = Config { node, disco: disco.clone(), port: PORT, port_is_fixed: false };
        Host {
            paths: Paths::new(config, Box::new(move |out: &mut [u8]| own.fill(out))),
            node,
            disco,
            addrs,
            nat,
            udp_blocked: false,
            path: SortedMap::new(),
            changes: Vec::new(),
            received: SortedSet::new(),
            pings_sent: 0,
            sent: SortedMap::new(),
            sent_since: SortedSet::new(),
            got_since: SortedSet::new(),
        }
    }

    /// All hosts learn of the relays and of each other, and check their network.
    pub fn start(&mut self) {
        for h in 0..self.hosts.len() {
            let addrs = self.hosts[h].addrs.clone();
            self.event(h, Event::LocalAddresses(addrs));
            self.event(h, Event::RelayMap(regions()));
            self.push(COUNTERS, Parcel::Counters(h));
        }
        self.run(s(6));
        self.tell_map();
        self.run(ms(100));
    }

    /// The control server tells everybody about everybody.
    pub fn tell_map(&mut self) {
        for a in 0..self.hosts.len() {
            for b in (0..self.hosts.len()).filter(|&b| b != a) {
                let peer = &self.hosts[b];
                let info = PeerInfo {
                    node: peer.node,
                    disco: peer.disco.public(),
                    endpoints: peer.paths.endpoints().iter().map(|e| e.addr).collect(),
                    home: peer.paths.home(),
                    silent: false,
                };
                self.event(a, Event::Peer(info));
            }
            if let Some(relay) = &self.peer_relay {
                let node = relay.node;
                let endpoints = vec!["203.0.113.200:41641".parse().unwrap()];
                let disco = relay.disco.public();
                let info = PeerInfo { node, disco, endpoints, home: Some(1), silent: false };
                self.event(a, Event::Peer(info));
                self.event(a, Event::PeerRelays(vec![node]));
            }
        }
    }

    /// A host starts anew: new disco key, nothing known.
    pub fn restart(&mut self, h: usize) {
        let old = &self.hosts[h];
        let (node, addrs, nat) = (old.node, old.addrs.clone(), old.nat);
        let received = std::mem::take(&mut self.hosts[h].received);
        let sent = std::mem::take(&mut self.hosts[h].sent);
        let host = Self::make_host(node, addrs.clone(), nat, &mut self.random);
        self.hosts[h] = Host { received, sent, ..host };
        self.event(h, Event::LocalAddresses(addrs));
        self.event(h, Event::RelayMap(regions()));
    }

    /// `from` sends a piece of data to `to` every so often.
    pub fn talk(&mut self, from: usize, to: usize, every: Duration, length: Duration) {
        self.push(Duration::ZERO, Parcel::Data { from, to, every, until: self.now + length });
    }

    pub fn path(&self, from: usize, to: usize) -> Path {
        self.hosts[from].path[&self.hosts[to].node]
    }

    pub fn is_direct(&self, from: usize, to: usize) -> bool {
        matches!(self.path(from, to), Path::Direct(_))
    }

    /// Runs until both send straight to each other; how long it took.
    pub fn until_direct(&mut self, a: usize, b: usize, limit: Duration) -> Option<Duration> {
        let start = self.now;
        while self.now < start + limit {
            if self.is_direct(a, b) && self.is_direct(b, a) {
                return Some(self.now - start);
            }
            self.run(ms(10));
        }
        None
    }

    /// Data pieces that `from` sent to `to`, and that did not come.
    pub fn lost(&self, from: usize, to: usize) -> (u64, u64) {
        let sent = self.hosts[from].sent.get(&self.hosts[to].node).copied().unwrap_or(0);
        let came = (0..sent).filter(|&n| self.hosts[to].received.contains(&(from, n))).count() as u64;
        (sent, sent - came)
    }

    /// Lets time pass.
    pub fn run(&mut self, length: Duration) {
        let end = self.now + length;
        loop {
            let parcel = self.queue.keys().next().map(|&(at, _)| at);
            let timer = self.hosts.iter().filter_map(|h| h.paths.next_timer()).min().map(|at| at.max(self.now));
            let next = [parcel, timer].into_iter().flatten().min().filter(|&at| at <= end);
            let Some(next) = next else { break };
            self.now = next;
            if parcel == Some(next) {
                if let Some((_, parcel)) = self.queue.pop_first() {
                    self.deliver(parcel);
                }
            } else {
                for h in 0..self.hosts.len() {
                    if self.hosts[h].paths.next_timer().is_some_and(|at| at <= next) {
                        self.event(h, Event::Timer);
                    }
                }
            }
        }
        self.now = end;
    }

    /// Hands an event to a host and does what it wants.
    pub fn event(&mut self, h: usize, event: Event<'_>) {
        self.hosts[h].paths.handle(self.now, event);
        while let Some(action) = self.hosts[h].paths.poll() {
            match action {
                Action::SendUdp { to, bytes } => {
                    self.hosts[h].pings_sent += u64::from(hearthgate_disco::Envelope::looks_like(&bytes));
                    self.udp(h, to, bytes);
                }
                Action::SendRelay { peer, bytes, .. } => self.over_relay(h, peer, bytes),
                Action::SetPath { peer, path } => {
                    let now = self.now;
                    self.hosts[h].path.insert(peer, path);
                    self.hosts[h].changes.push((now, peer, path));
                }
                Action::Inject { bytes, .. } => self.take_data(h, &bytes),
                Action::MeasureHttps(region) => {
                    let latency = Some(self.relay * u32::from(region));
                    self.event(h, Event::HttpsLatency { region, latency });
                }
                _ => {}
            }
        }
    }

    fn push(&mut self, after: Duration, parcel: Parcel) {
        self.parcels += 1;
        self.queue.insert((self.now + after, self.parcels), parcel);
    }

    fn over_relay(&mut self, from: usize, peer: NodePublic, bytes: Vec<u8>) {
        if let Some(relay) = self.peer_relay.as_mut().filter(|relay| relay.node == peer) {
            let node = relay.node;
            if let Some(bytes) = relay.relayed(&bytes) {
                self.push(self.relay * 2, Parcel::FromPeerRelay { node, to: from, bytes });
            }
            return;
        }
        if let Some(to) = self.hosts.iter().position(|h| h.node == peer) {
            self.push(self.relay, Parcel::Relay { from, to, bytes });
        }
    }

    fn udp(&mut self, from: usize, to: SocketAddr, bytes: Vec<u8>) {
        let host = &self.hosts[from];
        if host.udp_blocked || self.random.next() % 1000 < self.loss {
            return;
        }
        // The family must be there, and private addresses are reached only in the same LAN.
        let Some(&ip) = host.addrs.iter().find(|ip| ip.is_ipv6() == to.is_ipv6()) else {
            return;
        };
        let inside = SocketAddr::new(ip, PORT);
        let same_lan = |other: &Host| other.nat == host.nat && other.addrs.contains(&to.ip());
        if self.hosts.iter().any(same_lan) {
            self.push(ms(1), Parcel::Wire { from: inside, to, bytes });
            return;
        }
        if matches!(to.ip(), IpAddr::V4(v4) if v4.is_private()) {
            return;
        }
        let from = if to.is_ipv6() { inside } else { self.nats[host.nat].out(inside, to, self.now) };
        self.push(self.wire, Parcel::Wire { from, to, bytes });
    }

    fn deliver(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Wire { from, to, bytes } => self.arrive(from, to, &bytes),
            Parcel::Relay { from, to, bytes } => {
                let node = self.hosts[from].node;
                self.take_data(to, &bytes);
                self.event(to, Event::Relayed { region: 1, from: node, bytes: &bytes });
            }
            Parcel::FromPeerRelay { node, to, bytes } => {
                self.event(to, Event::Relayed { region: 1, from: node, bytes: &bytes });
            }
            Parcel::Data { from, to, every, until } => {
                self.send_data(from, to);
                if self.now + every < until {
                    self.push(every, Parcel::Data { from, to, every, until });
                }
            }
            Parcel::Counters(h) => {
                let sent = std::mem::take(&mut self.hosts[h].sent_since);
                let got = std::mem::take(&mut self.hosts[h].got_since);
                for &peer in sent.iter().chain(got.difference(&sent)) {
                    let (sent, received) = (sent.contains(&peer), got.contains(&peer));
                    self.event(h, Event::Traffic { peer, sent, received });
                }
                self.push(COUNTERS, Parcel::Counters(h));
            }
        }
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if STUN_SERVERS.iter().any(|&(ip, _)| IpAddr::from(ip) == to.ip()) {
            if let Ok(txid) = hearthgate_stun::parse_request(bytes) {
                let answer = hearthgate_stun::response(&txid, from);
                self.push(self.wire, Parcel::Wire { from: to, to: from, bytes: answer });
            }
            return;
        }
        if let Some(relay) = self.peer_relay.as_mut().filter(|relay| relay.addr == to) {
            if let Some((next, bytes)) = relay.udp(from, bytes) {
                self.push(self.wire, Parcel::Wire { from: to, to: next, bytes });
            }
            return;
        }
        let now = self.now;
        let local = self.hosts.iter().position(|h| {
            let nat = &self.nats[h.nat];
            h.addrs.contains(&to.ip()) && (nat.public != to.ip() || to.is_ipv6())
        });
        let target = local.or_else(|| {
            let nat = self.nats.iter().position(|nat| nat.public == to.ip())?;
            let open = self.hosts.iter().find(|h| h.nat == nat).map(|h| SocketAddr::new(h.addrs[0], PORT))?;
            let inside = self.nats[nat].enter(to.port(), from, open, now)?;
            self.hosts.iter().position(|h| h.nat == nat && h.addrs.contains(&inside.ip()))
        });
        if let Some(h) = target.filter(|&h| !self.hosts[h].udp_blocked) {
            self.take_data(h, bytes);
            self.event(h, Event::Udp { from, bytes });
        }
    }

    /// A piece of data is a WireGuard message with its sender and number.
    fn send_data(&mut self, from: usize, to: usize) {
        let peer = self.hosts[to].node;
        let host = &mut self.hosts[from];
        let number = host.sent.entry(peer).or_default();
        let bytes = [&[4, 0, 0, 0, from as u8][..], &number.to_be_bytes()].concat();
        *number += 1;
        host.sent_since.insert(peer);
        let path = host.path.get(&peer).copied();
        // What passes our own socket is seen at once; what the kernel sends, when its counters are read.
        if !matches!(path, Some(Path::Direct(_))) {
            self.event(from, Event::Traffic { peer, sent: true, received: false });
        }
        match path {
            Some(Path::Direct(addr)) => self.udp(from, addr, bytes),
            Some(Path::Both { hop: Hop { addr, vni }, .. }) => {
                self.udp(from, addr, vni.map_or_else(|| bytes.clone(), |vni| wrap(vni, &bytes)));
                self.over_relay(from, peer, bytes);
            }
            Some(Path::PeerRelay { addr, vni }) => self.udp(from, addr, wrap(vni, &bytes)),
            Some(Path::Relay(Some(_))) => self.over_relay(from, peer, bytes),
            _ => {}
        }
    }

    fn take_data(&mut self, to: usize, bytes: &[u8]) {
        if let Some(([4, 0, 0, 0, from], number)) = bytes.split_first_chunk::<5>()
            && let Ok(number) = <[u8; 8]>::try_from(number)
        {
            let from = usize::from(*from);
            let peer = self.hosts[from].node;
            self.hosts[to].received.insert((from, u64::from_be_bytes(number)));
            self.hosts[to].got_since.insert(peer);
        }
    }
}
