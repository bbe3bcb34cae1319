//! A box whose public address changes, and a name that follows it in a zone of BIND's (RFC 2136). A client that knows the
//! name only comes back without being touched.
//!
//! ```text
//!              internet
//!     ____________|____________
//!    |        |        |      |      |
//!   dns    server  stranger   a      b
//!          203.0.113.20, then .21
//! ```
//!
//! The old address goes to a stranger, as providers do it, whose machine knows nothing of the clients' connections and says so.
//! Where nobody has it, a client of 1.102.5 waits until TCP gives up: it was not back after 15 minutes.

use std::time::Duration;

use crate::client::{Client, MEET, Relay};
use crate::ensure;
use crate::internet::Host;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

use super::cert::{KEY, ZONE, at, named};
use super::front::{certificate, config};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "dyndns",
    summary: "the box's public address changes, its name follows at a name server",
    limit: Duration::from_secs(360),
    programs: &["openssl", "named", "dig"],
    run,
    ..Scenario::BASE
};

pub(super) const CLIENT: Scenario = Scenario {
    name: "dyndns-client",
    summary: "the same, and a client comes back by the name: it looks the name up again after ten minutes",
    limit: Duration::from_secs(1200),
    usual: false,
    run: run_client,
    ..SCENARIO
};

const NAME: &str = "home.lab.test";
/// Public addresses of the box, one after the other.
const FIRST: &str = "203.0.113.20";
const SECOND: &str = "203.0.113.21";
const STEP: Duration = Duration::from_secs(15);
/// Time for the box to see another address and to tell it, with its pauses.
const FOLLOWS: Duration = Duration::from_secs(120);
/// A client may believe the name's old address for ten minutes (`net/dnscache` of tailscale.com v1.102.5).
const BACK: Duration = Duration::from_secs(900);

fn run(lab: &mut Lab) -> Outcome {
    followed(lab).map(drop)
}

fn run_client(lab: &mut Lab) -> Outcome {
    let [a, b] = followed(lab)?;
    // They learn of a change through the name's new address, and nobody touched them.
    let id = lab.running()?.node_id("b")?;
    lab.running()?.command(&["nodes", "rename", "-i", &id, "renamed"])?.ok()?;
    a.sees("renamed", BACK)?;
    b.reaches(&a.ip()?, MEET)
}

/// Two clients that know the name, which has followed the box to its second address.
fn followed(lab: &mut Lab) -> Outcome<[Client; 2]> {
    let folder = lab.context.folder("dyndns")?;
    let dns = lab.internet()?.host("dns")?;
    let _named = named(lab, &dns, &format!("name {NAME}. A AAAA"))?;
    certificate(lab, &folder, NAME)?;
    let host = lab.internet()?.server()?;
    host.ns.ip(&format!("addr add {FIRST}/32 dev eth0"))?;
    let url = format!("https://{NAME}:{}", crate::server_config::PORT);
    lab.serve_in(host, &config(&folder), &url, Vec::new())?;
    ensure!(leads_to(&dns)?.is_empty(), "there already");

    // A wrong key is refused at once, and told; the right one is taken after the pause.
    let secret = folder.join("secret");
    let file = secret.to_string_lossy().into_owned();
    let server = dns.address.clone();
    let set = [
        "dyndns",
        "set",
        "rfc2136",
        NAME,
        "--url",
        &server,
        "--zone",
        ZONE,
        "-u",
        "hearthgate",
        "--ttl",
        "30",
        "-f",
        &file,
    ];
    std::fs::write(&secret, "d3Jvbmd3cm9uZ3dyb25nd3Jvbmd3cm9uZ3dyb25nd3I=\n")?;
    let said = lab.running()?.json(&set)?;
    ensure!(said["state"] == "stopped" && said["why"].as_str().is_some_and(|w| !w.is_empty()), "a wrong key: {said}");
    ensure!(leads_to(&dns)?.is_empty(), "taken with a wrong key");
    std::fs::write(&secret, format!("{KEY}\n"))?;
    // Nobody is asked twice in a moment.
    let said = lab.running()?.json(&set)?;
    ensure!(said["state"] != "stopped", "{said}");
    let said = lab.context.eventually("the right key is tried", FOLLOWS, || {
        let said = lab.running()?.json(&["dyndns", "status"])?;
        ensure!(said["state"] == "good" && said["told"] == FIRST, "{said}");
        Ok(said)
    })?;
    ensure!(leads_to(&dns)? == FIRST, "the name leads to {:?}", leads_to(&dns)?);
    let often = lab.running()?.command(&["dyndns", "update"])?;
    ensure!(!often.success() && often.stderr.contains("wait"), "twice in a moment: {}", often.complaint());

    // Kept over a restart, and not told again.
    lab.server()?.stop()?;
    lab.server()?.launch()?;
    let kept = lab.running()?.json(&["dyndns", "status"])?;
    ensure!(kept["state"] == "good" && kept["toldAt"] == said["toldAt"], "{kept}, before {said}");

    let key = lab.reusable_key("alice")?;
    let roots = folder.join("cert.pem").to_string_lossy().into_owned();
    let mut clients = Vec::new();
    for name in ["a", "b"] {
        let host = lab.internet()?.host(name)?;
        host.ns.ip("route add 203.0.113.0/24 dev eth0")?;
        host.ns.resolver(&format!("nameserver {}\n", dns.address))?;
        let mut client = Client::install(host, name, Relay::Tls)?;
        client.environment.push(("SSL_CERT_FILE".into(), roots.clone()));
        client.launch()?;
        client.up(&url, &key, &["--accept-dns=false"])?;
        clients.push(client);
    }
    let clients: [Client; 2] = clients.try_into().map_err(|_| "two clients")?;
    let [a, b] = &clients;
    a.sees("b", MEET)?;
    a.reaches(&b.ip()?, MEET)?;

    let server = &lab.running()?.host;
    server.ns.ip(&format!("addr add {SECOND}/32 dev eth0"))?;
    server.ns.ip(&format!("addr del {FIRST}/32 dev eth0"))?;
    let stranger = lab.internet()?.host("stranger")?;
    stranger.ns.ip(&format!("addr add {FIRST}/32 dev eth0"))?;
    lab.context.eventually("the name follows", FOLLOWS, || {
        let now = leads_to(&dns)?;
        ensure!(now == SECOND, "it leads to {now}");
        Ok(())
    })?;
    let said = lab.running()?.json(&["dyndns", "status"])?;
    ensure!(said["state"] == "good" && said["told"] == SECOND, "{said}");
    Ok(clients)
}

/// The address of the box's name.
fn leads_to(dns: &Host) -> Outcome<String> {
    let found = dns.ns.run(&["dig", "+short", "+time=2", "+tries=2", &at(dns), "A", NAME], STEP)?.ok()?;
    Ok(found.stdout.trim().to_owned())
}
