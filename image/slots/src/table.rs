//! The partition table of an image grows with the card it was written to: the last partition, the data, takes what is
//! left. Layout of the MBR: four entries of 16 bytes from byte 446, start and length in sectors at 8 and 12 of each,
//! little endian (UEFI specification 2.10, section 5.2.1).

/// Where the entry of the fourth partition begins.
const FOURTH: usize = 446 + 3 * 16;
/// Growth below this (sectors: 8 MiB) is not worth a write.
const WORTH: u64 = 16 * 1024;
/// Partitions end at multiples of this (sectors: 1 MiB), as flash likes it.
const ALIGN: u64 = 2048;

/// The first sector with the fourth partition reaching to the end of a disk of `disk_sectors` sectors. `None`: it does
/// already, or this is no table of ours.
pub fn grown(sector: &[u8; 512], disk_sectors: u64) -> Option<[u8; 512]> {
    let number = |at: usize| Some(u64::from(u32::from_le_bytes(sector.get(at..at + 4)?.try_into().ok()?)));
    if sector.get(510..)? != [0x55, 0xaa] || *sector.get(FOURTH + 4)? != 0x83 {
        return None;
    }
    let (start, length) = (number(FOURTH + 8)?, number(FOURTH + 12)?);
    // A table of this kind counts sectors in 32 bits: 2 TiB.
    let end = disk_sectors.min(u64::from(u32::MAX)) / ALIGN * ALIGN;
    let wanted = end.checked_sub(start)?;
    if length == 0 || wanted < length + WORTH {
        return None;
    }
    let mut new = *sector;
    new.get_mut(FOURTH + 12..FOURTH + 16)?.copy_from_slice(&u32::try_from(wanted).ok()?.to_le_bytes());
    Some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(start: u32, length: u32) -> [u8; 512] {
        let mut sector = [0; 512];
        sector[FOURTH + 4] = 0x83;
        sector[FOURTH + 8..FOURTH + 12].copy_from_slice(&start.to_le_bytes());
        sector[FOURTH + 12..FOURTH + 16].copy_from_slice(&length.to_le_bytes());
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    }

    #[test]
    fn the_data_partition_takes_the_rest_and_nothing_else_changes() {
        let before = table(264_192, 260_096);
        let after = grown(&before, 62_332_928 + 77).unwrap();
        assert_eq!(after, table(264_192, 62_332_928 - 264_192));
        assert_eq!(grown(&after, 62_332_928 + 77), None, "once is enough");
        assert_eq!(grown(&before, 524_288), None, "the image's own size");
        assert_eq!(grown(&before, 100_000), None, "a disk that is too small");
        assert_eq!(grown(&before, 1 << 40).unwrap(), table(264_192, u32::MAX / 2048 * 2048 - 264_192));
        let mut foreign = before;
        foreign[510] = 0;
        assert_eq!(grown(&foreign, 1 << 30), None);
    }
}
