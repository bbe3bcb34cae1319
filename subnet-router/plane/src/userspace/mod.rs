//! WireGuard in user space: boringtun's protocol engine between a TUN device and our own UDP sockets.
//!
//! For kernels without the module. Disco and STUN share the sockets with WireGuard here, so no steering is needed, and
//! a packet can go straight and through the relay at once. Where the kernel helps, a system call carries many packets
//! on either side: segments of TCP streams at the device (`hearthgate_offload`), batches of datagrams at the sockets
//! (`udp.rs`). Threads rather than tasks: each one blocks on one file and spends its time in ciphers, which must not
//! hold up an executor.
//!
//! Threads: `tun` (encrypts), `udp4` and `udp6` (decrypt), `timer` (WireGuard's timers).

mod peer;
mod receive;
mod transmit;
mod udp;

use crate::{
    Config, DataPlane, Desired, Endpoint, Events, Kind, PeerCounters, PlaneError, PlaneEvent,
    api::{EVENT_QUEUE, moment_ago},
    buffer,
    keeper::Keeper,
    port::Sockets,
};
use boringtun::noise::rate_limiter::RateLimiter;
use hearthgate_keys::{NodePrivate, NodePublic};
use peer::{PeerState, Peers};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::sync::mpsc;
use tun_rs::{DeviceBuilder, InterruptEvent, SyncDevice};

/// Handshakes a second above which senders must prove their address (cookies), for all peers together.
const HANDSHAKES_PER_SECOND: u64 = 100;
/// The pace of WireGuard's timers; the protocol's own resolution is a second.
const TIMER_TICK: Duration = Duration::from_millis(250);
/// Packets that wait for the thread which reads the device: 200 ms at 50 Mbit/s. The kernel's own 500 are lost sooner than
/// a busy processor comes round.
const TUN_QUEUE: u32 = 1000;
/// Stack of each thread: buffers are on the heap.
const STACK: usize = 256 << 10;

/// Our identity, changed by a key rotation.
struct Identity {
    private: NodePrivate,
    limiter: Arc<RateLimiter>,
}

impl Identity {
    fn new(private: NodePrivate) -> Self {
        let public = boringtun::x25519::PublicKey::from(*private.public().as_bytes());
        Self { private, limiter: Arc::new(RateLimiter::new(&public, HANDSHAKES_PER_SECOND)) }
    }
}

/// The work of a thread.
type Job = fn(&Shared);

/// What the threads share.
struct Shared {
    tun: SyncDevice,
    /// The device hands over and takes several packets as one, behind a header.
    offload: bool,
    sockets: Sockets,
    batches: udp::Batches,
    identity: RwLock<Arc<Identity>>,
    peers: RwLock<Peers>,
    events: mpsc::Sender<PlaneEvent>,
    wake: InterruptEvent,
    stopped: AtomicBool,
    /// Peers are followed to where their packets come from.
    plain: bool,
}

/// The data plane in user space.
pub(crate) struct Userspace {
    interface: String,
    shared: Arc<Shared>,
    /// For relayed packets, which come one at a time.
    opened: Mutex<Vec<u8>>,
    keeper: Keeper,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Userspace {
    /// Makes the TUN device and opens the port.
    pub(crate) fn start(config: &Config) -> Result<(Self, Events), PlaneError> {
        let sockets = Sockets::open(config.listen_port)?;
        let (tun, offload) =
            device(&config.interface).map_err(|error| PlaneError::Tun { name: config.interface.clone(), error })?;
        let batches = udp::Batches::start(&sockets);
        let keeper = Keeper::start(config, None)?;
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| PlaneError::Random)?;
        let wake = InterruptEvent::new().map_err(PlaneError::Thread)?;
        let (sender, events) = mpsc::channel(EVENT_QUEUE);
        let shared = Arc::new(Shared {
            tun,
            offload,
            sockets,
            batches,
            // Nobody knows this key: until the first state is applied, no handshake succeeds.
            identity: RwLock::new(Arc::new(Identity::new(NodePrivate::from_random(key)))),
            peers: RwLock::new(Peers::default()),
            events: sender,
            wake,
            stopped: AtomicBool::new(false),
            plain: config.plain,
        });
        let plane = Self {
            interface: config.interface.clone(),
            shared,
            opened: Mutex::default(),
            keeper,
            threads: Mutex::default(),
        };
        let mut jobs: Vec<(&str, Job)> =
            vec![("tun", transmit::run), ("udp4", |s| receive::run(s, false)), ("timer", run_timer)];
        if plane.shared.sockets.has_v6() {
            jobs.push(("udp6", |s| receive::run(s, true)));
        }
        for (name, job) in jobs {
            let shared = Arc::clone(&plane.shared);
            let builder = thread::Builder::new().name(name.into()).stack_size(STACK);
            match builder.spawn(move || job(&shared)) {
                Ok(handle) => plane.threads.lock().unwrap_or_else(PoisonError::into_inner).push(handle),
                Err(error) => {
                    plane.stop();
                    return Err(PlaneError::Thread(error));
                }
            }
        }
        Ok((plane, events))
    }
}

