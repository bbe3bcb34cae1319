//! Files in a folder that may belong to somebody else than this program: root's command line works in the folder of a
//! front that runs with no rights of its own, and must not become its tool.
//!
//! So no link is followed (`O_NOFOLLOW`, open(2)), nothing waits for the other end of a pipe, only as much is read as a
//! front ever writes, and a file is given to the folder's owner by its handle, and only if it was made just now.

use nix::fcntl::OFlag;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::Path,
};

/// Longest file, in bytes: all boxes with the longest hosts and all open lines are a sixth of it.
const LENGTH_MAX: u64 = 256 * 1024;

/// The content of a plain file.
///
/// # Errors
/// It cannot be read, is a link or no file at all, or is longer than [`LENGTH_MAX`].
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let mut content = Vec::new();
    file.take(LENGTH_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LENGTH_MAX {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "it is longer than a front ever writes it"));
    }
    Ok(content)
}

/// Holds the lock of a file, which is made when it is missing, until the handle is dropped.
///
/// # Errors
/// It cannot be made or opened, or is a link.
pub(super) fn lock(folder: &Path, path: &Path) -> io::Result<File> {
    let file = match create(folder, path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => open(path)?,
        other => other?,
    };
    file.lock()?;
    Ok(file)
}

/// Writes a file through another name, so that a power cut leaves the old or the new one.
///
/// # Errors
/// The disk failed, or may not be used.
pub(super) fn write(folder: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    // Left over, or missing, which is as good; anything else shows when it is made.
    let _ = fs::remove_file(&beside);
    let mut file = create(folder, &beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

/// Opens a plain file for reading, which is enough to lock it.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no plain file")) }
}

/// Makes a file that did not exist and gives it to whom the folder belongs.
fn create(folder: &Path, path: &Path) -> io::Result<File> {
    // Nothing that exists is opened so, be it a link that leads nowhere (open(2), `O_EXCL`).
    let file = OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(path)?;
    let (owner, now) = (fs::metadata(folder)?, file.metadata()?);
    if (owner.uid(), owner.gid()) != (now.uid(), now.gid()) {
        match fchown(&file, Some(owner.uid()), Some(owner.gid())) {
            // Only root can, and for everybody else the file is their own.
            Err(e) if e.kind() != ErrorKind::PermissionDenied => return Err(e),
            _ => {}
        }
    }
    Ok(file)
}
