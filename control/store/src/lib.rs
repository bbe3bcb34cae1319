//! Durable state: ordered keys, atomic batches with preconditions, a watch by prefix.
//!
//! The rule every engine keeps: **when [`Store::commit`] returns `Ok`, the change survives a power cut**, and a batch
//! is there whole or not at all. Three engines do, behind one trait and one conformance suite:
//!
//! * [`EngineKind::Log`] (feature `engine-log`): everything in memory, one checksummed append-only file. Writes and
//!   holds least: the default.
//! * [`EngineKind::Redb`] (feature `engine-redb`): redb, a copy-on-write B-tree.
//! * [`EngineKind::Sled`] (feature `engine-sled`): sled 0.34 with an `fsync` of our own, a guarded open and a checked
//!   backup beside it, for machines with memory to spare.
//!
//! The trait asks for nothing that a distributed engine (etcd) could not give: one ordered key space, prefix reads,
//! transactions with preconditions, watches. Calls block; one writer thread makes them.
//!
//! The state folder is locked while a store is open. [`backup`] and [`restore`] use one checksummed file, which also
//! is the way from one engine to another. The figures that chose the default are in `README.md`.

mod backup;
mod batch;
#[cfg(feature = "engine-log")]
mod disk;
mod engine;
mod error;
mod files;
mod lock;
#[cfg(feature = "engine-log")]
mod log;
#[cfg(feature = "engine-log")]
mod log_format;
#[cfg(feature = "engine-log")]
mod log_read;
#[cfg(feature = "engine-redb")]
mod redb_engine;
mod restore;
mod schema;
#[cfg(feature = "engine-sled")]
mod sled_engine;
#[cfg(feature = "engine-sled")]
mod sled_rescue;
mod watch;

pub use backup::{backup, encode_backup, parse_backup, read_backup, save_backup, write_backup};
pub use batch::{Batch, Op, Precondition};
#[cfg(feature = "engine-log")]
pub use disk::{Disk, FileDisk};
pub use engine::{EngineKind, Record, Store, open};
pub use error::StoreError;
#[cfg(feature = "engine-log")]
pub use lock::FolderLock;
pub use log::LogStore;
pub use restore::{Contents, look_into, restore};
pub use schema::{MIGRATIONS, Migration, Records, SCHEMA, check_schema, migrate};
pub use watch::{Event, Watch};

/// Largest key in bytes.
pub const KEY_MAX: usize = 1024;
/// Largest value in bytes.
pub const VALUE_MAX: usize = 16 * 1024 * 1024;
/// Largest batch in bytes, keys and values together.
pub const BATCH_MAX: usize = 64 * 1024 * 1024;
/// Most changes in one batch.
pub const BATCH_OPS_MAX: usize = 1_000_000;

/// A number that grows with every commit while a store is open. An engine may start anew when it is opened again.
pub type Revision = u64;
/// Result of a store operation.
pub type Result<T> = std::result::Result<T, StoreError>;
