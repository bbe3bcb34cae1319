//! What the kernel has to be told, or asked, besides interfaces and rules: forwarding, and what comes with it.

use crate::PlaneError;
use std::{fs, io, path::Path};

/// Settings of the kernel's network.
const NET: &str = "/proc/sys/net";
/// `accept_ra`: router advertisements are taken on a host, but not by who forwards.
const AS_A_HOST: &str = "1";
/// `accept_ra`: they are taken by who forwards too.
const ALWAYS: &str = "2";
/// `rp_filter`: a packet has to come from where its answer would go.
const STRICT: u8 = 1;

/// Lets the kernel pass packets on. It is not taken back at the end: others may have come to rely on it.
pub(crate) fn forwarding() -> Result<(), PlaneError> {
    for name in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        let path = Path::new(NET).join(name);
        match fs::read_to_string(&path) {
            Ok(value) if value.trim() == "1" => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // no IPv6
            _ => {}
        }
        if name.starts_with("ipv6") {
            keep_advertisements();
        }
        let failed = |error| PlaneError::Sysctl { name: format!("net/{name}"), error };
        fs::write(&path, "1").map_err(failed)?;
    }
    Ok(())
}

/// A machine that has its IPv6 address and its default route from advertisements would lose them within the hour: the
/// kernel stops to take them when it begins to forward.
fn keep_advertisements() {
    for interface in fs::read_dir(Path::new(NET).join("ipv6/conf")).into_iter().flatten().flatten() {
        let path = interface.path().join("accept_ra");
        if fs::read_to_string(&path).is_ok_and(|value| value.trim() == AS_A_HOST)
            && let Err(error) = fs::write(&path, ALWAYS)
        {
            tracing::warn!(path = %path.display(), %error, "router advertisements are not taken any more");
        }
    }
}

/// An interface, other than loopback and `tunnel`, that drops what comes from an address to which the default route of
/// an exit node leads: everything (`rp_filter`, Linux's `Documentation/networking/ip-sysctl.rst`).
#[must_use]
pub fn strict_interface(tunnel: &str) -> Option<String> {
    let conf = Path::new(NET).join("ipv4/conf");
    let strictness = |name: &str| -> u8 {
        fs::read_to_string(conf.join(name).join("rp_filter"))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    };
    let all = strictness("all");
    let names = fs::read_dir(&conf).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut names = names.filter_map(|name| name.into_string().ok());
    // The larger of the two counts; 2 is loose.
    names.find(|name| !["all", "default", "lo", tunnel].contains(&name.as_str()) && strictness(name).max(all) == STRICT)
}
