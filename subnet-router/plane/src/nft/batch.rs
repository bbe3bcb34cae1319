//! A transaction: messages that the kernel carries out all, or none.

use super::{Attrs, Rule, Verdict};

/// `NFPROTO_INET`.
const INET: u8 = 1;
/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const LIST_RULES: u16 = 7;
const NEW_SET: u16 = 9;
const NEW_ELEMENT: u16 = 12;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
/// Elements in one message: its list must fit into an attribute of 64 KiB.
const ELEMENTS: usize = 256;

/// Where a base chain hooks in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hook {
    /// Before routing.
    Prerouting = 0,
    /// To this host.
    Input = 1,
    /// Through this host.
    Forward = 2,
    /// From this host.
    Output = 3,
    /// Before leaving.
    Postrouting = 4,
}

/// A base chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain {
    /// `filter` or `nat`.
    pub kind: &'static str,
    /// Where.
    pub hook: Hook,
    /// Its place among the chains there; lower is earlier.
    pub priority: i32,
}

/// What a set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetKind {
    /// Ranges of addresses.
    Ranges(Key),
    /// Ranges of addresses to verdicts.
    VerdictMap(Key),
    /// Ranges of (protocol, address, port).
    Doors(Key),
}

/// Family of the addresses in a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Key {
    const fn bytes(self) -> u32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }

    /// The number by which the `nft` program knows how to print it (`ipv4_addr`, `ipv6_addr`); the kernel does not care.
    const fn printed_as(self) -> u32 {
        match self {
            Self::V4 => 7,
            Self::V6 => 8,
        }
    }
}

/// An element of a set. Both ends are included.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    /// Lowest value; fields are padded to 4 bytes each.
    pub first: Vec<u8>,
    /// Highest value.
    pub last: Vec<u8>,
    /// For maps.
    pub verdict: Option<Verdict>,
}

/// Messages of one transaction on one `inet` table.
pub(crate) struct Batch {
    table: String,
    bytes: Vec<u8>,
    sequence: u32,
    last: usize,
    sets: u32,
    rules: usize,
}

impl Batch {
    /// An empty transaction on a table.
    pub(crate) fn new(table: &str) -> Self {
        let mut batch = Self { table: table.into(), bytes: Vec::new(), sequence: 0, last: 0, sets: 0, rules: 0 };
        batch.message(BATCH_BEGIN, REQUEST, &Attrs::default());
        batch
    }

    /// Replaces the table by an empty one: makes it (so that there is one), deletes it, makes it again.
    pub(crate) fn fresh_table(&mut self) {
        self.add_table();
        self.delete_table();
        self.add_table();
    }

    fn add_table(&mut self) {
        let attrs = self.named(|_| {});
        self.nft(NEW_TABLE, CREATE, &attrs);
    }

    /// Deletes the table with everything in it.
    pub(crate) fn delete_table(&mut self) {
        let attrs = self.named(|_| {});
        self.nft(DELETE_TABLE, 0, &attrs);
    }

    /// Adds a base chain, which lets through what no rule decides.
    pub(crate) fn base_chain(&mut self, name: &str, chain: Chain) {
        let attrs = self.named(|a| {
            a.text(3, name);
            a.nest(4, |hook| {
                hook.number(1, chain.hook as u32);
                hook.number(2, chain.priority.cast_unsigned());
            });
            a.number(5, 1);
            a.text(7, chain.kind);
        });
        self.nft(NEW_CHAIN, CREATE, &attrs);
    }

    /// Adds a chain for [`Verdict::Goto`].
    pub(crate) fn chain(&mut self, name: &str) {
        let attrs = self.named(|a| a.text(3, name));
        self.nft(NEW_CHAIN, CREATE, &attrs);
    }

    /// Adds a rule at a chain's end.
    pub(crate) fn rule(&mut self, chain: &str, rule: &Rule) {
        self.rules += 1;
        let attrs = self.named(|a| {
            a.text(2, chain);
            a.nest(4, |list| rule.iter().for_each(|expr| expr.write(list)));
        });
        self.nft(NEW_RULE, CREATE | APPEND, &attrs);
    }

    /// Adds a set with its elements, which must not overlap.
    pub(crate) fn set(&mut self, name: &str, kind: SetKind, elements: &[Element]) {
        self.sets += 1;
        let id = self.sets;
        let attrs = self.named(|a| {
            a.text(2, name);
            let (flags, length) = match kind {
                SetKind::Ranges(key) => (4, key.bytes()),
                SetKind::VerdictMap(key) => (4 | 8, key.bytes()),
                SetKind::Doors(key) => (4 | 0x80, 4 + key.bytes() + 4),
            };
            a.number(3, flags);
            a.number(
                4,
                match kind {
                    SetKind::Ranges(key) | SetKind::VerdictMap(key) => key.printed_as(),
                    // `inet_proto`, address, `inet_service`: six bits each.
                    SetKind::Doors(key) => 12 << 12 | key.printed_as() << 6 | 13,
                },
            );
            a.number(5, length);
            if let SetKind::VerdictMap(_) = kind {
                a.number(6, 0xffff_ff00); // NFT_DATA_VERDICT
                a.number(7, 0);
            }
            a.number(10, id);
            if let SetKind::Doors(key) = kind {
                a.nest(9, |desc| {
                    desc.nest(2, |concat| {
                        for field in [1, key.bytes(), 2] {
                            concat.nest(1, |f| f.number(1, field));
                        }
                    });
                });
            }
        });
        self.nft(NEW_SET, CREATE, &attrs);
        for some in elements.chunks(ELEMENTS) {
            let attrs = self.named(|a| {
                a.text(2, name);
                a.number(4, id);
                a.nest(3, |list| some.iter().for_each(|element| write_element(list, kind, element)));
            });
            self.nft(NEW_ELEMENT, CREATE, &attrs);
        }
    }

