//! Archives without anything of the machine that made them: owner 0:0, one time for all members, names sorted.
//! What ends in a router's flash is compressed by zopfli, which searches longer for a shorter form of the same format.
//! Sources: POSIX `ustar` as GNU tar writes it, RFC 1952 (gzip), `ar(5)`, the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst` (cpio newc).

use crate::PackError;
use crate::tree::{Entry, Node, Tree};
use flate2::{Compression, GzBuilder};
use std::io::Write as _;
use std::num::NonZeroU64;

/// How often zopfli goes over a block. Of the program for mipsel 2 times leave 0.06 % more, 6 times 0.01 % less.
const SEARCHES: NonZeroU64 = NonZeroU64::new(4).unwrap();
/// Most pieces with codes of their own that zopfli cuts a megabyte into. Its usual 15 leave 0.9 % more; beyond 150 nothing
/// is gained. 0 would be one piece.
const PIECES: u16 = 150;

/// A tar in GNU format whose names begin with `./`, root directory included, as opkg's index maker looks them up.
pub fn tar(tree: &Tree, epoch: u64) -> Result<Vec<u8>, PackError> {
    let mut out = tar::Builder::new(Vec::new());
    append(&mut out, "./", &Entry { mode: 0o755, node: Node::Directory }, epoch)?;
    for (path, entry) in tree.iter() {
        let slash = if entry.node == Node::Directory { "/" } else { "" };
        append(&mut out, &format!("./{path}{slash}"), entry, epoch)?;
    }
    Ok(out.into_inner()?)
}

fn append(out: &mut tar::Builder<Vec<u8>>, name: &str, entry: &Entry, epoch: u64) -> Result<(), PackError> {
    let mut header = tar::Header::new_gnu();
    // The library's own setter drops the leading "./".
    let field = &mut header.as_old_mut().name;
    let field = field.get_mut(..name.len()).ok_or_else(|| PackError::Path(name.into()))?;
    field.copy_from_slice(name.as_bytes());
    header.set_mode(entry.mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(epoch);
    let contents: &[u8] = match &entry.node {
        Node::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            &[]
        }
        Node::File(contents) => {
            header.set_entry_type(tar::EntryType::Regular);
            contents
        }
        Node::Link(to) => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_link_name_literal(to)?;
            &[]
        }
    };
    header.set_size(contents.len() as u64);
    header.set_cksum();
    out.append(&header, contents)?;
    Ok(())
}

/// Gzip with neither name nor time.
pub fn gzip(bytes: &[u8]) -> Result<Vec<u8>, PackError> {
    let mut out = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    out.write_all(bytes)?;
    Ok(out.finish()?)
}

/// Gzip as small as it gets: some seconds for each megabyte. A reader sees no difference.
pub fn gzip_smallest(bytes: &[u8]) -> Result<Vec<u8>, PackError> {
    let mut out = Vec::new();
    zopfli::compress(thorough(), zopfli::Format::Gzip, bytes, &mut out)?;
    Ok(out)
}

/// A raw deflate stream (RFC 1951) as small as it gets.
pub fn deflate_smallest(bytes: &[u8]) -> Result<Vec<u8>, PackError> {
    let mut out = Vec::new();
    zopfli::compress(thorough(), zopfli::Format::Deflate, bytes, &mut out)?;
    Ok(out)
}

fn thorough() -> zopfli::Options {
    zopfli::Options { iteration_count: SEARCHES, maximum_block_splits: PIECES, ..zopfli::Options::default() }
}

/// An `ar` archive as dpkg writes it: members in the order given, names up to 15 bytes.
pub fn ar(members: &[(&str, &[u8])], epoch: u64) -> Result<Vec<u8>, PackError> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, contents) in members {
        if name.len() > 15 {
            return Err(PackError::Path((*name).into()));
        }
        write!(out, "{name:<16}{epoch:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, "100644", contents.len())?;
        out.extend_from_slice(contents);
        if contents.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    Ok(out)
}

/// A cpio archive in `newc` format, for an initramfs.
pub fn cpio(tree: &Tree, epoch: u32) -> Result<Vec<u8>, PackError> {
    let mut out = Vec::new();
    for (inode, (path, entry)) in (1..).zip(tree.iter()) {
        let (kind, contents): (u32, &[u8]) = match &entry.node {
            Node::Directory => (0o040_000, &[]),
            Node::File(contents) => (0o100_000, contents),
            Node::Link(to) => (0o120_000, to.as_bytes()),
        };
        let links = if entry.node == Node::Directory { 2 } else { 1 };
        cpio_member(&mut out, inode, path, kind | entry.mode, links, epoch, contents)?;
    }
    cpio_member(&mut out, 0, "TRAILER!!!", 0, 1, 0, &[])?;
    // The kernel reads on at any multiple of four; 512 is what cpio programs write.
    out.resize(out.len().next_multiple_of(512), 0);
    Ok(out)
}

fn cpio_member(
    out: &mut Vec<u8>,
    inode: u32,
    name: &str,
    mode: u32,
    links: u32,
    mtime: u32,
    contents: &[u8],
) -> Result<(), PackError> {
    let size = u32::try_from(contents.len()).map_err(|_| PackError::TooBig("a file in the initramfs"))?;
    let name_size = name.len() as u32 + 1;
    write!(out, "070701")?;
    for field in [inode, mode, 0, 0, links, mtime, size, 0, 0, 0, 0, name_size, 0] {
        write!(out, "{field:08X}")?;
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend_from_slice(contents);
    out.resize(out.len().next_multiple_of(4), 0);
    Ok(())
}

/// A tar of plain files in the order given, without a root entry: the outside of an `.ipk`.
pub fn flat_tar(members: &[(&str, &[u8])], epoch: u64) -> Result<Vec<u8>, PackError> {
    let mut out = tar::Builder::new(Vec::new());
    for (name, contents) in members {
        append(&mut out, name, &Entry { mode: 0o644, node: Node::File(contents.to_vec()) }, epoch)?;
    }
    Ok(out.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    /// A text that repeats itself at many distances, for which a longer search finds a shorter form.
    fn text() -> Vec<u8> {
        (0u64..800)
            .map(|n| format!("{:x} route 10.{}.{}.0/24\n", n * n * 2_654_435_761, n % 251, n % 17))
            .collect::<String>()
            .into_bytes()
    }

    #[test]
    fn the_smallest_form_is_smaller_and_reads_as_the_same_bytes() {
        let text = text();
        let (usual, smallest) = (gzip(&text).unwrap(), gzip_smallest(&text).unwrap());
        assert!(smallest.len() < usual.len(), "{} of {}", smallest.len(), usual.len());
        assert_eq!(smallest, gzip_smallest(&text).unwrap(), "made twice");
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(smallest.as_slice()).read_to_end(&mut read).unwrap();
        assert_eq!(read, text);
        read.clear();
        let raw = deflate_smallest(&text).unwrap();
        flate2::read::DeflateDecoder::new(raw.as_slice()).read_to_end(&mut read).unwrap();
        assert_eq!(read, text);
    }
}
