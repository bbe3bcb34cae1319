//! The record of both slots: one sector with a checksum, kept twice.

use std::fmt;

/// CRC-32 as IEEE 802.3 has it.
static CRC32: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
const MAGIC: &[u8; 8] = b"HGSLOTS1";
/// Bytes of the sector that are covered by the checksum, which follows them.
const BODY: usize = 128;

/// One of the two system slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotName {
    /// Second partition.
    A,
    /// Third partition.
    B,
}

impl SlotName {
    /// The one that is not this.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Number of its partition, from 1.
    pub fn partition(self) -> u32 {
        match self {
            Self::A => 2,
            Self::B => 3,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'A' => Some(Self::A),
            b'B' => Some(Self::B),
            _ => None,
        }
    }

    fn to_byte(self) -> u8 {
        match self {
            Self::A => b'A',
            Self::B => b'B',
        }
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Bytes of the file system; 0: nothing, or half written.
    pub length: u64,
    /// SHA-256 of these bytes, checked before each start.
    pub sha256: [u8; 32],
    /// When its sources were made, seconds since 1970: what is newer.
    pub built: u64,
}

/// How the last upgrade ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// There was none.
    #[default]
    None,
    /// It was confirmed.
    Confirmed,
    /// It was started and never said that it is well.
    NotHealthy,
    /// Its bytes on the disk were not those that were signed.
    Damaged,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no upgrade yet",
            Self::Confirmed => "the last upgrade was confirmed",
            Self::NotHealthy => "the last upgrade was undone: the new system did not become healthy",
            Self::Damaged => "the last upgrade was undone: the new system was damaged on the disk",
        })
    }
}

/// What is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Counts writes; the copy with the higher number holds.
    pub sequence: u64,
    /// The slot that is known to work.
    pub active: SlotName,
    /// Starts that the other slot may still be given.
    pub tries: u8,
    /// Whether the other slot is to be tried.
    pub pending: bool,
    /// How the last upgrade ended.
    pub outcome: Outcome,
    /// Slots A and B.
    pub slots: [Slot; 2],
}

/// What to start, and what to write before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The slot.
    pub slot: SlotName,
    /// The record to have on the disk before this slot gets control; `None`: it is there already.
    pub write_first: Option<Record>,
}

impl Record {
    /// A new disk: slot A holds a system, B nothing.
    pub fn new(first: Slot) -> Self {
        Self {
            sequence: 1,
            active: SlotName::A,
            tries: 0,
            pending: false,
            outcome: Outcome::None,
            slots: [first, Slot::default()],
        }
    }

    /// Both copies of the record are lost: one made from what the slots seem to hold, as far as each has the beginning of a
    /// file system. The older one runs; whether the newer one was whole or ever confirmed nobody knows, so it is tried
    /// once. `None`: there is nothing to start.
    pub fn recovered(slots: [Option<Slot>; 2]) -> Option<Self> {
        let [a, b] = slots;
        let (active, trial) = match (a, b) {
            (Some(a), Some(b)) if b.built < a.built => (SlotName::B, true),
            (Some(_), Some(_)) => (SlotName::A, true),
            (Some(_), None) => (SlotName::A, false),
            (None, Some(_)) => (SlotName::B, false),
            (None, None) => return None,
        };
        let slots = slots.map(Option::unwrap_or_default);
        Some(Self { active, pending: trial, tries: u8::from(trial), slots, ..Self::new(Slot::default()) })
    }

    /// What a slot holds.
    pub fn slot(&self, name: SlotName) -> Slot {
        let [a, b] = self.slots;
        match name {
            SlotName::A => a,
            SlotName::B => b,
        }
    }

    fn with_slot(mut self, name: SlotName, slot: Slot) -> Self {
        let [a, b] = self.slots;
        self.slots = match name {
            SlotName::A => [slot, b],
            SlotName::B => [a, slot],
        };
        self
    }

    fn next(mut self) -> Self {
        self.sequence = self.sequence.saturating_add(1);
        self
    }

    /// What to start now. A slot on trial costs a try; with none left the trial is over.
    pub fn boot(self) -> Boot {
        if !self.pending {
            return Boot { slot: self.active, write_first: None };
        }
        if self.tries == 0 {
            let over = Self { pending: false, outcome: Outcome::NotHealthy, ..self }.next();
            return Boot { slot: self.active, write_first: Some(over) };
        }
        let counted = Self { tries: self.tries - 1, ..self }.next();
        Boot { slot: self.active.other(), write_first: Some(counted) }
    }

