//! From the slot: the network, hearthgate, health, upgrades, for as long as the machine is on.

use crate::disk::Disk;
use crate::service::{Service, is_healthy};
use crate::upgrade::{InstallError, install};
use crate::watchdog::Watchdog;
use crate::{clock, grow, kernel, log, mdns, network, ntp, settings};
use hearthgate_slots::{Record, SlotName};
use hearthgate_usign::PublicKey;
use rustix::mount::MountFlags;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// Port of hearthgate's page on the LAN, as its configuration in the image says.
const PORT: u16 = 8080;
/// How long a slot on trial may take to become healthy (seconds); `hearthgate.trial=` on the command line is another.
const TRIAL: u64 = 120;
/// How often everything is looked after.
const TICK: Duration = Duration::from_millis(500);
/// How often the clock is written to flash (seconds): that much a power cut may set it back, until a time server answers.
/// `hearthgate.clock=` on the command line is another.
const SAVE_CLOCK: u64 = 6 * 3600;
/// Where upgrades are looked for: what the program has received, and what lies on the card's first partition.
const OFFERS: [&str; 2] = ["/data/upgrade/upgrade.hgu", "/boot/upgrade.hgu"];
/// What the program writes while it receives an upgrade.
const HALF_RECEIVED: &str = "/data/upgrade/upgrade.part";
const SAVED_CLOCK: &str = "/data/clock";
const WATCHDOG: &str = "/dev/watchdog";

/// Ends only by a mistake, or for a restart.
pub fn run() -> io::Result<()> {
    let running = match std::env::var("IMAGE_SLOT").as_deref() {
        Ok("B") => SlotName::B,
        _ => SlotName::A,
    };
    let id = kernel::argument("hearthgate.disk").unwrap_or_default();
    let disk = Disk::find(u32::from_str_radix(&id, 16).map_err(io::Error::other)?)?;
    for folder in ["/run", "/tmp", "/var"] {
        kernel::mount_at("tmpfs", folder, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, "mode=0755,size=16m")?;
    }
    // Times of files are no reason to write.
    let flags = MountFlags::NOATIME | MountFlags::LAZYTIME | MountFlags::NODEV;
    kernel::mount_at(&disk.partition(4), "/data", "ext4", flags, "")?;
    grow::file_system(&disk.partition(4), "/data");
    let record = disk.record()?;
    let built = i64::try_from(record.slot(running).built).unwrap_or(0);
    clock::floor(built, Path::new(SAVED_CLOCK));
    clock::carry_seed(Path::new("/data/seed"));
    rustix::system::sethostname(b"hearthgate")?;
    let watchdog = Watchdog::wake(WATCHDOG);
    log::say(if watchdog.is_some() { "the watchdog is awake" } else { "this machine has no watchdog" });
    fs::create_dir_all("/data/hearthgate")?;
    // Of an upgrade that was being received when the power went: megabytes that nobody would take away.
    let _ = fs::remove_file(HALF_RECEIVED);

    let mut dhcp = None;
    if let Some(interface) = network::wait_for_interface() {
        dhcp = Some(Service::start("udhcpc", network::dhcp(&interface)?));
    }
    // The program states its address by the interface's; a few seconds are given to DHCP.
    let deadline = Instant::now() + Duration::from_secs(10);
    while network::address().is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    if !network::has_wireguard() {
        log::say("this kernel makes no WireGuard interfaces: the box is no router for the tailnet");
    }
    std::thread::spawn(move || ntp::run(built));
    std::thread::spawn(mdns::run);
    let mut service = Service::start("hearthgate", settings::command(&disk));

    let seconds =
        |name, usual| Duration::from_secs(kernel::argument(name).and_then(|text| text.parse().ok()).unwrap_or(usual));
    let (trial, save_clock) = (seconds("hearthgate.trial", TRIAL), seconds("hearthgate.clock", SAVE_CLOCK));
    let started = Instant::now();
    let (mut well, mut clock_saved, mut offered, mut tunnel) = (false, Instant::now(), false, false);
    loop {
        std::thread::sleep(TICK);
        if let Some(dog) = &watchdog {
            dog.hear();
        }
        service.tend();
        if let Some(client) = &mut dhcp {
            client.tend();
        } else if let Some(interface) = network::interface() {
            // An adapter that was put in later.
            dhcp = Some(Service::start("udhcpc", network::dhcp(&interface)?));
        }
        if !well {
            well = is_healthy(Path::new(settings::SOCKET));
            if well {
                became_well(&disk, running)?;
            } else if disk.record()?.pending && started.elapsed() > trial {
                log::say("not healthy in time, going back");
                return Ok(());
            }
        } else if !offered && take_offer(&disk, running) {
            service.stop();
            clock::save(Path::new(SAVED_CLOCK));
            return Ok(());
        } else {
            // What was refused once is not looked at again before the next start; a file that the program received
            // meanwhile is.
            offered = !Path::new(OFFERS[0]).exists();
        }
        if well && !tunnel && network::tunnel_in_kernel() {
            tunnel = true;
            log::say("the tunnel is WireGuard in the kernel");
        }
        if clock_saved.elapsed() > save_clock {
            clock::save(Path::new(SAVED_CLOCK));
            clock_saved = Instant::now();
        }
    }
}

