//! Taildrop: files that other devices of the network send to this one (`feature/taildrop` of tailscale.com v1.102.5).
//!
//! They go into one folder that the operator named. It has to be there: a disk that is not mounted must not fill the
//! flash beneath its place. A file grows under a name of its own, is resumed there, and gets its name when it is whole.
//! Nothing there is ever overwritten, and no link is followed. Work on the disk has a thread of its own: those of the
//! runtime are two on a small router, everybody waits for them, and a disk can hang.

mod disk;
mod name;
mod pass;
mod sums;
#[cfg(test)]
mod tests;
mod transfer;

use hyper::body::Incoming;
use nix::sys::statvfs::statvfs;
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// Transfers at one time, and whatever else is asked of the disk.
const TRANSFERS: usize = 4;
/// Of these, one sender's at most: others find a place.
const OF_ONE: usize = 3;
/// What stays free on the disk, in bytes.
const RESERVE: u64 = 16 << 20;
/// Free room is looked at after so many bytes.
const LOOK_EVERY: u64 = 4 << 20;
/// Parts of the body that wait for the disk.
const QUEUE: usize = 4;
/// How long the disk may take for a part, and for the end of a file: caches of slow sticks are written back there.
const DISK: Duration = Duration::from_secs(120);
/// Stack of a thread: buffers are on the heap.
const STACK: usize = 128 << 10;
/// What a file is called that is not whole: name, sender, this.
const PARTIAL: &str = ".taildrop-partial";
/// How long a file that is not whole waits for its rest.
const PARTIAL_LIFE: Duration = Duration::from_secs(3600);
/// Files that are not whole, of all senders.
const PARTIALS: usize = 64;
/// Files of one name.
const SAME_NAME: usize = 100;
/// Length of a block that the sender compares before it resumes: the protocol's.
const BLOCK: usize = 64 << 10;

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DropError {
    /// The name leads elsewhere, or cannot be shown.
    #[error("invalid filename")]
    Name,
    /// The same sender sends a file of this name already.
    #[error("file already exists")]
    Busy,
    /// More at one time than there is room for.
    #[error("too many transfers at one time")]
    TooMany,
    /// The disk is full, nearly.
    #[error("not enough room on the disk")]
    Full,
    /// There are not so many bytes yet that it could go on there.
    #[error("no such place in the file")]
    Place,
    /// The sender fell silent, or sent another length than it said.
    #[error("the transfer broke off")]
    Broken,
    /// The sender takes so long that others would wait for its place.
    #[error("the transfer is too slow")]
    Slow,
    /// The disk does not take what came.
    #[error("the disk does not answer")]
    Stuck,
    /// What the file system said.
    #[error("the folder cannot be written: {0}")]
    Io(io::Error),
}

impl From<io::Error> for DropError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        // Others write there as well, and quotas are not seen beforehand.
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full,
            _ => Self::Io(error),
        }
    }
}

/// Where files arrive.
#[derive(Debug)]
pub struct Inbox {
    dir: PathBuf,
    /// Partial names that are being written.
    active: Mutex<BTreeSet<String>>,
}

/// A file that somebody wants to send.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The sender's stable id.
    pub from: &'a str,
    /// The name, as it stands in the path.
    pub name: &'a str,
    /// Where to go on.
    pub offset: u64,
    /// How many bytes follow, if the sender says.
    pub length: Option<u64>,
}

/// Work on the disk under way; its place is free again when this is dropped.
struct Place {
    inbox: Arc<Inbox>,
    partial: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inbox.active().remove(&self.partial);
    }
}

impl Inbox {
    /// For a folder.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, active: Mutex::default() }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn active(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a file. It has its name, which this tells, and is on the disk, when this returns.
    ///
    /// # Errors
    /// [`DropError`]; what came is kept for an hour, to go on there.
    pub async fn take(self: &Arc<Self>, file: Offer<'_>, body: Incoming) -> Result<String, DropError> {
        let (place, name) = self.place(file.from, file.name)?;
        let (offset, length) = (file.offset, file.length);
        let (sender, parts) = mpsc::channel(QUEUE);
        let disk = on_thread(move || place.receive(&name, offset, length, parts))?;
        pass::on(body, sender).await?;
        done(disk).await
    }

