//! The write-ahead log (section 4 of the file format): pages that were committed and not yet copied into the file.

use hearthgate_sorted::SortedMap;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// The newest committed version of each page in the log. A log that is torn or stale gives what comes before.
pub(super) fn pages(wal: &[u8], page_size: usize) -> SortedMap<u32, &[u8]> {
    let mut committed = SortedMap::new();
    let Some(header) = wal.get(..HEADER) else { return committed };
    let word = |at: usize| u32_at(header, at);
    let big_endian = match word(0) {
        0x377f_0682 => false,
        0x377f_0683 => true,
        _ => return committed,
    };
    if word(8) as usize != page_size {
        return committed;
    }
    let salts = &header[16..24];
    let mut sum = checksum((0, 0), &header[..24], big_endian);
    if sum != (word(24), word(28)) {
        return committed;
    }
    let mut open = SortedMap::new();
    for frame in wal[HEADER..].chunks_exact(FRAME_HEADER + page_size) {
        let (head, page) = frame.split_at(FRAME_HEADER);
        sum = checksum(checksum(sum, &head[..8], big_endian), page, big_endian);
        // Older frames lie behind the newest: the salts tell them apart, the sums a torn one.
        if &head[8..16] != salts || sum != (u32_at(head, 16), u32_at(head, 20)) {
            break;
        }
        open.insert(u32_at(head, 0), page);
        // A frame that says how large the file is ends a transaction.
        if u32_at(head, 4) != 0 {
            committed.extend(std::mem::take(&mut open));
        }
    }
    committed
}

fn checksum(start: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let read = |b: &[u8]| {
        let b = [b[0], b[1], b[2], b[3]];
        if big_endian { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) }
    };
    bytes.chunks_exact(8).fold(start, |(a, b), chunk| {
        let a = a.wrapping_add(read(&chunk[..4])).wrapping_add(b);
        let b = b.wrapping_add(read(&chunk[4..])).wrapping_add(a);
        (a, b)
    })
}

/// Callers hold enough bytes.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
