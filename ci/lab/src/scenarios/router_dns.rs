//! Names while our router uses an exit node: its own and its LAN's questions are answered where packets come out.
//!
//! ```text
//!   resolver near the router at 198.51.100.11, near the exit node at 10.77.0.1
//!        internet
//!    ____|____|____________
//!   |             |        |
//! server          gw       y
//!                 |
//!              printer
//! ```
//!
//! `gw` is the home router with hearthgate on it; `y` is an official client and offers to be an exit node.

use std::time::Duration;

use crate::client::{Client, MEET, Relay};
use crate::ensure;
use crate::internet::{GATEWAY, Host};
use crate::lab::Lab;
use crate::nat::NatKind;
use crate::outcome::Outcome;
use crate::router::Router;
use crate::scenario::Scenario;
use crate::server_config::{self, BASE_DOMAIN, EXTRA_RECORD};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "router-exit-dns",
    summary: "names of our router and its LAN are looked up at the official exit node it uses, the network's own are not",
    programs: &["getent", "dnsmasq"],
    run,
    ..Scenario::BASE
};

const SOON: Duration = Duration::from_secs(20);
/// The resolver that the router's provider would have.
const HOME: &str = "198.51.100.11";
const SEEN_AT_HOME: &str = "192.0.2.11";
const SEEN_AT_EXIT: &str = "192.0.2.53";

fn run(lab: &mut Lab) -> Outcome {
    let internet = &lab.internet()?.ns;
    internet.ip(&format!("addr add {HOME}/32 dev lo"))?;
    let _home = internet.helper("dns-home", &["__dns", &format!("{HOME}:53"), SEEN_AT_HOME])?;
    let _exit = internet.helper("dns-exit", &["__dns", &format!("{GATEWAY}:53"), SEEN_AT_EXIT])?;
    let mut home = lab.internet()?.router("gw", NatKind::Easy)?;
    let printer = home.host("printer")?;
    printer.ns.resolver("nameserver 100.100.100.100\n")?;
    // The router's own file: ours first, which passes on to the other.
    home.ns.resolver(&format!("nameserver 100.100.100.100\nnameserver {HOME}\n"))?;
    lab.serve_with(server_config::DNS, &server_config::url())?;
    let (url, key) = (lab.url()?, lab.reusable_key("alice")?);
    let host = lab.internet()?.host("y")?;
    host.ns.resolver(&format!("nameserver {GATEWAY}\n"))?;
    for family in ["ipv4.ip_forward", "ipv6.conf.all.forwarding"] {
        host.ns.sysctl(&format!("net.{family}"), "1")?;
    }
    let mut y = Client::install(host, "y", Relay::Tls)?;
    y.launch()?;
    y.up(&url, &key, &["--advertise-exit-node"])?;
    lab.server()?.approve("y", "0.0.0.0/0,::/0")?;
    let mut gw = Router::join(home.into_host(), "gw", &url, &key, &[])?;
    gw.sees("y", MEET)?;
    for host in [&gw.host, &printer] {
        resolves(host, "www.example.org", SEEN_AT_HOME)?;
    }
    gw.hearthgate(&["router", "up", "--exit-node", "y", "--exit-node-allow-lan-access"], SOON)?.ok()?;
    for host in [&gw.host, &printer] {
        resolves(host, "www.example.org", SEEN_AT_EXIT)?;
        resolves(host, EXTRA_RECORD.0, EXTRA_RECORD.1)?;
        resolves(host, &format!("y.{BASE_DOMAIN}"), &y.ip()?)?;
    }
    let unknown = gw.run(&["getent", "ahostsv4", &format!("nobody.{BASE_DOMAIN}")], SOON)?;
    ensure!(!unknown.success(), "an unknown name of the network was asked elsewhere: {}", unknown.stdout.trim());
    gw.hearthgate(&["router", "up", "--exit-node="], SOON)?.ok()?;
    resolves(&gw.host, "www.example.org", SEEN_AT_HOME)?;

    // A device without the network's resolver asks the router's forwarder, set up as the documentation has it. It listens at
    // each address of the machine, and asks none of them.
    let mut command = gw.host.ns.command("dnsmasq");
    let rebind = format!("--rebind-domain-ok=/{BASE_DOMAIN}/");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--no-resolv"]);
    command.args(["--bind-dynamic", "--stop-dns-rebind", &rebind, &format!("--server=/{BASE_DOMAIN}/100.100.100.100")]);
    let mut forwarder = gw.host.ns.spawn("dnsmasq", &mut command)?;
    printer.ns.resolver("nameserver 192.168.1.1\n")?;
    resolves(&printer, &format!("y.{BASE_DOMAIN}"), &y.ip()?)?;
    forwarder.check()?;
    forwarder.stop()?;

    // The other way round: an official client's questions are answered by our router.
    gw.hearthgate(&["router", "up", "--advertise-exit-node"], SOON)?.ok()?;
    lab.server()?.approve("gw", "0.0.0.0/0,::/0")?;
    let x = gw.ip()?;
    y.context().eventually("gw is chosen", SOON, || {
        y.tailscale(&["set", "--advertise-exit-node=false", &format!("--exit-node={x}")], SOON)?.ok().map(drop)
    })?;
    resolves(&y.host, "www.example.org", SEEN_AT_HOME)?;
    gw.check()
}

fn resolves(host: &Host, name: &str, address: &str) -> Outcome {
    host.ns.context().eventually(&format!("{name} is {address} on {}", host.ns.role), SOON, || {
        let found = host.ns.run(&["getent", "ahostsv4", name], SOON)?.ok()?.stdout;
        let first = found.split_whitespace().next().unwrap_or_default();
        ensure!(first == address, "{first}");
        Ok(())
    })
}
