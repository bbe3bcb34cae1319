//! What waits for one hook, with its own bound and its own pauses: a hook that does not answer holds up nobody else.

use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Most requests that wait for one hook.
pub(super) const WAITING_MAX: usize = 32;
/// Pauses before the second try and the following ones; after the last one the request is given up.
const PAUSES: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(600)];

/// A request that waits.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    /// What is sent.
    pub(super) body: Bytes,
    tries: usize,
    due: Instant,
}

/// What becomes of a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It is tried again.
    Waits,
    /// It is tried again, and the oldest of too many that wait was dropped for it.
    Crowded,
    /// It was the last try.
    GivenUp,
}

/// The queue of one hook.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<VecDeque<Waiting>>,
    news: Notify,
}

impl Queue {
    /// Puts a request at the end. When there are too many, the oldest is dropped; false tells that one was.
    pub(super) fn push(&self, body: Bytes) -> bool {
        let room = self.put(Waiting { body, tries: 0, due: Instant::now() });
        self.news.notify_one();
        room
    }

    /// The next request whose time has come.
    pub(super) async fn next(&self) -> Waiting {
        loop {
            let due = {
                let mut waiting = self.all();
                let now = Instant::now();
                if let Some(next) = waiting.iter().position(|w| w.due <= now).and_then(|i| waiting.remove(i)) {
                    return next;
                }
                waiting.iter().map(|w| w.due).min()
            };
            // News that came in between are kept by `Notify`.
            match due {
                None => self.news.notified().await,
                Some(due) => drop(tokio::time::timeout_at(due, self.news.notified()).await),
            }
        }
    }

    /// Keeps a request that failed for another try, if there were not enough.
    pub(super) fn again(&self, mut failed: Waiting) -> Again {
        let Some(pause) = PAUSES.get(failed.tries) else { return Again::GivenUp };
        failed.tries += 1;
        failed.due = Instant::now() + *pause;
        if self.put(failed) { Again::Waits } else { Again::Crowded }
    }

    fn put(&self, one: Waiting) -> bool {
        let mut waiting = self.all();
        let room = waiting.len() < WAITING_MAX;
        if !room {
            waiting.pop_front();
        }
        waiting.push_back(one);
        room
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failed_requests_wait_and_new_ones_go_before_them() {
        let (queue, start) = (Queue::default(), Instant::now());
        queue.push("one".into());
        let mut one = queue.next().await;
        for after in [10, 70, 670] {
            assert_eq!(queue.again(one), Again::Waits);
            queue.push("new".into());
            assert_eq!(queue.next().await.body, "new");
            one = queue.next().await;
            assert_eq!((one.body.as_ref(), start.elapsed().as_secs()), (&b"one"[..], after));
        }
        assert_eq!(queue.again(one), Again::GivenUp);
    }

    #[tokio::test]
    async fn the_oldest_is_dropped_when_too_many_wait() {
        let queue = Queue::default();
        for n in 0..WAITING_MAX {
            assert!(queue.push(n.to_string().into()));
        }
        assert!(!queue.push("last".into()));
        let failed = queue.next().await;
        assert_eq!((failed.body.as_ref(), queue.all().len()), (&b"1"[..], WAITING_MAX - 1));
        queue.push("while it was tried".into());
        assert_eq!(queue.again(failed), Again::Crowded, "it is told that the oldest was dropped for it");
        assert_eq!(queue.next().await.body, "3");
    }
}
