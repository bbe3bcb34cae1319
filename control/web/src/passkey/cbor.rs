//! The little of CBOR (RFC 8949) that authenticators write: CTAP2's canonical form, so no indefinite lengths and
//! nesting of four at most. Reads in place; nothing is allocated.

use super::PasskeyError;

/// Levels of maps and lists (CTAP 2.1, section 8).
const DEPTH_MAX: u8 = 4;

/// Major types (RFC 8949, section 3.1).
const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;

/// A place in encoded bytes.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a>(&'a [u8]);

const BAD: PasskeyError = PasskeyError::Malformed("CBOR");

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), PasskeyError> {
        if self.0.is_empty() { Ok(()) } else { Err(PasskeyError::Malformed("bytes behind the end")) }
    }

    fn take(&mut self, n: u64) -> Result<&'a [u8], PasskeyError> {
        let n = usize::try_from(n).map_err(|_| BAD)?;
        let (taken, rest) = self.0.split_at_checked(n).ok_or(BAD)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Major type and argument of the next item.
    fn head(&mut self) -> Result<(u8, u64), PasskeyError> {
        let first = self.take(1)?.first().copied().ok_or(BAD)?;
        let argument = match first & 0x1f {
            small @ 0..=23 => u64::from(small),
            // One, two, four or eight bytes; 28 to 30 are reserved, 31 has no length.
            size @ 24..=27 => {
                self.take(1 << (size - 24))?.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
            }
            _ => return Err(BAD),
        };
        Ok((first >> 5, argument))
    }

    fn expect(&mut self, major: u8) -> Result<u64, PasskeyError> {
        let (got, argument) = self.head()?;
        if got == major { Ok(argument) } else { Err(BAD) }
    }

    /// Number of pairs of a map; they follow.
    pub(super) fn map(&mut self) -> Result<u64, PasskeyError> {
        self.expect(MAP)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], PasskeyError> {
        let length = self.expect(BYTES)?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, PasskeyError> {
        let length = self.expect(TEXT)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| BAD)
    }

    pub(super) fn int(&mut self) -> Result<i64, PasskeyError> {
        let (major, argument) = self.head()?;
        let number = i64::try_from(argument).map_err(|_| BAD)?;
        match major {
            UNSIGNED => Ok(number),
            NEGATIVE => Ok(-1 - number),
            _ => Err(BAD),
        }
    }

    /// Passes over one item.
    pub(super) fn skip(&mut self) -> Result<(), PasskeyError> {
        self.skip_within(DEPTH_MAX)
    }

    fn skip_within(&mut self, depth: u8) -> Result<(), PasskeyError> {
        let (major, argument) = self.head()?;
        let items = match major {
            UNSIGNED | NEGATIVE | SIMPLE => return Ok(()),
            BYTES | TEXT => return self.take(argument).map(drop),
            LIST => argument,
            MAP => argument.checked_mul(2).ok_or(BAD)?,
            // Tags are not in CTAP2's form.
            _ => return Err(BAD),
        };
        let depth = depth.checked_sub(1).ok_or(BAD)?;
        // Each item takes a byte at least, so a wrong number ends with the bytes.
        for _ in 0..items {
            self.skip_within(depth)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items of RFC 8949, appendix A.
    #[test]
    fn reads_what_the_rfc_shows() {
        for (bytes, number) in [
            (&[0x00][..], 0),
            (&[0x17], 23),
            (&[0x18, 0x64], 100),
            (&[0x19, 0x03, 0xe8], 1000),
            (&[0x1a, 0x00, 0x0f, 0x42, 0x40], 1_000_000),
            (&[0x20], -1),
            (&[0x39, 0x03, 0xe7], -1000),
        ] {
            let mut reader = Reader::new(bytes);
            assert_eq!(reader.int(), Ok(number));
            assert_eq!(reader.end(), Ok(()));
        }
        assert_eq!(Reader::new(&[0x64, b'I', b'E', b'T', b'F']).text(), Ok("IETF"));
        assert_eq!(Reader::new(&[0x44, 1, 2, 3, 4]).bytes(), Ok(&[1, 2, 3, 4][..]));
        // {"a": 1, "b": [2, 3]}, then one byte more
        let mut reader = Reader::new(&[0xa2, 0x61, 0x61, 0x01, 0x61, 0x62, 0x82, 0x02, 0x03, 0xff]);
        assert_eq!(reader.skip(), Ok(()));
        assert_eq!(reader.rest(), [0xff]);
        assert!(reader.end().is_err());
    }

    #[test]
    fn what_does_not_end_or_goes_too_deep_is_refused() {
        for bytes in [
            &[][..],
            &[0x18],
            &[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x9f, 0xff],
            &[0xc0, 0x00],
            &[0x1c],
            &[0x81; 64],
        ] {
            let skipped = Reader::new(bytes).skip();
            // A number has no end to miss; it only does not fit.
            assert!(skipped.is_err() || Reader::new(bytes).int().is_err(), "{bytes:02x?}");
        }
        assert!(Reader::new(&[0x81, 0x81, 0x81, 0x81, 0x00]).skip().is_ok());
        assert!(Reader::new(&[0x81, 0x81, 0x81, 0x81, 0x81, 0x00]).skip().is_err());
    }
}
