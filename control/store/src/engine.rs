//! The trait, and opening a store by the name of its engine.

use crate::{Batch, Result, Revision, StoreError, Watch, files::private_folder, lock::FolderLock, schema};
use std::{fmt, path::Path, str::FromStr};

/// A record: key and value.
pub type Record = (Vec<u8>, Vec<u8>);

/// Durable, ordered keys. One writer thread uses it; calls block until the disk has answered.
pub trait Store: Send {
    /// The value of a key.
    ///
    /// # Errors
    /// The disk failed.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// All records whose key starts with `prefix`, in the order of their bytes.
    ///
    /// # Errors
    /// The disk failed.
    fn scan(&self, prefix: &[u8]) -> Result<Vec<Record>>;

    /// Applies a batch whole or not at all; on `Ok` it survives a power cut. Of several changes to one key the last
    /// counts. A batch without changes does nothing, but its preconditions are checked.
    ///
    /// # Errors
    /// A precondition does not hold, a limit is exceeded, or the disk failed. Then nothing was changed.
    fn commit(&mut self, batch: Batch) -> Result<Revision>;

    /// Changes under `prefix` from now on.
    fn watch(&mut self, prefix: &[u8]) -> Watch;

    /// Which engine this is.
    fn engine(&self) -> EngineKind;

    /// Lets go of the files and ends all watches. Dropping does the same; nothing acknowledged waits for it.
    ///
    /// # Errors
    /// The disk failed.
    fn close(self: Box<Self>) -> Result<()> {
        drop(self);
        Ok(())
    }
}

/// The engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineKind {
    /// Append-only log, all in memory.
    #[cfg_attr(any(feature = "engine-log", not(any(feature = "engine-redb", feature = "engine-sled"))), default)]
    Log,
    /// redb.
    #[cfg_attr(all(feature = "engine-redb", not(feature = "engine-log")), default)]
    Redb,
    /// sled.
    #[cfg_attr(all(feature = "engine-sled", not(any(feature = "engine-log", feature = "engine-redb"))), default)]
    Sled,
}

impl EngineKind {
    /// All engines that have a name.
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

    /// Whether this build has it.
    #[must_use]
    pub const fn built(self) -> bool {
        match self {
            Self::Log => cfg!(feature = "engine-log"),
            Self::Redb => cfg!(feature = "engine-redb"),
            Self::Sled => cfg!(feature = "engine-sled"),
        }
    }

    /// What it keeps its state in, inside the state folder.
    const fn file(self) -> &'static str {
        match self {
            Self::Log => "state.log",
            Self::Redb => "state.redb",
            Self::Sled => "state.sled",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = StoreError;
    fn from_str(s: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|e| e.name() == s).ok_or_else(|| StoreError::UnknownEngine(s.into()))
    }
}

/// A store that keeps its folder locked. The fields are dropped in order: first the files, then the lock.
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
    fn close(self: Box<Self>) -> Result<()> {
        let Self { store, _lock } = *self;
        store.close()
    }
}

/// Opens the store in `dir` (made with mode 0700 if missing), locks the folder and brings the schema up to date.
///
/// # Errors
/// The folder is in use or holds the state of another engine, the state is damaged or too new, or the disk failed.
pub fn open(dir: &Path, engine: EngineKind) -> Result<Box<dyn Store>> {
    let mut store = open_unchecked(dir, engine)?;
    schema::check_schema(&mut *store, dir)?;
    Ok(store)
}

/// Opens the store, whatever is in it.
pub(crate) fn open_unchecked(dir: &Path, engine: EngineKind) -> Result<Box<dyn Store>> {
    if !engine.built() {
        return Err(StoreError::NotBuilt(engine.name()));
    }
    private_folder(dir)?;
    let lock = FolderLock::take(dir)?;
    refuse_other_engine(dir, engine)?;
    let store: Box<dyn Store> = match engine {
        #[cfg(feature = "engine-log")]
        EngineKind::Log => Box::new(crate::LogStore::open(crate::FileDisk::new(dir))?),
        #[cfg(feature = "engine-redb")]
        EngineKind::Redb => Box::new(crate::redb_engine::RedbStore::open(&dir.join(engine.file()))?),
        #[cfg(feature = "engine-sled")]
        EngineKind::Sled => Box::new(crate::sled_rescue::open(&dir.join(engine.file()))?),
        #[cfg(not(all(feature = "engine-log", feature = "engine-redb", feature = "engine-sled")))]
        _ => return Err(StoreError::NotBuilt(engine.name())),
    };
    Ok(Box::new(Locked { store, _lock: lock }))
}

/// Another engine's files and none of ours: to start empty beside them would look like the loss of everything.
fn refuse_other_engine(dir: &Path, engine: EngineKind) -> Result<()> {
    if dir.join(engine.file()).exists() {
        return Ok(());
    }
    match EngineKind::ALL.into_iter().find(|other| *other != engine && dir.join(other.file()).exists()) {
        Some(found) => {
            Err(StoreError::OtherEngine { path: dir.to_path_buf(), found: found.name(), asked: engine.name() })
        }
        None => Ok(()),
    }
}
