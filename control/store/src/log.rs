//! The log engine: everything in memory, every batch appended to one file and synced.
//!
//! ```text
//! file    magic of 8 bytes, then frames
//! frame   u32 length of the body | u32 CRC-32 of the body | body
//! body    operations: u8 kind (1 put, 2 delete) | u32 key length | key | (put) u32 value length | value
//! ```
//! Integers are little-endian. One frame is one batch, so its checksum makes it whole or nothing. A batch is synced
//! before the next is written, so only the last frame can be torn; damage anywhere before it is reported, not
//! skipped. When the file is mostly old values it is written anew and moved into place.

use crate::{
    BATCH_MAX, Batch, Disk, EngineKind, Op, Result, Revision, Store, StoreError, Watch,
    engine::Record,
    watch::Watchers,
};
use std::{collections::BTreeMap, ops::Bound};

const MAGIC: &[u8; 8] = b"HGLOG\x001\n";
const FRAME_HEADER: usize = 8;
const KIND_PUT: u8 = 1;
const KIND_DELETE: u8 = 2;
/// A file smaller than this is never rewritten.
const COMPACT_MIN: u64 = 256 * 1024;
/// The file is rewritten when it is this many times the size of what is in it.
const COMPACT_FACTOR: u64 = 4;
/// What a frame may add to the batch limit: lengths and kinds of its operations.
const FRAME_MAX: usize = BATCH_MAX + (BATCH_MAX / 8);

/// A store in one append-only file.
pub struct LogStore<D: Disk> {
    disk: D,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    revision: Revision,
    len: u64,
    live: u64,
    poisoned: bool,
    watchers: Watchers,
}

impl<D: Disk> LogStore<D> {
    /// Reads the log; a torn last frame is cut off.
    ///
    /// # Errors
    /// The disk failed, or the log is damaged before its end.
    pub fn open(mut disk: D) -> Result<Self> {
        let bytes = disk.read()?;
        let mut store = Self { records: BTreeMap::new(), revision: 0, len: 0, live: 0, poisoned: false, watchers: Watchers::default(), disk };
        if bytes.len() < MAGIC.len() {
            // New, or cut off while it was being made: nothing was acknowledged yet.
            if !MAGIC.starts_with(&bytes) && bytes.iter().any(|b| *b != 0) {
                return Err(StoreError::Corrupt(store.disk.path(), "it is not a hearthgate log".into()));
            }
            store.disk.replace(MAGIC)?;
            store.len = MAGIC.len() as u64;
            return Ok(store);
        }
        if !bytes.starts_with(MAGIC) {
            return Err(StoreError::Corrupt(store.disk.path(), "it is not a hearthgate log of this version".into()));
        }
        let mut at = MAGIC.len();
        while at < bytes.len() {
            match read_frame(&bytes[at..]) {
                Frame::Whole(ops, used) => {
                    store.apply(ops);
                    store.revision += 1;
                    at += used;
                }
                Frame::Torn => break,
                Frame::Damaged(why) => return Err(StoreError::Corrupt(store.disk.path(), format!("{why} at byte {at}"))),
            }
        }
        if at < bytes.len() {
            store.disk.truncate(at as u64)?;
        }
        store.len = at as u64;
        Ok(store)
    }

    /// Closes the store and gives its disk back.
    pub fn into_disk(self) -> D {
        self.disk
    }

    fn apply(&mut self, ops: Vec<Op>) {
        for op in ops {
            match op {
                Op::Put(key, value) => {
                    self.live += (key.len() + value.len()) as u64;
                    let key_len = key.len();
                    if let Some(old) = self.records.insert(key, value) {
                        self.live -= (key_len + old.len()) as u64;
                    }
                }
                Op::Delete(key) => {
                    if let Some(old) = self.records.remove(&key) {
                        self.live -= (key.len() + old.len()) as u64;
                    }
                }
            }
        }
    }

    fn compact_if_worth_it(&mut self) {
        if self.len < COMPACT_MIN || self.len < self.live.saturating_mul(COMPACT_FACTOR) {
            return;
        }
        let ops: Vec<Op> = self.records.iter().map(|(k, v)| Op::Put(k.clone(), v.clone())).collect();
        let mut bytes = MAGIC.to_vec();
        write_frame(&ops, &mut bytes);
        match self.disk.replace(&bytes) {
            Ok(()) => self.len = bytes.len() as u64,
            // The old file is still whole; the next commit tries again.
            Err(e) => tracing::warn!(error = %e, "the state file could not be rewritten; it goes on growing"),
        }
    }
}

