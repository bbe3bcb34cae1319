//! What the first bytes of a squashfs say of it: enough to make a lost record of slots anew.
//! Layout: `struct squashfs_super_block` in `fs/squashfs/squashfs_fs.h` of Linux 6.1, little endian.

/// Bytes that have to be read.
pub const SUPERBLOCK: usize = 96;
const MAGIC: &[u8; 4] = b"hsqs";
/// `mksquashfs` fills up to this many bytes.
const PAGE: u64 = 4096;

/// A file system that begins with these bytes: its length with what it is filled up with, and when its sources were made
/// (seconds since 1970). `None`: it is none, or longer than the `room` it is said to lie in.
#[must_use]
pub fn about(superblock: &[u8], room: u64) -> Option<(u64, u64)> {
    if superblock.get(..4)? != MAGIC {
        return None;
    }
    let made = u32::from_le_bytes(superblock.get(8..12)?.try_into().ok()?);
    let used = u64::from_le_bytes(superblock.get(40..48)?.try_into().ok()?);
    let length = used.checked_next_multiple_of(PAGE)?;
    (used >= SUPERBLOCK as u64 && length <= room).then_some((length, made.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superblock_tells_length_and_time_and_nothing_else_is_one() {
        let mut block = [0; SUPERBLOCK];
        block[..4].copy_from_slice(MAGIC);
        block[8..12].copy_from_slice(&1_790_000_000_u32.to_le_bytes());
        block[40..48].copy_from_slice(&4097_u64.to_le_bytes());
        assert_eq!(about(&block, 8192), Some((8192, 1_790_000_000)));
        assert_eq!(about(&block, 8191), None, "longer than its partition");
        for cut in 0..48 {
            assert_eq!(about(&block[..cut], 1 << 30), None);
        }
        for used in [0, 95, u64::MAX] {
            block[40..48].copy_from_slice(&used.to_le_bytes());
            assert_eq!(about(&block, 1 << 30), None, "{used}");
        }
        assert_eq!(about(&[0; SUPERBLOCK], 1 << 30), None);
    }
}
