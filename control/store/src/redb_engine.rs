//! redb behind the trait: real `fsync` per commit, a small cache.

use crate::{Batch, EngineKind, Op, Result, Revision, Store, StoreError, Watch, engine::Record, watch::Watchers};
use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
/// redb's default cache is 1 GiB; the whole state is about one megabyte.
const CACHE_BYTES: usize = 512 * 1024;

pub(crate) struct RedbStore {
    db: Database,
    revision: Revision,
    watchers: Watchers,
}

fn failed(e: impl std::fmt::Display) -> StoreError {
    StoreError::Engine("redb", e.to_string())
}

impl RedbStore {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let db = Database::builder().set_cache_size(CACHE_BYTES).create(path).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(StoreError::io("protecting", path))?;
        let write = db.begin_write().map_err(failed)?;
        write.open_table(TABLE).map_err(failed)?;
        write.commit().map_err(failed)?;
        crate::disk::sync_folder_of(path)?;
        Ok(Self { db, revision: 0, watchers: Watchers::default() })
    }
}

impl Store for RedbStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let table = self.db.begin_read().map_err(failed)?.open_table(TABLE).map_err(failed)?;
        Ok(table.get(key).map_err(failed)?.map(|v| v.value().to_vec()))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Record>> {
        let table = self.db.begin_read().map_err(failed)?.open_table(TABLE).map_err(failed)?;
        let mut found = Vec::new();
        for record in table.range(prefix..).map_err(failed)? {
            let (key, value) = record.map_err(failed)?;
            if !key.value().starts_with(prefix) {
                break;
            }
            found.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(found)
    }

    fn commit(&mut self, batch: Batch) -> Result<Revision> {
        batch.check(|key| self.get(key))?;
        if batch.is_empty() {
            return Ok(self.revision);
        }
        let mut write = self.db.begin_write().map_err(failed)?;
        write.set_durability(Durability::Immediate).map_err(failed)?;
        {
            let mut table = write.open_table(TABLE).map_err(failed)?;
            for op in &batch.ops {
                match op {
                    Op::Put(key, value) => table.insert(key.as_slice(), value.as_slice()).map_err(failed)?,
                    Op::Delete(key) => table.remove(key.as_slice()).map_err(failed)?,
                };
            }
        }
        write.commit().map_err(failed)?;
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
