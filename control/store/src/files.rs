//! The folder of a store, which is private.

use crate::{Result, StoreError};
use hearthgate_durable_file::{FileError, sync_folder_of};
use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

/// Mode of every folder.
const FOLDER_MODE: u32 = 0o700;

/// Makes a folder that only its owner may enter, and its name durable.
pub(crate) fn private_folder(dir: &Path) -> Result<()> {
    if !dir.is_dir() {
        let made = fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(dir);
        made.map_err(StoreError::io("making the folder", dir))?;
        sync_folder_of(dir)?;
    }
    let mode = fs::metadata(dir).map_err(StoreError::io("reading", dir))?.permissions().mode();
    if mode & 0o777 != FOLDER_MODE {
        fs::set_permissions(dir, fs::Permissions::from_mode(FOLDER_MODE))
            .map_err(StoreError::io("protecting the folder", dir))?;
    }
    Ok(())
}

impl From<FileError> for StoreError {
    fn from(e: FileError) -> Self {
        Self::io(e.what, e.path)(e.source)
    }
}
