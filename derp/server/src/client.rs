//! One connected client: its queues, and waking its writer.

use bytes::Bytes;
use hearthgate_derp_frame::GoneReason;
use hearthgate_keys::NodePublic;
use portable_atomic::{AtomicBool, Ordering::Relaxed};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Packets that may wait per queue, as in the official server: a longer queue only makes packets late.
pub(crate) const QUEUE_PACKETS: usize = 32;
/// "Peer gone" notices that may wait; more are lost, which costs the client a retry.
const NOTICES_MAX: usize = 256;

/// A packet on its way to a client.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) from: NodePublic,
    pub(crate) payload: Bytes,
}

/// What the writer sends next.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Gone(NodePublic, GoneReason),
    Pong([u8; 8]),
    Packet(Packet),
}

#[derive(Debug, Default)]
struct Queues {
    notices: VecDeque<(NodePublic, GoneReason)>,
    pong: Option<[u8; 8]>,
    disco: VecDeque<Packet>,
    other: VecDeque<Packet>,
    disco_turn: bool,
    waiting: bool,
}

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) key: NodePublic,
    queues: Mutex<Queues>,
    wake: Notify,
    closing: Notify,
    closed: AtomicBool,
    /// Another connection has the same key.
    pub(crate) duplicated: AtomicBool,
}

impl Client {
    pub(crate) fn new(id: u64, key: NodePublic) -> Self {
        Self { id, key, queues: Mutex::default(), wake: Notify::new(), closing: Notify::new(), closed: AtomicBool::new(false), duplicated: AtomicBool::new(false) }
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a packet; answers the one that had to go for it, if any.
    pub(crate) fn push(&self, packet: Packet, disco: bool) -> Option<Packet> {
        let mut q = self.queues();
        let queue = if disco { &mut q.disco } else { &mut q.other };
        let dropped = (queue.len() >= QUEUE_PACKETS).then(|| queue.pop_front()).flatten();
        queue.push_back(packet);
        self.wake_if_waiting(q);
        dropped
    }

    pub(crate) fn notice(&self, key: NodePublic, reason: GoneReason) {
        let mut q = self.queues();
        if q.notices.len() < NOTICES_MAX {
            q.notices.push_back((key, reason));
            self.wake_if_waiting(q);
        }
    }

    /// Only one pong waits at a time: a client that pings faster than it reads gets fewer.
    pub(crate) fn pong(&self, data: [u8; 8]) {
        let mut q = self.queues();
        q.pong = Some(data);
        self.wake_if_waiting(q);
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
        self.wake.notify_one();
        self.closing.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Waits until the client is closed.
    pub(crate) async fn closing(&self) {
        self.closing.notified().await;
    }

    /// Takes what is to be sent next: notices first, then packets of the two queues in turn.
    pub(crate) fn pop(&self) -> Option<Outgoing> {
        let mut q = self.queues();
        if let Some((key, reason)) = q.notices.pop_front() {
            return Some(Outgoing::Gone(key, reason));
        }
        if let Some(data) = q.pong.take() {
            return Some(Outgoing::Pong(data));
        }
        q.disco_turn = !q.disco_turn;
        let packet = if q.disco_turn {
            q.disco.pop_front().or_else(|| q.other.pop_front())
        } else {
            q.other.pop_front().or_else(|| q.disco.pop_front())
        };
        if packet.is_none() {
            q.waiting = true;
            // Rings are given back while nothing flows: most clients are idle most of the time.
            q.disco = VecDeque::new();
            q.other = VecDeque::new();
            q.notices = VecDeque::new();
        }
        packet.map(Outgoing::Packet)
    }

    /// Waits until [`Self::pop`] may have something, or the client is closed.
    pub(crate) async fn wait(&self) {
        self.wake.notified().await;
    }

    fn wake_if_waiting(&self, mut q: MutexGuard<'_, Queues>) {
        if std::mem::take(&mut q.waiting) {
            drop(q);
            self.wake.notify_one();
        }
    }
}
