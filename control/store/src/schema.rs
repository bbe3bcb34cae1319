//! The version of what is stored, and the steps from one to the next.
//!
//! A step is a pure function from all records to a batch. Steps are only ever appended, and never changed after a
//! release; each has a frozen backup of the schema before it under `tests/fixtures`.

use crate::{Batch, Result, Store, StoreError};

const KEY: &[u8] = b"meta/schema";
/// Newest schema this program knows.
pub const SCHEMA: u64 = 1;

/// Brings the state to [`SCHEMA`]; an empty store is marked as being of it.
///
/// # Errors
/// The state is newer than this program, or the disk failed.
pub fn check_schema(store: &mut dyn Store) -> Result<()> {
    let found = match store.get(KEY)? {
        Some(text) => String::from_utf8_lossy(&text).parse().unwrap_or(u64::MAX),
        None => 0,
    };
    if found > SCHEMA {
        return Err(StoreError::NewerSchema { found, known: SCHEMA });
    }
    if found < SCHEMA {
        let mut batch = Batch::new();
        batch.put(KEY, SCHEMA.to_string().as_bytes());
        store.commit(batch)?;
    }
    Ok(())
}
