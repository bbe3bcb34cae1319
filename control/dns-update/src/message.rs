//! The update as it is sent (RFC 2136 sections 2 and 3), and its signature (RFC 8945 section 4).

use crate::{
    AnswerError, Key, Name, TEXT_MAX,
    answer::check,
    key::{ALGORITHM, CLASS_ANY, Stamp, time48},
};
use hmac::Mac;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Operation UPDATE in the header's flags.
pub(crate) const OPCODE_UPDATE: u16 = 5 << 11;
/// Record type of a zone's start.
const TYPE_SOA: u16 = 6;
/// Record types of addresses.
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
/// Record type of texts.
const TYPE_TXT: u16 = 16;
/// Record type of signatures.
pub(crate) const TYPE_TSIG: u16 = 250;
/// Class IN.
const CLASS_IN: u16 = 1;
/// Class NONE: take this record away.
const CLASS_NONE: u16 = 254;
/// Seconds by which the clocks may differ (RFC 8945 section 10).
pub(crate) const FUDGE: u16 = 300;

/// What shall be at the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// This text alone, for so many seconds in caches.
    Set(&'a str, u32),
    /// This text no longer; others stay.
    Remove(&'a str),
    /// These addresses, each alone of its family, for so many seconds in caches. A family without one stays as it is.
    Addresses(Option<Ipv4Addr>, Option<Ipv6Addr>, u32),
    /// This IPv4 address alone, and no IPv6 address, for so many seconds in caches.
    OnlyIpv4(Ipv4Addr, u32),
}

/// One change of the texts or addresses at one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update<'a> {
    /// The zone that the name server knows.
    pub zone: &'a Name,
    /// The name, within it.
    pub name: &'a Name,
    /// What shall be there.
    pub change: Change<'a>,
}

/// A message that was made, to know its answer by.
#[derive(Debug, Clone)]
pub struct Sent {
    /// What to send. Over TCP, its length goes before it.
    pub bytes: Vec<u8>,
    id: u16,
    mac: Vec<u8>,
}

impl Update<'_> {
    /// The signed message. `id` is a random number, `now` seconds since 1970. `None` when the text is longer than
    /// [`TEXT_MAX`].
    #[must_use]
    pub fn encode(&self, id: u16, key: &Key, now: u64) -> Option<Sent> {
        let mut out = Vec::with_capacity(512);
        let updates: u16 = match self.change {
            Change::Set(..) => 2,
            Change::Remove(_) => 1,
            Change::OnlyIpv4(..) => 3,
            Change::Addresses(v4, v6, _) => 2 * (u16::from(v4.is_some()) + u16::from(v6.is_some())),
        };
        words(&mut out, &[id, OPCODE_UPDATE, 1, 0, updates, 0]);
        out.extend(self.zone.wire());
        words(&mut out, &[TYPE_SOA, CLASS_IN]);
        match self.change {
            Change::Set(text, ttl) => {
                self.replace(&mut out, TYPE_TXT, ttl, &character_string(text)?)?;
            }
            Change::Remove(text) => self.record(&mut out, TYPE_TXT, CLASS_NONE, 0, &character_string(text)?)?,
            Change::OnlyIpv4(v4, ttl) => {
                self.replace(&mut out, TYPE_A, ttl, &v4.octets())?;
                self.record(&mut out, TYPE_AAAA, CLASS_ANY, 0, &[])?;
            }
            Change::Addresses(v4, v6, ttl) => {
                if let Some(v4) = v4 {
                    self.replace(&mut out, TYPE_A, ttl, &v4.octets())?;
                }
                if let Some(v6) = v6 {
                    self.replace(&mut out, TYPE_AAAA, ttl, &v6.octets())?;
                }
            }
        }
        let stamp = Stamp { time: now, fudge: FUDGE, error: 0, other: &[] };
        let mac = key.digest(&[], &out, &stamp)?.finalize().into_bytes().to_vec();
        out.extend(key.name().wire());
        words(&mut out, &[TYPE_TSIG, CLASS_ANY, 0, 0]);
        let length = ALGORITHM.len() + 6 + 2 + 2 + mac.len() + 6;
        words(&mut out, &[u16::try_from(length).ok()?]);
        out.extend(ALGORITHM);
        out.extend(time48(now));
        words(&mut out, &[FUDGE, u16::try_from(mac.len()).ok()?]);
        out.extend(&mac);
        words(&mut out, &[id, 0, 0]);
        // One additional record: the signature, which was not signed itself.
        out.get_mut(10..12)?.copy_from_slice(&1u16.to_be_bytes());
        Some(Sent { bytes: out, id, mac })
    }

    /// All records of this type go, and this one comes.
    fn replace(&self, out: &mut Vec<u8>, kind: u16, ttl: u32, data: &[u8]) -> Option<()> {
        self.record(out, kind, CLASS_ANY, 0, &[])?;
        self.record(out, kind, CLASS_IN, ttl, data)
    }

    fn record(&self, out: &mut Vec<u8>, kind: u16, class: u16, ttl: u32, data: &[u8]) -> Option<()> {
        out.extend(self.name.wire());
        words(out, &[kind, class]);
        out.extend(ttl.to_be_bytes());
        words(out, &[u16::try_from(data.len()).ok()?]);
        out.extend(data);
        Some(())
    }
}

/// A text as a record has it: its length before it.
fn character_string(text: &str) -> Option<Vec<u8>> {
    let length = u8::try_from(text.len()).ok().filter(|l| usize::from(*l) <= TEXT_MAX)?;
    let mut out = vec![length];
    out.extend(text.as_bytes());
    Some(out)
}

impl Sent {
    /// Whether `answer` says that it was done. `now` is seconds since 1970.
    ///
    /// # Errors
    /// It was refused, or the answer is not one that the holder of the key gave to this message.
    pub fn accepts(&self, answer: &[u8], key: &Key, now: u64) -> Result<(), AnswerError> {
        check(answer, self.id, &self.mac, key, now)
    }
}

fn words(out: &mut Vec<u8>, words: &[u16]) {
    out.extend(words.iter().flat_map(|w| w.to_be_bytes()));
}
