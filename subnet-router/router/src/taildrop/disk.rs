//! Files of the folder, opened so that nobody leads us elsewhere.

use super::BLOCK;
use nix::fcntl::OFlag;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// Opens a file of ours: no link, no device, nothing that somebody else's name leads to as well.
pub(super) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).open(path)?;
    let meta = file.metadata()?;
    let ours = meta.is_file() && meta.nlink() == 1;
    ours.then_some(file).ok_or_else(|| io::ErrorKind::PermissionDenied.into())
}

/// Whether two files have the same contents.
pub(super) fn same(a: &Path, b: &Path) -> io::Result<bool> {
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
pub(super) fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut at = 0;
    while let Some(rest) = buffer.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            more => at += more,
        }
    }
    Ok(at)
}

/// Gives a file another name, which nobody else has, neither a file nor a link. At no moment does something that is not
/// whole have it: a link refuses a name that is taken, and `renameat2` is not in every C library.
pub(super) fn name(file: &Path, name: &Path) -> io::Result<()> {
    match fs::hard_link(file, name) {
        Ok(()) => return fs::remove_file(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        // FAT knows no links: there the name is taken first, by an empty file.
        Err(_) => OpenOptions::new().write(true).create_new(true).open(name)?,
    };
    let renamed = fs::rename(file, name);
    if renamed.is_err() {
        fs::remove_file(name)?;
    }
    renamed
}

/// Removes one of two names of a file, which a power cut between the two steps of [`name`] left behind. The other one and
/// the file stay.
pub(super) fn forget_second_name(path: &Path) -> io::Result<bool> {
    let second = path.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.nlink() > 1);
    if second {
        fs::remove_file(path)?;
    }
    Ok(second)
}

/// Puts the names of a folder on the disk. File systems that know no such thing have done what they can.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}
