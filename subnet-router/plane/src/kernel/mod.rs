//! WireGuard in the kernel: packets of a direct path never enter this process.
//!
//! The kernel owns the UDP port; `steer.rs` gives disco and STUN to an ordinary socket, `relay.rs` carries the packets of
//! relayed peers. Which path a peer takes is its endpoint in the kernel: an address, or the loopback address that stands
//! for it. Source for the kernel's behaviour: `drivers/net/wireguard` of Linux 6.1.

mod peers;
mod relay;
mod steer;

use crate::{
    Config, DataPlane, Desired, Endpoint, Events, Kind, Peer, PeerCounters, PlaneError, PlaneEvent,
    api::EVENT_QUEUE,
    buffer,
    host::{BYPASS_MARK, Host, netlink},
    keeper::{Extra, Keeper},
    netlink::{PeerChange, PeerStatus, Route, Wireguard},
    nft::Batch,
    port::Sockets,
};
use hearthgate_keys::NodePublic;
use peers::{Drift, State};
use relay::Loopback;
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use tokio::sync::mpsc;

const STACK: usize = 128 << 10;
const MAX_DATAGRAM: usize = 65_535;

struct Shared {
    side: Sockets,
    loopback: Loopback,
    state: Mutex<State>,
    events: mpsc::Sender<PlaneEvent>,
    stopped: AtomicBool,
}

/// The data plane in the kernel.
pub(crate) struct Kernel {
    interface: String,
    port: u16,
    shared: Arc<Shared>,
    wireguard: Mutex<Wireguard>,
    keeper: Keeper,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
    /// Peers have no endpoint until they are heard.
    plain: bool,
}

type Job = fn(&Shared);

impl Kernel {
    /// Makes the device, replacing one that a crash left behind.
    pub(crate) fn start(config: &Config) -> Result<(Self, Events), PlaneError> {
        let name = config.interface.as_str();
        let mut route = Route::open().map_err(netlink("netlink socket"))?;
        if let Some(index) = route.tunnel(name).map_err(netlink("the interface's name"))? {
            route.remove_link(index).map_err(netlink("removing the old interface"))?;
        }
        route.add_wireguard(name).map_err(|error| match error.kind() {
            io::ErrorKind::Unsupported => PlaneError::NoKernelWireGuard,
            _ => netlink("making the interface")(error),
        })?;
        let made = Self::with_device(config);
        if made.is_err() {
            let index = route.index(name).ok().flatten();
            if let Some(Err(error)) = index.map(|index| route.remove_link(index)) {
                tracing::warn!(%error, "interface not removed");
            }
        }
        made
    }

    fn with_device(config: &Config) -> Result<(Self, Events), PlaneError> {
        let name = config.interface.as_str();
        let mut wireguard = Wireguard::open(name).map_err(netlink("WireGuard's netlink family"))?;
        wireguard.set_port(config.listen_port, BYPASS_MARK).map_err(netlink("WireGuard's port"))?;
        // The port is taken when the interface goes up. Nobody has a peer yet, so the filter may come afterwards.
        let mut host = Host::find(name, config.plain)?;
        match host.up(config.mtu) {
            Err(PlaneError::Netlink { error, .. }) if error.kind() == io::ErrorKind::AddrInUse => {
                wireguard.set_port(0, BYPASS_MARK).map_err(netlink("WireGuard's port"))?;
                host.up(config.mtu)?;
            }
            other => other?,
        }
        let (port, _) = wireguard.status().map_err(netlink("WireGuard's state"))?;
        let side = Sockets::open(0)?;
        let loopback = Loopback::open(port).map_err(|error| PlaneError::Socket { what: "relay", error })?;
        let side_port = side.port();
        let steer: Extra = Box::new(move |batch: &mut Batch| steer::rules(batch, port, side_port));
        let keeper = Keeper::start(config, (!config.plain).then_some(steer))?;
        let (sender, events) = mpsc::channel(EVENT_QUEUE);
        let plane = Self {
            interface: name.into(),
            port,
            shared: Arc::new(Shared {
                side,
                loopback,
                state: Mutex::default(),
                events: sender,
                stopped: AtomicBool::new(false),
            }),
            wireguard: Mutex::new(wireguard),
            keeper,
            threads: Mutex::default(),
            plain: config.plain,
        };
        let mut jobs: Vec<(&str, Job)> = vec![("relay", run_relay), ("side4", |s| run_side(s, false))];
        if plane.shared.side.has_v6() {
            jobs.push(("side6", |s| run_side(s, true)));
        }
        for (name, job) in jobs {
            let shared = Arc::clone(&plane.shared);
            let builder = thread::Builder::new().name(name.into()).stack_size(STACK);
            let handle = builder.spawn(move || job(&shared)).map_err(PlaneError::Thread)?;
            plane.threads.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        }
        Ok((plane, events))
    }

