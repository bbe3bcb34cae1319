//! The disk this system lies on: found by its identifier, with the record of slots between the partition table and the
//! first partition.

use crate::ioctl;
use hearthgate_slots::{RECORD_SECTORS, Record, SECTOR, Slot, SlotName, newest, table};
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
        let hash = || -> io::Result<[u8; 32]> {
            let from = File::open(self.partition(name.partition()))?;
            // Not what the kernel still has in memory of what was just written.
            rustix::fs::fadvise(&from, 0, None, rustix::fs::Advice::DontNeed)?;
            let mut from = from.take(slot.length);
            let (mut sum, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
            loop {
                let n = from.read(&mut chunk)?;
                let Some(read) = chunk.get(..n).filter(|c| !c.is_empty()) else { break };
                sum.update(read);
            }
            Ok(sum.finalize().into())
        };
        slot.length > 0 && hash().is_ok_and(|sum| sum == slot.sha256)
    }
}