/// Makes the TUN device, whose reads do not wait. Tells whether it has offloads.
fn device(name: &str) -> io::Result<(SyncDevice, bool)> {
    let with = |offload| DeviceBuilder::new().name(name).tx_queue_len(TUN_QUEUE).offload(offload).build_sync();
    let (tun, offload) = match with(true) {
        Ok(tun) => (tun, true),
        Err(error) => {
            let tun = with(false)?;
            tracing::info!(%error, "the TUN device has no offloads");
            (tun, false)
        }
    };
    tun.set_nonblocking(true)?;
    Ok((tun, offload))
}

impl DataPlane for Userspace {
    fn kind(&self) -> Kind {
        Kind::Userspace
    }

    fn interface(&self) -> &str {
        &self.interface
    }

    fn port(&self) -> u16 {
        self.shared.sockets.port()
    }

    fn apply(&self, desired: &Desired) -> Result<(), PlaneError> {
        {
            let mut identity = self.shared.identity.write().unwrap_or_else(PoisonError::into_inner);
            let mut peers = self.shared.peers.write().unwrap_or_else(PoisonError::into_inner);
            if identity.private.secret_bytes() != desired.private_key.secret_bytes() {
                *identity = Arc::new(Identity::new(desired.private_key.clone()));
                // Sessions belong to a key: with a new one, every peer starts afresh.
                let endpoints = peers.endpoints();
                *peers = Peers::default();
                peers.set(desired, &identity)?;
                for (key, endpoint) in endpoints {
                    if let Some(peer) = peers.by_key(&key) {
                        peer.set_endpoint(endpoint);
                    }
                }
            } else {
                peers.set(desired, &identity)?;
            }
        }
        self.keeper.apply(desired)
    }

    fn set_endpoint(&self, peer: &NodePublic, endpoint: Endpoint) -> Result<(), PlaneError> {
        self.shared.peer(peer)?.set_endpoint(endpoint);
        Ok(())
    }

    fn send_udp(&self, to: SocketAddr, bytes: &[u8]) -> Result<(), PlaneError> {
        self.shared.sockets.send(to, bytes).map_err(PlaneError::Send)
    }

    fn deliver(&self, peer: &NodePublic, bytes: &[u8]) -> Result<(), PlaneError> {
        // A relayed handshake has no address of its own that a cookie could be bound to.
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let peer = self.shared.peer(peer)?;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.resize(receive::MAX_DATAGRAM, 0);
        if let Some(length) = self.shared.open(&peer, from, bytes, &mut opened) {
            self.shared.accept(opened.get(..length).unwrap_or_default());
        }
        Ok(())
    }

    fn counters(&self) -> Result<Vec<PeerCounters>, PlaneError> {
        let peers = self.shared.peers.read().unwrap_or_else(PoisonError::into_inner);
        Ok(peers.iter().map(|peer| peer.counters(moment_ago)).collect())
    }

    fn stop(&self) {
        if self.shared.stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Err(error) = self.shared.wake.trigger() {
            tracing::warn!(%error, "TUN thread not woken");
        }
        for handle in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if handle.join().is_err() {
                tracing::error!("a thread of the data plane had panicked");
            }
        }
        self.keeper.stop();
    }
}

impl Drop for Userspace {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn peer(&self, key: &NodePublic) -> Result<Arc<PeerState>, PlaneError> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.by_key(key).cloned().ok_or(PlaneError::UnknownPeer)
    }

    /// Sends a WireGuard message the peer's way. Losses are the network's: WireGuard and TCP repeat.
    fn send_to(&self, peer: &PeerState, message: &[u8]) {
        peer.sent(message.len());
        let (direct, relayed) = match peer.endpoint() {
            Endpoint::Relayed => (None, true),
            Endpoint::Direct(to) => (Some(to), false),
            Endpoint::Both(to) => (Some(to), true),
        };
        if let Some(to) = direct
            && let Err(error) = self.sockets.send(to, message)
        {
            tracing::debug!(%to, %error, "not sent");
        }
        if relayed
            && self.events.try_send(PlaneEvent::Relayed { peer: peer.key(), bytes: buffer::copy(message) }).is_err()
        {
            tracing::debug!("relay queue is full");
        }
    }
}

/// Runs WireGuard's timers: handshakes that are due, keepalives, sessions that end.
fn run_timer(shared: &Shared) {
    let mut buffer = receive::buffer();
    let mut ticks = 0_u32;
    while !shared.is_stopped() {
        thread::sleep(TIMER_TICK);
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(4) {
            shared.identity.read().unwrap_or_else(PoisonError::into_inner).limiter.reset_count();
        }
        let all: Vec<_> = shared.peers.read().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        for peer in all {
            if let Some(message) = peer.tick(&mut buffer) {
                shared.send_to(&peer, message);
            }
        }
    }
}
