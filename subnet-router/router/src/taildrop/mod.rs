//! Taildrop: files that other devices of the network send to this one (`feature/taildrop` of tailscale.com v1.102.5).
//!
//! They go into one folder that the operator named. It has to be there: a disk that is not mounted must not fill the
//! flash beneath its place. A file grows under a name of its own, is resumed there, and gets its name when it is whole.
//! Nothing there is ever overwritten, and no link is followed. A transfer has a thread of its own for the disk.

mod name;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use nix::{fcntl::OFlag, sys::statvfs::statvfs};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, task::spawn_blocking, time::timeout};

/// Transfers at one time.
const TRANSFERS: usize = 4;
/// What stays free on the disk, in bytes.
const RESERVE: u64 = 16 << 20;
/// Free room is looked at after so many bytes.
const LOOK_EVERY: u64 = 4 << 20;
/// How long the sender may say nothing.
const SILENCE: Duration = Duration::from_secs(30);
/// Parts of the body that wait for the disk.
const QUEUE: usize = 4;
/// What a file is called that is not whole: name, sender, this.
const PARTIAL: &str = ".taildrop-partial";
/// How long a file that is not whole waits for its rest.
const PARTIAL_LIFE: Duration = Duration::from_secs(3600);
/// Files of one name.
const SAME_NAME: usize = 100;
/// Length of a block that the sender compares before it resumes: the protocol's.
const BLOCK: usize = 64 << 10;
/// Blocks that are compared; what is beyond them is sent again.
const BLOCKS: usize = 4096;

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
    /// What the file system said.
    #[error("the folder cannot be written: {0}")]
    Io(#[from] io::Error),
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

/// The sum of a block, as the sender reads it.
#[derive(Serialize)]
struct Block {
    checksum: String,
    algo: &'static str,
    size: usize,
}

/// A transfer under way; its place is free again when this is dropped.
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

    /// Takes a file. It has its name, and is on the disk, when this returns.
    ///
    /// # Errors
    /// [`DropError`]; what came is kept for an hour, to go on there.
    pub async fn take(self: &Arc<Self>, file: Offer<'_>, mut body: Incoming) -> Result<(), DropError> {
        let (place, name) = self.place(file.from, file.name)?;
        let (offset, length) = (file.offset, file.length);
        let (sender, parts) = mpsc::channel(QUEUE);
        let disk = spawn_blocking(move || place.receive(&name, offset, length, parts));
        let mut whole = false;
        while let Ok(frame) = timeout(SILENCE, body.frame()).await {
            match frame {
                None => {
                    whole = true;
                    break;
                }
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else { continue };
                    // The disk has given up, and will say why.
                    if sender.send(Some(bytes)).await.is_err() {
                        break;
                    }
                }
                Some(Err(_)) => break,
            }
        }
        if whole {
            // As above.
            let _ = sender.send(None).await;
        }
        drop(sender);
        disk.await.map_err(io::Error::other)?
    }

    /// The names of files of a sender's that are not whole.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn partials(&self, from: &str) -> io::Result<Vec<String>> {
        let end = format!(".{}{PARTIAL}", id(from));
        let names = self.dir.read_dir()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter(|name| name.ends_with(&end)).collect())
    }

    /// The sums of what is there of a file, one JSON object a line.
    ///
    /// # Errors
    /// [`DropError::Name`], or what the file system said.
    pub fn sums(&self, from: &str, name: &str) -> Result<Vec<u8>, DropError> {
        let (_, partial) = names(from, name)?;
        let mut lines = Vec::new();
        let mut file = match open(&self.dir.join(partial), OpenOptions::new().read(true)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(lines),
            Err(error) => return Err(error.into()),
        };
        let mut block = vec![0; BLOCK];
        for _ in 0..BLOCKS {
            let size = fill(&mut file, &mut block)?;
            let bytes = block.get(..size).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            let line = Block { checksum: hex(&Sha256::digest(bytes)), algo: "sha256", size };
            serde_json::to_writer(&mut lines, &line).map_err(io::Error::from)?;
            lines.push(b'\n');
        }
        Ok(lines)
    }

    /// A place for a transfer, and the name of its file.
    fn place(self: &Arc<Self>, from: &str, name: &str) -> Result<(Place, String), DropError> {
        let (name, partial) = names(from, name)?;
        let mut active = self.active();
        if active.contains(&partial) {
            return Err(DropError::Busy);
        }
        if active.len() >= TRANSFERS {
            return Err(DropError::TooMany);
        }
        active.insert(partial.clone());
        Ok((Place { inbox: Arc::clone(self), partial }, name))
    }

    /// Bytes that may still be written.
    fn room(&self) -> io::Result<u64> {
        let disk = statvfs(&self.dir).map_err(io::Error::from)?;
        #[allow(clippy::useless_conversion, reason = "other targets have 32 bits there")]
        let free = u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size()));
        Ok(free.saturating_sub(RESERVE))
    }

    /// Removes files of others that never became whole.
    fn tidy(&self) -> io::Result<()> {
        for entry in self.dir.read_dir()?.filter_map(Result::ok) {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
            if name.ends_with(PARTIAL) && !self.active().contains(&name) && age().is_some_and(|age| age > PARTIAL_LIFE)
            {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Place {
    /// As [`Self::write`]; a file that there is no room for goes, or it would keep the disk full.
    fn receive(
        &self,
        name: &str,
        offset: u64,
        length: Option<u64>,
        parts: mpsc::Receiver<Option<Bytes>>,
    ) -> Result<(), DropError> {
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
    ) -> Result<(), DropError> {
        if let Err(error) = self.inbox.tidy() {
            tracing::debug!(%error, "old files of transfers that broke off");
        }
        let partial = self.inbox.dir.join(&self.partial);
        let mut file = open(&partial, OpenOptions::new().write(true).create(true).mode(0o644))?;
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

    /// Gives a whole file its name, or the next free one after it.
    fn finish(&self, partial: &Path, name: &str) -> Result<(), DropError> {
        let mut name = name.to_owned();
        for _ in 0..SAME_NAME {
            let path = self.inbox.dir.join(&name);
            // Nobody else has the name then, neither a file nor a link; ours takes the place of this empty one.
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(_) => {
                    let renamed = std::fs::rename(partial, &path);
                    if renamed.is_err() {
                        std::fs::remove_file(&path)?;
                    }
                    return Ok(renamed?);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
            if same(partial, &path).unwrap_or(false) {
                return Ok(std::fs::remove_file(partial)?);
            }
            name = name::next(&name);
            if name.len() > name::NAME_MAX {
                return Err(DropError::Name);
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists).into())
    }
}

/// A file's name, and its name until it is whole.
fn names(from: &str, part: &str) -> Result<(String, String), DropError> {
    let name = name::decode(part).filter(|name| name::is_allowed(name)).ok_or(DropError::Name)?;
    let partial = format!("{name}.{}{PARTIAL}", id(from));
    if partial.len() > name::NAME_MAX || name.ends_with(PARTIAL) { Err(DropError::Name) } else { Ok((name, partial)) }
}

/// A stable id as part of a file's name.
fn id(from: &str) -> String {
    from.chars().filter(char::is_ascii_alphanumeric).take(32).collect()
}

/// Opens a file of ours: no link, no device, nothing that somebody else's name leads to as well.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).open(path)?;
    let meta = file.metadata()?;
    let ours = meta.is_file() && meta.nlink() == 1;
    ours.then_some(file).ok_or_else(|| io::ErrorKind::PermissionDenied.into())
}

/// Whether two files have the same contents.
fn same(a: &Path, b: &Path) -> io::Result<bool> {
    let (mut a, mut b) = (open(a, OpenOptions::new().read(true))?, open(b, OpenOptions::new().read(true))?);
    if a.metadata()?.len() != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; BLOCK], vec![0; BLOCK]);
    loop {
        let (l, r) = (fill(&mut a, &mut left)?, fill(&mut b, &mut right)?);
        if l == 0 && r == 0 {
            return Ok(true);
        }
        if left.get(..l) != right.get(..r) {
            return Ok(false);
        }
    }
}

/// Reads until the buffer is full or the file is at its end.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut at = 0;
    while let Some(rest) = buffer.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            more => at += more,
        }
    }
    Ok(at)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A text takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(inbox: &Arc<Inbox>, name: &str, offset: u64, parts: &[&[u8]], whole: bool) -> Result<(), DropError> {
        let (place, name) = inbox.place("n1CNTRL", name)?;
        let (sender, receiver) = mpsc::channel(parts.len() + 1);
        for part in parts {
            sender.try_send(Some(Bytes::copy_from_slice(part))).unwrap();
        }
        if whole {
            sender.try_send(None).unwrap();
        }
        drop(sender);
        place.receive(&name, offset, None, receiver)
    }

    fn inbox() -> (tempfile::TempDir, Arc<Inbox>) {
        let dir = tempfile::tempdir().unwrap();
        let inbox = Arc::new(Inbox::new(dir.path().to_owned()));
        (dir, inbox)
    }

    fn listed(dir: &tempfile::TempDir) -> Vec<String> {
        let mut names: Vec<String> =
            dir.path().read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_arrives_and_another_of_its_name_gets_a_number() {
        let (dir, inbox) = inbox();
        put(&inbox, "a%20b.txt", 0, &[b"one ", b"two"], true).unwrap();
        assert_eq!(std::fs::read(dir.path().join("a b.txt")).unwrap(), b"one two");
        put(&inbox, "a b.txt", 0, &[b"other"], true).unwrap();
        // The same once more is not kept twice.
        put(&inbox, "a b.txt", 0, &[b"other"], true).unwrap();
        assert_eq!(listed(&dir), ["a b (1).txt", "a b.txt"]);
        assert_eq!(std::fs::read(dir.path().join("a b (1).txt")).unwrap(), b"other");
    }

    #[test]
    fn what_broke_off_goes_on_where_it_was() {
        let (dir, inbox) = inbox();
        assert!(matches!(put(&inbox, "f", 0, &[&[7; BLOCK], b"rest that is wron"], false), Err(DropError::Broken)));
        let partials = inbox.partials("n1CNTRL").unwrap();
        assert_eq!(partials, ["f.n1CNTRL.taildrop-partial"]);
        assert!(inbox.partials("n2CNTRL").unwrap().is_empty());
        let sums = String::from_utf8(inbox.sums("n1CNTRL", "f").unwrap()).unwrap();
        let first: serde_json::Value = serde_json::from_str(sums.lines().next().unwrap()).unwrap();
        assert_eq!(first["checksum"], hex(&Sha256::digest([7; BLOCK])));
        assert_eq!((first["algo"].as_str(), first["size"].as_u64()), (Some("sha256"), Some(BLOCK as u64)));
        assert_eq!(sums.lines().count(), 2);
        assert!(inbox.sums("n2CNTRL", "f").unwrap().is_empty());
        assert!(matches!(put(&inbox, "f", 70_000, &[], true), Err(DropError::Place)));
        put(&inbox, "f", BLOCK as u64, &[b"right"], true).unwrap();
        assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), [&[7; BLOCK][..], b"right"].concat());
        assert_eq!(listed(&dir), ["f"]);
    }

    #[test]
    fn nothing_outside_is_touched_and_no_link_followed() {
        let (dir, inbox) = inbox();
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().join("secret");
        std::fs::write(&target, "mine").unwrap();
        for name in ["..%2fsecret", "%2e%2e", "a/b", "x.n1CNTRL.taildrop-partial", "%ff", ""] {
            assert!(matches!(put(&inbox, name, 0, &[b"x"], true), Err(DropError::Name)), "{name}");
        }
        std::os::unix::fs::symlink(&target, dir.path().join("s")).unwrap();
        std::os::unix::fs::symlink(&target, dir.path().join("p.n1CNTRL.taildrop-partial")).unwrap();
        std::fs::hard_link(&target, dir.path().join("h.n1CNTRL.taildrop-partial")).unwrap();
        put(&inbox, "s", 0, &[b"x"], true).unwrap();
        assert_eq!(std::fs::read(dir.path().join("s (1)")).unwrap(), b"x");
        for name in ["p", "h"] {
            assert!(matches!(put(&inbox, name, 0, &[b"x"], true), Err(DropError::Io(_))), "{name}");
            assert!(matches!(inbox.sums("n1CNTRL", name), Err(DropError::Io(_))), "{name}");
        }
        assert_eq!(std::fs::read(&target).unwrap(), b"mine");
        assert!(put(&Arc::new(Inbox::new(dir.path().join("gone"))), "f", 0, &[], true).is_err());
    }

    #[test]
    fn there_is_room_for_a_few_at_a_time() {
        let (_dir, inbox) = inbox();
        let held: Vec<_> = (0..TRANSFERS).map(|n| inbox.place("n1", &format!("f{n}")).unwrap()).collect();
        assert!(matches!(inbox.place("n1", "f0"), Err(DropError::Busy)));
        assert!(matches!(inbox.place("n1", "more"), Err(DropError::TooMany)));
        drop(held);
        assert!(inbox.place("n1", "f0").is_ok());
    }

    #[test]
    fn a_length_that_is_not_so_or_too_much_is_refused() {
        let (dir, inbox) = inbox();
        let sized = |name: &str, length: u64| {
            let (place, name) = inbox.place("n1", name).unwrap();
            let (sender, receiver) = mpsc::channel(2);
            sender.try_send(Some(Bytes::from_static(b"four"))).unwrap();
            sender.try_send(None).unwrap();
            place.receive(&name, 0, Some(length), receiver)
        };
        assert!(matches!(sized("a", 3), Err(DropError::Broken)));
        assert!(matches!(sized("b", 5), Err(DropError::Broken)));
        assert!(matches!(sized("c", u64::MAX), Err(DropError::Full)));
        sized("d", 4).unwrap();
        assert!(listed(&dir).contains(&"d".to_owned()));
        let old = dir.path().join("a.n1.taildrop-partial");
        let past = std::time::SystemTime::now() - 2 * PARTIAL_LIFE;
        File::options().write(true).open(&old).unwrap().set_modified(past).unwrap();
        sized("e", 4).unwrap();
        assert_eq!(listed(&dir), ["b.n1.taildrop-partial", "d", "e"]);
    }
}
