//! Packets that wait for one connection: few for long, many for a moment.
//!
//! The official server lets 32 wait (`derp/derpserver/derpserver.go` of tailscale.com v1.102.5); a longer queue only makes
//! packets late. But one read can bring three times as many before the receiver's task had its turn, and at 50 Mbit/s 32
//! packets are 6 ms. So more may wait as long as the queue gets short again in between; one that does not is a slow
//! receiver's, and is cut back until it has been empty.

use crate::packet::Packet;
use portable_atomic::{AtomicUsize, Ordering::Relaxed};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Packets that may wait for as long as it takes.
pub(crate) const QUEUE_PACKETS: usize = 32;
/// Packets that may wait for a moment: 100 ms at 50 Mbit/s.
const BURST_PACKETS: usize = 512;
/// How long a queue may be longer than [`QUEUE_PACKETS`].
const MOMENT: Duration = Duration::from_millis(250);
/// Bytes beyond [`QUEUE_PACKETS`] in the queues of all connections together.
const BURST_BYTES: usize = 1 << 20;

static BURSTS: AtomicUsize = AtomicUsize::new(0);

/// A queue that loses its oldest packets first.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Those behind the first [`QUEUE_PACKETS`] take their bytes of [`BURST_BYTES`].
    packets: VecDeque<Packet>,
    /// Since when it has been long.
    long_since: Option<Instant>,
    /// Its receiver is slow.
    slow: bool,
}

impl Queue {
    /// One that nobody takes from any more: it gets no room for bursts.
    pub(crate) fn abandoned() -> Self {
        Self { packets: VecDeque::new(), long_since: None, slow: true }
    }

    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Puts a packet in; those that have to go for it are given to `lost`. `now` is asked only while the queue is long.
    pub(crate) fn push(&mut self, packet: Packet, now: fn() -> Instant, mut lost: impl FnMut(Packet)) {
        loop {
            if self.len() < QUEUE_PACKETS {
                return self.packets.push_back(packet);
            }
            // Looked at here as well: whoever trickles does not come for more for a long time.
            if self.long_since.is_some_and(|since| now().saturating_duration_since(since) > MOMENT) {
                self.cut_back(&mut lost);
            }
            if !self.slow && self.len() < BURST_PACKETS && take(packet.bytes().len()) {
                self.long_since.get_or_insert_with(now);
                return self.packets.push_back(packet);
            }
            if let Some(oldest) = self.pop() {
                lost(oldest);
            }
        }
    }

    /// Takes the oldest out.
    pub(crate) fn pop(&mut self) -> Option<Packet> {
        let packet = self.packets.pop_front()?;
        if let Some(next) = self.packets.get(QUEUE_PACKETS - 1) {
            // It moves up among the first.
            BURSTS.fetch_sub(next.bytes().len(), Relaxed);
        }
        if self.len() <= QUEUE_PACKETS {
            self.long_since = None;
        }
        Some(packet)
    }

    /// Called when the connection can take more, before it takes: cuts back a queue that has been long for too long.
    pub(crate) fn settle(&mut self, now: Instant, mut lost: impl FnMut(Packet)) {
        if self.is_empty() {
            self.slow = false;
        }
        if self.long_since.is_some_and(|since| now.saturating_duration_since(since) > MOMENT) {
            self.cut_back(&mut lost);
        }
    }

    /// Its receiver is slow.
    fn cut_back(&mut self, lost: &mut impl FnMut(Packet)) {
        self.slow = true;
        while self.len() > QUEUE_PACKETS {
            if let Some(oldest) = self.pop() {
                lost(oldest);
            }
        }
    }

    /// Gives its room back.
    pub(crate) fn clear(&mut self) {
        while self.pop().is_some() {}
        self.packets = VecDeque::new();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Takes room for a packet of a burst, if there is any.
fn take(bytes: usize) -> bool {
    let room = |used: usize| used.checked_add(bytes).filter(|used| *used <= BURST_BYTES);
    BURSTS.fetch_update(Relaxed, Relaxed, room).is_ok()
}

/// The room for bursts is the process's: tests that use it take turns.
#[cfg(test)]
pub(crate) fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_keys::NodePublic;

    fn packet(len: usize) -> Packet {
        Packet::received(&NodePublic::ZERO, &vec![0; len])
    }

    fn push(queue: &mut Queue, count: usize, len: usize) -> usize {
        let mut lost = 0;
        for _ in 0..count {
            queue.push(packet(len), Instant::now, |_| lost += 1);
        }
        lost
    }

    #[test]
    fn a_burst_finds_room_and_a_flood_does_not() {
        let _alone = alone();
        let mut queue = Queue::default();
        assert_eq!(push(&mut queue, BURST_PACKETS, 1200), 0);
        assert_eq!(push(&mut queue, 10, 1200), 10);
        assert_eq!(queue.len(), BURST_PACKETS);
        queue.clear();
        assert_eq!(BURSTS.load(Relaxed), 0);
    }

    #[test]
    fn all_bursts_together_are_bounded_in_bytes() {
        let _alone = alone();
        let mut queues: Vec<Queue> = (0..8).map(|_| Queue::default()).collect();
        for queue in &mut queues {
            push(queue, 2 * BURST_PACKETS, 60_000);
        }
        let beyond: usize = queues.iter().map(|queue| queue.len() - QUEUE_PACKETS).sum();
        assert!(beyond > 0 && beyond * 60_000 <= BURST_BYTES, "{beyond}");
        drop(queues);
        assert_eq!(BURSTS.load(Relaxed), 0, "what was dropped gives its room back");
    }

    #[test]
    fn a_queue_that_stays_long_is_cut_back_until_it_was_empty() {
        let _alone = alone();
        let mut queue = Queue::default();
        push(&mut queue, 100, 1200);
        let mut lost = 0;
        queue.settle(Instant::now(), |_| lost += 1);
        assert_eq!(lost, 0, "it is long, but not for long");
        queue.settle(Instant::now() + 2 * MOMENT, |_| lost += 1);
        assert_eq!((lost, queue.len()), (100 - QUEUE_PACKETS, QUEUE_PACKETS));
        assert_eq!(push(&mut queue, 10, 1200), 10, "its receiver is slow");
        while queue.pop().is_some() {}
        queue.settle(Instant::now(), |_| lost += 1);
        assert_eq!(push(&mut queue, 100, 1200), 0);
    }

    #[test]
    fn what_nobody_takes_from_gets_no_room_for_bursts() {
        let _alone = alone();
        let mut queue = Queue::abandoned();
        assert_eq!(push(&mut queue, 40, 1200), 40 - QUEUE_PACKETS);
        assert_eq!(BURSTS.load(Relaxed), 0);
    }

    #[test]
    fn a_queue_that_is_long_and_not_taken_from_is_cut_back_by_the_next_packet() {
        let _alone = alone();
        let mut queue = Queue::default();
        push(&mut queue, 100, 1200);
        let mut lost = 0;
        queue.push(packet(1200), || Instant::now() + 2 * MOMENT, |_| lost += 1);
        assert_eq!((lost, queue.len()), (101 - QUEUE_PACKETS, QUEUE_PACKETS));
    }

    #[test]
    fn a_queue_that_gets_short_in_between_is_not_slow() {
        let _alone = alone();
        let mut queue = Queue::default();
        push(&mut queue, 60, 1200);
        for _ in 0..30 {
            queue.pop();
        }
        let mut lost = 0;
        queue.settle(Instant::now() + 2 * MOMENT, |_| lost += 1);
        assert_eq!((lost, push(&mut queue, 100, 1200)), (0, 0));
    }
}