    /// Rules added so far.
    pub(crate) const fn rules(&self) -> usize {
        self.rules
    }

    /// A request for all rules of a table, with sequence number 1.
    pub(crate) fn list_rules(table: &str) -> Vec<u8> {
        let mut batch = Self { table: table.into(), bytes: Vec::new(), sequence: 0, last: 0, sets: 0, rules: 0 };
        let attrs = batch.named(|_| {});
        batch.message(SUBSYSTEM << 8 | LIST_RULES, REQUEST | DUMP, &attrs);
        batch.bytes
    }

    /// The finished transaction, and the sequence number that the kernel will acknowledge.
    pub(crate) fn finish(mut self) -> (Vec<u8>, u32) {
        if let Some(flags) = self.bytes.get_mut(self.last + 6..self.last + 8) {
            flags.copy_from_slice(&(u16::from_ne_bytes([flags[0], flags[1]]) | ACK).to_ne_bytes());
        }
        let acknowledged = self.sequence;
        self.message(BATCH_END, REQUEST, &Attrs::default());
        (self.bytes, acknowledged)
    }

    fn named(&self, fill: impl FnOnce(&mut Attrs)) -> Attrs {
        let mut attrs = Attrs::default();
        attrs.text(1, &self.table);
        fill(&mut attrs);
        attrs
    }

    fn nft(&mut self, kind: u16, flags: u16, attrs: &Attrs) {
        self.last = self.bytes.len();
        self.message(SUBSYSTEM << 8 | kind, REQUEST | flags, attrs);
    }

    fn message(&mut self, kind: u16, flags: u16, attrs: &Attrs) {
        self.sequence += 1;
        let length = u32::try_from(20 + attrs.0.len()).unwrap_or(u32::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.bytes.extend(0_u32.to_ne_bytes());
        let family = if kind < 0x100 { 0 } else { INET };
        self.bytes.extend([family, 0]);
        self.bytes.extend(SUBSYSTEM.to_be_bytes());
        self.bytes.extend(&attrs.0);
    }
}

/// Sets of one field have the begin and, flagged, the value after the end; those of several fields have both ends.
fn write_element(list: &mut Attrs, kind: SetKind, element: &Element) {
    list.nest(1, |e| {
        e.nest(1, |key| key.bytes(1, &element.first));
        if let Some(verdict) = &element.verdict {
            e.nest(2, |data| data.verdict(verdict));
        }
        if let SetKind::Doors(_) = kind {
            e.nest(10, |key| key.bytes(1, &element.last));
        }
    });
    if let SetKind::Doors(_) = kind {
        return;
    }
    if let Some(after) = successor(&element.last) {
        list.nest(1, |e| {
            e.nest(1, |key| key.bytes(1, &after));
            e.number(3, 1); // NFT_SET_ELEM_INTERVAL_END
        });
    }
}

/// The next number; none after the highest, where the range is open.
fn successor(value: &[u8]) -> Option<Vec<u8>> {
    let mut next = value.to_vec();
    for byte in next.iter_mut().rev() {
        let (sum, overflow) = byte.overflowing_add(1);
        *byte = sum;
        if !overflow {
            return Some(next);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Batch, successor};

    #[test]
    fn successors() {
        assert_eq!(successor(&[1, 255, 255]), Some(vec![2, 0, 0]));
        assert_eq!(successor(&[255, 255]), None);
    }

    #[test]
    fn only_the_last_change_is_acknowledged() {
        let mut batch = Batch::new("t");
        batch.fresh_table();
        let (bytes, acknowledged) = batch.finish();
        let (mut rest, mut acks) = (bytes.as_slice(), Vec::new());
        while rest.len() >= 20 {
            let length = u32::from_ne_bytes(rest[..4].try_into().expect("4 bytes")) as usize;
            if u16::from_ne_bytes([rest[6], rest[7]]) & 4 != 0 {
                acks.push(u32::from_ne_bytes(rest[8..12].try_into().expect("4 bytes")));
            }
            rest = &rest[length..];
        }
        assert_eq!((acks, rest.len()), (vec![acknowledged], 0));
        assert_eq!(acknowledged, 4, "begin, then three changes of the table");
    }
}
