//! Durable state: ordered keys, atomic batches with preconditions, a watch by prefix.
//!
//! The rule every engine keeps: **when [`Store::commit`] returns `Ok`, the change survives a power cut**, and a batch
//! is there whole or not at all. Three engines do, behind one trait and one conformance suite:
//!
//! * [`EngineKind::Log`]: everything in memory, one checksummed append-only file. Writes and holds least: the default.
//! * [`EngineKind::Redb`]: redb, a copy-on-write B-tree.
//! * [`EngineKind::Sled`]: sled 0.34 with an `fsync` of our own, for machines with memory to spare.
//!
//! The state folder is locked while a store is open. [`backup`] and [`restore`] use one checksummed file, which also
//! is the way from one engine to another.

mod backup;
mod batch;
mod disk;
mod engine;
mod error;
mod log;
mod lock;
mod redb_engine;
mod schema;
mod sled_engine;
mod watch;

pub use backup::{backup, read_backup, restore};
pub use batch::{Batch, Op, Precondition};
pub use disk::{Disk, FileDisk};
pub use engine::{EngineKind, Store, open};
pub use error::StoreError;
pub use log::LogStore;
pub use schema::{SCHEMA, check_schema};
pub use watch::{Event, Watch};

/// Largest key in bytes.
pub const KEY_MAX: usize = 1024;
/// Largest value in bytes.
pub const VALUE_MAX: usize = 16 * 1024 * 1024;
/// Largest batch in bytes, keys and values together.
pub const BATCH_MAX: usize = 64 * 1024 * 1024;

/// A number that grows with every commit.
pub type Revision = u64;
/// Result of a store operation.
pub type Result<T> = std::result::Result<T, StoreError>;
