//! Connections to DERP relays: the home relay's stays, others are made when a packet has to go there and closed when
//! none did for a while.
//!
//! Each connection is a task with a short queue. What does not fit is dropped, as a network would; the packets are
//! WireGuard's and disco's, which both expect that.

mod connect;
mod tls;

pub use connect::{addresses, latency};

use connect::{introduce, open, read_frame};
use hearthgate_client::Backoff;
use hearthgate_derp_frame::{FrameType, frame, note_preferred_frame, put_send_packet};
use hearthgate_fetch::{Fetch, FetchError};
use hearthgate_http::spawn;
use hearthgate_keys::{KEY_LEN, NodePrivate, NodePublic};
use hearthgate_paths::RegionId;
use hearthgate_plane::{Said, buffer};
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::{DerpMap, DerpNode};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncWriteExt, BufReader, ReadHalf, WriteHalf, split},
    sync::{
        mpsc::{self, error::TrySendError},
        watch,
    },
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

/// Packets that wait for one relay: 50 ms at 50 Mbit/s.
const QUEUE: usize = 256;
/// Echoes of the relay's pings that wait.
const PONGS: usize = 4;
/// Silence after which a connection is given up; relays send keep-alives every minute.
const WATCHDOG: Duration = Duration::from_secs(120);
/// Idle time after which a connection to another relay than home is closed.
const IDLE: Duration = Duration::from_secs(60);
/// Bytes gathered before they are written, and read at once.
const BATCH: usize = 16 * 1024;
/// Room behind [`BATCH`] for the packet that went beyond it: a longer one makes the buffer grow, once.
const BEYOND: usize = 2 * 1024;

