//! A master boot record: the one partition table that the Raspberry Pi's firmware of every model reads.
//! Source: UEFI specification 2.10, section 5.2 (legacy MBR).

use crate::PackError;

/// Bytes per sector.
pub const SECTOR: u64 = 512;
/// FAT32 with logical addressing.
pub const TYPE_FAT32: u8 = 0x0c;
/// A Linux partition.
pub const TYPE_LINUX: u8 = 0x83;

/// One of up to four partitions, in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// First sector.
    pub start: u32,
    /// How many sectors.
    pub length: u32,
    /// One of the type bytes.
    pub kind: u8,
}

/// The first sector of a disk of `disk` sectors with that identifier (the `PARTUUID`'s first half).
pub fn mbr(disk_id: u32, disk: u32, partitions: &[Partition]) -> Result<[u8; 512], PackError> {
    let mut sector = [0u8; 512];
    let (_, rest) = sector.split_at_mut(440);
    let mut entries = Vec::new();
    entries.extend_from_slice(&disk_id.to_le_bytes());
    entries.extend_from_slice(&[0, 0]);
    let mut free_from = 1;
    for (number, p) in partitions.iter().enumerate() {
        let end = p.start.checked_add(p.length).filter(|end| *end <= disk);
        let (true, Some(end)) = (number < 4 && p.length > 0 && p.start >= free_from, end) else {
            return Err(PackError::Partition(number + 1));
        };
        free_from = end;
        // Cylinder, head and sector say "beyond what can be said": everybody reads the logical numbers.
        entries.extend_from_slice(&[0, 0xfe, 0xff, 0xff, p.kind, 0xfe, 0xff, 0xff]);
        entries.extend_from_slice(&p.start.to_le_bytes());
        entries.extend_from_slice(&p.length.to_le_bytes());
    }
    entries.resize(70, 0);
    entries.extend_from_slice(&[0x55, 0xaa]);
    rest.copy_from_slice(&entries);
    Ok(sector)
}
