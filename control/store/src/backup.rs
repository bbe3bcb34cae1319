//! All records in one checksummed file; also the way from one engine to another.

use crate::{
    Batch, Disk, EngineKind, LogStore, Result, Store, StoreError,
    disk::write_durably,
    engine::{Record, open},
};
use std::path::{Path, PathBuf};

/// Writes all records of `store` to one file of mode 0600; the form is that of the log engine.
///
/// # Errors
/// The disk failed.
pub fn backup(store: &dyn Store, to: &Path) -> Result<usize> {
    let records = store.scan(b"")?;
    let count = records.len();
    let mut log = LogStore::open(Memory::default())?;
    let mut batch = Batch::new();
    for (key, value) in &records {
        batch.put(key, value);
    }
    log.commit(batch)?;
    drop(write_durably(to, &log.into_disk().0)?);
    Ok(count)
}

/// The records of a backup.
///
/// # Errors
/// The file cannot be read, is damaged, or is not whole.
pub fn read_backup(from: &Path) -> Result<Vec<Record>> {
    let bytes = std::fs::read(from).map_err(StoreError::io("reading", from))?;
    let len = bytes.len();
    let log = LogStore::open(Memory(bytes))?;
    let records = log.scan(b"")?;
    // A log forgives a torn end; a backup was finished once, so an end that is missing is damage.
    if log.into_disk().0.len() != len || records.is_empty() {
        return Err(StoreError::Corrupt(from.to_path_buf(), "the backup is not whole".into()));
    }
    Ok(records)
}

/// Puts a backup into an empty state folder, for any engine.
///
/// # Errors
/// The backup is damaged, or the folder already holds state.
pub fn restore(from: &Path, dir: &Path, engine: EngineKind) -> Result<usize> {
    let records = read_backup(from)?;
    let mut store = open(dir, engine)?;
    if store.scan(b"")?.iter().any(|(k, _)| !k.starts_with(b"meta/")) {
        return Err(StoreError::Engine(engine.name(), format!("{} already holds state: move it away first", dir.display())));
    }
    let mut batch = Batch::new();
    for (key, value) in &records {
        batch.put(key, value);
    }
    store.commit(batch)?;
    crate::check_schema(&mut *store)?;
    Ok(records.len())
}

/// A disk in memory, to make and read backups with the log's own code.
#[derive(Debug, Default)]
struct Memory(Vec<u8>);

impl Disk for Memory {
    fn read(&mut self) -> Result<Vec<u8>> {
        Ok(self.0.clone())
    }
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
    fn sync(&mut self) -> Result<()> {
        Ok(())
    }
    fn truncate(&mut self, len: u64) -> Result<()> {
        self.0.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }
    fn replace(&mut self, bytes: &[u8]) -> Result<()> {
        self.0 = bytes.to_vec();
        Ok(())
    }
    fn path(&self) -> PathBuf {
        PathBuf::from("backup")
    }
}

