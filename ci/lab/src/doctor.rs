//! Says what is missing on this machine.

use std::path::Path;

use crate::args::Options;

/// Programs without which no scenario runs.
pub const ALWAYS: &[&str] = &["ip", "nft", "ping", "curl", "mount", "kill"];

/// Programs, why they are needed, and the Debian package they are in.
const NEEDED: &[(&str, &str, &str)] = &[
    ("ip", "namespaces and cables", "iproute2"),
    ("nft", "NAT and firewalls", "nftables"),
    ("ping", "real packets", "iputils-ping"),
    ("curl", "web pages", "curl"),
    ("mount", "a private /etc for each machine", "mount"),
    ("kill", "signals", "procps"),
    ("go", "building official clients", "golang-go"),
    ("nginx", "scenario reverse-proxy", "nginx-light"),
    ("openssl", "scenario reverse-proxy: a certificate", "openssl"),
    ("named", "scenario cert: a name server", "bind9"),
    ("dig", "scenario cert: questions to it", "bind9-dnsutils"),
    ("miniupnpd", "scenario portmap: a home router", "miniupnpd-nftables"),
    ("dnsmasq", "scenario router-exit-dns: a forwarder", "dnsmasq-base"),
    ("iperf3", "scenarios router-4via6 and router-userspace: load", "iperf3"),
    ("wg", "scenario router-plain: a device without a client", "wireguard-tools"),
];

/// Prints the report; true if all is there.
pub fn report(options: &Options) -> bool {
    let mut missing = Vec::new();
    for (program, purpose, package) in NEEDED {
        let there = present(program);
        println!("{} {program:8} {purpose}", if there { "ok     " } else { "MISSING" });
        if !there {
            missing.push(*package);
        }
    }
    let mut well = missing.is_empty();
    if !well {
        println!("\napt-get install -y --no-install-recommends {}\n", missing.join(" "));
    }
    let mut need = |there: bool, what: &str, remedy: &str| {
        println!("{} {what}{}", if there { "ok     " } else { "MISSING" }, if there { "" } else { remedy });
        well &= there;
    };
    need(Path::new("/dev/net/tun").exists(), "/dev/net/tun", ": modprobe tun");
    need(is_root(), "root", ": run as root, or in a privileged container");
    need(options.hearthgate.exists(), &options.hearthgate.display().to_string(), ": cargo build, or --hearthgate PATH");
    for version in &options.versions {
        let binary = options.clients_dir.join(version).join("tailscaled");
        need(binary.exists(), &format!("client {version}"), &format!(": ci/clients/build {version}"));
    }
    well
}

/// Is the program in the search path?
pub fn present(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
        || ["/usr/sbin", "/sbin", "/usr/local/go/bin"].iter().any(|dir| Path::new(dir).join(program).is_file())
}

/// Effective user id 0, as the kernel says it.
pub fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        let mut ids = status.lines().find_map(|l| l.strip_prefix("Uid:")).unwrap_or("").split_whitespace();
        ids.nth(1) == Some("0")
    })
}
