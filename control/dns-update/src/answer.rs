//! The answer to an update: its signature first, then its code (RFC 8945 section 5.3, RFC 2136 section 3.8).

use crate::{
    ANSWER_MAX, Key,
    key::{ALGORITHM, CLASS_ANY, Stamp},
    message::{FUDGE, OPCODE_UPDATE, TYPE_TSIG},
    name::NAME_MAX,
};
use hmac::Mac;
use std::fmt;

/// Length of a header.
const HEADER: usize = 12;
/// Most records of an answer that are walked over; an answer to an update has one or two.
const RECORDS_MAX: usize = 16;
/// Bits of the flags that have to be those of an answer to an update: answer, operation.
const FLAGS: u16 = 0x8000 | (0xf << 11);
/// The answer was cut: ask over TCP.
const TRUNCATED: u16 = 0x0200;

/// Why an update was not done, or nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// Not an answer to this message at all; go on waiting.
    #[error("the answer is to something else")]
    Foreign,
    /// It did not fit: ask over TCP.
    #[error("the answer was cut")]
    Truncated,
    /// Not signed, or not with our key.
    #[error("the answer is not signed with the shared key, but says {0}")]
    Unsigned(Code),
    /// The name server's verdict.
    #[error("the name server refuses the update: {0}")]
    Refused(Code),
    /// Our clocks differ.
    #[error("the clocks of this machine and the name server differ by more than {FUDGE} seconds")]
    Clock,
}

/// A verdict by its number: RFC 2136 section 2.2, and those of signatures in RFC 8945 section 3. Its text says what to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(u16);

/// The secret is another than there, and the key is not known there.
const BADSIG: u16 = 16;
const BADKEY: u16 = 17;

impl Code {
    /// The same message is refused again until somebody changes something.
    const fn stays(self) -> bool {
        matches!(self.0, 1 | 4 | 5 | 9 | 10 | BADSIG | BADKEY)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "NOERROR",
            1 => "FORMERR: it cannot read the message",
            2 => "SERVFAIL: it failed; its log says more",
            4 => "NOTIMP: it takes no updates",
            5 => "REFUSED: this key may not change this name",
            9 => "NOTAUTH: it is not in charge of this zone, or the key is wrong",
            10 => "NOTZONE: the name is not in this zone",
            BADSIG => "BADSIG: the secret is another than there",
            BADKEY => "BADKEY: it knows no key of this name and algorithm",
            _ => "an error",
        })
    }
}

impl AnswerError {
    /// Whether the same update is refused again until somebody changes something, here or there. An answer without our
    /// signature counts as well: who does not know our key cannot sign with it.
    #[must_use]
    pub const fn stays(&self) -> bool {
        matches!(self, Self::Unsigned(code) | Self::Refused(code) if code.stays())
    }
}

/// Checks an answer to the message with this number and signature.
pub(crate) fn check(answer: &[u8], id: u16, request_mac: &[u8], key: &Key, now: u64) -> Result<(), AnswerError> {
    let foreign = AnswerError::Foreign;
    if answer.len() > ANSWER_MAX {
        return Err(foreign);
    }
    let mut header = Reader { bytes: answer, at: 0 };
    let (Some(got), Some(flags)) = (header.word(), header.word()) else { return Err(foreign) };
    if got != id || flags & FLAGS != 0x8000 | OPCODE_UPDATE {
        return Err(foreign);
    }
    if flags & TRUNCATED != 0 {
        return Err(AnswerError::Truncated);
    }
    let code = flags & 0xf;
    let Some(signature) = signature(answer) else { return Err(AnswerError::Unsigned(Code(code))) };
    // BADSIG and BADKEY come unsigned: the other side cannot sign for us.
    let unsigned = match signature.error {
        error @ (BADSIG | BADKEY) => Code(error),
        _ => Code(code),
    };
    if signature.name != key.name().wire() || signature.algorithm != ALGORITHM {
        return Err(AnswerError::Unsigned(unsigned));
    }
    // What was signed: the message as it was before the signature was put on.
    let mut signed = answer.get(..signature.start).unwrap_or_default().to_vec();
    if let Some(place) = signed.get_mut(0..2) {
        place.copy_from_slice(&signature.id.to_be_bytes());
    }
    if let Some(place) = signed.get_mut(10..12) {
        place.copy_from_slice(&signature.additional.wrapping_sub(1).to_be_bytes());
    }
    let stamp = Stamp { time: signature.time, fudge: signature.fudge, error: signature.error, other: signature.other };
    let ours = key.digest(request_mac, &signed, &stamp);
    if !ours.is_some_and(|mac| mac.verify_slice(signature.mac).is_ok()) {
        return Err(AnswerError::Unsigned(unsigned));
    }
    if signature.error == 18 || signature.time.abs_diff(now) > u64::from(FUDGE) {
        return Err(AnswerError::Clock);
    }
    match (code, signature.error) {
        (0, 0) => Ok(()),
        (0, error) => Err(AnswerError::Refused(Code(error))),
        _ => Err(AnswerError::Refused(Code(code))),
    }
}

