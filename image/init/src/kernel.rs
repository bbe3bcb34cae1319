//! What only the first program asks of the kernel: file systems, modules, reboot.

use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, finit_module};
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Mounts a file system; the directory is there.
pub fn mount_at(source: &str, target: &str, kind: &str, flags: MountFlags, data: &str) -> io::Result<()> {
    let data = CString::new(data)?;
    mount(source, target, kind, flags, Some(data.as_c_str())).map_err(|e| {
        let e = io::Error::from(e);
        io::Error::new(e.kind(), format!("mounting {source} at {target}: {e}"))
    })
}

/// /proc, /sys and /dev.
pub fn mount_basics() -> io::Result<()> {
    let strict = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    mount_at("devtmpfs", "/dev", "devtmpfs", MountFlags::NOSUID, "mode=0755")?;
    mount_at("proc", "/proc", "proc", strict, "")?;
    mount_at("sysfs", "/sys", "sysfs", strict, "")
}

/// Loads the modules that a list names, a path a line; one that is there already, or has no hardware, is no mistake.
pub fn load_modules(list: &str) -> io::Result<usize> {
    let folder = Path::new(crate::MODULES);
    let mut loaded = 0;
    for name in fs::read_to_string(list)?.lines() {
        let file = File::open(folder.join(name));
        if file.is_ok_and(|file| finit_module(file, c"", 0).is_ok()) {
            loaded += 1;
        }
    }
    Ok(loaded)
}

/// The value of `name=` on the kernel's command line.
pub fn argument(name: &str) -> Option<String> {
    let line = fs::read_to_string("/proc/cmdline").ok()?;
    line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

/// Writes everything out and restarts.
pub fn reboot() {
    rustix::fs::sync();
    let _ = rustix::system::reboot(RebootCommand::Restart);
    // Where the kernel cannot restart, its watchdog can: nobody feeds it any more.
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}
