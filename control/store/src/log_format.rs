//! The bytes of the log file; no disk in here.
//!
//! ```text
//! file    header, then frames
//! header  magic of 8 bytes | u64 salt | u64 base revision | u64 records in the base | u32 CRC of all before
//! frame   u32 length of the body | u64 revision | u32 CRC of the body | u32 CRC of the salt and all before | body
//! body    operations: u8 kind (1 put, 2 delete) | u32 key length | key | (put) u32 value length | value
//! ```
//! Integers are little-endian, checksums CRC-32 (IEEE). One frame is one batch, so its checksum makes it whole or
//! nothing. The *base* is what a rewrite found: frames that carry the base revision. Each later batch carries one more
//! than the batch before.
//!
//! The frame's header has a checksum of its own so that a damaged length cannot pass for a torn end and take good
//! batches after it along. The salt, different in each file, keeps a frame that somebody managed to store *inside* a
//! value from being taken for one of the file's own.

use crate::{BATCH_MAX, BATCH_OPS_MAX};

/// CRC-32 as IEEE 802.3 has it.
pub(crate) static CRC32: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

const MAGIC: &[u8; 8] = b"HGLOG\x00\x02\n";
/// Bytes of the file's header.
pub(crate) const FILE_HEADER: usize = 36;
/// Bytes of a frame's header.
pub(crate) const FRAME_HEADER: usize = 20;
/// What an operation takes besides its key and value.
pub(crate) const OP_OVERHEAD: usize = 9;
/// Longest body: the largest batch and the overhead of its operations.
pub(crate) const BODY_MAX: usize = BATCH_MAX + OP_OVERHEAD * BATCH_OPS_MAX;
const KIND_PUT: u8 = 1;
const KIND_DELETE: u8 = 2;

/// Start of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// Mixed into each frame's checksum.
    pub salt: u64,
    /// Revision of the base.
    pub base: u64,
    /// Operations in the base.
    pub base_records: u64,
}

impl FileHeader {
    pub(crate) fn encode(self) -> [u8; FILE_HEADER] {
        let mut out = [0; FILE_HEADER];
        out[..8].copy_from_slice(MAGIC);
        out[8..16].copy_from_slice(&self.salt.to_le_bytes());
        out[16..24].copy_from_slice(&self.base.to_le_bytes());
        out[24..32].copy_from_slice(&self.base_records.to_le_bytes());
        let crc = CRC32.checksum(&out[..32]);
        out[32..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if !bytes.starts_with(&MAGIC[..5]) {
            return Err("it is not a hearthgate log");
        }
        if !bytes.starts_with(MAGIC) {
            return Err("it is a log of another version");
        }
        let numbers = (u64_at(bytes, 8), u64_at(bytes, 16), u64_at(bytes, 24), u32_at(bytes, 32));
        let (Some(salt), Some(base), Some(base_records), Some(crc)) = numbers else {
            return Err("its header is cut off");
        };
        if bytes.get(..32).map(|b| CRC32.checksum(b)) != Some(crc) {
            return Err("its header's checksum is wrong");
        }
        Ok(Self { salt, base, base_records })
    }
}

/// Start of a frame, its checksum already checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Bytes of the body that follows.
    pub body: usize,
    pub revision: u64,
    body_crc: u32,
}

impl FrameHeader {
    /// `None` when these bytes are no frame header of this file.
    pub(crate) fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        let (body, revision) = (u32_at(bytes, 0)? as usize, u64_at(bytes, 4)?);
        let (body_crc, crc) = (u32_at(bytes, 12)?, u32_at(bytes, 16)?);
        let fits = (1..=BODY_MAX).contains(&body);
        (fits && header_crc(bytes.get(..16)?, salt) == crc).then_some(Self { body, revision, body_crc })
    }

    pub(crate) fn matches(&self, body: &[u8]) -> bool {
        CRC32.checksum(body) == self.body_crc
    }
}

fn header_crc(bytes: &[u8], salt: u64) -> u32 {
    let mut digest = CRC32.digest();
    digest.update(&salt.to_le_bytes());
    digest.update(bytes);
    digest.finalize()
}

/// A frame being put together.
pub(crate) struct FrameWriter {
    bytes: Vec<u8>,
}

impl FrameWriter {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; FRAME_HEADER] }
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == FRAME_HEADER
    }

    /// Adds a put, or a delete if there is no value.
    pub(crate) fn op(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.bytes.push(if value.is_some() { KIND_PUT } else { KIND_DELETE });
        self.bytes.extend_from_slice(&len32(key));
        self.bytes.extend_from_slice(key);
        if let Some(value) = value {
            self.bytes.extend_from_slice(&len32(value));
            self.bytes.extend_from_slice(value);
        }
    }

    pub(crate) fn finish(mut self, revision: u64, salt: u64) -> Vec<u8> {
        let (header, body) = self.bytes.split_at_mut(FRAME_HEADER);
        header[..4].copy_from_slice(&len32(body));
        header[4..12].copy_from_slice(&revision.to_le_bytes());
        header[12..16].copy_from_slice(&CRC32.checksum(body).to_le_bytes());
        let crc = header_crc(&header[..16], salt);
        header[16..].copy_from_slice(&crc.to_le_bytes());
        self.bytes
    }
}

/// Lengths are below the limits that `commit` checks, so they fit 32 bits.
fn len32(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes()
}

/// Calls `each` for every operation of a body: key, and value or `None` for a delete. `None` if it cannot be read.
pub(crate) fn read_ops<'a>(mut body: &'a [u8], mut each: impl FnMut(&'a [u8], Option<&'a [u8]>)) -> Option<()> {
    while let Some((kind, rest)) = body.split_first() {
        let (key, rest) = take_bytes(rest)?;
        body = match *kind {
            KIND_PUT => {
                let (value, rest) = take_bytes(rest)?;
                each(key, Some(value));
                rest
            }
            KIND_DELETE => {
                each(key, None);
                rest
            }
            _ => return None,
        };
    }
    Some(())
}

fn take_bytes(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = u32_at(bytes, 0)? as usize;
    bytes.get(4..)?.split_at_checked(len)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
