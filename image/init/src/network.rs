//! The one Ethernet interface and its address, by busybox's DHCP client.

use crate::log;
use std::fs;
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long USB adapters may take (tenths of a second).
const WAIT_TENTHS: u32 = 150;
/// Where the script of the DHCP client leaves the address.
pub const ADDRESS_FILE: &str = "/run/address";

/// The first interface that is neither loopback nor a tunnel: it has a device below it.
pub fn interface() -> Option<String> {
    let all = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let with_device = all.filter(|entry| entry.path().join("device").exists());
    with_device.filter_map(|entry| entry.file_name().into_string().ok()).min()
}

/// The same, once it is there.
pub fn wait_for_interface() -> Option<String> {
    for _ in 0..WAIT_TENTHS {
        if let Some(first) = interface() {
            return Some(first);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    log::say("no network interface");
    None
}

/// Runs a busybox applet to its end.
pub fn busybox(arguments: &[&str]) -> io::Result<bool> {
    Ok(Command::new("/bin/busybox").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
}

/// Puts the interface up. Gives the DHCP client, which stays in the foreground.
pub fn dhcp(interface: &str) -> io::Result<Command> {
    busybox(&["ip", "link", "set", "lo", "up"])?;
    busybox(&["ip", "link", "set", interface, "up"])?;
    let mut client = Command::new("/bin/busybox");
    client
        .args([
            "udhcpc",
            "-f",
            "-i",
            interface,
            "-s",
            "/etc/udhcpc.sh",
            "-x",
            "hostname:hearthgate",
            "-t",
            "5",
            "-A",
            "3",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(client)
}

/// The address, once there is one.
pub fn address() -> Option<String> {
    Some(fs::read_to_string(ADDRESS_FILE).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
}

/// What the script of the DHCP client left in a file: words, none without the file.
pub fn lease_words(file: &str) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// Whether there is a WireGuard interface of the kernel's, as the router part of the program makes one.
pub fn tunnel_in_kernel() -> bool {
    let mut interfaces = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    interfaces
        .any(|entry| fs::read_to_string(entry.path().join("uevent")).is_ok_and(|t| t.contains("DEVTYPE=wireguard")))
}

/// Whether the kernel makes WireGuard interfaces: one is made and taken away again.
pub fn has_wireguard() -> bool {
    let tried = |verb| busybox(&["ip", "link", verb, "probe0", "type", "wireguard"]).unwrap_or(false);
    tried("add") && tried("del")
}
