//! apk v3's structured data ("ADB"): a value area of little-endian words, and the blocks around it.
//! Source: `src/adb.h` and `src/adb.c` of apk-tools 3.0.6.
//!
//! A value is one word: four bits of type, 28 bits that are the value itself or where it lies. Objects and arrays are
//! lists of such words behind their count.

use crate::PackError;

/// One word of ADB: see the constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(pub u32);

/// Nothing: an empty text, an empty list, a field that is not there.
pub const NULL: Value = Value(0);

const INT: u32 = 0x1 << 28;
const INT_32: u32 = 0x2 << 28;
const BLOB_8: u32 = 0x8 << 28;
const BLOB_16: u32 = 0x9 << 28;
const BLOB_32: u32 = 0xa << 28;
const ARRAY: u32 = 0xd << 28;
const OBJECT: u32 = 0xe << 28;
const LOW: u32 = (1 << 28) - 1;

/// Schema of a package file.
pub const SCHEMA_PACKAGE: u32 = 0x676b_6370;
/// Schema of a feed's index.
pub const SCHEMA_INDEX: u32 = 0x7864_6e69;

/// Block of structured data.
pub const BLOCK_ADB: u32 = 0;
/// Block with a signature.
pub const BLOCK_SIG: u32 = 1;
/// Block with a file's contents.
pub const BLOCK_DATA: u32 = 2;

/// Payload of an ADB block while it is being put together.
#[derive(Debug)]
pub struct Adb {
    bytes: Vec<u8>,
}

impl Default for Adb {
    fn default() -> Self {
        Self::new()
    }
}

impl Adb {
    /// An empty payload: version bytes and a root that [`Adb::finish`] fills in.
    pub fn new() -> Self {
        Self { bytes: vec![0; 8] }
    }

    /// A number.
    pub fn int(&mut self, number: u64) -> Result<Value, PackError> {
        let number = u32::try_from(number).map_err(|_| PackError::TooBig("a number"))?;
        if number <= LOW {
            return Ok(Value(INT | number));
        }
        let at = self.align(4)?;
        self.bytes.extend_from_slice(&number.to_le_bytes());
        Ok(Value(INT_32 | at))
    }

    /// Bytes or text.
    pub fn blob(&mut self, contents: &[u8]) -> Result<Value, PackError> {
        let length = u32::try_from(contents.len()).map_err(|_| PackError::TooBig("a text"))?;
        let (kind, align, prefix): (u32, usize, usize) = match length {
            0 => return Ok(NULL),
            1..=0xff => (BLOB_8, 1, 1),
            0x100..=0xffff => (BLOB_16, 2, 2),
            _ => (BLOB_32, 4, 4),
        };
        let at = self.align(align)?;
        self.bytes.extend(length.to_le_bytes().iter().take(prefix));
        self.bytes.extend_from_slice(contents);
        Ok(Value(kind | at))
    }

    /// A list of values in this order.
    pub fn array(&mut self, items: &[Value]) -> Result<Value, PackError> {
        self.slots(ARRAY, items)
    }

    /// An object: `fields` in the order of their slots, from slot 1, [`NULL`] for those not there.
    pub fn object(&mut self, fields: &[Value]) -> Result<Value, PackError> {
        self.slots(OBJECT, fields)
    }

    fn slots(&mut self, kind: u32, items: &[Value]) -> Result<Value, PackError> {
        let used = items.iter().rposition(|v| *v != NULL).map_or(0, |last| last + 1);
        if used == 0 {
            return Ok(NULL);
        }
        let at = self.align(4)?;
        let count = u32::try_from(used + 1).map_err(|_| PackError::TooBig("a list"))?;
        self.bytes.extend_from_slice(&count.to_le_bytes());
        for item in items.iter().take(used) {
            self.bytes.extend_from_slice(&item.0.to_le_bytes());
        }
        Ok(Value(kind | at))
    }

    fn align(&mut self, to: usize) -> Result<u32, PackError> {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
        u32::try_from(self.bytes.len()).ok().filter(|at| *at <= LOW).ok_or(PackError::TooBig("the package's data"))
    }

    /// The payload with its root in place.
    pub fn finish(mut self, root: Value) -> Vec<u8> {
        self.bytes.splice(4..8, root.0.to_le_bytes());
        self.bytes
    }
}

/// Where the contents of a short blob lie in the payload.
pub fn blob_start(blob: Value) -> usize {
    (blob.0 & LOW) as usize + 1
}

/// Adds a block: its header, the payload, zeros up to eight bytes.
pub fn push_block(out: &mut Vec<u8>, kind: u32, payload: &[&[u8]]) -> Result<(), PackError> {
    let length: usize = 4 + payload.iter().map(|part| part.len()).sum::<usize>();
    let length = u32::try_from(length).ok().filter(|n| *n < 1 << 30).ok_or(PackError::TooBig("a block"))?;
    out.extend_from_slice(&(kind << 30 | length).to_le_bytes());
    for part in payload {
        out.extend_from_slice(part);
    }
    // The container's eight bytes of head keep the whole file aligned alike.
    out.resize(out.len().next_multiple_of(8), 0);
    Ok(())
}
