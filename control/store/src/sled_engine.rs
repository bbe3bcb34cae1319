//! sled 0.34 behind the trait, with what it lacks for our rule.
//!
//! * Its `flush` only asks the kernel to start writing (`sync_file_range`): after it, every file is synced here.
//! * Opening a store whose file was cut short can panic: the panic is caught, the snapshots (which it rebuilds) are
//!   removed, and it is tried once more.

use crate::{Batch, EngineKind, Op, Result, Revision, Store, StoreError, Watch, engine::Record, watch::Watchers};
use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// Page cache; most of sled's memory is its page table, which no setting makes smaller.
const CACHE_BYTES: u64 = 2 * 1024 * 1024;

pub(crate) struct SledStore {
    db: sled::Db,
    path: PathBuf,
    revision: Revision,
    watchers: Watchers,
}

fn failed(e: impl std::fmt::Display) -> StoreError {
    StoreError::Engine("sled", e.to_string())
}

impl SledStore {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let db = match try_open(path) {
            Ok(db) => db,
            Err(first) => {
                tracing::warn!(error = %first, "sled did not open; trying again without its snapshots");
                remove_snapshots(path)?;
                try_open(path).map_err(|e| StoreError::Corrupt(path.to_path_buf(), e))?
            }
        };
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(StoreError::io("protecting", path))?;
        Ok(Self { db, path: path.to_path_buf(), revision: 0, watchers: Watchers::default() })
    }

    fn sync(&self) -> Result<()> {
        self.db.flush().map_err(failed)?;
        for entry in fs::read_dir(&self.path).map_err(StoreError::io("reading", &self.path))? {
            let path = entry.map_err(StoreError::io("reading", &self.path))?.path();
            match File::open(&path).and_then(|f| f.sync_all()) {
                Ok(()) => {}
                // sled replaces its snapshots in the background.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(StoreError::io("syncing", &path)(e)),
            }
        }
        File::open(&self.path).and_then(|f| f.sync_all()).map_err(StoreError::io("syncing", &self.path))
    }
}

fn try_open(path: &Path) -> std::result::Result<sled::Db, String> {
    let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).mode(sled::Mode::LowSpace);
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => Err("it panicked while opening".into()),
    }
}

fn remove_snapshots(path: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(path) else { return Ok(()) };
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with("snap.")) {
        fs::remove_file(entry.path()).map_err(StoreError::io("removing", entry.path()))?;
    }
    Ok(())
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.db.get(key).map_err(failed)?.map(|v| v.to_vec()))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Record>> {
        let records = self.db.scan_prefix(prefix).map(|r| r.map(|(k, v)| (k.to_vec(), v.to_vec())).map_err(failed));
        records.collect()
    }

    fn commit(&mut self, batch: Batch) -> Result<Revision> {
        batch.check(|key| self.get(key))?;
        if batch.is_empty() {
            return Ok(self.revision);
        }
        let mut changes = sled::Batch::default();
        for op in &batch.ops {
            match op {
                Op::Put(key, value) => changes.insert(key.as_slice(), value.as_slice()),
                Op::Delete(key) => changes.remove(key.as_slice()),
            }
        }
        self.db.apply_batch(changes).map_err(failed)?;
        self.sync()?;
        self.revision += 1;
        self.watchers.tell(self.revision, &batch.ops);
        Ok(self.revision)
    }

    fn watch(&mut self, prefix: &[u8]) -> Watch {
        self.watchers.add(prefix)
    }

    fn engine(&self) -> EngineKind {
        EngineKind::Sled
    }
}
