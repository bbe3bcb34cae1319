//! The disk this system lies on: found by its identifier, with the record of slots between the partition table and the
//! first partition.

use crate::ioctl;
use hearthgate_slots::{RECORD_SECTORS, Record, SECTOR, Slot, SlotName, newest, squashfs, table};
use sha2::{Digest as _, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

/// Names that a disk has on the machines images are made for: virtio, SD and eMMC, USB.
const CANDIDATES: [&str; 5] = ["vda", "mmcblk0", "mmcblk1", "sda", "sdb"];
/// How long a slow card or a USB disk may take to appear (tenths of a second).
const WAIT_TENTHS: u32 = 200;
/// Bytes read at a time while a slot is checked.
const CHUNK: usize = 256 * 1024;

/// The disk.
#[derive(Debug)]
pub struct Disk {
    /// Where devices are: `/dev`, and another folder in tests.
    folder: String,
    name: String,
    file: File,
}

impl Disk {
    /// Waits for the disk with this identifier (offset 440 of its first sector).
    pub fn find(id: u32) -> io::Result<Self> {
        for _ in 0..WAIT_TENTHS {
            for name in CANDIDATES {
                let Ok(file) = OpenOptions::new().read(true).write(true).open(format!("/dev/{name}")) else { continue };
                let mut found = [0; 4];
                if file.read_exact_at(&mut found, 440).is_ok() && u32::from_le_bytes(found) == id {
                    let disk = Self { folder: "/dev".into(), name: name.into(), file };
                    if disk.partition_exists(4) {
                        return Ok(disk);
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(io::Error::new(io::ErrorKind::NotFound, format!("no disk {id:08x}")))
    }

    /// A disk that is a file of so many bytes, for tests; its partitions are whatever files are put beside it.
    #[cfg(test)]
    pub fn in_folder(folder: &std::path::Path, bytes: u64) -> Self {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(folder.join("vda")).unwrap();
        file.set_len(bytes).unwrap();
        Self { folder: folder.to_str().unwrap().into(), name: "vda".into(), file }
    }

    fn partition_exists(&self, number: u32) -> bool {
        std::path::Path::new(&self.partition(number)).exists()
    }

    /// The device of a partition, from 1.
    pub fn partition(&self, number: u32) -> String {
        let between = if self.name.starts_with("mmcblk") { "p" } else { "" };
        format!("{}/{}{between}{number}", self.folder, self.name)
    }

    /// The record, the newer of the two copies that is whole.
    pub fn record(&self) -> io::Result<Record> {
        let mut copies = [[0u8; 512]; 2];
        for (copy, sector) in copies.iter_mut().zip(RECORD_SECTORS) {
            self.file.read_exact_at(copy, sector * SECTOR)?;
        }
        let [a, b] = &copies;
        newest([a, b]).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no record of slots on the disk"))
    }

    /// A record made from what the slots hold, for a disk that has lost both copies; it is not written yet.
    pub fn recovered(&self) -> io::Result<Record> {
        let look = |name: SlotName| -> io::Result<Slot> {
            let mut from = File::open(self.partition(name.partition()))?;
            let room = from.seek(SeekFrom::End(0))?;
            from.seek(SeekFrom::Start(0))?;
            let mut head = [0; squashfs::SUPERBLOCK];
            from.read_exact(&mut head)?;
            let (length, built) = squashfs::about(&head, room).ok_or(io::ErrorKind::InvalidData)?;
            Ok(Slot { length, sha256: self.hash(name, length)?, built })
        };
        let slots = [look(SlotName::A).ok(), look(SlotName::B).ok()];
        Record::recovered(slots).ok_or_else(|| io::Error::other("no system in either slot"))
    }

    /// Writes the record and waits until it is on the disk.
    pub fn write_record(&self, record: &Record) -> io::Result<()> {
        let sector = RECORD_SECTORS.get(record.copy()).copied().unwrap_or_default();
        self.file.write_all_at(&record.encode(), sector * SECTOR)?;
        self.file.sync_data()
    }

    /// Lets the last partition reach to the end of the disk. Gives its new size in bytes, or `None` if nothing was to be
    /// done. Nothing of the disk is mounted yet.
    pub fn grow_last(&self) -> io::Result<Option<u64>> {
        let mut sector = [0; 512];
        self.file.read_exact_at(&mut sector, 0)?;
        let size = (&self.file).seek(SeekFrom::End(0))?;
        let Some(new) = table::grown(&sector, size / SECTOR) else { return Ok(None) };
        self.file.write_all_at(&new, 0)?;
        self.file.sync_data()?;
        ioctl::read_partitions(&self.file)?;
        for _ in 0..WAIT_TENTHS {
            if self.partition_exists(4) {
                let bytes = File::open(self.partition(4))?.seek(SeekFrom::End(0))?;
                return Ok(Some(bytes));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "the partitions did not come back"))
    }

    /// Whether the slot's partition holds what the record says.
    pub fn holds(&self, name: SlotName, slot: Slot) -> bool {
        slot.length > 0 && self.hash(name, slot.length).is_ok_and(|sum| sum == slot.sha256)
    }

    /// SHA-256 of the first bytes of a slot's partition.
    fn hash(&self, name: SlotName, length: u64) -> io::Result<[u8; 32]> {
        let from = File::open(self.partition(name.partition()))?;
        // Not what the kernel still has in memory of what was just written.
        rustix::fs::fadvise(&from, 0, None, rustix::fs::Advice::DontNeed)?;
        let (mut from, mut sum, mut chunk) = (from.take(length), Sha256::new(), vec![0; CHUNK]);
        loop {
            let n = from.read(&mut chunk)?;
            let Some(read) = chunk.get(..n).filter(|c| !c.is_empty()) else { break };
            sum.update(read);
        }
        Ok(sum.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_record_is_made_of_what_the_slots_hold() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::in_folder(folder.path(), 512 * 100);
        assert!(disk.record().is_err() && disk.recovered().is_err());
        let mut system = vec![7; 8192];
        system[..4].copy_from_slice(b"hsqs");
        system[8..12].copy_from_slice(&100_u32.to_le_bytes());
        system[40..48].copy_from_slice(&4100_u64.to_le_bytes());
        std::fs::write(disk.partition(2), [system.as_slice(), &[9; 500]].concat()).unwrap();
        std::fs::write(disk.partition(3), [0; 9000]).unwrap();
        let record = disk.recovered().unwrap();
        assert!(record.active == SlotName::A && !record.pending);
        assert_eq!((record.slot(SlotName::A).length, record.slot(SlotName::A).built), (8192, 100));
        assert!(disk.holds(SlotName::A, record.slot(SlotName::A)));
        disk.write_record(&record).unwrap();
        assert_eq!(disk.record().unwrap(), record);
    }
}
