//! All records in one checksummed file.
//!
//! ```text
//! file    "HGBACKUP" | u32 version of this form (1) | pieces | end
//! piece   u32 length of the body, not 0 | u32 CRC of the body | body
//! body    records: u32 key length | key | u32 value length | value
//! end     u32 0 | u64 records in the file | u32 CRC of everything before
//! ```
//! Integers are little-endian, checksums CRC-32 (IEEE). Keys are in order, none twice. A file without its end was never
//! finished, and is refused. Nothing in here depends on an engine, which makes it the way from one to another.

use crate::{KEY_MAX, Record, Result, Store, StoreError, VALUE_MAX, log_format::CRC32};
use crc::Digest;
use hearthgate_durable_file::replace_with;
use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    path::Path,
};

const MAGIC: &[u8; 8] = b"HGBACKUP";
const VERSION: u32 = 1;
/// A piece is closed when it has this many bytes.
const PIECE: usize = 64 * 1024;
/// Longest body of a piece: one that was not yet closed, and the largest record.
const PIECE_MAX: usize = PIECE + 8 + KEY_MAX + VALUE_MAX;

/// Writes all records of `store` to one file of mode 0600, which is there whole and durable, or not at all. Returns the
/// number of records.
///
/// # Errors
/// The disk failed.
pub fn backup(store: &dyn Store, to: &Path) -> Result<usize> {
    let records = store.scan(b"")?;
    replace_with(to, |out| write_records(&records, out).map_err(StoreError::io("writing", to)))?;
    Ok(records.len())
}

/// Writes all records of `store` in the form of [`backup`], for a download or a pipe. Returns the number of records.
///
/// # Errors
/// The store or the writer failed.
pub fn write_backup(store: &dyn Store, out: &mut dyn Write) -> Result<usize> {
    let records = store.scan(b"")?;
    write_records(&records, out).and_then(|()| out.flush()).map_err(StoreError::io("writing", "the backup"))?;
    Ok(records.len())
}

/// The bytes of a backup with these records, whatever their order. Of two with one key the later counts.
///
/// # Errors
/// A record is too long to be written.
pub fn encode_backup(records: Vec<Record>) -> Result<Vec<u8>> {
    let sorted: Vec<Record> = records.into_iter().collect::<hearthgate_sorted::SortedMap<_, _>>().into_iter().collect();
    let mut out = Vec::new();
    write_records(&sorted, &mut out).map_err(StoreError::io("encoding", "the backup"))?;
    Ok(out)
}

/// Checks the bytes of a backup and writes them to one file of mode 0600, there whole and durable, or not at all.
/// Returns the number of records.
///
/// # Errors
/// It is damaged, or the disk failed.
pub fn save_backup(bytes: &[u8], to: &Path) -> Result<usize> {
    let records = parse_backup(&mut &bytes[..], to)?;
    replace_with(to, |out| out.write_all(bytes).map_err(StoreError::io("writing", to)))?;
    Ok(records.len())
}

/// The records of a backup file.
///
/// # Errors
/// The file cannot be read, is damaged, or is not whole.
pub fn read_backup(from: &Path) -> Result<Vec<Record>> {
    let file = File::open(from).map_err(StoreError::io("opening", from))?;
    parse_backup(&mut BufReader::new(file), from)
}

/// The records of a backup from any source; `name` is for messages.
///
/// # Errors
/// As [`read_backup`].
pub fn parse_backup(input: &mut dyn Read, name: &Path) -> Result<Vec<Record>> {
    let mut input = Counted { input, crc: CRC32.digest() };
    read_records(&mut input).map_err(|e| match e.kind() {
        io::ErrorKind::InvalidData => StoreError::corrupt(name, e.to_string()),
        io::ErrorKind::UnexpectedEof => StoreError::corrupt(name, "the backup is not whole"),
        _ => StoreError::io("reading", name)(e),
    })
}

/// Writes through a checksum of everything.
struct Summed<'a> {
    out: &'a mut dyn Write,
    crc: Digest<'static, u32>,
}

impl Summed<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.out.write_all(bytes)
    }

    fn piece(&mut self, body: &[u8]) -> io::Result<()> {
        self.put(&len32(body.len())?)?;
        self.put(&CRC32.checksum(body).to_le_bytes())?;
        self.put(body)
    }
}

pub(crate) fn write_records(records: &[Record], out: &mut dyn Write) -> io::Result<()> {
    let mut out = Summed { out, crc: CRC32.digest() };
    out.put(MAGIC)?;
    out.put(&VERSION.to_le_bytes())?;
    let mut piece = Vec::new();
    for (key, value) in records {
        for bytes in [key, value] {
            piece.extend_from_slice(&len32(bytes.len())?);
            piece.extend_from_slice(bytes);
        }
        if piece.len() >= PIECE {
            out.piece(&piece)?;
            piece.clear();
        }
    }
    if !piece.is_empty() {
        out.piece(&piece)?;
    }
    out.put(&0u32.to_le_bytes())?;
    out.put(&(records.len() as u64).to_le_bytes())?;
    let crc = out.crc.clone().finalize();
    out.put(&crc.to_le_bytes())
}

/// Reads through a checksum of everything.
struct Counted<'a> {
    input: &'a mut dyn Read,
    crc: Digest<'static, u32>,
}

impl Counted<'_> {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        self.crc.update(&bytes);
        Ok(bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Reads `len` bytes; memory grows with what is really there.
    fn bytes(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.input.take(len as u64).read_to_end(&mut bytes)?;
        if bytes.len() < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.crc.update(&bytes);
        Ok(bytes)
    }
}

fn read_records(input: &mut Counted<'_>) -> io::Result<Vec<Record>> {
    if input.array::<8>()? != *MAGIC {
        return Err(bad("it is no hearthgate backup"));
    }
    let version = input.u32()?;
    if version != VERSION {
        return Err(bad(format!("it is a backup of form {version}, this hearthgate reads form {VERSION}")));
    }
    let mut records: Vec<Record> = Vec::new();
    loop {
        let len = input.u32()? as usize;
        if len == 0 {
            break;
        }
        if len > PIECE_MAX {
            return Err(bad("a piece is impossibly long"));
        }
        let crc = input.u32()?;
        let body = input.bytes(len)?;
        if CRC32.checksum(&body) != crc {
            return Err(bad("a checksum is wrong"));
        }
        let mut rest = body.as_slice();
        while !rest.is_empty() {
            let (key, value);
            (key, rest) = split_bytes(rest).ok_or_else(|| bad("a record cannot be read"))?;
            (value, rest) = split_bytes(rest).ok_or_else(|| bad("a record cannot be read"))?;
            if records.last().is_some_and(|(before, _)| before.as_slice() >= key) {
                return Err(bad("the records are not in order"));
            }
            records.push((key.to_vec(), value.to_vec()));
        }
    }
    let count = u64::from_le_bytes(input.array()?);
    let expected = input.crc.clone().finalize();
    if input.u32()? != expected || count != records.len() as u64 {
        return Err(bad("the checksum at its end is wrong"));
    }
    if input.input.read(&mut [0])? != 0 {
        return Err(bad("something follows its end"));
    }
    Ok(records)
}

fn split_bytes(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    bytes.get(4..)?.split_at_checked(len)
}

fn len32(len: usize) -> io::Result<[u8; 4]> {
    u32::try_from(len).map(u32::to_le_bytes).map_err(|_| bad("a record is too long"))
}

fn bad(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}
