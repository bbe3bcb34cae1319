//! Time and chance on a board that keeps neither over a power cut.

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

/// Bytes of randomness carried over a restart.
const SEED: usize = 512;

/// Sets the clock to the latest moment known to have passed, if it stands before it: when the system was made, or when
/// the clock was last written down. Time servers do the rest; certificates need at least this much. Gives that moment
/// (seconds since 1970).
pub fn floor(built: u64, saved: &Path) -> i64 {
    let written = fs::read_to_string(saved).ok().and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
    let floor = i64::try_from(built.max(written)).unwrap_or(0);
    if clock_gettime(ClockId::Realtime).tv_sec < floor {
        let _ = clock_settime(ClockId::Realtime, Timespec { tv_sec: floor, tv_nsec: 0 });
    }
    floor
}

/// Writes the clock down.
pub fn save(to: &Path) {
    let now = clock_gettime(ClockId::Realtime).tv_sec;
    let _ = fs::write(to, now.to_string());
}

/// Gives the kernel what was kept from the last run, and keeps something new at once: the same seed is never used twice.
/// The kernel does not count it as randomness, but mixes it in.
pub fn carry_seed(file: &Path) {
    if let (Ok(old), Ok(mut pool)) = (fs::read(file), fs::OpenOptions::new().write(true).open("/dev/urandom")) {
        let _ = pool.write_all(&old);
    }
    let mut fresh = [0; SEED];
    if fs::File::open("/dev/urandom").and_then(|mut pool| pool.read_exact(&mut fresh)).is_ok() {
        let _ = fs::write(file, fresh);
    }
}