    /// The names of files of a sender's that are not whole.
    ///
    /// # Errors
    /// [`DropError::Busy`], [`DropError::TooMany`], or the folder cannot be read.
    pub async fn partials(self: &Arc<Self>, from: &str) -> Result<Vec<String>, DropError> {
        let end = end(from);
        // No file is called so: its sender asks once at a time.
        let place = self.hold(format!("/{end}"), &end)?;
        done(on_thread(move || place.partials(&end))?).await
    }

    /// The sums of what is there of a file, one JSON object a line.
    ///
    /// # Errors
    /// [`DropError`] for the name, for want of a place, or what the file system said.
    pub async fn sums(self: &Arc<Self>, from: &str, name: &str) -> Result<Vec<u8>, DropError> {
        let (place, _) = self.place(from, name)?;
        done(on_thread(move || place.sums())?).await
    }

    /// A place for a transfer, and the name of its file.
    fn place(self: &Arc<Self>, from: &str, name: &str) -> Result<(Place, String), DropError> {
        let (name, partial) = names(from, name)?;
        Ok((self.hold(partial, &end(from))?, name))
    }

    /// A place for work on what is called so; `end` is what all of this sender's end in.
    fn hold(self: &Arc<Self>, partial: String, end: &str) -> Result<Place, DropError> {
        let mut active = self.active();
        if active.contains(&partial) {
            return Err(DropError::Busy);
        }
        if active.len() >= TRANSFERS || active.iter().filter(|name| name.ends_with(end)).count() >= OF_ONE {
            return Err(DropError::TooMany);
        }
        active.insert(partial.clone());
        Ok(Place { inbox: Arc::clone(self), partial })
    }

    /// Bytes that may still be written.
    fn room(&self) -> io::Result<u64> {
        let disk = statvfs(&self.dir).map_err(io::Error::from)?;
        #[allow(clippy::useless_conversion, reason = "other targets have 32 bits there")]
        let free = u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size()));
        Ok(free.saturating_sub(RESERVE))
    }

    /// Removes files that never became whole, and counts those that wait for their rest.
    fn tidy(&self) -> io::Result<usize> {
        let mut waiting = 0;
        for entry in self.dir.read_dir()?.filter_map(Result::ok) {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
            if !name.ends_with(PARTIAL) || self.active().contains(&name) {
                continue;
            }
            if disk::forget_second_name(&entry.path())? {
                continue;
            }
            if age().is_some_and(|age| age > PARTIAL_LIFE) {
                std::fs::remove_file(entry.path())?;
            } else {
                waiting += 1;
            }
        }
        Ok(waiting)
    }
}

/// Begins work on the disk. There are no more threads than places.
fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DropError> + Send + 'static,
) -> io::Result<oneshot::Receiver<Result<T, DropError>>> {
    let (sender, result) = oneshot::channel();
    let run = move || {
        // Whoever asked may have gone.
        let _ = sender.send(work());
    };
    thread::Builder::new().name("taildrop".into()).stack_size(STACK).spawn(run)?;
    Ok(result)
}

/// What the disk says at the end.
async fn done<T>(disk: oneshot::Receiver<Result<T, DropError>>) -> Result<T, DropError> {
    timeout(DISK, disk).await.map_err(|_| DropError::Stuck)?.map_err(io::Error::other)?
}

/// A file's name, and its name until it is whole.
fn names(from: &str, part: &str) -> Result<(String, String), DropError> {
    let name = name::decode(part).filter(|name| name::is_allowed(name)).ok_or(DropError::Name)?;
    let partial = format!("{name}{}", end(from));
    if partial.len() > name::NAME_MAX || name.ends_with(PARTIAL) { Err(DropError::Name) } else { Ok((name, partial)) }
}

/// What names of a sender's files end in until they are whole.
fn end(from: &str) -> String {
    let id: String = from.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    format!(".{id}{PARTIAL}")
}