/// The signature of a message: its last record.
struct Signature<'a> {
    start: usize,
    additional: u16,
    name: Vec<u8>,
    algorithm: Vec<u8>,
    time: u64,
    fudge: u16,
    mac: &'a [u8],
    id: u16,
    error: u16,
    other: &'a [u8],
}

fn signature(bytes: &[u8]) -> Option<Signature<'_>> {
    let mut reader = Reader { bytes, at: 4 };
    let [zones, prerequisites, updates, additional] = [reader.word()?, reader.word()?, reader.word()?, reader.word()?];
    let before = [prerequisites, updates, additional].iter().map(|n| usize::from(*n)).sum::<usize>().checked_sub(1)?;
    if additional == 0 || zones > 1 || before >= RECORDS_MAX {
        return None;
    }
    for _ in 0..zones {
        reader.name()?;
        reader.take(4)?;
    }
    for _ in 0..before {
        reader.name()?;
        reader.take(8)?;
        let length = reader.word()?;
        reader.take(usize::from(length))?;
    }
    let start = reader.at;
    let name = reader.name()?;
    if (reader.word()?, reader.word()?) != (TYPE_TSIG, CLASS_ANY) {
        return None;
    }
    if reader.take(4)? != [0; 4] {
        return None;
    }
    let length = usize::from(reader.word()?);
    let end = reader.at.checked_add(length)?;
    let algorithm = reader.name()?;
    let time = reader.take(6)?.iter().fold(0u64, |sum, b| sum << 8 | u64::from(*b));
    let fudge = reader.word()?;
    let length = usize::from(reader.word()?);
    let mac = reader.take(length)?;
    let (id, error) = (reader.word()?, reader.word()?);
    let length = usize::from(reader.word()?);
    let other = reader.take(length)?;
    // The last of all.
    (reader.at == end && end == bytes.len()).then_some(Signature {
        start,
        additional,
        name,
        algorithm,
        time,
        fudge,
        mac,
        id,
        error,
        other,
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn word(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    /// A name in lower case, as it would be without compression (RFC 1035 section 4.1.4).
    fn name(&mut self) -> Option<Vec<u8>> {
        let (mut name, mut after, mut lowest) = (Vec::new(), None, self.at);
        loop {
            let length = *self.take(1)?.first()?;
            match length {
                0 => break,
                1..=63 => {
                    name.push(length);
                    name.extend(self.take(usize::from(length))?.to_ascii_lowercase());
                    if name.len() >= NAME_MAX {
                        return None;
                    }
                }
                192.. => {
                    let low = *self.take(1)?.first()?;
                    let to = usize::from(length & 0x3f) << 8 | usize::from(low);
                    // Each jump goes further back than all before it, so that this ends.
                    if to < HEADER || to >= lowest {
                        return None;
                    }
                    after.get_or_insert(self.at);
                    (self.at, lowest) = (to, to);
                }
                _ => return None,
            }
        }
        name.push(0);
        if let Some(after) = after {
            self.at = after;
        }
        Some(name)
    }
}
