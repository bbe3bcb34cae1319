//! One process per state folder.

use crate::{Result, StoreError};
use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Held while a store is open; the kernel lets go of it when the process dies, however it dies.
#[derive(Debug)]
pub(crate) struct FolderLock(#[expect(dead_code, reason = "dropping it unlocks")] File);

impl FolderLock {
    pub(crate) fn take(dir: &Path) -> Result<Self> {
        let path = dir.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(StoreError::io("opening", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked(dir.to_path_buf())),
            Err(TryLockError::Error(e)) => Err(StoreError::io("locking", &path)(e)),
        }
    }
}
