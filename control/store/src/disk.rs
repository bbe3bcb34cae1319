//! What the log engine needs of a disk: a folder of files that grow at their ends.
//!
//! Nothing is durable before its `sync`: contents need [`Disk::sync`], names need [`Disk::sync_names`]. The tests put a
//! simulated disk here that loses, tears and reorders whatever was not synced.

use crate::{Result, StoreError};
use hearthgate_sorted::SortedMap;
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A folder of files.
#[expect(clippy::missing_errors_doc, reason = "each fails exactly when the disk does")]
pub trait Disk: Send {
    /// Length of a file in bytes; `None` if there is none of this name.
    fn len(&mut self, name: &str) -> Result<Option<u64>>;
    /// Reads from byte `at` on until `out` is full or the file ends. Returns how much was read.
    fn read_at(&mut self, name: &str, at: u64, out: &mut [u8]) -> Result<usize>;
    /// Adds bytes at the end, making the file if need be. After an error any part of them may be there.
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()>;
    /// Cuts off everything after `len` bytes.
    fn truncate(&mut self, name: &str, len: u64) -> Result<()>;
    /// Makes content and length of a file survive a power cut.
    fn sync(&mut self, name: &str) -> Result<()>;
    /// Gives a file another name, in place of a file that has it.
    fn rename(&mut self, from: &str, to: &str) -> Result<()>;
    /// Removes a file, if it is there.
    fn remove(&mut self, name: &str) -> Result<()>;
    /// Makes names made, changed and removed so far survive a power cut.
    fn sync_names(&mut self) -> Result<()>;
    /// Where a file is, for messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// A real folder.
#[derive(Debug)]
pub struct FileDisk {
    dir: PathBuf,
    /// Kept open from write to sync, because the kernel reports a failed write-back to the handle that wrote.
    open: SortedMap<String, File>,
}

impl FileDisk {
    /// The folder `dir`, which must exist.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), open: SortedMap::new() }
    }

    fn file(&mut self, name: &str, create: bool) -> Result<&mut File> {
        if !self.open.contains_key(name) {
            let path = self.path(name);
            let opened = OpenOptions::new()
                .read(true)
                .append(true)
                .create(create)
                .mode(hearthgate_durable_file::MODE)
                .open(&path);
            self.open.insert(name.to_owned(), opened.map_err(StoreError::io("opening", &path))?);
        }
        // Just inserted; the error is for a case that cannot be.
        self.open.get_mut(name).ok_or(StoreError::Poisoned)
    }
}

impl Disk for FileDisk {
    fn len(&mut self, name: &str) -> Result<Option<u64>> {
        let path = self.path(name);
        match fs::metadata(&path) {
            Ok(m) => Ok(Some(m.len())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("reading", path)(e)),
        }
    }

    fn read_at(&mut self, name: &str, at: u64, out: &mut [u8]) -> Result<usize> {
        let path = self.path(name);
        let file = self.file(name, false)?;
        let mut done = 0;
        while done < out.len() {
            match file.read_at(&mut out[done..], at + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(StoreError::io("reading", path)(e)),
            }
        }
        Ok(done)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name);
        self.file(name, true)?.write_all(bytes).map_err(StoreError::io("writing", path))
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<()> {
        let path = self.path(name);
        self.file(name, false)?.set_len(len).map_err(StoreError::io("cutting", path))
    }

    fn sync(&mut self, name: &str) -> Result<()> {
        let path = self.path(name);
        // `fdatasync` writes the length too when it changed; times are nobody's business.
        self.file(name, false)?.sync_data().map_err(StoreError::io("syncing", path))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let target = self.path(to);
        fs::rename(self.path(from), &target).map_err(StoreError::io("replacing", target))?;
        self.open.remove(to);
        if let Some(file) = self.open.remove(from) {
            self.open.insert(to.to_owned(), file);
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        self.open.remove(name);
        Ok(hearthgate_durable_file::remove_if_there(&self.path(name))?)
    }

    fn sync_names(&mut self) -> Result<()> {
        File::open(&self.dir).and_then(|f| f.sync_all()).map_err(StoreError::io("syncing the folder", &self.dir))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}
