//! What a power cut at any moment leaves of an image: every write of a running machine, as QEMU's `blklogwrites` wrote
//! it down, is carried out again on the image up to each point, with the last ones lost, torn and out of order as a
//! disk may do it, and each time the first stage's own decision is asked for the slot it would start.
//! Format of the log: `drivers/md/dm-log-writes.c` of Linux 6.1, which QEMU follows.

use crate::PackError;
use hearthgate_slots::{RECORD_SECTORS, SECTOR, Slot, SlotName, newest};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// One write or flush.
#[derive(Debug, Clone)]
pub struct Entry {
    /// First byte on the disk.
    pub at: u64,
    /// What was written; empty for a flush.
    pub data: Vec<u8>,
    /// Everything before it is on the disk once it is done.
    pub flush: bool,
    /// It is on the disk itself once it is done.
    pub fua: bool,
}

/// Where the slots lie: first byte and bytes of A and B.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Slot A.
    pub a: (u64, u64),
    /// Slot B.
    pub b: (u64, u64),
}

/// What was tried, and what would have started.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Disks that were looked at.
    pub disks: u64,
    /// Of these: start slot A.
    pub a: u64,
    /// Start slot B.
    pub b: u64,
}

/// Reads a log.
pub fn read_log(log: &[u8]) -> Result<Vec<Entry>, PackError> {
    let bad = |what: &str| PackError::Log(what.to_owned());
    let number = |at: usize| log.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    if number(0) != Some(MAGIC) {
        return Err(bad("this is no log of writes"));
    }
    let count = number(16).ok_or_else(|| bad("no count"))?;
    let sector =
        log.get(24..28).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes).ok_or_else(|| bad("no sector size"))?;
    let sector = usize::try_from(sector).ok().filter(|s| *s >= 64).ok_or_else(|| bad("sector size"))?;
    let (mut at, mut entries) = (sector, Vec::new());
    for _ in 0..count {
        let field = |n: usize| number(at + 8 * n).ok_or_else(|| bad("it ends early"));
        let (start, sectors, flags) = (field(0)?, field(1)?, field(2)?);
        at += sector;
        // A discard names sectors and carries none.
        let length = if flags & DISCARD == 0 {
            usize::try_from(sectors).unwrap_or(usize::MAX).saturating_mul(sector)
        } else {
            0
        };
        let data = log.get(at..at.saturating_add(length)).ok_or_else(|| bad("it ends early"))?.to_vec();
        at += length;
        let at = start.saturating_mul(sector as u64);
        entries.push(Entry { at, data, flush: flags & FLUSH != 0, fua: flags & FUA != 0 });
    }
    Ok(entries)
}

/// Cuts the power after each entry, in several ways.
///
/// # Errors
/// The first disk that would not start, or would start a slot that is not whole.
pub fn cut_everywhere(disk: &mut [u8], entries: &[Entry], layout: Layout) -> Result<Tally, PackError> {
    let mut tally = Tally::default();
    let mut known: HashMap<[u8; 32], bool> = HashMap::new();
    let mut waiting: Vec<&Entry> = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        if entry.flush {
            for write in waiting.drain(..) {
                apply(disk, write.at, &write.data);
            }
        }
        if entry.fua {
            apply(disk, entry.at, &entry.data);
        } else if !entry.data.is_empty() {
            waiting.push(entry);
        }
        // What has not been flushed: all there, none, every other one, the newest first, the last one torn.
        let half = entry.data.len() / 2 / SECTOR as usize * SECTOR as usize;
        let ways: [&dyn Fn(usize, &Entry) -> usize; 5] = [
            &|_, e| e.data.len(),
            &|_, _| 0,
            &|n, e| if n % 2 == 0 { e.data.len() } else { 0 },
            &|n, e| if n + 1 >= waiting.len() { e.data.len() } else { 0 },
            &|n, e| if n + 1 >= waiting.len() { half.min(e.data.len()) } else { e.data.len() },
        ];
        for (way, kept) in ways.iter().enumerate() {
            let mut undo = Vec::new();
            for (n, write) in waiting.iter().enumerate() {
                let data = write.data.get(..kept(n, write)).unwrap_or_default();
                undo.push((write.at, read(disk, write.at, data.len() as u64).to_vec()));
                apply(disk, write.at, data);
            }
            let started = starts(disk, layout, &mut known);
            for (at, old) in undo.into_iter().rev() {
                apply(disk, at, &old);
            }
            tally.disks += 1;
            match started {
                Some(SlotName::A) => tally.a += 1,
                Some(SlotName::B) => tally.b += 1,
                None => {
                    return Err(PackError::Log(format!(
                        "after write {number}, in way {way}, no whole slot would start"
                    )));
                }
            }
        }
    }
    Ok(tally)
}