/// Confirms the slot and tells the console where the page is.
fn became_well(disk: &Disk, running: SlotName) -> io::Result<()> {
    let record = disk.record()?;
    let record = match record.confirm(running) {
        Some(confirmed) => {
            disk.write_record(&confirmed)?;
            log::say(&format!("slot {running} is confirmed"));
            confirmed
        }
        None => record,
    };
    write_status(&record, running, "");
    let address = network::address().unwrap_or_else(|| "this machine".into());
    log::say(&format!(
        "ready: http://{address}:{PORT}/ (slot {running}, {}); memory used {} MB",
        record.outcome,
        used()
    ));
    Ok(())
}

/// Memory that is neither free nor given back on demand, in megabytes (10⁶ bytes): the kernel's own tables included.
fn used() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let used = field("MemTotal:").unwrap_or(0).saturating_sub(field("MemAvailable:").unwrap_or(0));
    used * 1024 / 1_000_000
}

/// For the page: which slot runs, how the last upgrade ended, why the last file was refused.
fn write_status(record: &Record, running: SlotName, refused: &str) {
    // The words are ours or the kernel's; whatever they are, they must not end the text early.
    let refused: String =
        refused.chars().map(|c| if c.is_control() || c == '"' || c == '\\' { ' ' } else { c }).collect();
    let (outcome, built) = (record.outcome, record.slot(running).built);
    let text =
        format!("{{\"slot\":\"{running}\",\"outcome\":\"{outcome}\",\"refused\":\"{refused}\",\"built\":{built}}}\n");
    let _ = fs::write("/run/image.json", text);
}

/// Installs an upgrade that lies ready. True: restart now.
fn take_offer(disk: &Disk, running: SlotName) -> bool {
    // Mounted for a moment only: a card that is pulled out must be whole.
    let mounted = settings::mount_boot(disk).is_ok();
    let key = fs::read_to_string("/etc/upgrade.pub").ok().and_then(|text| PublicKey::parse(&text).ok());
    let mut installed = false;
    for offer in OFFERS {
        let (Ok(file), Some(key)) = (File::open(offer), &key) else { continue };
        log::say(&format!("upgrade {offer}"));
        match install(disk, running, key, file) {
            Ok(version) => {
                log::say(&format!("version {version} is in slot {}, to be tried", running.other()));
                installed = true;
            }
            // Said once and left alone: the file stays on the card after it has done its work.
            Err(InstallError::Running) => log::say("this version runs already"),
            Err(error) => {
                log::say(&format!("refused: {error}"));
                if let Ok(record) = disk.record() {
                    write_status(&record, running, &error.to_string());
                }
            }
        }
        if offer.starts_with("/data/") {
            let _ = fs::remove_file(offer);
        }
        if installed {
            break;
        }
    }
    if mounted {
        settings::unmount_boot();
    }
    installed
}
