//! The disk's end of a transfer: what comes is written, and gets its name when it is whole.

use super::{DropError, LOOK_EVERY, PARTIALS, Place, SAME_NAME, disk, name};
use bytes::Bytes;
use std::{
    fs::OpenOptions,
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};
use tokio::sync::mpsc;

impl Place {
    /// As [`Self::write`]; a file that there is no room for goes, or it would keep the disk full.
    pub(super) fn receive(
        &self,
        name: &str,
        offset: u64,
        length: Option<u64>,
        parts: mpsc::Receiver<Option<Bytes>>,
    ) -> Result<String, DropError> {
        let result = self.write(name, offset, length, parts);
        if matches!(result, Err(DropError::Full))
            && let Err(error) = std::fs::remove_file(self.inbox.dir.join(&self.partial))
        {
            tracing::warn!(%error, "a file that there is no room for");
        }
        result
    }

    /// Writes what comes, and gives the file its name after a `None`.
    fn write(
        &self,
        name: &str,
        offset: u64,
        length: Option<u64>,
        mut parts: mpsc::Receiver<Option<Bytes>>,
    ) -> Result<String, DropError> {
        let waiting = self.inbox.tidy().unwrap_or_else(|error| {
            tracing::debug!(%error, "old files of transfers that broke off");
            0
        });
        let partial = self.inbox.dir.join(&self.partial);
        disk::forget_second_name(&partial)?;
        if waiting >= PARTIALS && !partial.exists() {
            return Err(DropError::TooMany);
        }
        let mut file = disk::open(&partial, OpenOptions::new().write(true).create(true).mode(0o644))?;
        if offset > file.metadata()?.len() {
            return Err(DropError::Place);
        }
        // Without a place to go on, it begins anew.
        file.set_len(offset)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut room = self.inbox.room()?;
        if length.is_some_and(|length| length > room) {
            return Err(DropError::Full);
        }
        let (mut written, mut looked) = (0_u64, 0_u64);
        let whole = loop {
            match parts.blocking_recv() {
                None => break false,
                Some(None) => break true,
                Some(Some(bytes)) => {
                    let more = bytes.len() as u64;
                    if written - looked + more > room {
                        return Err(DropError::Full);
                    }
                    if length.is_some_and(|length| written + more > length) {
                        return Err(DropError::Broken);
                    }
                    file.write_all(&bytes)?;
                    written += more;
                    if written - looked >= LOOK_EVERY {
                        (room, looked) = (self.inbox.room()?, written);
                    }
                }
            }
        };
        if !whole || length.is_some_and(|length| length != written) {
            return Err(DropError::Broken);
        }
        file.sync_all()?;
        drop(file);
        self.finish(&partial, name)
    }

    /// Gives a whole file its name, or the next free one after it, and tells it.
    fn finish(&self, partial: &Path, name: &str) -> Result<String, DropError> {
        let mut name = name.to_owned();
        for _ in 0..SAME_NAME {
            let path = self.inbox.dir.join(&name);
            match disk::name(partial, &path) {
                Ok(()) => {
                    disk::sync(&self.inbox.dir)?;
                    return Ok(name);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
            if disk::same(partial, &path).unwrap_or(false) {
                std::fs::remove_file(partial)?;
                return Ok(name);
            }
            name = name::next(&name);
            if name.len() > name::NAME_MAX {
                return Err(DropError::Name);
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists).into())
    }
}
