//! The log engine: everything in memory, every batch appended to one file and synced.
//!
//! The form of the file is in `log_format.rs`, how it is read back in `log_read.rs`. When most of the file is old values
//! it is written anew beside itself, synced, moved into place, and the name synced.

use crate::{
    Batch, Disk, EngineKind, Op, Record, Result, Revision, Store, StoreError, Watch,
    log_format::{FILE_HEADER, FileHeader, FrameWriter, OP_OVERHEAD},
    log_read::{Table, load},
    watch::Watchers,
};
use std::{
    hash::{BuildHasher, RandomState},
    ops::Bound,
};

/// Name of the log.
pub(crate) const LOG: &str = "state.log";
/// Name of a log that is being written anew.
const NEW_LOG: &str = "state.log.new";
/// A file smaller than this many bytes is never rewritten.
const COMPACT_MIN: u64 = 256 * 1024;
/// The file is rewritten when it is this many times the size of what is in it.
const COMPACT_FACTOR: u64 = 4;
/// A rewrite writes pieces of about this many bytes, so that it needs no second copy of the state in memory.
const COMPACT_PIECE: usize = 32 * 1024;

/// A store in one append-only file.
pub struct LogStore<D: Disk> {
    disk: D,
    records: Table,
    salt: u64,
    revision: Revision,
    /// Bytes of the file.
    len: u64,
    /// Bytes of it that a rewrite would keep.
    live: u64,
    /// Length at which the file is rewritten, if it is worth it then.
    compact_at: u64,
    poisoned: bool,
    watchers: Watchers,
}

impl<D: Disk> LogStore<D> {
    /// Reads the log, or makes one; a torn last batch is cut off.
    ///
    /// # Errors
    /// The disk failed, or the log is damaged before its end.
    pub fn open(disk: D) -> Result<Self> {
        // Randomly keyed by the standard library; it only has to differ from file to file.
        Self::open_salted(disk, RandomState::new().hash_one(b"hearthgate log"))
    }

    /// Like [`Self::open`], with the salt for files that are made (see `log_format.rs`): tests want the same bytes
    /// every time.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_salted(mut disk: D, salt: u64) -> Result<Self> {
        let mut store = match disk.len(LOG)? {
            None => {
                let mut store = Self::with(disk, Table::new(), salt, 0, 0);
                store.len = store.write_new()?;
                store.disk.rename(NEW_LOG, LOG)?;
                store
            }
            Some(file_len) => {
                let loaded = load(&mut disk, LOG, file_len)?;
                let mut store = Self::with(disk, loaded.records, loaded.salt, loaded.revision, loaded.len);
                if loaded.torn > 0 {
                    tracing::warn!(
                        bytes = loaded.torn,
                        "cut off the end of the state file: a change that was never finished"
                    );
                    store.disk.truncate(LOG, store.len)?;
                }
                if store.disk.len(NEW_LOG)?.is_some() {
                    store.disk.remove(NEW_LOG)?;
                }
                // A process that was killed may have left batches that are read but not durable: whoever is shown
                // them now must find them again.
                store.disk.sync(LOG)?;
                store
            }
        };
        store.disk.sync_names()?;
        Ok(store)
    }

    fn with(disk: D, records: Table, salt: u64, revision: Revision, len: u64) -> Self {
        let live = records.iter().map(|(k, v)| size(k, v)).sum();
        Self {
            disk,
            records,
            salt,
            revision,
            len,
            live,
            compact_at: COMPACT_MIN,
            poisoned: false,
            watchers: Watchers::default(),
        }
    }

    /// Closes the store and gives its disk back.
    pub fn into_disk(self) -> D {
        self.disk
    }

    fn apply(&mut self, ops: Vec<Op>) {
        for op in ops {
            let (key, old) = match op {
                Op::Put(key, value) => {
                    self.live += size(&key, &value);
                    let old = self.records.insert(key.as_slice().into(), value.into_boxed_slice());
                    (key, old)
                }
                Op::Delete(key) => {
                    let old = self.records.remove(key.as_slice());
                    (key, old)
                }
            };
            self.live -= old.map_or(0, |old| size(&key, &old));
        }
    }

    /// Writes all records to [`NEW_LOG`] and syncs it. Until it is renamed, nothing has happened. Returns its length.
    fn write_new(&mut self) -> Result<u64> {
        let Self { disk, records, salt, revision, .. } = self;
        disk.remove(NEW_LOG)?;
        let header = FileHeader { salt: *salt, base: *revision, base_records: records.len() as u64 };
        disk.append(NEW_LOG, &header.encode())?;
        let mut len = FILE_HEADER as u64;
        let mut piece = FrameWriter::new();
        for (key, value) in records.iter() {
            piece.op(key, Some(value));
            if piece.len() >= COMPACT_PIECE {
                let bytes = std::mem::replace(&mut piece, FrameWriter::new()).finish(*revision, *salt);
                disk.append(NEW_LOG, &bytes)?;
                len += bytes.len() as u64;
            }
        }
        if !piece.is_empty() {
            let bytes = piece.finish(*revision, *salt);
            disk.append(NEW_LOG, &bytes)?;
            len += bytes.len() as u64;
        }
        disk.sync(NEW_LOG)?;
        Ok(len)
    }

    fn compact_if_worth_it(&mut self) {
        if self.len < self.compact_at || self.len < self.live.saturating_mul(COMPACT_FACTOR) {
            return;
        }
        let new_len = match self.write_new() {
            Ok(len) => len,
            Err(e) => {
                // The old file is whole and goes on. On a full disk each try would cost flash: wait a while.
                self.compact_at = self.len.saturating_add(COMPACT_MIN);
                let _ = self.disk.remove(NEW_LOG);
                tracing::warn!(error = %e, "the state file could not be rewritten; it goes on growing");
                return;
            }
        };
        // From here on either file may be the one that a power cut leaves. Both are complete now, but a batch
        // appended to one of them could be missing in the other: accept none before the name is durable.
        if let Err(e) = self.disk.rename(NEW_LOG, LOG).and_then(|()| self.disk.sync_names()) {
            self.poisoned = true;
            tracing::error!(error = %e, "the rewritten state file could not be put in place; no more changes are accepted");
            return;
        }
        self.len = new_len;
        self.compact_at = COMPACT_MIN;
    }
}

/// Bytes of a record in a file.
fn size(key: &[u8], value: &[u8]) -> u64 {
    (OP_OVERHEAD + key.len() + value.len()) as u64
}

impl<D: Disk> Store for LogStore<D> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.records.get(key).map(|v| v.to_vec()))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Record>> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let under = self.records.range::<[u8]>(from).take_while(|(k, _)| k.starts_with(prefix));
        Ok(under.map(|(k, v)| (k.to_vec(), v.to_vec())).collect())
    }

    fn commit(&mut self, batch: Batch) -> Result<Revision> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        batch.check(|key| self.get(key))?;
        if batch.is_empty() {
            return Ok(self.revision);
        }
        let mut frame = FrameWriter::new();
        for op in &batch.ops {
            match op {
                Op::Put(key, value) => frame.op(key, Some(value)),
                Op::Delete(key) => frame.op(key, None),
            }
        }
        let frame = frame.finish(self.revision + 1, self.salt);
        if let Err(e) = self.disk.append(LOG, &frame).and_then(|()| self.disk.sync(LOG)) {
            // Part of the frame may be there, and after a failed sync nobody knows what is on the medium: cut it
            // off durably, and if even that fails, accept nothing more.
            let cut = self.disk.truncate(LOG, self.len).and_then(|()| self.disk.sync(LOG));
            self.poisoned = cut.is_err();
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
