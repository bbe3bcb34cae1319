//! The trait, and opening a store by the name of its engine.

use crate::{Batch, LogStore, Result, Revision, StoreError, Watch, lock::FolderLock, redb_engine::RedbStore, schema, sled_engine::SledStore};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, str::FromStr};

/// A record: key and value.
pub type Record = (Vec<u8>, Vec<u8>);

/// Durable, ordered keys. One writer thread uses it; calls block until the disk has answered.
pub trait Store: Send {
    /// The value of a key.
    ///
    /// # Errors
    /// The disk failed.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// All records whose key starts with `prefix`, in order.
    ///
    /// # Errors
    /// The disk failed.
    fn scan(&self, prefix: &[u8]) -> Result<Vec<Record>>;

    /// Applies a batch whole or not at all; on `Ok` it survives a power cut.
    ///
    /// # Errors
    /// A precondition does not hold, a limit is exceeded, or the disk failed. Then nothing was changed.
    fn commit(&mut self, batch: Batch) -> Result<Revision>;

    /// Changes under `prefix` from now on.
    fn watch(&mut self, prefix: &[u8]) -> Watch;

    /// Which engine this is.
    fn engine(&self) -> EngineKind;
}

/// The engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineKind {
    /// Append-only log, all in memory.
    #[default]
    Log,
    /// redb.
    Redb,
    /// sled.
    Sled,
}

impl EngineKind {
    /// All engines.
    pub const ALL: [Self; 3] = [Self::Log, Self::Redb, Self::Sled];

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Redb => "redb",
            Self::Sled => "sled",
        }
    }
}

impl FromStr for EngineKind {
    type Err = StoreError;
    fn from_str(s: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|e| e.name() == s).ok_or_else(|| StoreError::UnknownEngine(s.into()))
    }
}

/// A store that keeps its folder locked.
struct Locked {
    store: Box<dyn Store>,
    _lock: FolderLock,
}

impl Store for Locked {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.store.get(key)
    }
    fn scan(&self, prefix: &[u8]) -> Result<Vec<Record>> {
        self.store.scan(prefix)
    }
    fn commit(&mut self, batch: Batch) -> Result<Revision> {
        self.store.commit(batch)
    }
    fn watch(&mut self, prefix: &[u8]) -> Watch {
        self.store.watch(prefix)
    }
    fn engine(&self) -> EngineKind {
        self.store.engine()
    }
}

/// Opens the store in `dir` (made with mode 0700 if missing), locks the folder and brings the schema up to date.
///
/// # Errors
/// The folder is in use, the state is damaged or too new, or the disk failed.
pub fn open(dir: &Path, engine: EngineKind) -> Result<Box<dyn Store>> {
    fs::create_dir_all(dir).map_err(StoreError::io("making the folder", dir))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(StoreError::io("protecting the folder", dir))?;
    let lock = FolderLock::take(dir)?;
    let store: Box<dyn Store> = match engine {
        EngineKind::Log => Box::new(LogStore::open(crate::FileDisk::open(&dir.join("state.log"))?)?),
        EngineKind::Redb => Box::new(RedbStore::open(&dir.join("state.redb"))?),
        EngineKind::Sled => Box::new(SledStore::open(&dir.join("state.sled"))?),
    };
    let mut store = Box::new(Locked { store, _lock: lock });
    schema::check_schema(&mut *store)?;
    Ok(store)
}
