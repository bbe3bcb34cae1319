//! The data partition takes the rest of the card: its entry in the partition table at the first start, the file system
//! on it right after. A power cut between the two only means that the file system follows at the next start.

use crate::disk::Disk;
use crate::{ioctl, log};
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};

/// Growth that the file system is not asked for: it rounds down to its groups (bytes).
const SLACK: u64 = 8 << 20;

/// In the initramfs, before anything is mounted.
pub fn partition(disk: &Disk) {
    match disk.grow_last() {
        Ok(Some(bytes)) => log::say(&format!("the data partition has {} MB now", bytes / 1_000_000)),
        Ok(None) => {}
        // It works with what it has.
        Err(error) => log::say(&format!("the data partition stays as it is: {error}")),
    }
}

/// The ext4 mounted at `folder` grows to the size of its partition.
pub fn file_system(partition: &str, folder: &str) {
    let grow = || -> io::Result<Option<u64>> {
        let room = File::open(partition)?.seek(SeekFrom::End(0))?;
        let now = rustix::fs::statvfs(folder)?;
        let block = now.f_frsize.max(1);
        // What statvfs calls blocks leaves out the file system's own tables: a few percent at most.
        if now.f_blocks.saturating_mul(block).saturating_add(room / 16).saturating_add(SLACK) >= room {
            return Ok(None);
        }
        ioctl::grow_ext4(&File::open(folder)?, room / block)?;
        Ok(Some(rustix::fs::statvfs(folder)?.f_blocks.saturating_mul(block)))
    };
    match grow() {
        Ok(Some(bytes)) => log::say(&format!("the data file system has {} MB now", bytes / 1_000_000)),
        Ok(None) => {}
        Err(error) => log::say(&format!("the data file system stays as it is: {error}")),
    }
}
