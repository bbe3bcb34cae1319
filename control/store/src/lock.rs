//! One process per state folder.

use crate::{Result, StoreError};
use hearthgate_durable_file::MODE;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Name of the lock file.
pub(crate) const LOCK_FILE: &str = "lock";
/// Digits of a process number that are read back at most.
const PID_DIGITS: u64 = 10;

/// Held while a store is open, or a state folder is changed as a whole; the kernel lets go of it when the process dies,
/// however it dies.
#[derive(Debug)]
pub struct FolderLock(#[expect(dead_code, reason = "dropping it unlocks")] File);

impl FolderLock {
    /// Locks a folder that is there.
    ///
    /// # Errors
    /// [`StoreError::Locked`], or the lock file in it could not be made.
    pub fn take(dir: &Path) -> Result<Self> {
        let path = dir.join(LOCK_FILE);
        let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(MODE).open(&path);
        let mut file = opened.map_err(StoreError::io("opening", &path))?;
        match file.try_lock() {
            Ok(()) => {
                // Only for the message of the next one who tries: a full disk must not keep us from starting.
                let _ = file.set_len(0).and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
                Ok(Self(file))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = file.take(PID_DIGITS).read_to_string(&mut text);
                let pid = read.ok().and_then(|_| text.trim().parse().ok());
                Err(StoreError::Locked { path: dir.to_path_buf(), pid })
            }
            Err(TryLockError::Error(e)) => Err(StoreError::io("locking", &path)(e)),
        }
    }
}
