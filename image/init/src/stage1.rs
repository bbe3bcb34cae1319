//! In the initramfs: choose a slot, write down that it was chosen, check it, give it control.

use crate::disk::Disk;
use crate::{EARLY_MODULES, LATE_MODULES, MODULES, grow, kernel, log};
use hearthgate_slots::Boot;
use rustix::mount::{MountFlags, mount_move};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Ends only by a mistake.
pub fn run() -> io::Result<()> {
    kernel::mount_basics()?;
    let loaded = kernel::load_modules(EARLY_MODULES)?;
    let id = kernel::argument("hearthgate.disk").unwrap_or_default();
    let id =
        u32::from_str_radix(&id, 16).map_err(|_| io::Error::other("hearthgate.disk= is not on the command line"))?;
    let disk = Disk::find(id)?;
    log::say(&format!("{loaded} modules, disk {id:08x}"));

    grow::partition(&disk);
    let record = match disk.record() {
        Ok(record) => record,
        Err(error) => {
            let record = disk.recovered()?;
            disk.write_record(&record)?;
            log::say(&format!("{error}: made anew from what the slots hold"));
            record
        }
    };
    let mut boot = record.boot();
    if !disk.holds(boot.slot, record.slot(boot.slot)) {
        log::say(&format!("slot {} is damaged", boot.slot));
        boot = record.damaged(boot.slot);
    }
    let Boot { slot, write_first } = boot;
    if let Some(record) = write_first {
        disk.write_record(&record)?;
        log::say(&format!(
            "slot {slot}: {}",
            if record.pending { "on trial".into() } else { record.outcome.to_string() }
        ));
    }

    kernel::mount_at(&disk.partition(slot.partition()), "/root", "squashfs", MountFlags::RDONLY, "")?;
    log::say(&format!("{} more modules", kernel::load_modules(LATE_MODULES)?));
    // What is in the initramfs stays in memory for as long as the machine runs.
    std::fs::remove_dir_all(MODULES)?;
    for folder in ["dev", "proc", "sys"] {
        mount_move(format!("/{folder}"), format!("/root/{folder}"))?;
    }
    std::env::set_current_dir("/root")?;
    mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    std::env::set_current_dir("/")?;
    Err(Command::new("/sbin/init").env("IMAGE_SLOT", slot.to_string()).exec())
}
