//! Installs an upgrade file into the slot that is not in use.

use crate::disk::Disk;
use hearthgate_limits::TARGET;
use hearthgate_slots::{Header, Record, SlotName, UpgradeError, upgrade::HEAD};
use hearthgate_usign::PublicKey;
use sha2::{Digest as _, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};

/// Bytes written between two looks at how much is not on the disk yet.
const CHUNK: usize = 256 * 1024;

/// Why nothing was installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Refused before anything was written.
    #[error(transparent)]
    Refused(#[from] UpgradeError),
    /// Tried before and undone.
    #[error("this upgrade was tried before and did not become healthy")]
    FailedBefore,
    /// What runs is what is offered.
    #[error("this system is running already")]
    Running,
    /// The bytes are not those that were signed.
    #[error("the upgrade is damaged")]
    Damaged,
    /// Reading or writing.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Checks the head, writes the other slot, checks what is on the disk, and puts it on trial. Gives its version.
pub fn install(disk: &Disk, running: SlotName, key: &PublicKey, mut from: impl Read) -> Result<String, InstallError> {
    let record = disk.record()?;
    let target = running.other();
    let mut slot = OpenOptions::new().write(true).open(disk.partition(target.partition()))?;
    let room = slot.seek(SeekFrom::End(0))?;
    let mut head = [0; HEAD];
    from.read_exact(&mut head)?;
    let header = Header::check(&head, key, TARGET, record.slot(running).built, room)?;
    refuse(&record, running, &header)?;

    // The record's active slot is the running one, except after a fall back to a damaged disk's other slot.
    let record = Record { active: running, ..record }.begin();
    disk.write_record(&record)?;
    slot.seek(SeekFrom::Start(0))?;
    if copy(&mut from, &mut slot, header.slot.length)? != header.slot.sha256 {
        return Err(InstallError::Damaged);
    }
    slot.sync_all()?;
    drop(slot);
    if !disk.holds(target, header.slot) {
        return Err(InstallError::Damaged);
    }
    disk.write_record(&record.installed(header.slot))?;
    Ok(header.version)
}

fn refuse(record: &Record, running: SlotName, header: &Header) -> Result<(), InstallError> {
    if record.slot(running).sha256 == header.slot.sha256 {
        return Err(InstallError::Running);
    }
    if record.failed_before(&header.slot.sha256) {
        return Err(InstallError::FailedBefore);
    }
    Ok(())
}

/// Copies `length` bytes and gives their hash.
fn copy(from: &mut impl Read, to: &mut File, length: u64) -> Result<[u8; 32], InstallError> {
    let (mut from, mut sum, mut chunk) = (from.take(length), Sha256::new(), vec![0; CHUNK]);
    let mut copied = 0;
    loop {
        let n = from.read(&mut chunk)?;
        let Some(read) = chunk.get(..n).filter(|c| !c.is_empty()) else { break };
        sum.update(read);
        to.write_all(read)?;
        copied += read.len() as u64;
        // Little by little: otherwise megabytes wait in memory and go out at once while others want the disk.
        to.sync_data()?;
    }
    if copied != length {
        return Err(InstallError::Damaged);
    }
    Ok(sum.finalize().into())
}
