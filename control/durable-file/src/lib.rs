//! Private files, replaced whole and durably: after a power cut the old one is there, or the new one.
//!
//! A file is written beside its name, synced, moved into place, and its folder synced (rename(2), fsync(2)).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Mode of every file: nobody but its owner reads it.
pub const MODE: u32 = 0o600;

/// What could not be done, and to which file.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path}: {source}", path = path.display())]
pub struct FileError {
    /// In the middle of a sentence: "writing".
    pub what: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The system's words.
    pub source: io::Error,
}

impl FileError {
    fn of<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self { what, path: path.to_owned(), source }
    }
}

impl From<FileError> for io::Error {
    fn from(e: FileError) -> Self {
        Self::new(e.source.kind(), e.to_string())
    }
}

/// Replaces a file, or makes it.
///
/// # Errors
/// The disk failed, is full, or may not be used; then the old file is still there, or the new one is, whole.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    replace_with(path, |out| out.write_all(content).map_err(FileError::of("writing", path)))
}

/// Replaces a file by what is written to it piece by piece.
///
/// # Errors
/// As [`replace`], and what `write` says.
pub fn replace_with<T, E: From<FileError>>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<T, E> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let beside = PathBuf::from(name);
    remove_if_there(&beside)?;
    let moved = write_new(&beside, write).and_then(|written| {
        fs::rename(&beside, path).map_err(FileError::of("replacing", path))?;
        Ok(written)
    });
    if moved.is_err() {
        // What is left of it would only take up space.
        let _ = fs::remove_file(&beside);
    }
    let written = moved?;
    sync_folder_of(path)?;
    Ok(written)
}

fn write_new<T, E: From<FileError>>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T, E>) -> Result<T, E> {
    // `create_new`: nobody else's file or link is written through.
    let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
    let mut out = BufWriter::new(file.map_err(FileError::of("making", path))?);
    let written = write(&mut out)?;
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(FileError::of("writing", path))?;
    Ok(written)
}

/// Makes the names in the folder of `path` durable.
///
/// # Errors
/// The disk failed.
pub fn sync_folder_of(path: &Path) -> Result<(), FileError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(FileError::of("syncing the folder", folder))
}

/// Removes a file that may not be there.
///
/// # Errors
/// It is there still.
pub fn remove_if_there(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(FileError::of("removing", path)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_file_is_replaced_whole_and_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("noise_private.key");
        fs::write(&path, "old and longer").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        // A link in the way is not followed.
        let elsewhere = folder.path().join("elsewhere");
        symlink(&elsewhere, folder.path().join("noise_private.key.new")).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert!(!elsewhere.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        replace(&path, b"old").unwrap();
        let full = || FileError::of("writing", &path)(io::ErrorKind::StorageFull.into());
        let failed: Result<(), FileError> = replace_with(&path, |out| {
            out.write_all(b"half").unwrap();
            Err(full())
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let missing = replace(&folder.path().join("none/key"), b"x").unwrap_err();
        assert!(missing.to_string().contains("none/key"), "{missing}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
