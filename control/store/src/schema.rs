//! The version of what is stored, and the steps from one to the next.
//!
//! [`SCHEMA_KEY`] counts. A step is a pure function from all records to a batch. Steps are only ever appended, and
//! never changed after a release; `control/server/tests/fixtures` holds a frozen backup of each schema, from which all steps are run
//! in the tests. Before the first step a backup of the old state is written into the state folder; then all steps
//! are one commit.

use crate::{
    Batch, Op, Result, Store, StoreError,
    backup::{backup, read_backup},
};
use hearthgate_sorted::SortedMap;
use std::path::{Path, PathBuf};

/// Where the schema is kept.
pub(crate) const SCHEMA_KEY: &[u8] = b"meta/schema";
/// First hearthgate version that wrote this schema here: the one to install when this program is too old.
pub(crate) const VERSION_KEY: &[u8] = b"meta/schema-version";
/// Schema of a state that no step has touched.
const FIRST: u64 = 1;

/// All records, by key.
pub type Records = SortedMap<Vec<u8>, Vec<u8>>;

/// One step.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// What it changes, for the log.
    pub name: &'static str,
    /// Reads all records of the schema before and says what has to change. It reads no clock and nothing else.
    pub run: fn(&Records) -> std::result::Result<Batch, String>,
}

/// The steps, in order; the first leads from schema 1 to schema 2. Append only.
pub const MIGRATIONS: &[Migration] = &[];
/// Newest schema this program knows.
pub const SCHEMA: u64 = FIRST + MIGRATIONS.len() as u64;

/// Brings the state to [`SCHEMA`]; an empty store is marked as being of it. `dir` takes the backup made before.
///
/// # Errors
/// As [`migrate`].
pub fn check_schema(store: &mut dyn Store, dir: &Path) -> Result<()> {
    migrate(store, dir, MIGRATIONS)
}

/// Brings the state to the schema after the last of `steps`.
///
/// # Errors
/// The state is newer than the steps, was not restored completely, a step failed, or the disk did. Then the state is as
/// it was.
pub fn migrate(store: &mut dyn Store, dir: &Path, steps: &[Migration]) -> Result<()> {
    let newest = FIRST + steps.len() as u64;
    let Some(mark) = store.get(SCHEMA_KEY)? else {
        if !store.scan(b"")?.is_empty() {
            return Err(StoreError::corrupt(dir, "it has records but no schema: a restore was interrupted"));
        }
        return store.commit(marked(Batch::new(), newest)).map(drop);
    };
    let found = parse(&mark, dir)?;
    known_up_to(newest, found, store.get(VERSION_KEY)?.as_deref(), dir)?;
    if found == newest {
        return Ok(());
    }
    let export = export_path(dir, found);
    backup(store, &export)?;
    let before: Records = read_backup(&export)?.into_iter().collect();
    tracing::info!(from = found, to = newest, export = %export.display(), "bringing the state to a newer schema");
    let after = stepped(before.clone(), found, steps)?;
    store.commit(marked(difference(&before, &after), newest)).map(drop)
}

/// Records of schema `found` after all later steps.
pub(crate) fn stepped(mut records: Records, found: u64, steps: &[Migration]) -> Result<Records> {
    let newest = FIRST + steps.len() as u64;
    let skip = usize::try_from(found - FIRST).unwrap_or(usize::MAX);
    for step in steps.iter().skip(skip) {
        let failed = |why| StoreError::Migration { from: found, to: newest, why: format!("{}: {why}", step.name) };
        apply(&(step.run)(&records).map_err(failed)?, &mut records);
    }
    Ok(records)
}

/// The schema in its stored form.
pub(crate) fn parse(mark: &[u8], path: &Path) -> Result<u64> {
    let number = std::str::from_utf8(mark).ok().and_then(|t| t.parse().ok()).filter(|n| *n >= FIRST);
    number.ok_or_else(|| StoreError::corrupt(path, "its schema is not a number"))
}

/// Refuses a schema that this program does not know.
pub(crate) fn known(found: u64, version: Option<&[u8]>, dir: &Path) -> Result<()> {
    known_up_to(SCHEMA, found, version, dir)
}

fn known_up_to(known: u64, found: u64, version: Option<&[u8]>, dir: &Path) -> Result<()> {
    if found <= known {
        return Ok(());
    }
    let version =
        version.map_or_else(|| "that version".into(), |v| format!("version {} or later", String::from_utf8_lossy(v)));
    let export = export_path(dir, known);
    let backup = match export.exists() {
        true => format!("{} (made before the change; later changes are not in it)", export.display()),
        false => "a backup made by this one".into(),
    };
    Err(StoreError::NewerSchema { found, known, remedy: format!("install {version}, or restore {backup}") })
}

fn export_path(dir: &Path, schema: u64) -> PathBuf {
    dir.join(format!("schema-{schema}.backup"))
}

fn marked(mut batch: Batch, schema: u64) -> Batch {
    batch.put(SCHEMA_KEY, schema.to_string().as_bytes()).put(VERSION_KEY, env!("CARGO_PKG_VERSION").as_bytes());
    batch
}

fn apply(batch: &Batch, records: &mut Records) {
    for op in batch.ops() {
        match op {
            Op::Put(key, value) => records.insert(key.clone(), value.clone()),
            Op::Delete(key) => records.remove(key),
        };
    }
}

/// What leads from one state to another, with nothing in it that stays the same: flash is written once.
fn difference(before: &Records, after: &Records) -> Batch {
    let mut batch = Batch::new();
    for key in before.keys().filter(|k| !after.contains_key(*k)) {
        batch.delete(key);
    }
    for (key, value) in after.iter().filter(|(k, v)| before.get(*k) != Some(v)) {
        batch.put(key, value);
    }
    batch
}
