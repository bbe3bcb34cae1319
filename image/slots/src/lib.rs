//! The decisions of an image with two system slots: which slot starts, when a new one is tried, when it is confirmed,
//! what a signed upgrade looks like, and what a feed of upgrades says. Pure: bytes in, bytes out;
//! `image/init` and the server read and write them.
//!
//! A box must start after a power cut at any moment. So the record that says which slot is active lies on the disk twice
//! and is replaced one copy at a time, the slot in use is never written, and the number of tries is counted down on the
//! disk *before* a new slot is started.
//! Design: ours; the idea of trying once and falling back is that of RAUC and of the Raspberry Pi's `tryboot`.

pub mod feed;
pub mod record;
pub mod squashfs;
pub mod table;
pub mod upgrade;

pub use feed::{Feed, FeedError, FeedFile};
pub use record::{Boot, Outcome, Record, Slot, SlotName, newest};
pub use upgrade::{Header, UpgradeError};

/// Bytes per sector.
pub const SECTOR: u64 = 512;
/// First sectors of the two copies of the record: between the partition table and the first partition, eight sectors
/// apart, so that one torn write of a 4 KiB flash page cannot hit both.
pub const RECORD_SECTORS: [u64; 2] = [64, 72];
