//! Map messages as bytes: JSON, one or several zstd frames, and a little-endian length before them.
//!
//! A message may be put together from frames that were compressed apart: decoders take concatenated frames as one
//! text (RFC 8878, section 3.1), so the peers of a page are compressed once and used in many whole maps.

use bytes::{BufMut, Bytes, BytesMut};
use std::sync::{Mutex, PoisonError};

/// zstd level: 1 is smaller *and* faster than 3 on map messages (see docs).
const LEVEL: i32 = 1;
/// Window of the compressor as a power of two: 256 KiB is enough for repeated field names, and bounds its memory.
const WINDOW_LOG: u32 = 18;
/// Bytes of the length prefix.
const PREFIX: usize = 4;

/// A piece of a message, compressed or not as its stream asked.
pub type Piece = Bytes;

/// Whether a client asked for `Compress: "zstd"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Plain JSON.
    None,
    /// zstd frames.
    Zstd,
}

impl Compression {
    /// Reads `MapRequest.Compress`.
    #[must_use]
    pub fn of(request: &str) -> Self {
        if request == "zstd" { Self::Zstd } else { Self::None }
    }
}

/// Room for compressed text that is kept between pieces.
const SCRATCH_KEPT: usize = 64 * 1024;

/// Compresses pieces; one compressor is shared, because its tables cost more memory than its lock costs time.
pub struct Encoder(Mutex<Workshop>);

/// The compressor, and where it writes. A piece lives as long as its slowest reader and must not carry the room for
/// its worst case along, so it is copied out of here.
struct Workshop {
    compressor: zstd::bulk::Compressor<'static>,
    scratch: Vec<u8>,
}

impl Encoder {
    /// A new encoder.
    ///
    /// # Errors
    /// The compressor could not be set up (out of memory).
    pub fn new() -> std::io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.set_parameter(zstd::zstd_safe::CParameter::WindowLog(WINDOW_LOG))?;
        Ok(Self(Mutex::new(Workshop { compressor, scratch: Vec::new() })))
    }

    /// Makes a piece of a message.
    ///
    /// # Errors
    /// The compressor failed (out of memory).
    pub fn piece(&self, json: &[u8], how: Compression) -> std::io::Result<Piece> {
        match how {
            Compression::None => Ok(Bytes::copy_from_slice(json)),
            Compression::Zstd => {
                let mut workshop = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let Workshop { compressor, scratch } = &mut *workshop;
                scratch.clear();
                scratch.reserve(zstd::zstd_safe::compress_bound(json.len()));
                compressor.compress_to_buffer(json, scratch)?;
                let piece = Bytes::copy_from_slice(scratch);
                scratch.shrink_to(SCRATCH_KEPT);
                Ok(piece)
            }
        }
    }

    /// A message of one piece, length included.
    ///
    /// # Errors
    /// The compressor failed.
    pub fn message(&self, json: &[u8], how: Compression) -> std::io::Result<Bytes> {
        Ok(framed(&[self.piece(json, how)?]))
    }
}

/// The first piece of a message of `len` bytes, with the length before it.
#[must_use]
pub fn with_length(len: usize, first: &Piece) -> Bytes {
    let mut out = BytesMut::with_capacity(PREFIX + first.len());
    // Clients refuse more than 256 MiB; a map of that size cannot arise from the node limit.
    out.put_u32_le(u32::try_from(len).unwrap_or(u32::MAX));
    out.extend_from_slice(first);
    out.freeze()
}

/// Puts pieces together to a message with its length before it.
#[must_use]
pub fn framed(pieces: &[Piece]) -> Bytes {
    let len: usize = pieces.iter().map(Bytes::len).sum();
    let mut out = BytesMut::with_capacity(PREFIX + len);
    out.put_u32_le(u32::try_from(len).unwrap_or(u32::MAX));
    for piece in pieces {
        out.extend_from_slice(piece);
    }
    out.freeze()
}
