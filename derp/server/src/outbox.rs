//! What waits to be written to one connection: bounded, and losing the oldest packet first (`queue.rs`).
//!
//! Anybody may put something in, without ever waiting; only the connection's own task takes out. It is woken only when
//! it found nothing before, so a busy connection costs its senders no wake-ups.

use crate::{
    packet::{Kind, Packet},
    queue::Queue,
};
use hearthgate_derp_frame::{FrameType, frame};
use portable_atomic::{AtomicBool, Ordering::Relaxed};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::{Duration, Instant},
};

/// Frames other than packets that may wait for a client; more are lost, which costs it a retry.
const CONTROL_MAX: usize = 256;
/// The same for a watcher of the mesh, which must not miss any: beyond it the connection is closed and begins anew.
pub(crate) const WATCHER_CONTROL_MAX: usize = 65_536;
/// Bytes after which no further frame joins a batch.
const BATCH_BYTES: usize = 48 * 1024;
/// Frames in a batch.
pub(crate) const BATCH_FRAMES: usize = 64;

/// Packets that had to go for newer ones.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Dropped {
    pub(crate) disco: u64,
    pub(crate) other: u64,
    pub(crate) disco_bytes: u64,
    pub(crate) other_bytes: u64,
}

impl Dropped {
    fn count(&mut self, packet: &Packet) {
        let (count, bytes) = if packet.kind == Kind::Disco {
            (&mut self.disco, &mut self.disco_bytes)
        } else {
            (&mut self.other, &mut self.other_bytes)
        };
        *count += 1;
        *bytes += packet.bytes().len() as u64;
    }
}

#[derive(Debug, Default)]
struct State {
    control: VecDeque<Vec<u8>>,
    pong: Option<[u8; 8]>,
    disco: Queue,
    other: Queue,
    /// Whether the next packet comes from the disco queue, if it has one.
    disco_turn: bool,
    /// When the oldest packets of now were put in.
    since: Option<Instant>,
    /// What was dropped since it was told last.
    dropped: Dropped,
    /// The task found nothing and has to be woken.
    dry: bool,
    waker: Option<Waker>,
}

