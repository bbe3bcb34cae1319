//! Upgrades of a disk that is files in a folder: what is refused leaves the slot to go back to as it was.

use super::*;
use hearthgate_slots::{Outcome, Slot};
use hearthgate_usign::SecretKey;
use std::io::Cursor;

/// Bytes of a slot's partition.
const ROOM: usize = 8192;

struct Box {
    folder: tempfile::TempDir,
    disk: Disk,
}

fn key() -> SecretKey {
    SecretKey::from_seed([1; 32], [2; 8]).unwrap()
}

fn slot(bytes: &[u8], built: u64) -> Slot {
    Slot { length: bytes.len() as u64, sha256: Sha256::digest(bytes).into(), built }
}

fn upgrade(system: &[u8], built: u64, target: &str, key: &SecretKey) -> Vec<u8> {
    [Header::make(system, built, target, "9.9", key).unwrap().as_slice(), system].concat()
}

impl Box {
    /// Slot A runs "old" of time 100, slot B holds "older".
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::in_folder(folder.path(), 512 * 100);
        let this = Self { folder, disk };
        for (name, system) in [(SlotName::A, b"old".as_slice()), (SlotName::B, b"older")] {
            let mut bytes = system.to_vec();
            bytes.resize(ROOM, 0);
            std::fs::write(this.disk.partition(name.partition()), bytes).unwrap();
        }
        let record = Record { slots: [slot(b"old", 100), slot(b"older", 90)], ..Record::new(Slot::default()) };
        this.disk.write_record(&record).unwrap();
        this
    }

    fn install(&self, file: &[u8]) -> Result<String, InstallError> {
        install(&self.disk, SlotName::A, &key().public(), Cursor::new(file))
    }

    fn b(&self) -> Vec<u8> {
        std::fs::read(self.disk.partition(3)).unwrap()
    }
}

#[test]
fn a_good_one_is_in_the_other_slot_on_trial() {
    let here = Box::new();
    let system = vec![7; ROOM];
    assert_eq!(here.install(&upgrade(&system, 101, TARGET, &key())).unwrap(), "9.9");
    let record = here.disk.record().unwrap();
    assert!(record.pending && record.tries == 1 && record.active == SlotName::A);
    assert_eq!((record.slot(SlotName::B), here.b()), (slot(&system, 101), system.clone()));
    assert!(here.disk.holds(SlotName::B, slot(&system, 101)));
    assert!(!here.disk.holds(SlotName::B, slot(b"other", 101)));
    // What follows the file in a form does no harm.
    let mut longer = upgrade(&system, 102, TARGET, &key());
    longer.extend_from_slice(b"\r\n--boundary--\r\n");
    here.install(&longer).unwrap();
    assert_eq!(here.b(), system);
    drop(here.folder);
}

#[test]
fn what_is_refused_writes_neither_slot_nor_record() {
    let here = Box::new();
    let (record, b) = (here.disk.record().unwrap(), here.b());
    let good = upgrade(&[7; 3000], 101, TARGET, &key());
    let mut damaged = good.clone();
    damaged[HEAD + 2999] ^= 1;
    let mut head = good.clone();
    head[20] ^= 1;
    let stranger = SecretKey::from_seed([9; 32], [2; 8]).unwrap();
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("cut off in the system", good[..HEAD + 2999].to_vec(), "damaged"),
        ("cut off after the head", good[..HEAD].to_vec(), "damaged"),
        ("cut off in the head", good[..HEAD - 1].to_vec(), ""),
        ("nothing", Vec::new(), ""),
        ("a bit of the system", damaged, "damaged"),
        ("a bit of the head", head, "signature"),
        ("of a stranger", upgrade(&[7; 3000], 101, TARGET, &stranger), "signature"),
        ("older", upgrade(&[7; 3000], 99, TARGET, &key()), "older"),
        ("for another machine", upgrade(&[7; 3000], 101, "toaster", &key()), "for toaster"),
    ];
    for (what, file, says) in cases {
        let error = here.install(&file).expect_err(what).to_string();
        assert!(error.contains(says), "{what}: {error}");
        assert_eq!((here.disk.record().unwrap(), here.b()), (record, b.clone()), "{what}");
    }
    let long = here.install(&upgrade(&vec![7; ROOM + 1], 101, TARGET, &key())).unwrap_err();
    assert!(long.to_string().contains("more than a slot holds"), "{long}");
    assert!(matches!(here.install(&upgrade(b"old", 101, TARGET, &key())), Err(InstallError::Running)));
    assert_eq!((here.disk.record().unwrap(), here.b()), (record, b));
}

#[test]
fn what_was_undone_is_not_tried_again() {
    let here = Box::new();
    let file = upgrade(&[7; 3000], 101, TARGET, &key());
    here.install(&file).unwrap();
    let tried = here.disk.record().unwrap().boot().write_first.unwrap();
    let undone = tried.boot().write_first.unwrap();
    assert_eq!(undone.outcome, Outcome::NotHealthy);
    here.disk.write_record(&undone).unwrap();
    assert!(matches!(here.install(&file), Err(InstallError::FailedBefore)));
    here.install(&upgrade(&[8; 3000], 101, TARGET, &key())).unwrap();
}