    /// The chosen slot does not hold what it should: what to start instead. The last resort is the active slot itself,
    /// damaged or not.
    pub fn damaged(self, found: SlotName) -> Boot {
        if found == self.active {
            let other = if self.slot(found.other()).length > 0 { found.other() } else { found };
            return Boot { slot: other, write_first: None };
        }
        let over = Self { pending: false, tries: 0, outcome: Outcome::Damaged, ..self }.next();
        Boot { slot: self.active, write_first: Some(over) }
    }

    /// The running system is well. `None`: nothing changes.
    pub fn confirm(self, running: SlotName) -> Option<Self> {
        let on_trial = self.pending && running == self.active.other();
        on_trial.then(|| Self { active: running, pending: false, tries: 0, outcome: Outcome::Confirmed, ..self }.next())
    }

    /// Before the other slot is written: it holds nothing, and nothing is on trial.
    pub fn begin(self) -> Self {
        Self { pending: false, tries: 0, ..self }.with_slot(self.active.other(), Slot::default()).next()
    }

    /// The other slot holds this now, and is to be tried once.
    pub fn installed(self, slot: Slot) -> Self {
        Self { pending: true, tries: 1, ..self }.with_slot(self.active.other(), slot).next()
    }

    /// Whether this system is the one that was tried and undone: it is not tried again by itself.
    pub fn failed_before(&self, sha256: &[u8; 32]) -> bool {
        let undone = matches!(self.outcome, Outcome::NotHealthy | Outcome::Damaged);
        undone && self.slot(self.active.other()).sha256 == *sha256
    }

    /// The sector.
    pub fn encode(&self) -> [u8; 512] {
        let mut body = MAGIC.to_vec();
        body.extend_from_slice(&self.sequence.to_le_bytes());
        let outcome = match self.outcome {
            Outcome::None => 0,
            Outcome::Confirmed => 1,
            Outcome::NotHealthy => 2,
            Outcome::Damaged => 3,
        };
        body.extend_from_slice(&[self.active.to_byte(), self.tries, u8::from(self.pending), outcome]);
        for slot in self.slots {
            body.extend_from_slice(&slot.length.to_le_bytes());
            body.extend_from_slice(&slot.sha256);
            body.extend_from_slice(&slot.built.to_le_bytes());
        }
        body.resize(BODY, 0);
        body.extend_from_slice(&CRC32.checksum(&body).to_le_bytes());
        let mut sector = [0; 512];
        for (to, from) in sector.iter_mut().zip(body) {
            *to = from;
        }
        sector
    }

    /// Reads a sector; `None` if it is not a whole record.
    pub fn decode(sector: &[u8]) -> Option<Self> {
        let body = sector.get(..BODY)?;
        let sum = sector.get(BODY..BODY + 4)?;
        if body.get(..8)? != MAGIC || CRC32.checksum(body).to_le_bytes() != sum {
            return None;
        }
        let number = |at: usize| Some(u64::from_le_bytes(body.get(at..at + 8)?.try_into().ok()?));
        let slot = |at: usize| {
            let sha256 = body.get(at + 8..at + 40)?.try_into().ok()?;
            Some(Slot { length: number(at)?, sha256, built: number(at + 40)? })
        };
        let outcome = match body.get(19)? {
            0 => Outcome::None,
            1 => Outcome::Confirmed,
            2 => Outcome::NotHealthy,
            3 => Outcome::Damaged,
            _ => return None,
        };
        Some(Self {
            sequence: number(8)?,
            active: SlotName::from_byte(*body.get(16)?)?,
            tries: *body.get(17)?,
            pending: *body.get(18)? == 1,
            outcome,
            slots: [slot(20)?, slot(68)?],
        })
    }

    /// Which of the two copies (0 or 1) this record is written to: never the one that holds the record before it.
    pub fn copy(&self) -> usize {
        usize::from(self.sequence % 2 == 0)
    }
}

