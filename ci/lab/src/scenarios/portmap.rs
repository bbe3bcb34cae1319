//! A box behind a home router that opens ports when it is asked: miniupnpd, which speaks NAT-PMP, PCP and UPnP. Closed
//! until the owner says so; then an official client joins from the Internet, and STUN answers it; closed again when it
//! is switched off, and when the box stops. Where another machine has the port, the one that was given is told.
//!
//! ```text
//!          internet
//!     ________|________
//!    |                 |
//!    a               home (10.77.0.M, and 25.77.0.30: miniupnpd serves no network that is set aside)
//!                      | miniupnpd
//!                 _____|_____
//!                |           |
//!             server       other
//! ```

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::client::{Client, MEET, Relay};
use crate::daemon::Daemon;
use crate::ensure;
use crate::internet::{Host, Router};
use crate::lab::Lab;
use crate::nat::NatKind;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

use super::acme::NAME;
use super::front::{certificate, config};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "portmap",
    summary: "the home router opens the box's ports (NAT-PMP, UPnP of miniupnpd): a client joins from outside",
    limit: Duration::from_secs(180),
    programs: &["openssl", "miniupnpd"],
    run,
    ..Scenario::BASE
};

/// The household's public address.
const PUBLIC: &str = "25.77.0.30";
/// Where miniupnpd takes commands.
const HTTP: u16 = 5000;
const STEP: Duration = Duration::from_secs(15);
/// Time for a router to be found, asked and to answer: a search by UPnP takes up to two seconds.
const OPENS: Duration = Duration::from_secs(30);

/// Where miniupnpd puts its rules, and what lets in what it leads elsewhere.
const RULES: &str = "
table inet miniupnpd {
    chain forward { type filter hook forward priority 0; policy accept; jump miniupnpd; }
    chain miniupnpd { }
    chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
    chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd; }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
}
insert rule ip lab_nat forward ct status dnat accept
";

fn run(lab: &mut Lab) -> Outcome {
    let folder = lab.context.folder("portmap")?;
    let mut home = lab.internet()?.router("home", NatKind::Easy)?;
    home.ns.ip(&format!("addr add {PUBLIC}/32 dev eth0"))?;
    home.ns.nft(RULES)?;
    let (host, other) = (home.host("server")?, home.host("other")?);
    let daemon = miniupnpd(&home, &folder, "both", "yes")?;
    certificate(lab, &folder, NAME)?;
    let url = format!("https://{NAME}");
    lab.serve_in(host, &config(&folder), &url, Vec::new())?;
    let client = lab.internet()?.host("a")?;
    client.ns.ip(&format!("route add {PUBLIC}/32 via {}", home.address))?;

    // Nobody has said that the world may come in.
    let said = lab.running()?.json(&["portmap", "status"])?;
    ensure!(said["on"] == false && said["ports"].as_array().is_some_and(Vec::is_empty), "{said}");
    ensure!(!open(&client, 443)?, "open before anybody said so");

    lab.running()?.command(&["portmap", "on"])?.ok()?;
    let said = mapped(lab, "NAT-PMP")?;
    ensure!(said["router"] == "192.168.1.1", "{said}");
    ensure!(at(&said, "TCP") == format!("{PUBLIC}:443"), "{said}");
    ensure!(at(&said, "UDP") == format!("{PUBLIC}:3478"), "{said}");
    ensure!(open(&client, 443)?, "the router says so, and nothing answers");

    // A client that knows the name only joins from the Internet, and STUN answers it there.
    let key = lab.reusable_key("alice")?;
    client.ns.hosts_line(&format!("{PUBLIC} {NAME}"))?;
    let mut a = Client::install(client, "a", Relay::Tls)?;
    a.environment.push(("SSL_CERT_FILE".into(), folder.join("cert.pem").to_string_lossy().into_owned()));
    a.launch()?;
    a.up(&url, &key, &[])?;
    lab.server()?.wait_online("a", true, MEET)?;
    lab.context.eventually("STUN answers from outside", MEET, || {
        let report = a.tailscale(&["netcheck", "--format=json"], STEP)?.ok()?.stdout;
        let report: Value = serde_json::from_str(&report).map_err(|e| format!("{e}: {report}"))?;
        ensure!(report["UDP"] == true, "{report}");
        Ok(())
    })?;

    // Closed, over a restart too: what was chosen is kept.
    lab.running()?.command(&["portmap", "off"])?.ok()?;
    closed(lab, &a.host, 443)?;
    lab.server()?.stop()?;
    lab.server()?.launch()?;
    ensure!(lab.running()?.json(&["portmap", "status"])?["on"] == false, "on again");
    daemon.stop()?;

    // A router that speaks UPnP only, and another machine that has the port.
    let daemon = miniupnpd(&home, &folder, "upnp", "no")?;
    lab.running()?.command(&["portmap", "on"])?.ok()?;
    let said = mapped(lab, "UPnP")?;
    ensure!(at(&said, "TCP") == format!("{PUBLIC}:443") && open(&a.host, 443)?, "{said}");
    // The box gives back what it has when it stops.
    lab.server()?.stop()?;
    closed(lab, &a.host, 443)?;
    let rules = home.ns.run(&["nft", "list", "chain", "inet", "miniupnpd", "prerouting_miniupnpd"], STEP)?.ok()?.stdout;
    ensure!(!rules.contains("dnat"), "left behind: {rules}");
    take(&other)?;
    lab.server()?.launch()?;
    let said = mapped(lab, "UPnP")?;
    let place = at(&said, "TCP");
    ensure!(place.starts_with(PUBLIC) && place != format!("{PUBLIC}:443"), "somebody else's port: {said}");
    let port = place.rsplit(':').next().and_then(|p| p.parse().ok()).ok_or("no port")?;
    ensure!(open(&a.host, port)?, "{said}");
    daemon.stop()
}

