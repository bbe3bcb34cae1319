//! The machine's own watchdog: it restarts a machine whose kernel, or whose first program, does nothing any more.
//! Source: the kernel's `Documentation/watchdog/watchdog-api.rst`.
//!
//! A thread writes to it, because the first program may be busy for longer than a watchdog waits (those of the Raspberry
//! Pis: 15 s): with a slow card, or an upgrade. It stops when that program has not been heard of for [`PATIENCE`].

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How often it is written to.
const PAUSE: Duration = Duration::from_secs(2);
/// How long the first program may be busy (seconds): an upgrade of 32 MB on a card that takes a megabyte in a second,
/// written and read back.
const PATIENCE: u32 = 120;

/// A watchdog that is awake.
pub struct Watchdog {
    begun: Instant,
    heard: Arc<AtomicU32>,
}

impl Watchdog {
    /// Wakes it, if there is one. It cannot be put to sleep again.
    pub fn wake(device: &str) -> Option<Self> {
        let mut dog = OpenOptions::new().write(true).open(device).ok()?;
        let begun = Instant::now();
        let heard = Arc::new(AtomicU32::new(0));
        let last = Arc::clone(&heard);
        std::thread::spawn(move || {
            while calm(last.load(Ordering::Relaxed), seconds(begun)) {
                let _ = dog.write_all(b"1");
                std::thread::sleep(PAUSE);
            }
            // The file stays open: closing is how a watchdog is put to sleep where the kernel allows it.
            std::mem::forget(dog);
        });
        Some(Self { begun, heard })
    }

    /// The first program is well; to be called more often than every [`PATIENCE`].
    pub fn hear(&self) {
        self.heard.store(seconds(self.begun), Ordering::Relaxed);
    }
}

fn seconds(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_secs()).unwrap_or(u32::MAX)
}

/// Whether the watchdog is to be kept quiet; both in seconds since it woke.
fn calm(heard: u32, now: u32) -> bool {
    now.saturating_sub(heard) <= PATIENCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_fed_and_no_longer_once_nobody_is_heard() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let dog = Watchdog::wake(file.path().to_str().unwrap()).unwrap();
        dog.hear();
        let fed = || std::fs::read(file.path()).unwrap().starts_with(b"1");
        let until = Instant::now() + Duration::from_secs(5);
        while !fed() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(fed());
        assert!(calm(0, PATIENCE) && calm(500, 500 + PATIENCE) && calm(7, 3));
        assert!(!calm(0, PATIENCE + 1) && !calm(500, 501 + PATIENCE));
        assert!(Watchdog::wake("/nonexistent/watchdog").is_none());
    }
}
