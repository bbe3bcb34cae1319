//! Small records of other parts of the server (pages, OAuth clients, …) that need the writer's durability.
//!
//! The core does not look into them. A part keeps its own under `part/<part>/<kind>/<id>` and reads them back from
//! the world. They are few and small, and the limits keep them so.

use crate::{CoreError, Result, World, Write};
use hearthgate_sorted::SortedMap;
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// What every key starts with.
pub const RECORD_PREFIX: &str = "part/";
/// Most records of all parts together.
pub const RECORDS_MAX: usize = 4096;
/// Largest record in bytes.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;

/// Records by key.
pub(crate) type Records = SortedMap<String, Arc<[u8]>>;

impl World {
    /// All records whose key starts with `prefix` (without [`RECORD_PREFIX`]) that can be read as `T`, by key.
    pub fn records<'a, T: DeserializeOwned>(&'a self, prefix: &'a str) -> impl Iterator<Item = T> + 'a {
        records(&self.records, prefix)
    }

    /// The record under `key` (without [`RECORD_PREFIX`]), if it is there and can be read as `T`.
    #[must_use]
    pub fn record<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        record(&self.records, key)
    }

    /// Whether there is a record under `key` (without [`RECORD_PREFIX`]), readable or not.
    #[must_use]
    pub fn has_record(&self, key: &str) -> bool {
        self.records.contains_key(&format!("{RECORD_PREFIX}{key}"))
    }

    /// Stores a record as JSON.
    ///
    /// # Errors
    /// It is larger than [`RECORD_BYTES_MAX`], there are [`RECORDS_MAX`] already, or it has no JSON form.
    pub fn put_record(&mut self, key: &str, value: &impl Serialize) -> Result<()> {
        let key = format!("{RECORD_PREFIX}{key}");
        let bytes =
            serde_json::to_vec(value).map_err(|e| CoreError::invalid(format!("{key} cannot be stored: {e}")))?;
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(CoreError::Full(format!("{key} is larger than {RECORD_BYTES_MAX} bytes")));
        }
        if self.records.len() >= RECORDS_MAX && !self.records.contains_key(&key) {
            return Err(CoreError::Full(format!("there are {RECORDS_MAX} records already: delete some")));
        }
        self.write(Write { key: key.clone(), value: Some(bytes.clone()) });
        Arc::make_mut(&mut self.records).insert(key, bytes.into());
        Ok(())
    }

    /// Removes a record; true when it was there.
    pub fn delete_record(&mut self, key: &str) -> bool {
        let key = format!("{RECORD_PREFIX}{key}");
        let there = Arc::make_mut(&mut self.records).remove(&key).is_some();
        if there {
            self.write(Write { key, value: None });
        }
        there
    }
}

fn record<T: DeserializeOwned>(records: &Records, key: &str) -> Option<T> {
    records.get(&format!("{RECORD_PREFIX}{key}")).and_then(|bytes| serde_json::from_slice(bytes).ok())
}

fn records<'a, T: DeserializeOwned>(records: &'a Records, prefix: &str) -> impl Iterator<Item = T> + 'a {
    let start = format!("{RECORD_PREFIX}{prefix}");
    let from = records.range(start.clone()..);
    from.take_while(move |(k, _)| k.starts_with(&start)).filter_map(|(_, v)| serde_json::from_slice(v).ok())
}
