//! Gives back the pages of the program's file that only its start needed.
//!
//! A start reads most of the program once: configuration, TLS, the network map, the rules. Those pages stay resident until
//! memory is short, and the kernel maps up to sixteen neighbours of each page that is touched. On a machine with 64 MB they
//! are in the way of others, so from time to time all of them are let go, and those in use come back one by one, mostly out
//! of the kernel's file cache (madvise(2), `MADV_DONTNEED`).
#![allow(unsafe_code)]

use nix::sys::mman::{MmapAdvise, madvise};
use std::{ffi::c_void, fs, io, ops::Range, ptr::NonNull, time::Duration};

/// When that is first done: a start is over by then.
pub(crate) const FIRST: Duration = Duration::from_secs(6);
/// And how often afterwards: somebody may have looked at pages, or packets were relayed. What is in use costs some fifty page
/// faults each time.
pub(crate) const AGAIN: Duration = Duration::from_secs(60);

/// Lets the unchanged pages of the program's file go. Where `/proc` is not as expected nothing happens.
pub(crate) fn release() -> io::Result<()> {
    let program = fs::read_link("/proc/self/exe")?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    for range in constant_parts(&maps, &program.to_string_lossy()) {
        let Some(start) = NonNull::new(range.start as *mut c_void) else { continue };
        // SAFETY: `range` is a private mapping of the program's own file that was never writable (`constant_parts`), so that
        // each of its pages is read from that file again, with the same contents, by whoever touches it next: no value in
        // memory changes. The kernel refuses writing to the file of a running program.
        unsafe { madvise(start, range.len(), MmapAdvise::MADV_DONTNEED) }?;
    }
    Ok(())
}

/// Where the constants and the code of `program` lie. Linkers put relocated data, whose pages are no longer those of the
/// file although they are read-only, behind the code; so what lies there is left out.
fn constant_parts(maps: &str, program: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    // How many of the parts are sure to be unchanged: those up to the last code.
    let mut sure = 0;
    for line in maps.lines() {
        // Range, rights, offset, device and inode, then the name, which may have spaces.
        let mut words = line.splitn(6, ' ');
        let (Some(range), Some(rights), Some(name)) = (words.next(), words.next(), words.nth(3)) else { continue };
        if name.trim_start() != program {
            continue;
        }
        let bound = |text: &str| usize::from_str_radix(text, 16).ok();
        let Some((start, end)) =
            range.split_once('-').and_then(|(a, b)| Some(bound(a)?..bound(b)?)).map(|r| (r.start, r.end))
        else {
            break;
        };
        match rights {
            "r--p" if sure == 0 => parts.push(start..end),
            "r-xp" => {
                parts.push(start..end);
                sure = parts.len();
            }
            _ => break,
        }
    }
    parts.truncate(sure);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_and_code_are_found_and_what_was_relocated_is_not() {
        let maps = "\
00200000-00300000 r--p 00000000 fe:00 77      /opt/a program
00300000-00700000 r-xp 00100000 fe:00 77      /opt/a program
00700000-00710000 r--p 00500000 fe:00 77      /opt/a program
00710000-00720000 rw-p 00510000 fe:00 77      /opt/a program
00720000-00730000 rw-p 00000000 00:00 0
01000000-01020000 rw-p 00000000 00:00 0       [heap]
7f000000-7f010000 r-xp 00000000 fe:00 78      /lib/libc.so
7fff0000-7fff2000 r-xp 00000000 00:00 0       [vdso]
";
        assert_eq!(constant_parts(maps, "/opt/a program"), [0x20_0000..0x30_0000, 0x30_0000..0x70_0000]);
        assert_eq!(constant_parts(maps, "/opt/another"), []);
        let relocated = "00200000-00300000 r--p 00000000 fe:00 77 /p\n00300000-00700000 rw-p 00100000 fe:00 77 /p\n";
        assert_eq!(constant_parts(relocated, "/p"), [], "without code nothing says what was relocated");
        assert_eq!(constant_parts("no line of this file\n1-2 r-xp\nx-y r-xp 0 0 0 /p\n", "/p"), []);
    }

    #[test]
    fn this_program_goes_on_with_fewer_of_its_pages() {
        let resident = || {
            let status = fs::read_to_string("/proc/self/status").expect("status");
            let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).expect("RssFile");
            line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number")
        };
        let text = fs::read("/proc/self/exe").expect("the program");
        let before = resident();
        release().expect("release");
        let after = resident();
        assert!(after < before, "{after} KiB, {before} before");
        assert!(fs::read("/proc/self/exe").expect("the program") == text);
    }
}