    fn wireguard(&self) -> MutexGuard<'_, Wireguard> {
        self.wireguard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the kernel about peers that came, changed and went.
    fn set_peers(&self, desired: &Desired) -> Result<(), PlaneError> {
        let mut wireguard = self.wireguard();
        let mut state = self.shared.state();
        let wanted: HashMap<NodePublic, &Peer> = desired.peers.iter().map(|peer| (peer.key, peer)).collect();
        let mut gone: Vec<NodePublic> = state.peers.keys().copied().collect();
        if state.unsure {
            let (_, peers) = wireguard.status().map_err(netlink("WireGuard's state"))?;
            gone.extend(peers.iter().map(|peer| NodePublic::from_bytes(peer.key)));
        }
        // Sessions belong to a key: with a new one every peer starts afresh, counters included.
        let new_key = state.key.as_ref() != Some(desired.private_key.secret_bytes());
        if !new_key {
            gone.retain(|key| !wanted.contains_key(key));
        }
        let bytes: Vec<[u8; 32]> = gone.iter().map(|key| *key.as_bytes()).collect();
        let result = wireguard.remove_peers(&bytes).map_err(netlink("removing peers"));
        state.removed(&gone, result.is_ok());
        result?;
        if new_key {
            wireguard.set_key(desired.private_key.secret_bytes()).map_err(netlink("WireGuard's key"))?;
            state.key = Some(*desired.private_key.secret_bytes());
        }
        let (changes, fresh) =
            state.changes(&wanted, |index, peer| (!self.plain).then(|| self.shared.target(index, peer.endpoint)))?;
        let result = wireguard.set_peers(&changes).map_err(netlink("peers"));
        state.told(&changes, &fresh, result.is_ok());
        if result.is_ok() && !changes.is_empty() {
            learn(&mut wireguard, &mut state).map_err(netlink("WireGuard's state"))?;
        }
        result
    }
}

/// What is shown first after we told something counts as ours: looks before anybody else changes it.
fn learn(wireguard: &mut Wireguard, state: &mut State) -> io::Result<()> {
    let (_, shown) = wireguard.status()?;
    // What differs already is seen again with the next look at the counters.
    let _ = state.drift(&shown);
    Ok(())
}

impl Kernel {
    /// Undoes what somebody else did to the peers. What fails is tried again with the next change, or the next look.
    fn heal(&self, wireguard: &mut Wireguard, state: &mut State, shown: &[PeerStatus]) {
        let Drift { changed, foreign } = state.drift(shown);
        if changed.is_empty() && foreign.is_empty() {
            return;
        }
        tracing::warn!(peers = changed.len(), foreign = foreign.len(), "WireGuard's peers were changed by somebody");
        let known = changed.iter().filter_map(|key| state.peers.get(key));
        let changes: Vec<_> = known
            .map(|known| PeerChange {
                peer: &known.peer,
                allowed_ips: Some(&known.peer.allowed_ips),
                endpoint: (!self.plain).then(|| self.shared.target(known.index, known.endpoint)),
                update_only: false,
            })
            .collect();
        let foreign: Vec<[u8; 32]> = foreign.iter().map(|key| *key.as_bytes()).collect();
        let healed = wireguard.remove_peers(&foreign).and_then(|()| wireguard.set_peers(&changes)).and_then(|()| {
            state.look_anew();
            learn(wireguard, state)
        });
        if let Err(error) = healed {
            tracing::debug!(%error, "peers");
        }
    }
}

impl Kernel {
    /// Hands in what came for a peer through a relay.
    fn hand_in(&self, peer: &NodePublic, packets: &[&[u8]]) -> Result<(), PlaneError> {
        let state = self.shared.state();
        let known = state.peers.get(peer).ok_or(PlaneError::UnknownPeer)?;
        let (index, endpoint, local) = (known.index, known.endpoint, known.local);
        drop(state);
        let sent = match endpoint {
            Endpoint::Direct(addr) => packets
                .iter()
                .fold(Ok(()), |result, bytes| self.shared.loopback.send_as(addr, local, bytes).and(result)),
            Endpoint::Relayed | Endpoint::Both(_) => self.shared.loopback.send_all(index, packets),
        };
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other.map_err(PlaneError::Send),
        }
    }
}

impl DataPlane for Kernel {
    fn kind(&self) -> Kind {
        Kind::Kernel
    }

