//! Putting a backup into an empty state folder; also the way from one engine to another.

use crate::{
    BATCH_MAX, BATCH_OPS_MAX, Batch, EngineKind, Record, Result, StoreError,
    backup::read_backup,
    engine::open_unchecked,
    schema::{self, SCHEMA_KEY},
};
use std::path::Path;

/// Bytes of one batch; most states fit one.
const RESTORE_BATCH: usize = BATCH_MAX / 4;

/// Puts a backup into an empty state folder, for any engine, and brings its schema up to date. Returns the number of
/// records.
///
/// A restore that was interrupted leaves a store without a schema, which is refused when it is opened.
///
/// # Errors
/// The backup is damaged or of a newer hearthgate, the folder already holds state, or the disk failed. The first two
/// are found before the folder is touched.
pub fn restore(from: &Path, dir: &Path, engine: EngineKind) -> Result<usize> {
    let records = known_records(from)?;
    let Some((_, mark)) = records.iter().find(|(k, _)| k == SCHEMA_KEY) else { return Err(no_schema(from)) };
    let mut store = open_unchecked(dir, engine)?;
    // A store that was only ever opened has nothing but the marks of its schema.
    if store.scan(b"")?.iter().any(|(k, _)| k != SCHEMA_KEY && k != schema::VERSION_KEY) {
        return Err(StoreError::NotEmpty(dir.to_path_buf()));
    }
    let mut batch = Batch::new();
    batch.delete(SCHEMA_KEY);
    let mut bytes = 0;
    for (key, value) in records.iter().filter(|(k, _)| k != SCHEMA_KEY) {
        if bytes + key.len() + value.len() > RESTORE_BATCH || batch.ops.len() >= BATCH_OPS_MAX - 1 {
            store.commit(std::mem::take(&mut batch))?;
            bytes = 0;
        }
        bytes += key.len() + value.len();
        batch.put(key, value);
    }
    // Last of all, and what makes the store one that can be opened.
    batch.put(SCHEMA_KEY, mark);
    store.commit(batch)?;
    schema::check_schema(&mut *store, dir)?;
    store.close()?;
    Ok(records.len())
}

/// What a backup holds, in the newest schema.
#[derive(Debug)]
pub struct Contents {
    /// Its records, by key.
    pub records: schema::Records,
    /// The version of hearthgate that first wrote its schema where it was made, if it says.
    pub version: Option<String>,
}

/// Checks a backup as [`restore`] does, and gives what it holds. Touches nothing.
///
/// # Errors
/// The backup is damaged, of a newer hearthgate, or cannot be brought to the newest schema.
pub fn look_into(from: &Path) -> Result<Contents> {
    let records: schema::Records = known_records(from)?.into_iter().collect();
    let version = records.get(schema::VERSION_KEY).map(|v| String::from_utf8_lossy(v).into_owned());
    let mark = records.get(SCHEMA_KEY).ok_or_else(|| no_schema(from))?;
    let found = schema::parse(mark, from)?;
    let records = schema::stepped(records, found, schema::MIGRATIONS)?;
    Ok(Contents { records, version })
}

/// The records of a backup whose schema this program knows.
fn known_records(from: &Path) -> Result<Vec<Record>> {
    let records = read_backup(from)?;
    let (_, mark) = records.iter().find(|(k, _)| k == SCHEMA_KEY).ok_or_else(|| no_schema(from))?;
    let version = records.iter().find(|(k, _)| k == schema::VERSION_KEY).map(|(_, v)| v.as_slice());
    schema::known(schema::parse(mark, from)?, version, from.parent().unwrap_or(Path::new(".")))?;
    Ok(records)
}

fn no_schema(from: &Path) -> StoreError {
    StoreError::corrupt(from, "it does not say which schema it is of")
}
