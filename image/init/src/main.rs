//! The first program of an image, twice: in the initramfs it chooses a system slot, checks it and gives it control; from
//! that slot it runs hearthgate and what it needs (network, clock, watchdog), confirms a slot that is well, and installs
//! signed upgrades into the other. `image/README.md` tells the whole story.

use std::process::ExitCode;

mod clock;
mod disk;
mod grow;
mod ioctl;
mod kernel;
mod log;
mod mdns;
mod network;
mod ntp;
mod service;
mod settings;
mod stage1;
mod stage2;
mod upgrade;
mod watchdog;

/// Present in the initramfs only: the modules that the disk needs, in the order they are loaded.
const EARLY_MODULES: &str = "/modules.early";
/// The others, in the initramfs too: a kernel takes only modules that were made with it, and slots are upgraded without it.
const LATE_MODULES: &str = "/modules.late";
/// Where both are.
const MODULES: &str = "/modules";

/// Before a restart after a mistake.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(15);

fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!("this program is the init of a hearthgate image and does nothing else");
        return ExitCode::FAILURE;
    }
    let ended = if std::path::Path::new(EARLY_MODULES).exists() { stage1::run() } else { stage2::run() };
    // The first program must not end: the kernel would panic. A reboot is what a watchdog would do.
    if let Err(error) = ended {
        log::say(&format!("cannot go on: {error}; restarting in {} s", PAUSE.as_secs()));
        // Long enough to be read on a screen; a slot on trial is left all the same.
        std::thread::sleep(PAUSE);
    }
    kernel::reboot();
    ExitCode::FAILURE
}