/// Starts miniupnpd; `pmp` is whether it speaks NAT-PMP and PCP too.
fn miniupnpd(home: &Router, folder: &Path, name: &str, pmp: &str) -> Outcome<Daemon> {
    let (file, pid) = (folder.join(format!("{name}.conf")), folder.join(format!("{name}.pid")));
    std::fs::write(
        &file,
        format!(
            "ext_ifname=eth0\next_ip={PUBLIC}\nlistening_ip=br0\nhttp_port={HTTP}\nenable_upnp=yes\n\
             enable_natpmp={pmp}\nsecure_mode=yes\nuuid=6bd3e0a2-6b1f-4c3c-9a0f-1f5d1f8c7a11\n\
             upnp_table_name=miniupnpd\nupnp_nat_table_name=miniupnpd\nupnp_forward_chain=miniupnpd\n\
             upnp_nat_chain=prerouting_miniupnpd\nupnp_nat_postrouting_chain=postrouting_miniupnpd\n\
             allow 0-65535 192.168.0.0/16 0-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n"
        ),
    )?;
    let mut command = home.ns.command("miniupnpd");
    command.arg("-d").arg("-f").arg(&file).arg("-P").arg(&pid);
    let daemon = home.ns.spawn(&format!("miniupnpd-{name}"), &mut command)?;
    daemon.answers(home.ns.context(), OPENS, || {
        let url = format!("http://192.168.1.1:{HTTP}/rootDesc.xml");
        home.ns.run(&["curl", "-fsS", "-m", "2", "-o", "/dev/null", &url], STEP)?.ok().map(drop)
    })
}

/// Another machine has the port 443 led to itself.
fn take(other: &Host) -> Outcome {
    let kind = "urn:schemas-upnp-org:service:WANIPConnection:1";
    let fields = [
        ("NewRemoteHost", ""),
        ("NewExternalPort", "443"),
        ("NewProtocol", "TCP"),
        ("NewInternalPort", "443"),
        ("NewInternalClient", other.address.as_str()),
        ("NewEnabled", "1"),
        ("NewPortMappingDescription", "camera"),
        ("NewLeaseDuration", "3600"),
    ];
    let fields: String = fields.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
    let body = format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\
         <u:AddPortMapping xmlns:u=\"{kind}\">{fields}</u:AddPortMapping></s:Body></s:Envelope>"
    );
    let (action, url) =
        (format!("SOAPAction: \"{kind}#AddPortMapping\""), format!("http://192.168.1.1:{HTTP}/ctl/IPConn"));
    let words = ["curl", "-fsS", "-m", "5", "-H", "Content-Type: text/xml", "-H", &action, "-d", &body, &url];
    other.ns.run(&words, STEP)?.ok().map(drop)
}

/// Waits until both ports are mapped by this method.
fn mapped(lab: &Lab, by: &str) -> Outcome<Value> {
    lab.context.eventually(&format!("the ports are open, by {by}"), OPENS, || {
        let said = lab.running()?.json(&["portmap", "status"])?;
        let ports = said["ports"].as_array().cloned().unwrap_or_default();
        ensure!(ports.len() == 2 && ports.iter().all(|p| p["state"] == "mapped" && p["by"] == by), "{said}");
        Ok(said)
    })
}

/// Where the port of this protocol is outside.
fn at(said: &Value, protocol: &str) -> String {
    let ports = said["ports"].as_array().cloned().unwrap_or_default();
    let port = ports.iter().find(|p| p["protocol"] == protocol);
    port.and_then(|p| p["address"].as_str()).unwrap_or_default().to_owned()
}

/// Whether the box answers at the household's address.
fn open(from: &Host, port: u16) -> Outcome<bool> {
    let url = format!("https://{PUBLIC}:{port}/health");
    Ok(from.ns.run(&["curl", "-kfsS", "-m", "3", "-o", "/dev/null", &url], STEP)?.success())
}

fn closed(lab: &Lab, from: &Host, port: u16) -> Outcome {
    lab.context.eventually("nothing answers any more", OPENS, || {
        ensure!(!open(from, port)?, "it does");
        Ok(())
    })
}
