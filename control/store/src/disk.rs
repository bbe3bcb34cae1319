//! What the log engine needs of a disk: small enough to be simulated with power cuts at every step.

use crate::{Result, StoreError};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// One file that grows at its end and can be replaced whole.
pub trait Disk: Send {
    /// Everything in it.
    ///
    /// # Errors
    /// The disk failed.
    fn read(&mut self) -> Result<Vec<u8>>;
    /// Adds bytes at the end. They may be lost, in part or out of order, until [`Self::sync`] returns.
    ///
    /// # Errors
    /// The disk failed; any part of the bytes may be there.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;
    /// Makes everything so far survive a power cut.
    ///
    /// # Errors
    /// The disk failed.
    fn sync(&mut self) -> Result<()>;
    /// Cuts off everything after `len` bytes.
    ///
    /// # Errors
    /// The disk failed.
    fn truncate(&mut self, len: u64) -> Result<()>;
    /// Puts `bytes` in place of everything, at once and durably: after a power cut it is the old or the new content.
    ///
    /// # Errors
    /// The disk failed; the old content is still there.
    fn replace(&mut self, bytes: &[u8]) -> Result<()>;
    /// Where it is, for messages.
    fn path(&self) -> PathBuf;
}

/// A real file.
#[derive(Debug)]
pub struct FileDisk {
    path: PathBuf,
    file: File,
}

impl FileDisk {
    /// Opens or makes a file with mode 0600.
    ///
    /// # Errors
    /// The operating system refused.
    pub fn open(path: &Path) -> Result<Self> {
        let file = open_private(path)?;
        sync_folder_of(path)?;
        Ok(Self { path: path.to_path_buf(), file })
    }
}

impl Disk for FileDisk {
    fn read(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.read_to_end(&mut bytes));
        read.map_err(StoreError::io("reading", &self.path))?;
        Ok(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(StoreError::io("writing", &self.path))
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(StoreError::io("syncing", &self.path))
    }

    fn truncate(&mut self, len: u64) -> Result<()> {
        let cut = self.file.set_len(len).and_then(|()| self.file.seek(SeekFrom::Start(len))).and_then(|_| self.file.sync_all());
        cut.map_err(StoreError::io("truncating", &self.path))
    }

    fn replace(&mut self, bytes: &[u8]) -> Result<()> {
        self.file = write_durably(&self.path, bytes)?;
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.path.clone()
    }
}

/// Writes a file beside `path`, syncs it, moves it into place, syncs the folder.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<File> {
    let beside = path.with_extension("new");
    if let Err(e) = fs::remove_file(&beside)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        return Err(StoreError::io("removing", &beside)(e));
    }
    let mut file = open_private(&beside)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(StoreError::io("writing", &beside))?;
    fs::rename(&beside, path).map_err(StoreError::io("replacing", path))?;
    sync_folder_of(path)?;
    Ok(file)
}

fn open_private(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    opened.map_err(StoreError::io("opening", path))
}

/// Makes the name itself durable.
pub(crate) fn sync_folder_of(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(StoreError::io("syncing the folder", folder))
}
