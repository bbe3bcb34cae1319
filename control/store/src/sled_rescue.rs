//! Opening a sled store that does not want to, so that a supervised service never restarts for ever.
//!
//! In this order: open it; open it without its snapshots (which it rebuilds); put in its place what the checked backup
//! beside it holds. The damaged store is kept, as `state.sled.damaged`. The backup is made when the store is opened and
//! after every [`BACKUP_EVERY`] commits; what is newer is lost in the last case, and a log line says so.

use crate::{
    Batch, EngineKind, Record, Result, Revision, Store, StoreError, Watch,
    backup::{read_backup, write_records},
    sled_engine::{SledStore, number_in},
};
use hearthgate_durable_file::{replace_with, sync_folder_of};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// Commits after which the backup is made again. At a megabyte of state that is one kilobyte written per commit, while
/// sled itself writes some thirty.
const BACKUP_EVERY: u64 = 1024;

/// A sled store with a backup beside it.
pub(crate) struct RescuedStore {
    store: SledStore,
    backup: PathBuf,
    /// Number of the last batch in the backup.
    backed_up: Revision,
}

/// Opens the store at `path`, with a rescue if need be.
pub(crate) fn open(path: &Path) -> Result<RescuedStore> {
    let backup = beside(path, "backup");
    let saved = match read_backup(&backup) {
        Ok(records) => Some(records),
        Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => {
            tracing::warn!(error = %e, "the backup beside the store cannot be read; a new one will be made");
            None
        }
    };
    let saved_number = saved.as_deref().map_or(0, number_in);
    let store = match (open_whole(path, saved_number), saved) {
        (Ok(store), _) => store,
        (Err(e), None) => return Err(e),
        // Nothing that another copy of the same bytes would change: full disk, permission, a lock.
        (
            Err(
                e @ (StoreError::DiskFull { .. }
                | StoreError::Permission { .. }
                | StoreError::Locked { .. }
                | StoreError::Io { .. }),
            ),
            _,
        ) => return Err(e),
        (Err(e), Some(records)) => {
            tracing::error!(error = %e, backup = %backup.display(), records = records.len(),
                "the store is damaged; its last backup takes its place, and changes made after that backup are lost");
            put_in_place(path, &records)?
        }
    };
    let mut store = RescuedStore { store, backup, backed_up: saved_number };
    if store.store.revision() != saved_number {
        store.save();
    }
    Ok(store)
}

/// Opens a store that has all batches up to `number`.
fn open_whole(path: &Path, number: Revision) -> Result<SledStore> {
    // A rescue that was interrupted: the damaged store is moved away, the new one not yet in place.
    if !path.exists() && number > 0 {
        return Err(StoreError::corrupt(path, "it is gone"));
    }
    let whole = |store: SledStore| {
        if store.revision() >= number {
            return Ok(store);
        }
        let why = format!("it ends with batch {}, but {number} were acknowledged", store.revision());
        drop(store);
        Err(StoreError::corrupt(path, why))
    };
    SledStore::open(path).and_then(whole).or_else(|first| {
        if !remove_snapshots(path)? {
            return Err(first);
        }
        tracing::warn!(error = %first, "sled did not open; trying again without its snapshots");
        SledStore::open(path).and_then(whole)
    })
}

/// Makes a store of `records` and moves it to `path`; what is there is kept beside it.
fn put_in_place(path: &Path, records: &[Record]) -> Result<SledStore> {
    let (new, damaged) = (beside(path, "rescued"), beside(path, "damaged"));
    remove_folder(&new)?;
    let mut store = SledStore::open(&new)?;
    store.fill(records)?;
    drop(store);
    if path.exists() {
        remove_folder(&damaged)?;
        fs::rename(path, &damaged).map_err(StoreError::io("moving away", path))?;
    }
    fs::rename(&new, path).map_err(StoreError::io("replacing", path))?;
    sync_folder_of(path)?;
    SledStore::open(path)
}

/// Removes sled's snapshots, finished or not. Returns whether there were any.
fn remove_snapshots(path: &Path) -> Result<bool> {
    let Ok(entries) = fs::read_dir(path) else { return Ok(false) };
    let mut any = false;
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with("snap.")) {
        fs::remove_file(entry.path()).map_err(StoreError::io("removing", entry.path()))?;
        any = true;
    }
    Ok(any)
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("removing", path)(e)),
        _ => Ok(()),
    }
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or(OsStr::new("state.sled")).to_owned();
    name.push(".");
    name.push(what);
    path.with_file_name(name)
}

impl RescuedStore {
    /// Makes the backup. That it cannot be made does not keep the store from working.
    fn save(&mut self) {
        let to = &self.backup;
        let saved = self.store.all().and_then(|records| {
            replace_with(to, |out| write_records(&records, out).map_err(StoreError::io("writing", to)))
        });
        if let Err(e) = saved {
            tracing::warn!(error = %e, "the backup beside the store could not be made");
        }
        // Also after a failure: the next try comes after as many commits again.
        self.backed_up = self.store.revision();
    }
}

impl Store for RescuedStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.store.get(key)
    }
    fn scan(&self, prefix: &[u8]) -> Result<Vec<Record>> {
        self.store.scan(prefix)
    }
    fn commit(&mut self, batch: Batch) -> Result<Revision> {
        let revision = self.store.commit(batch)?;
        if revision.saturating_sub(self.backed_up) >= BACKUP_EVERY {
            self.save();
        }
        Ok(revision)
    }
    fn watch(&mut self, prefix: &[u8]) -> Watch {
        self.store.watch(prefix)
    }
    fn engine(&self) -> EngineKind {
        self.store.engine()
    }
}
