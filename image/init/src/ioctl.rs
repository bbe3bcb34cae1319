//! The two requests to the kernel for which no library has a safe function: read the partition table again, and grow a
//! mounted ext4. The only `unsafe` of the image: a wrong number or a wrong type here would let the kernel write where
//! it should not. Both requests take nothing or read one number, and write nothing to our memory.
//! Source: `include/uapi/linux/fs.h` and `fs/ext4/ext4.h` of Linux 6.1.
#![allow(unsafe_code)]

use rustix::ioctl::{NoArg, Opcode, Setter, ioctl, opcode};
use std::fs::File;
use std::io;

/// `BLKRRPART`: `_IO(0x12, 95)`.
const READ_PARTITIONS: Opcode = opcode::none(0x12, 95);
/// `EXT4_IOC_RESIZE_FS`: `_IOW('f', 16, __u64)`.
const RESIZE: Opcode = opcode::write::<u64>(b'f', 16);

/// Makes the kernel read the partition table of a whole disk again. Fails while a partition of it is mounted.
pub fn read_partitions(disk: &File) -> io::Result<()> {
    // SAFETY: the request takes no argument.
    Ok(unsafe { ioctl(disk, NoArg::<READ_PARTITIONS>::new()) }?)
}

/// Grows the ext4 that `inside` lies on to this many blocks of its own block size.
pub fn grow_ext4(inside: &File, blocks: u64) -> io::Result<()> {
    // SAFETY: the kernel reads one u64 through the pointer that `Setter` makes from this value.
    Ok(unsafe { ioctl(inside, Setter::<RESIZE, u64>::new(blocks)) }?)
}