impl<D: Disk> Store for LogStore<D> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.records.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Record>> {
        let from = (Bound::Included(prefix.to_vec()), Bound::Unbounded);
        let under = self.records.range(from).take_while(|(k, _)| k.starts_with(prefix));
        Ok(under.map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn commit(&mut self, batch: Batch) -> Result<Revision> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        batch.check(|key| self.get(key))?;
        if batch.is_empty() {
            return Ok(self.revision);
        }
        let mut frame = Vec::new();
        write_frame(&batch.ops, &mut frame);
        if let Err(e) = self.disk.append(&frame).and_then(|()| self.disk.sync()) {
            // Part of the frame may be there, and after a failed sync nobody knows what is on the medium: cut it
            // off, and if even that fails, accept nothing more.
            self.poisoned = self.disk.truncate(self.len).is_err();
            return Err(e);
        }
        self.len += frame.len() as u64;
        self.revision += 1;
        self.watchers.tell(self.revision, &batch.ops);
        self.apply(batch.ops);
        self.compact_if_worth_it();
        Ok(self.revision)
    }

    fn watch(&mut self, prefix: &[u8]) -> Watch {
        self.watchers.add(prefix)
    }

    fn engine(&self) -> EngineKind {
        EngineKind::Log
    }
}

enum Frame {
    Whole(Vec<Op>, usize),
    Torn,
    Damaged(&'static str),
}

fn write_frame(ops: &[Op], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER]);
    // Lengths are below the limits that commit checks, so they fit 32 bits.
    let len32 = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    for op in ops {
        match op {
            Op::Put(key, value) => {
                out.push(KIND_PUT);
                out.extend_from_slice(&len32(key.len()));
                out.extend_from_slice(key);
                out.extend_from_slice(&len32(value.len()));
                out.extend_from_slice(value);
            }
            Op::Delete(key) => {
                out.push(KIND_DELETE);
                out.extend_from_slice(&len32(key.len()));
                out.extend_from_slice(key);
            }
        }
    }
    let body = out.len() - start - FRAME_HEADER;
    let crc = crc32fast::hash(&out[start + FRAME_HEADER..]);
    out[start..start + 4].copy_from_slice(&len32(body));
    out[start + 4..start + FRAME_HEADER].copy_from_slice(&crc.to_le_bytes());
}

fn read_frame(bytes: &[u8]) -> Frame {
    let Some((header, rest)) = bytes.split_at_checked(FRAME_HEADER) else { return Frame::Torn };
    let (Some(len), Some(crc)) = (u32_at(header, 0), u32_at(header, 4)) else { return Frame::Torn };
    let len = len as usize;
    if len == 0 || len > FRAME_MAX {
        // A torn last frame may have any header; beyond the largest batch it is something else.
        return if rest.len() <= FRAME_MAX { Frame::Torn } else { Frame::Damaged("a frame of impossible length") };
    }
    let Some(body) = rest.get(..len) else { return Frame::Torn };
    if crc32fast::hash(body) != crc {
        return if rest.len() == len { Frame::Torn } else { Frame::Damaged("a checksum is wrong") };
    }
    match read_ops(body) {
        Some(ops) => Frame::Whole(ops, FRAME_HEADER + len),
        None => Frame::Damaged("an operation cannot be read"),
    }
}

fn read_ops(mut body: &[u8]) -> Option<Vec<Op>> {
    let mut ops = Vec::new();
    while let Some((kind, rest)) = body.split_first() {
        let (key, rest) = read_bytes(rest)?;
        let (op, rest) = match *kind {
            KIND_PUT => {
                let (value, rest) = read_bytes(rest)?;
                (Op::Put(key, value), rest)
            }
            KIND_DELETE => (Op::Delete(key), rest),
            _ => return None,
        };
        ops.push(op);
        body = rest;
    }
    Some(ops)
}

fn read_bytes(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let len = u32_at(bytes, 0)? as usize;
    let (value, rest) = bytes.get(4..)?.split_at_checked(len)?;
    Some((value.to_vec(), rest))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
