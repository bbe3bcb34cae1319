//! redb behind the trait: real `fsync` per commit, a small cache.

use crate::{Batch, EngineKind, Op, Record, Result, Revision, Store, StoreError, Watch, watch::Watchers};
use hearthgate_durable_file::{MODE, sync_folder_of};
use redb::{Database, Durability, ReadableDatabase, TableDefinition, TableError};
use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
/// redb's default cache is 1 GiB; the whole state is about one megabyte.
const CACHE_BYTES: usize = 512 * 1024;

pub(crate) struct RedbStore {
    db: Database,
    path: PathBuf,
    revision: Revision,
    watchers: Watchers,
}

/// Our words for an error of redb's.
fn failed(path: &Path) -> impl Fn(redb::Error) -> StoreError {
    move |e| match e {
        redb::Error::Io(e) => StoreError::io("using", path)(e),
        redb::Error::Corrupted(why) => StoreError::corrupt(path, why),
        redb::Error::PreviousIo => StoreError::Poisoned,
        redb::Error::DatabaseAlreadyOpen => StoreError::Locked { path: path.to_path_buf(), pid: None },
        other => StoreError::Engine("redb", other.to_string()),
    }
}

impl RedbStore {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE).open(path);
        let file = opened.map_err(StoreError::io("opening", path))?;
        // What a killed process left in the page cache is about to be read: make it durable first.
        file.sync_all().map_err(StoreError::io("syncing", path))?;
        sync_folder_of(path)?;
        let db =
            Database::builder().set_cache_size(CACHE_BYTES).create_file(file).map_err(|e| failed(path)(e.into()))?;
        let store = Self { db, path: path.to_path_buf(), revision: 0, watchers: Watchers::default() };
        store.make_table().map_err(failed(path))?;
        Ok(store)
    }

    /// Makes the table if it is missing: only the first time, because a commit is flash written.
    fn make_table(&self) -> std::result::Result<(), redb::Error> {
        match self.db.begin_read()?.open_table(TABLE) {
            Ok(_) => return Ok(()),
            Err(TableError::TableDoesNotExist(_)) => {}
            Err(e) => return Err(e.into()),
        }
        let write = self.db.begin_write()?;
        write.open_table(TABLE)?;
        Ok(write.commit()?)
    }

    fn read(&self, key: &[u8]) -> std::result::Result<Option<Vec<u8>>, redb::Error> {
        let table = self.db.begin_read()?.open_table(TABLE)?;
        Ok(table.get(key)?.map(|v| v.value().to_vec()))
    }

    fn read_prefix(&self, prefix: &[u8]) -> std::result::Result<Vec<Record>, redb::Error> {
        let table = self.db.begin_read()?.open_table(TABLE)?;
        let mut found = Vec::new();
        for record in table.range(prefix..)? {
            let (key, value) = record?;
            if !key.value().starts_with(prefix) {
                break;
            }
            found.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(found)
    }

    fn write(&self, ops: &[Op]) -> std::result::Result<(), redb::Error> {
        let mut write = self.db.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        {
            let mut table = write.open_table(TABLE)?;
            for op in ops {
                match op {
                    Op::Put(key, value) => table.insert(key.as_slice(), value.as_slice())?,
                    Op::Delete(key) => table.remove(key.as_slice())?,
                };
            }
        }
        Ok(write.commit()?)
    }
}

impl Store for RedbStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.read(key).map_err(failed(&self.path))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Record>> {
        self.read_prefix(prefix).map_err(failed(&self.path))
    }

    fn commit(&mut self, batch: Batch) -> Result<Revision> {
        batch.check(|key| self.get(key))?;
        if batch.is_empty() {
            return Ok(self.revision);
        }
        self.write(&batch.ops).map_err(failed(&self.path))?;
        self.revision += 1;
        self.watchers.tell(self.revision, &batch.ops);
        Ok(self.revision)
    }

    fn watch(&mut self, prefix: &[u8]) -> Watch {
        self.watchers.add(prefix)
    }

    fn engine(&self) -> EngineKind {
        EngineKind::Redb
    }
}
