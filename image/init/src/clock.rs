//! Time and chance on a board that keeps neither over a power cut.

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes of randomness carried over a restart.
const SEED: usize = 512;

/// No system runs for longer after its sources were made (seconds: twenty years). Who says that it is later is wrong.
pub const LIFE: i64 = 20 * 365 * 86_400;

/// Sets the clock to the latest moment known to have passed, if it stands before it: when the system was made, or when
/// the clock was last written down. Time servers do the rest; certificates need at least this much. `built` and the result
/// are in seconds since 1970.
pub fn floor(built: i64, saved: &Path) -> i64 {
    let written = fs::read_to_string(saved).ok().and_then(|text| text.trim().parse::<i64>().ok());
    let floor = written.filter(|time| *time <= built.saturating_add(LIFE)).unwrap_or(0).max(built);
    if clock_gettime(ClockId::Realtime).tv_sec < floor {
        let _ = clock_settime(ClockId::Realtime, Timespec { tv_sec: floor, tv_nsec: 0 });
    }
    floor
}

/// Writes the clock down: in place, a block of the card and no more, where a file that is put in the place of another costs
/// twenty. A power cut in the middle may lose the number, and then the system's own time is the floor.
pub fn save(to: &Path) {
    let text = format!("{:020}\n", clock_gettime(ClockId::Realtime).tv_sec);
    let in_place = || -> io::Result<()> {
        let file = fs::OpenOptions::new().write(true).open(to)?;
        if file.metadata()?.len() != text.len() as u64 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_data()
    };
    if in_place().is_err() {
        let _ = write_durably(to, text.as_bytes());
    }
}

/// Puts a file in the place of an old one: after a power cut there is the one or the other.
fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = fs::File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

/// Gives the kernel what was kept from the last run, and keeps something new at once, on flash before anything else
/// happens: the same seed is never used twice.
/// The kernel does not count it as randomness, but mixes it in.
pub fn carry_seed(file: &Path) {
    if let (Ok(old), Ok(mut pool)) = (fs::read(file), fs::OpenOptions::new().write(true).open("/dev/urandom")) {
        let _ = pool.write_all(&old);
    }
    let mut fresh = [0; SEED];
    if fs::File::open("/dev/urandom").and_then(|mut pool| pool.read_exact(&mut fresh)).is_ok() {
        let _ = write_durably(file, &fresh);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_there_after_the_first_run_and_new_after_each() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seed");
        carry_seed(&file);
        let first = fs::read(&file).unwrap();
        carry_seed(&file);
        let second = fs::read(&file).unwrap();
        assert!(first.len() == SEED && second.len() == SEED && first != second);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing beside it");
    }

    #[test]
    fn the_floor_is_the_latest_time_known() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clock");
        // All in the past, so that this machine's clock stays as it is.
        assert_eq!(floor(1_000, &file), 1_000);
        fs::write(&file, "2000\n").unwrap();
        assert_eq!((floor(1_000, &file), floor(3_000, &file)), (2_000, 3_000));
        fs::write(&file, "no number").unwrap();
        assert_eq!(floor(1_000, &file), 1_000);
        for nonsense in [i64::MAX.to_string(), u64::MAX.to_string(), (1_001 + LIFE).to_string(), "-5".into()] {
            fs::write(&file, &nonsense).unwrap();
            assert_eq!(floor(1_000, &file), 1_000, "{nonsense}");
        }
        save(&file);
        assert!(floor(1_700_000_000, &file) > 1_700_000_000);
        // The second time it is the same file, in place.
        let same = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&file).unwrap());
        let before = same();
        fs::write(&file, format!("{:020}\n", 5)).unwrap();
        save(&file);
        assert_eq!(same(), before);
        assert!(floor(1_700_000_000, &file) > 1_700_000_000);
    }
}