/// Queues of one connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    closed: AtomicBool,
}

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts packets in, emptying `run`. Tells what was dropped since the last time.
    pub(crate) fn push(&self, run: &mut Vec<Packet>) -> Dropped {
        let mut state = self.state();
        let State { disco, other, dropped, .. } = &mut *state;
        for packet in run.drain(..) {
            let queue = if packet.kind == Kind::Disco { &mut *disco } else { &mut *other };
            queue.push(packet, Instant::now, |lost| dropped.count(&lost));
        }
        let dropped = std::mem::take(dropped);
        if state.since.is_none() {
            state.since = Some(Instant::now());
        }
        Self::wake(state);
        dropped
    }

    /// Puts a frame in that is no packet. False when there is no room.
    pub(crate) fn control(&self, frame: Vec<u8>, max: usize) -> bool {
        let mut state = self.state();
        if state.control.len() >= max {
            return false;
        }
        state.control.push_back(frame);
        Self::wake(state);
        true
    }

    /// The same for an ordinary client.
    pub(crate) fn tell(&self, frame: Vec<u8>) -> bool {
        self.control(frame, CONTROL_MAX)
    }

    /// Only one pong waits at a time: a client that pings faster than it reads gets fewer.
    pub(crate) fn pong(&self, data: [u8; 8]) -> bool {
        let mut state = self.state();
        if state.pong.is_some() {
            return false;
        }
        state.pong = Some(data);
        Self::wake(state);
        true
    }

    /// Ends the connection as soon as its task runs.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
        let waker = self.state().waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Says whom to wake. False when the connection is to end.
    pub(crate) fn register(&self, waker: &Waker) -> bool {
        {
            let mut state = self.state();
            if !state.waker.as_ref().is_some_and(|w| w.will_wake(waker)) {
                state.waker = Some(waker.clone());
            }
        }
        // After the waker is in place: a close from now on wakes it.
        !self.closed.load(Relaxed)
    }

    /// Moves what is to be written next into an empty `batch`: control frames first, then packets of the two queues in
    /// turn. Answers how long the oldest packet waited, if there is any.
    pub(crate) fn fill(&self, batch: &mut Vec<Packet>) -> Option<Duration> {
        let mut state = self.state();
        let mut bytes = 0;
        // A clock read for a batch, and only with something to write.
        let now = state.since.map(|_| Instant::now());
        let State { disco, other, dropped, .. } = &mut *state;
        if let Some(now) = now {
            for queue in [disco, other] {
                queue.settle(now, |lost| dropped.count(&lost));
            }
        }
        if let Some(data) = state.pong.take() {
            batch.push(Packet::control(frame(FrameType::Pong, &data)));
        }
        while batch.len() < BATCH_FRAMES && bytes < BATCH_BYTES {
            let next = if let Some(control) = state.control.pop_front() {
                Packet::control(control)
            } else {
                state.disco_turn = !state.disco_turn;
                let State { disco, other, disco_turn, .. } = &mut *state;
                let (first, second) = if *disco_turn { (disco, other) } else { (other, disco) };
                let Some(packet) = first.pop().or_else(|| second.pop()) else { break };
                packet
            };
            bytes += next.bytes().len();
            batch.push(next);
        }
        if batch.is_empty() {
            state.dry = true;
            // Rings are given back while nothing flows: most clients are idle most of the time.
            state.disco = Queue::default();
            state.other = Queue::default();
            state.control = VecDeque::new();
        }
        let empty = state.disco.is_empty() && state.other.is_empty();
        let since = if empty { state.since.take() } else { std::mem::replace(&mut state.since, now) };
        drop(state);
        since.zip(now).map(|(since, now)| now.saturating_duration_since(since))
    }

    /// Packets that never left, by queue, for the statistics.
    pub(crate) fn abandon(&self) -> u64 {
        let mut state = self.state();
        let disco = std::mem::replace(&mut state.disco, Queue::abandoned());
        let other = std::mem::replace(&mut state.other, Queue::abandoned());
        state.waker = None;
        drop(state);
        (disco.len() + other.len()) as u64
    }

    fn wake(mut state: MutexGuard<'_, State>) {
        if std::mem::take(&mut state.dry) {
            let waker = state.waker.clone();
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_derp_frame::DISCO_MAGIC;
    use hearthgate_keys::NodePublic;

    fn packet(disco: bool) -> Packet {
        let body = if disco { [&DISCO_MAGIC[..], &[0; 80]].concat() } else { vec![0; 86] };
        Packet::received(&NodePublic::ZERO, &body)
    }

    #[test]
    fn control_comes_first_and_then_both_queues_in_turn() {
        let outbox = Outbox::default();
        let mut run: Vec<Packet> = (0..10).map(|n| packet(n < 5)).collect();
        outbox.push(&mut run);
        assert!(run.is_empty());
        outbox.tell(vec![1]);
        assert!(outbox.pong([0; 8]) && !outbox.pong([0; 8]), "one pong at a time");
        let mut batch = Vec::new();
        outbox.fill(&mut batch);
        let kinds: Vec<Kind> = batch.iter().map(|p| p.kind).collect();
        let turns = [Kind::Disco, Kind::Other].repeat(5);
        assert_eq!(kinds, [&[Kind::Control; 2][..], &turns].concat());
    }

    #[test]
    fn a_batch_is_bounded_and_nothing_is_lost_between_batches() {
        let _alone = crate::queue::alone();
        let outbox = Outbox::default();
        let big = Packet::received(&NodePublic::ZERO, &[0; 60_000]);
        let mut run: Vec<Packet> = std::iter::once(big).chain((0..40).map(|_| packet(true))).collect();
        let dropped = outbox.push(&mut run);
        assert_eq!((dropped.disco, dropped.other), (0, 0));
        let mut sizes = Vec::new();
        loop {
            let mut batch = Vec::new();
            outbox.fill(&mut batch);
            if batch.is_empty() {
                break;
            }
            sizes.push(batch.len());
        }
        assert_eq!(sizes.iter().sum::<usize>(), 41);
        assert!(sizes.len() > 1 && sizes.iter().all(|n| *n <= BATCH_FRAMES), "{sizes:?}");
    }

    #[test]
    fn control_frames_are_bounded_too() {
        let outbox = Outbox::default();
        let taken = (0..1000).filter(|_| outbox.tell(vec![0])).count();
        assert_eq!(taken, CONTROL_MAX);
    }
}
