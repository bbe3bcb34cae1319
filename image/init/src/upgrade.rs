//! Installs an upgrade file into the slot that is not in use.

use crate::disk::Disk;
use hearthgate_limits::TARGET;
use hearthgate_slots::{Header, Record, SlotName, UpgradeError, upgrade::HEAD};
use hearthgate_usign::PublicKey;
use sha2::{Digest as _, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};

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

/// Checks the head and all bytes, writes the other slot, checks what is on the disk, and puts it on trial. Gives its version.
/// The file is read twice: the slot that is written is the one to go back to, and a file that is cut off must not cost it.
pub fn install(
    disk: &Disk,
    running: SlotName,
    key: &PublicKey,
    mut from: impl Read + Seek,
) -> Result<String, InstallError> {
    let record = disk.record()?;
    let target = running.other();
    let mut slot = OpenOptions::new().write(true).open(disk.partition(target.partition()))?;
    let room = slot.seek(SeekFrom::End(0))?;
    let mut head = [0; HEAD];
    from.read_exact(&mut head)?;
    let header = Header::check(&head, key, TARGET, record.slot(running).built, room)?;
    refuse(&record, running, &header)?;
    let length = header.slot.length;
    if copy(&mut from, &mut io::sink(), length)? != header.slot.sha256 {
        return Err(InstallError::Damaged);
    }
    from.seek(SeekFrom::Start(HEAD as u64))?;

    // The record's active slot is the running one, except after a fall back to a damaged disk's other slot.
    let record = Record { active: running, ..record }.begin();
    disk.write_record(&record)?;
    slot.seek(SeekFrom::Start(0))?;
    if copy(&mut from, &mut OnDisk(&slot), length)? != header.slot.sha256 {
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

/// Writes little by little: otherwise megabytes wait in memory and go out at once while others want the disk.
struct OnDisk<'a>(&'a File);

impl Write for OnDisk<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.0.write(bytes)?;
        self.0.sync_data()?;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Copies `length` bytes and gives their hash.
fn copy(from: &mut impl Read, to: &mut impl Write, length: u64) -> Result<[u8; 32], InstallError> {
    let (mut from, mut sum, mut chunk) = (from.take(length), Sha256::new(), vec![0; CHUNK]);
    let mut copied = 0;
    loop {
        let n = from.read(&mut chunk)?;
        let Some(read) = chunk.get(..n).filter(|c| !c.is_empty()) else { break };
        sum.update(read);
        to.write_all(read)?;
        copied += read.len() as u64;
    }
    if copied != length {
        return Err(InstallError::Damaged);
    }
    Ok(sum.finalize().into())
}

#[cfg(test)]
mod tests;