/// The slot that the first stage would start, if it is whole.
fn starts(disk: &[u8], layout: Layout, known: &mut HashMap<[u8; 32], bool>) -> Option<SlotName> {
    let [first, second] = RECORD_SECTORS.map(|sector| read(disk, sector * SECTOR, SECTOR));
    let record = newest([first, second])?;
    let mut holds = |name: SlotName, slot: Slot| {
        let (start, room) = if name == SlotName::A { layout.a } else { layout.b };
        let whole = |bytes: &[u8]| Sha256::digest(bytes).as_slice() == slot.sha256;
        if slot.length == 0 || slot.length > room {
            return false;
        }
        let bytes = read(disk, start, slot.length);
        // A hash of megabytes for thousands of disks: the same bytes are hashed once, known by a cheaper sum.
        let mut sum = [0; 32];
        for (to, part) in sum.chunks_mut(8).zip([bytes.len() as u64, crc32fast::hash(bytes).into(), start]) {
            to.copy_from_slice(&part.to_le_bytes());
        }
        for (to, from) in sum.iter_mut().skip(24).zip(slot.sha256) {
            *to = from;
        }
        *known.entry(sum).or_insert_with(|| whole(bytes))
    };
    let boot = record.boot();
    if holds(boot.slot, record.slot(boot.slot)) {
        return Some(boot.slot);
    }
    let boot = record.damaged(boot.slot);
    holds(boot.slot, record.slot(boot.slot)).then_some(boot.slot)
}

fn range(disk: &[u8], at: u64, length: u64) -> std::ops::Range<usize> {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(disk.len());
    place(at)..place(at.saturating_add(length))
}

fn read(disk: &[u8], at: u64, length: u64) -> &[u8] {
    disk.get(range(disk, at, length)).unwrap_or_default()
}

/// What lies beyond the part of the disk that is looked at is left out.
fn apply(disk: &mut [u8], at: u64, data: &[u8]) {
    let range = range(disk, at, data.len() as u64);
    for (to, from) in disk.get_mut(range).unwrap_or_default().iter_mut().zip(data) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_slots::Record;

    const LAYOUT: Layout = Layout { a: (40_960, 4096), b: (45_056, 4096) };

    fn slot(bytes: &[u8]) -> Slot {
        Slot { length: bytes.len() as u64, sha256: Sha256::digest(bytes).into(), built: 1 }
    }

    fn write(at: u64, data: &[u8]) -> Entry {
        Entry { at, data: data.to_vec(), flush: false, fua: false }
    }

    fn flush() -> Entry {
        Entry { at: 0, data: Vec::new(), flush: true, fua: false }
    }

    fn record(record: &Record) -> Entry {
        write(RECORD_SECTORS[record.copy()] * SECTOR, &record.encode())
    }

    /// An upgrade with or without the flush between the system and the record that names it.
    fn upgrade(careful: bool) -> (Vec<u8>, Vec<Entry>) {
        let (old, new) = ([1; 2048], [2; 2048]);
        let before = Record::new(slot(&old));
        let mut disk = vec![0; 65_536];
        apply(&mut disk, record(&before).at, &before.encode());
        apply(&mut disk, LAYOUT.a.0, &old);
        let begun = before.begin();
        let ready = begun.installed(slot(&new));
        let tried = ready.boot().write_first.unwrap();
        let confirmed = tried.confirm(SlotName::B).unwrap();
        let mut log =
            vec![record(&begun), flush(), write(LAYOUT.b.0, &new[..1024]), write(LAYOUT.b.0 + 1024, &new[1024..])];
        if careful {
            log.push(flush());
        }
        log.extend([record(&ready), flush(), record(&tried), flush(), record(&confirmed), flush()]);
        (disk, log)
    }

    #[test]
    fn our_order_of_writes_always_leaves_a_slot_to_start_and_damage_is_noticed() {
        let (mut disk, log) = upgrade(true);
        let tally = cut_everywhere(&mut disk, &log, LAYOUT).unwrap();
        assert_eq!(tally.disks, 11 * 5);
        assert!(tally.a > 0 && tally.b > 0 && tally.a + tally.b == tally.disks, "{tally:?}");

        // Damage of the system in use has to be noticed: this write goes into slot A.
        let (mut disk, mut log) = upgrade(true);
        log.insert(1, write(LAYOUT.a.0, &[9; 512]));
        assert!(cut_everywhere(&mut disk, &log, LAYOUT).is_err());

        // A record that names another sum than what is there, in both copies.
        let (mut disk, mut log) = upgrade(false);
        let wrong = Record::new(slot(b"never written"));
        log.extend([
            write(RECORD_SECTORS[0] * SECTOR, &wrong.encode()),
            write(RECORD_SECTORS[1] * SECTOR, &wrong.encode()),
        ]);
        assert!(cut_everywhere(&mut disk, &log, LAYOUT).is_err());
    }

    #[test]
    fn the_log_of_writes_is_read() {
        let mut log = vec![0; 512 * 5];
        log[..8].copy_from_slice(&MAGIC.to_le_bytes());
        log[8] = 1;
        log[16] = 2;
        log[24..28].copy_from_slice(&512_u32.to_le_bytes());
        // Sector 3, one sector, FUA; then a flush.
        log[512] = 3;
        log[520] = 1;
        log[528] = 2;
        log[1024..1536].fill(7);
        log[1536 + 16] = 1;
        let entries = read_log(&log).unwrap();
        assert_eq!(entries.len(), 2);
        assert!(entries[0].fua && entries[0].at == 1536 && entries[0].data == [7; 512]);
        assert!(entries[1].flush && entries[1].data.is_empty());
        assert!(read_log(&log[..1200]).is_err() && read_log(b"").is_err());
    }
}
