//! The program's configuration: the image's own, or `hearthgate.toml` on the card's first partition, which any computer
//! can write. Where state and sockets lie is the image's business in both cases: the environment says so, which wins.

use crate::disk::Disk;
use crate::{kernel, log};
use rustix::mount::{MountFlags, UnmountFlags, unmount};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = "/usr/sbin/hearthgate";
const OWN: &str = "/etc/hearthgate.toml";
const GIVEN: &str = "/boot/hearthgate.toml";
/// A copy, so that the card's first partition is mounted for a moment only.
const COPY: &str = "/run/hearthgate.toml";
/// Largest configuration taken, in bytes.
const MAX: u64 = 64 * 1024;
/// Where the program takes commands, and says that it is well.
pub const SOCKET: &str = "/run/hearthgate.sock";
/// What a configuration on the card cannot change.
const FIXED: [(&str, &str); 4] = [
    ("HEARTHGATE_STATE_DIR", "/data/hearthgate"),
    ("HEARTHGATE_UNIX_SOCKET", SOCKET),
    ("HEARTHGATE_IMAGE_UPGRADE_DIR", "/data/upgrade"),
    ("HEARTHGATE_IMAGE_STATUS_FILE", "/run/image.json"),
];

/// Mounts the first partition read-only at /boot.
pub fn mount_boot(disk: &Disk) -> io::Result<()> {
    let read_only = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    kernel::mount_at(&disk.partition(1), "/boot", "vfat", read_only, "")
}

/// Undoes [`mount_boot`].
pub fn unmount_boot() {
    let _ = unmount("/boot", UnmountFlags::empty());
}

/// The command that runs the server.
pub fn command(disk: &Disk) -> Command {
    let config = if given(disk) { COPY } else { OWN };
    let mut command = program(&["serve", "--config", config]);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).envs(FIXED);
    command
}

/// Whether there is a configuration on the card and the program takes it.
fn given(disk: &Disk) -> bool {
    if mount_boot(disk).is_err() {
        return false;
    }
    let copied = copy(Path::new(GIVEN), Path::new(COPY));
    unmount_boot();
    match copied {
        Ok(true) => {}
        Ok(false) => return false,
        Err(error) => {
            log::say(&format!("hearthgate.toml of the card is not used: {error}"));
            return false;
        }
    }
    let tested = program(&["configtest", "--config", COPY]).output();
    match tested {
        Ok(out) if out.status.success() => {
            log::say("hearthgate.toml of the card is used");
            true
        }
        Ok(out) => {
            log::say(&format!(
                "hearthgate.toml of the card is not used: {}",
                String::from_utf8_lossy(&out.stderr).trim()
            ));
            false
        }
        Err(error) => {
            log::say(&format!("hearthgate.toml of the card is not used: {error}"));
            false
        }
    }
}

/// Copies a configuration. `false`: there is none. One that is too long is a mistake: its beginning may be one as well, which
/// says something else.
fn copy(from: &Path, to: &Path) -> io::Result<bool> {
    let Ok(file) = File::open(from) else { return Ok(false) };
    let mut text = Vec::new();
    file.take(MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX {
        return Err(io::Error::other(format!("it is longer than {MAX} bytes")));
    }
    fs::write(to, text)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_copied_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("given"), folder.path().join("copy"));
        assert!(!copy(&from, &to).unwrap());
        fs::write(&from, vec![b'#'; MAX as usize]).unwrap();
        assert!(copy(&from, &to).unwrap());
        assert_eq!(fs::read(&to).unwrap().len() as u64, MAX);
        fs::remove_file(&to).unwrap();
        fs::write(&from, vec![b'#'; MAX as usize + 1]).unwrap();
        assert!(copy(&from, &to).is_err() && !to.exists());
    }
}
