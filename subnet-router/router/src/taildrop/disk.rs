//! Files of the folder, opened so that nobody leads us elsewhere.

use super::BLOCK;
use nix::fcntl::OFlag;
use std::{
    fs::{File, OpenOptions},
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

/// Puts the names of a folder on the disk. File systems that know no such thing have done what they can.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}
