//! Reading a log back: what is whole, what is a torn end, what is damage.
//!
//! A batch is synced before the next is written, so a crash can leave at most one unfinished frame, at the end. It is
//! cut off: it was never acknowledged. If anything that passes for a whole frame follows the bad place, then good
//! batches were damaged; that is reported and nothing is touched.

use crate::{
    Disk, Result, StoreError,
    log_format::{BODY_MAX, FILE_HEADER, FRAME_HEADER, FileHeader, FrameHeader, read_ops},
};
use hearthgate_sorted::SortedMap;

/// Everything in memory. Boxed slices spare the capacity field, 16 bytes a record.
pub(crate) type Table = SortedMap<Box<[u8]>, Box<[u8]>>;

/// What a log held.
pub(crate) struct Loaded {
    pub records: Table,
    pub salt: u64,
    pub revision: u64,
    /// Bytes that are good.
    pub len: u64,
    /// Bytes after them, of a batch that was never finished.
    pub torn: u64,
}

/// Bytes that are searched at once.
const WINDOW: usize = 64 * 1024;

/// Reads the file `name` of length `file_len`.
pub(crate) fn load(disk: &mut impl Disk, name: &str, file_len: u64) -> Result<Loaded> {
    let path = disk.path(name);
    let damaged = |why: String| StoreError::corrupt(&path, why);
    let mut start = [0; FILE_HEADER];
    let got = disk.read_at(name, 0, &mut start)?;
    let header = FileHeader::decode(&start[..got]).map_err(|why| damaged(why.into()))?;
    let mut loaded =
        Loaded { records: Table::new(), salt: header.salt, revision: header.base, len: FILE_HEADER as u64, torn: 0 };
    let mut base_records = 0;
    let mut body = Vec::new();
    while loaded.len < file_len {
        let at = loaded.len;
        let Some(frame) = read_frame(disk, name, at, file_len, header.salt, &mut body)? else {
            if file_len - at > (FRAME_HEADER + BODY_MAX) as u64 {
                return Err(damaged(format!("more than one batch cannot be read from byte {at} on")));
            }
            if let Some(later) = find_frame(disk, name, at + 1, file_len, header.salt)? {
                return Err(damaged(format!("the batch at byte {at} cannot be read, but one at byte {later} can")));
            }
            loaded.torn = file_len - at;
            break;
        };
        let in_base = frame.revision == header.base && loaded.revision == header.base;
        if !in_base && frame.revision != loaded.revision + 1 {
            return Err(damaged(format!("revision {} follows {} at byte {at}", frame.revision, loaded.revision)));
        }
        loaded.revision = frame.revision;
        let records = &mut loaded.records;
        let read = read_ops(&body, |key, value| {
            base_records += u64::from(in_base);
            match value {
                Some(value) => records.insert(key.into(), value.into()),
                None => records.remove(key),
            };
        });
        read.ok_or_else(|| damaged(format!("an operation of the batch at byte {at} cannot be read")))?;
        loaded.len += (FRAME_HEADER + frame.body) as u64;
    }
    if base_records != header.base_records {
        return Err(damaged(format!("it begins with {base_records} records instead of {}", header.base_records)));
    }
    Ok(loaded)
}

/// Reads the frame at `at` with its body; `None` when there is no whole one.
fn read_frame(
    disk: &mut impl Disk,
    name: &str,
    at: u64,
    file_len: u64,
    salt: u64,
    body: &mut Vec<u8>,
) -> Result<Option<FrameHeader>> {
    let mut start = [0; FRAME_HEADER];
    let got = disk.read_at(name, at, &mut start)?;
    let Some(frame) = FrameHeader::decode(&start[..got], salt) else { return Ok(None) };
    let body_at = at + FRAME_HEADER as u64;
    // Checked against the file before memory is set aside for it.
    if frame.body as u64 > file_len.saturating_sub(body_at) {
        return Ok(None);
    }
    body.resize(frame.body, 0);
    let got = disk.read_at(name, body_at, body)?;
    Ok((got == frame.body && frame.matches(body)).then_some(frame))
}

/// Where the first whole frame at or after `from` begins.
fn find_frame(disk: &mut impl Disk, name: &str, from: u64, file_len: u64, salt: u64) -> Result<Option<u64>> {
    let mut window = vec![0; WINDOW];
    let mut body = Vec::new();
    let mut at = from;
    while at < file_len {
        let got = disk.read_at(name, at, &mut window)?;
        if got < FRAME_HEADER {
            break;
        }
        for (offset, start) in window[..got].windows(FRAME_HEADER).enumerate() {
            if FrameHeader::decode(start, salt).is_none() {
                continue;
            }
            let candidate = at + offset as u64;
            if read_frame(disk, name, candidate, file_len, salt, &mut body)?.is_some() {
                return Ok(Some(candidate));
            }
        }
        at += (got - FRAME_HEADER + 1) as u64;
    }
    Ok(None)
}