/// The record that holds, of the two copies as they were read.
pub fn newest(copies: [&[u8]; 2]) -> Option<Record> {
    let [a, b] = copies.map(Record::decode);
    a.into_iter().chain(b).max_by_key(|record| record.sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(mark: u8) -> Slot {
        Slot { length: 4096, sha256: [mark; 32], built: mark.into() }
    }

    #[test]
    fn the_sector_comes_back_and_no_bit_may_differ() {
        let record = Record::new(slot(1)).begin().installed(slot(2)).boot().write_first.unwrap();
        let sector = record.encode();
        assert_eq!(Record::decode(&sector), Some(record));
        for bit in 0..(BODY + 4) * 8 {
            let mut torn = sector;
            torn[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::decode(&torn), None, "bit {bit}");
        }
        for cut in 0..BODY + 4 {
            assert_eq!(Record::decode(&sector[..cut]), None);
        }
    }

    #[test]
    fn a_slot_on_trial_is_started_once() {
        let installed = Record::new(slot(1)).begin().installed(slot(2));
        let first = installed.boot();
        assert_eq!(first.slot, SlotName::B);
        let counted = first.write_first.unwrap();
        let second = counted.boot();
        assert_eq!(second.slot, SlotName::A);
        let over = second.write_first.unwrap();
        assert_eq!((over.outcome, over.boot().slot, over.boot().write_first), (Outcome::NotHealthy, SlotName::A, None));
        assert!(over.failed_before(&[2; 32]) && !over.failed_before(&[3; 32]));

        let good = counted.confirm(SlotName::B).unwrap();
        assert_eq!((good.active, good.boot().write_first), (SlotName::B, None));
        assert_eq!(good.confirm(SlotName::B), None);
        assert_eq!(counted.confirm(SlotName::A), None, "the old system does not confirm the new one");
    }

    #[test]
    fn damage_starts_the_other_slot() {
        let on_trial = Record::new(slot(1)).begin().installed(slot(2));
        let boot = on_trial.damaged(SlotName::B);
        assert_eq!((boot.slot, boot.write_first.unwrap().outcome), (SlotName::A, Outcome::Damaged));
        let confirmed = on_trial.boot().write_first.unwrap().confirm(SlotName::B).unwrap();
        assert_eq!(confirmed.damaged(SlotName::B).slot, SlotName::A);
        assert_eq!(Record::new(slot(1)).damaged(SlotName::A).slot, SlotName::A, "nothing else is there");
    }

    #[test]
    fn without_a_record_the_older_slot_runs_and_the_newer_is_tried_once() {
        for (slots, first, after) in [
            ([Some(slot(1)), Some(slot(2))], SlotName::B, SlotName::A),
            ([Some(slot(2)), Some(slot(1))], SlotName::A, SlotName::B),
            ([Some(slot(1)), None], SlotName::A, SlotName::A),
            ([None, Some(slot(1))], SlotName::B, SlotName::B),
        ] {
            let record = Record::recovered(slots).unwrap();
            assert_eq!(Record::decode(&record.encode()), Some(record));
            let boot = record.boot();
            assert_eq!(boot.slot, first);
            // It is not healthy, or its bytes are not all there.
            assert_eq!(boot.write_first.unwrap_or(record).boot().slot, after);
            assert_eq!(record.damaged(first).slot, after);
        }
        assert_eq!(Record::recovered([None, None]), None);
    }

    /// Every write of an upgrade is torn in every way that a sector can be (old, new, rubbish), at every step; what is
    /// started afterwards is always a slot that is whole.
    #[test]
    fn a_cut_at_any_write_leaves_a_slot_to_start() {
        let mut record = Record::new(slot(1));
        let mut disk = [[0u8; 512]; 2];
        disk[record.copy()] = record.encode();
        // Old system in A; B is whole only after `installed` was written.
        for round in 0..6u8 {
            let steps: [&dyn Fn(Record) -> Record; 4] =
                [&|r| r.begin(), &|r| r.installed(slot(10 + round)), &|r| r.boot().write_first.unwrap(), &|r| {
                    r.confirm(r.active.other()).unwrap()
                }];
            for (number, step) in steps.iter().enumerate() {
                let before = record;
                record = step(record);
                for torn in [disk[record.copy()], [0xff; 512], record.encode()] {
                    let mut cut = disk;
                    cut[record.copy()] = torn;
                    let found = newest([&cut[0], &cut[1]]).unwrap();
                    assert!(found == before || found == record);
                    let start = found.boot().slot;
                    assert!(found.slot(start).length > 0, "round {round} step {number}: starts an empty slot");
                }
                disk[record.copy()] = record.encode();
            }
        }
    }
}
