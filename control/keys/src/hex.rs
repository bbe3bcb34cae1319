//! Lower-case hexadecimal of fixed-size byte strings.

/// Why a hexadecimal text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HexError {
    /// Not exactly two digits for each expected byte.
    #[error("expected {expected} hexadecimal digits, got {got}")]
    Length {
        /// Digits wanted.
        expected: usize,
        /// Bytes of text given.
        got: usize,
    },
    /// A character that is no hexadecimal digit.
    #[error("not a hexadecimal digit")]
    Digit,
}

/// `bytes` as lower-case hexadecimal.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        out.push(DIGITS[usize::from(b >> 4)] as char);
        out.push(DIGITS[usize::from(b & 15)] as char);
    }
    out
}

/// Reads exactly `N` bytes of hexadecimal in either case.
///
/// # Errors
/// [`HexError`] when the length or a digit is wrong.
pub fn decode_fixed<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let text = text.as_bytes();
    if text.len() != N * 2 {
        return Err(HexError::Length { expected: N * 2, got: text.len() });
    }
    let mut out = [0u8; N];
    for (slot, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *slot = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(out)
}

fn digit(c: u8) -> Result<u8, HexError> {
    match c {
        b'0'..=b'9' => Ok(c - b'0'),
        b'a'..=b'f' => Ok(c - b'a' + 10),
        b'A'..=b'F' => Ok(c - b'A' + 10),
        _ => Err(HexError::Digit),
    }
}