/// A relay connection failed.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The network.
    #[error("network: {0}")]
    Io(#[from] io::Error),
    /// Trust in the relay's certificate.
    #[error(transparent)]
    Trust(#[from] FetchError),
    /// The relay answered with this HTTP status.
    #[error("the relay answered with status {0}")]
    Status(u16),
    /// It is no relay.
    #[error("not a relay: {0}")]
    Protocol(&'static str),
    /// It said nothing.
    #[error("the relay is silent")]
    Silent,
    /// The system has no random numbers.
    #[error("no random numbers")]
    Random,
}

/// What relays have for us.
#[derive(Debug)]
pub enum RelayEvent {
    /// A packet.
    Packet {
        /// Through which relay.
        region: RegionId,
        /// From whom.
        from: NodePublic,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// A peer is not connected there.
    PeerGone {
        /// At which relay.
        region: RegionId,
        /// Who.
        peer: NodePublic,
    },
    /// A sign of life of a relay.
    Heard(RegionId),
}

struct Link {
    packets: mpsc::Sender<(NodePublic, Vec<u8>)>,
    home: watch::Sender<bool>,
    connected: watch::Receiver<bool>,
    used: Instant,
    task: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All relay connections.
pub struct Relays {
    key: NodePrivate,
    map: DerpMap,
    fetch: Arc<Fetch>,
    events: mpsc::Sender<RelayEvent>,
    home: Option<RegionId>,
    links: SortedMap<RegionId, Link>,
}

impl Relays {
    /// None yet. `events` gets what they have for us.
    pub fn new(key: NodePrivate, fetch: Arc<Fetch>, events: mpsc::Sender<RelayEvent>) -> Self {
        Self { key, map: DerpMap::default(), fetch, events, home: None, links: SortedMap::new() }
    }

    /// Uses another key from now on: every connection is made anew.
    pub fn set_key(&mut self, key: NodePrivate) {
        self.key = key;
        self.links.clear();
        self.connect_home();
    }

    /// Takes the relays of a new map; connections to relays that changed are made anew.
    pub fn set_map(&mut self, map: &DerpMap) {
        self.links.retain(|id, _| map.regions.get(&i32::from(*id)) == self.map.regions.get(&i32::from(*id)));
        self.map = map.clone();
        self.connect_home();
    }

    /// Makes a relay the home: the one at which others find us.
    pub fn set_home(&mut self, home: Option<RegionId>) {
        self.home = home;
        for (id, link) in &self.links {
            link.home.send_replace(Some(*id) == home);
        }
        self.connect_home();
    }

    /// Sends a packet; connects if need be. A packet that finds no room is dropped.
    pub fn send(&mut self, region: RegionId, to: NodePublic, packet: Vec<u8>) {
        let Some(link) = self.link(region) else { return buffer::give(packet) };
        link.used = Instant::now();
        // Full or ended: lost, as on any network.
        if let Err(TrySendError::Full((_, packet)) | TrySendError::Closed((_, packet))) =
            link.packets.try_send((to, packet))
        {
            buffer::give(packet);
            tracing::debug!(region, "a packet found no room on its way to a relay");
        }
    }

    /// Closes what was not used for a while.
    pub fn close_idle(&mut self) {
        let home = self.home;
        self.links.retain(|id, link| Some(*id) == home || link.used.elapsed() < IDLE);
    }

    /// The relays we are connected to.
    pub fn connected(&self) -> Vec<RegionId> {
        self.links.iter().filter(|(_, link)| *link.connected.borrow()).map(|(id, _)| *id).collect()
    }

    /// Drops all connections: our addresses changed, and they hang.
    pub fn reconnect(&mut self) {
        self.links.clear();
        self.connect_home();
    }

    fn connect_home(&mut self) {
        if let Some(home) = self.home {
            self.link(home);
        }
    }

    fn link(&mut self, region: RegionId) -> Option<&mut Link> {
        if !self.links.contains_key(&region) {
            let nodes: Vec<DerpNode> = self
                .map
                .regions
                .get(&i32::from(region))?
                .nodes
                .iter()
                .filter(|node| !node.stun_only)
                .cloned()
                .collect();
            if nodes.is_empty() {
                return None;
            }
            let (packets, waiting) = mpsc::channel(QUEUE);
            let (home, is_home) = watch::channel(self.home == Some(region));
            let (up, connected) = watch::channel(false);
            let worker = Worker {
                region,
                nodes,
                key: self.key.clone(),
                fetch: self.fetch.clone(),
                events: self.events.clone(),
                packets: waiting,
                home: is_home,
                up,
            };
            let task = spawn(worker.run()).abort_handle();
            self.links.insert(region, Link { packets, home, connected, used: Instant::now(), task });
        }
        self.links.get_mut(&region)
    }
}

struct Worker {
    region: RegionId,
    nodes: Vec<DerpNode>,
    key: NodePrivate,
    fetch: Arc<Fetch>,
    events: mpsc::Sender<RelayEvent>,
    packets: mpsc::Receiver<(NodePublic, Vec<u8>)>,
    home: watch::Receiver<bool>,
    up: watch::Sender<bool>,
}

impl Worker {
    async fn run(mut self) {
        let (mut backoff, mut said) = (Backoff::default(), Said::default());
        for node in self.nodes.clone().iter().cycle() {
            let result = self.serve(node, &mut backoff, &mut said).await;
            self.up.send_replace(false);
            if let Err(error) = result
                && said.is_news(&error)
            {
                tracing::info!(region = self.region, relay = node.name, %error, "relay connection");
            }
            let mut random = [0; 4];
            // Without random numbers every wait is the shortest.
            let _ = getrandom::fill(&mut random);
            sleep(backoff.failed(u32::from_ne_bytes(random))).await;
        }
    }

    async fn serve(&mut self, node: &DerpNode, backoff: &mut Backoff, said: &mut Said) -> Result<(), RelayError> {
        let mut io = open(node, &self.fetch).await?;
        introduce(&mut io, node, &self.key).await?;
        backoff.succeeded();
        said.clear();
        self.up.send_replace(true);
        tracing::debug!(region = self.region, relay = node.name, "connected to a relay");
        let (read, write) = split(io);
        let (pong, pongs) = mpsc::channel(PONGS);
        tokio::select! {
            end = receive(self.region, read, &self.events, pong) => end,
            end = transmit(write, &mut self.packets, &mut self.home, pongs) => end,
        }
    }
}

async fn receive<S>(
    region: RegionId,
    read: ReadHalf<S>,
    events: &mpsc::Sender<RelayEvent>,
    pong: mpsc::Sender<Vec<u8>>,
) -> Result<(), RelayError>
where
    S: tokio::io::AsyncRead,
{
    let mut read = BufReader::with_capacity(BATCH, read);
    loop {
        let (kind, mut payload) = timeout(WATCHDOG, read_frame(&mut read)).await.map_err(|_| RelayError::Silent)??;
        let event = match FrameType::from_u8(kind) {
            Some(FrameType::RecvPacket) => {
                let from = *payload.first_chunk::<KEY_LEN>().ok_or(RelayError::Protocol("a short packet"))?;
                payload.drain(..KEY_LEN);
                RelayEvent::Packet { region, from: NodePublic::from_bytes(from), bytes: payload }
            }
            Some(FrameType::PeerGone) => match payload.first_chunk::<KEY_LEN>() {
                Some(peer) => RelayEvent::PeerGone { region, peer: NodePublic::from_bytes(*peer) },
                None => continue,
            },
            Some(FrameType::Ping) => {
                // A relay that pings faster than we answer gets fewer answers.
                let _ = pong.try_send(frame(FrameType::Pong, &payload));
                continue;
            }
            Some(FrameType::Restarting) => return Ok(()),
            _ => RelayEvent::Heard(region),
        };
        // The receiver is gone when the router stops.
        if events.send(event).await.is_err() {
            return Ok(());
        }
    }
}

async fn transmit<S: tokio::io::AsyncWrite>(
    mut write: WriteHalf<S>,
    packets: &mut mpsc::Receiver<(NodePublic, Vec<u8>)>,
    home: &mut watch::Receiver<bool>,
    mut pongs: mpsc::Receiver<Vec<u8>>,
) -> Result<(), RelayError> {
    let is_home = *home.borrow_and_update();
    write.write_all(&note_preferred_frame(is_home)).await?;
    // One buffer for all batches: musl's allocator asks the kernel for each of this size and gives it back.
    let mut batch = Vec::with_capacity(BATCH + BEYOND);
    loop {
        write.flush().await?;
        batch.clear();
        tokio::select! {
            packet = packets.recv() => match packet {
                Some(packet) => put(packet, &mut batch),
                None => return Ok(()),
            },
            Some(pong) = pongs.recv() => batch.extend_from_slice(&pong),
            Ok(()) = home.changed() => batch.extend_from_slice(&note_preferred_frame(*home.borrow_and_update())),
        }
        while batch.len() < BATCH
            && let Ok(packet) = packets.try_recv()
        {
            put(packet, &mut batch);
        }
        write.write_all(&batch).await?;
    }
}

/// Appends the frame of a packet.
fn put((to, packet): (NodePublic, Vec<u8>), batch: &mut Vec<u8>) {
    put_send_packet(&to, &packet, batch);
    buffer::give(packet);
}