    fn interface(&self) -> &str {
        &self.interface
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn apply(&self, desired: &Desired) -> Result<(), PlaneError> {
        // The filter first: what comes up later is never open.
        let host = self.keeper.apply(desired);
        self.set_peers(desired).and(host)
    }

    fn set_endpoint(&self, peer: &NodePublic, endpoint: Endpoint) -> Result<(), PlaneError> {
        let mut wireguard = self.wireguard();
        let mut state = self.shared.state();
        let known = state.peers.get_mut(peer).ok_or(PlaneError::UnknownPeer)?;
        // Of a thousand new peers each is announced a path, nearly always the one it was made with. Later, the kernel may
        // have followed a peer elsewhere, so that even the same endpoint is news to it.
        if std::mem::take(&mut known.fresh) && known.endpoint == endpoint {
            return Ok(());
        }
        let change = PeerChange {
            peer: &known.peer,
            allowed_ips: None,
            endpoint: Some(self.shared.target(known.index, endpoint)),
            update_only: true,
        };
        wireguard.set_peers(&[change]).map_err(netlink("endpoint"))?;
        (known.endpoint, known.local) = (endpoint, local_of(endpoint));
        Ok(())
    }

    fn send_udp(&self, to: SocketAddr, bytes: &[u8]) -> Result<(), PlaneError> {
        self.shared.side.send(to, bytes).map_err(PlaneError::Send)
    }

    fn deliver(&self, peer: &NodePublic, bytes: &[u8]) -> Result<(), PlaneError> {
        self.hand_in(peer, &[bytes])
    }

    fn deliver_all(&self, peer: &NodePublic, packets: &[Vec<u8>]) -> Result<(), PlaneError> {
        let packets: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
        self.hand_in(peer, &packets)
    }

    fn counters(&self) -> Result<Vec<PeerCounters>, PlaneError> {
        let mut wireguard = self.wireguard();
        let (_, peers) = wireguard.status().map_err(netlink("WireGuard's state"))?;
        let mut state = self.shared.state();
        self.heal(&mut wireguard, &mut state, &peers);
        drop(wireguard);
        let counters = peers.into_iter().map(|status| {
            let key = NodePublic::from_bytes(status.key);
            let told = state.peers.get(&key).map_or(Endpoint::Relayed, |known| known.endpoint);
            let endpoint = match status.endpoint {
                Some(addr) if Loopback::index(addr).is_none() => Endpoint::Direct(addr),
                _ if matches!(told, Endpoint::Both(_)) => told,
                _ => Endpoint::Relayed,
            };
            let (rx_bytes, tx_bytes, last_handshake) = (status.rx, status.tx, status.last_handshake);
            PeerCounters { key, rx_bytes, tx_bytes, last_handshake, endpoint }
        });
        Ok(counters.collect())
    }

    fn stop(&self) {
        if self.shared.stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        self.keeper.stop();
        for handle in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if handle.join().is_err() {
                tracing::error!("a thread of the data plane had panicked");
            }
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The endpoint as the kernel gets it.
    fn target(&self, index: u32, endpoint: Endpoint) -> SocketAddr {
        match endpoint {
            Endpoint::Direct(addr) => SocketAddr::new(addr.ip().to_canonical(), addr.port()),
            Endpoint::Relayed | Endpoint::Both(_) => self.loopback.address(index),
        }
    }
}

/// Our own address on the way to a peer: only IPv6 needs it.
fn local_of(endpoint: Endpoint) -> Option<IpAddr> {
    let Endpoint::Direct(to @ SocketAddr::V6(_)) = endpoint else {
        return None;
    };
    let probe = UdpSocket::bind("[::]:0").ok()?;
    socket2::SockRef::from(&probe).set_mark(BYPASS_MARK).ok()?;
    probe.connect(to).ok()?;
    Some(probe.local_addr().ok()?.ip())
}

/// Gives WireGuard's relayed messages out, and sends those straight as well whose direct path is in doubt.
fn run_relay(shared: &Shared) {
    let mut room = vec![0; MAX_DATAGRAM];
    while !shared.stopped.load(Ordering::Relaxed) {
        let Some((length, index)) = shared.loopback.receive(&mut room) else {
            continue;
        };
        let Some(bytes) = room.get(..length) else {
            continue;
        };
        let state = shared.state();
        let Some((peer, endpoint)) = state
            .by_index
            .get(&index)
            .and_then(|key| state.peers.get(key))
            .map(|known| (known.peer.key, known.endpoint))
        else {
            continue;
        };
        drop(state);
        if let Endpoint::Both(to) = endpoint
            && let Err(error) = shared.side.send(to, bytes)
        {
            tracing::debug!(%to, %error, "not sent");
        }
        if shared.events.try_send(PlaneEvent::Relayed { peer, bytes: buffer::copy(bytes) }).is_err() {
            tracing::debug!("relay queue is full");
        }
    }
}

/// Gives out what the rules steered beside WireGuard.
fn run_side(shared: &Shared, v6: bool) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    while !shared.stopped.load(Ordering::Relaxed) {
        if let Some((length, from)) = shared.side.receive(v6, &mut buffer)
            && let Some(bytes) = buffer.get(..length)
        {
            // A full queue drops the packet: disco repeats itself.
            let _ = shared.events.try_send(PlaneEvent::Side { from, bytes: bytes.to_vec() });
        }
    }
}
