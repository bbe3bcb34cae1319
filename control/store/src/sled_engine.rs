//! sled 0.34 behind the trait, with what it lacks for our rule.
//!
//! * Its `flush` only asks the kernel to start writing (`sync_file_range`), and it never syncs the files it keeps large
//!   values in (`blobs/`): after it, every file of its folder is synced here.
//! * It panics where others return an error: panics are caught, and after one in a write nothing more is accepted.
//! * It counts nothing that we could see, so each batch also writes its number. By it `sled_rescue.rs` finds out that a
//!   store which opened well has lost its end.

use crate::{
    Batch, EngineKind, Op, Record, Result, Revision, Store, StoreError, Watch, files::private_folder, watch::Watchers,
};
use hearthgate_durable_file::{MODE, sync_folder_of};
use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// Page cache; most of sled's memory is its page table, which no setting makes smaller.
const CACHE_BYTES: u64 = 1024 * 1024;
/// Key of the batch number: the only one that a caller cannot use.
const NUMBER_KEY: &[u8] = b"";
/// sled's own lock may outlive a closed store for a moment, until its threads are done. The folder is ours alone, so
/// waiting is safe.
const LOCK_TRIES: u32 = 40;
const LOCK_WAIT: Duration = Duration::from_millis(50);

pub(crate) struct SledStore {
    db: sled::Db,
    path: PathBuf,
    revision: Revision,
    poisoned: bool,
    watchers: Watchers,
}

/// Runs sled's code, with a panic as an error.
fn guarded<T>(path: &Path, run: impl FnOnce() -> sled::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(done)) => Ok(done),
        // The system has no objection; the bytes are not there or make no sense.
        Ok(Err(sled::Error::Io(e)))
            if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::NotFound) =>
        {
            Err(StoreError::corrupt(path, e.to_string()))
        }
        Ok(Err(sled::Error::Io(e))) => Err(StoreError::io("using", path)(e)),
        Ok(Err(e @ sled::Error::Corruption { .. })) => Err(StoreError::corrupt(path, e.to_string())),
        Ok(Err(e)) => Err(StoreError::Engine("sled", e.to_string())),
        Err(_) => Err(StoreError::Engine("sled", "it panicked".into())),
    }
}

impl SledStore {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        private_folder(path)?;
        // What a killed process left in the page cache is about to be read: make it durable first.
        sync_all_under(path)?;
        let db = open_db(path)?;
        let number = guarded(path, || db.get(NUMBER_KEY))?;
        let revision = match number {
            Some(bytes) => {
                let bytes = bytes
                    .as_ref()
                    .try_into()
                    .map_err(|_| StoreError::corrupt(path, "the number of its last batch cannot be read"))?;
                u64::from_be_bytes(bytes)
            }
            None => 0,
        };
        let store = Self { db, path: path.to_path_buf(), revision, poisoned: false, watchers: Watchers::default() };
        // Whatever cannot be read should turn up now, while a rescue is possible.
        store.all()?;
        sync_all_under(path)?;
        sync_folder_of(path)?;
        Ok(store)
    }

    /// Number of the last batch ever.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// All records and the batch number.
    pub(crate) fn all(&self) -> Result<Vec<Record>> {
        guarded(&self.path, || self.db.iter().map(|r| r.map(|(k, v)| (k.to_vec(), v.to_vec()))).collect())
    }

    /// Puts records of [`Self::all`] into an empty store.
    pub(crate) fn fill(&mut self, records: &[Record]) -> Result<()> {
        guarded(&self.path, || {
            records.iter().try_for_each(|(key, value)| self.db.insert(key, value.as_slice()).map(drop))
        })?;
        self.revision = number_in(records);
        self.sync()
    }

    fn write(&self, ops: &[Op]) -> Result<()> {
        let mut changes = sled::Batch::default();
        for op in ops {
            match op {
                Op::Put(key, value) => changes.insert(key.as_slice(), value.as_slice()),
                Op::Delete(key) => changes.remove(key.as_slice()),
            }
        }
        changes.insert(NUMBER_KEY, &(self.revision + 1).to_be_bytes());
        guarded(&self.path, || self.db.apply_batch(changes))?;
        self.sync()
    }

    fn sync(&self) -> Result<()> {
        guarded(&self.path, || self.db.flush())?;
        sync_all_under(&self.path)
    }
}

/// The batch number among records of [`SledStore::all`].
pub(crate) fn number_in(records: &[Record]) -> Revision {
    let number = records.first().filter(|(k, _)| k == NUMBER_KEY).and_then(|(_, v)| v.as_slice().try_into().ok());
    number.map_or(0, u64::from_be_bytes)
}

fn open_db(path: &Path) -> Result<sled::Db> {
    let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).mode(sled::Mode::LowSpace);
    let mut tries = 0;
    loop {
        match guarded(path, || config.open()) {
            Err(StoreError::Io { source, .. }) if is_lock(&source) && tries < LOCK_TRIES => {
                tries += 1;
                thread::sleep(LOCK_WAIT);
            }
            other => return other,
        }
    }
}

/// sled's error for a lock that is held has no kind of its own.
fn is_lock(e: &std::io::Error) -> bool {
    e.kind() == ErrorKind::WouldBlock || e.to_string().contains("could not acquire lock")
}

/// Syncs every file under `dir`, the folders too, and makes the files private.
fn sync_all_under(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(StoreError::io("reading", dir))? {
        let path = entry.map_err(StoreError::io("reading", dir))?.path();
        if path.is_dir() {
            sync_all_under(&path)?;
            continue;
        }
        match sync_private(&path) {
            // sled replaces its snapshots and drops its blobs in the background.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            other => other.map_err(StoreError::io("syncing", path))?,
        }
    }
    File::open(dir).and_then(|f| f.sync_all()).map_err(StoreError::io("syncing the folder", dir))
}

fn sync_private(path: &Path) -> std::io::Result<()> {
    let file = File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o777 != MODE {
        file.set_permissions(fs::Permissions::from_mode(MODE))?;
    }
    file.sync_all()
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if key == NUMBER_KEY {
            return Ok(None);
        }
        Ok(guarded(&self.path, || self.db.get(key))?.map(|v| v.to_vec()))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Record>> {
        guarded(&self.path, || {
            let under = self.db.scan_prefix(prefix).filter(|r| !matches!(r, Ok((k, _)) if k == NUMBER_KEY));
            under.map(|r| r.map(|(k, v)| (k.to_vec(), v.to_vec()))).collect()
        })
    }

    fn commit(&mut self, batch: Batch) -> Result<Revision> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        batch.check(|key| self.get(key))?;
        if batch.is_empty() {
            return Ok(self.revision);
        }
        if let Err(e) = self.write(&batch.ops) {
            // sled has it in memory already and cannot take it back: it may or may not be there after a restart.
            self.poisoned = true;
            return Err(e);
        }
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
