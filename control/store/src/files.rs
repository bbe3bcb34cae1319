//! Private files, replaced whole and durably.

use crate::{Result, StoreError};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Mode of every file.
pub(crate) const FILE_MODE: u32 = 0o600;
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

/// Makes the names in the folder of `path` durable.
pub(crate) fn sync_folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(StoreError::io("syncing the folder", folder))
}

/// Removes a file that may not be there.
pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::io("removing", path)(e)),
        _ => Ok(()),
    }
}

/// Writes a file beside `path`, syncs it, moves it into place, syncs the folder. On an error the old file is still
/// there, or the new one is, whole.
pub(crate) fn write_durably<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let beside = PathBuf::from(name);
    remove_if_there(&beside)?;
    let written = write_new(&beside, write);
    if written.is_err() {
        // What is left of it would only take up space.
        let _ = fs::remove_file(&beside);
    }
    let written = written?;
    fs::rename(&beside, path).map_err(StoreError::io("replacing", path))?;
    sync_folder_of(path)?;
    Ok(written)
}

fn write_new<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    // `create_new`: nobody else's file or link is written through.
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path);
    let mut out = BufWriter::new(file.map_err(StoreError::io("making", path))?);
    let written = write(&mut out)?;
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(StoreError::io("writing", path))?;
    Ok(written)
}
