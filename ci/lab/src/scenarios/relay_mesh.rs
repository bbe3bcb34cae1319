//! Two relays by themselves, meshed to one region, each asking the control server whom to let in. One client cannot
//! reach the first relay, so the two are on different ones, and packets cross from relay to relay. Then the first is lost.
//!
//! ```text
//!               internet
//!    ______________|__________________
//!   |      |      |      #           #      # = UDP from the network is dropped
//! server   r1 -- r2      a           b      b: r1 is out of reach
//! ```

use std::time::Duration;

use crate::client::{MEET, Relay};
use crate::daemon::Daemon;
use crate::ensure;
use crate::internet::{Host, SERVER};
use crate::lab::Lab;
use crate::outcome::{Failure, Outcome};
use crate::scenario::Scenario;
use crate::server_config::{self, PORT};

use super::{relay::KNOWS_PINS, relayed};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "relay-mesh",
    summary: "two meshed relays by themselves, clients on different ones; one relay is killed",
    limit: Duration::from_secs(240),
    oldest: KNOWS_PINS,
    run,
    ..Scenario::BASE
};

/// Port of the relays.
const DERP: u16 = 8443;
const STEP: Duration = Duration::from_secs(15);

fn run(lab: &mut Lab) -> Outcome {
    let (r1, r2) = (lab.internet()?.host("r1")?, lab.internet()?.host("r2")?);
    let key_file = lab.context.folder("mesh")?.join("mesh.key");
    std::fs::write(&key_file, "5e".repeat(32))?;
    let mesh = [(&r1, &r2, "r1"), (&r2, &r1, "r2")];
    let mut relays = Vec::new();
    for (host, other, name) in mesh {
        relays.push(relay(lab, host, other, name, &key_file.to_string_lossy())?);
    }
    let map = lab.context.folder("mesh")?.join("derp.json");
    let nodes = mesh.iter().zip(&relays).enumerate().map(|(n, ((host, ..), (_, pin)))| {
        serde_json::json!({ "Name": format!("901{n}"), "RegionID": 901, "HostName": host.address, "IPv4": host.address,
            "IPv6": "none", "CertName": pin, "DERPPort": DERP, "STUNPort": -1 })
    });
    let region = serde_json::json!({ "RegionID": 901, "RegionCode": "mesh", "RegionName": "Mesh", "Nodes": nodes.collect::<Vec<_>>() });
    std::fs::write(&map, serde_json::json!({ "Regions": { "901": region } }).to_string())?;
    let config = format!(
        "[derp]\npaths = [\"{}\"]\n[derp.server]\nenabled = false\n[dns]\nbase_domain = \"lab.internal\"\n",
        map.display()
    );
    lab.serve_with(&config, &server_config::url())?;

    let [a, b] =
        relayed::pair(lab, Relay::Tls, None, |host| if host.ns.role == "b" { refuse(host, &r1) } else { Ok(()) })?;
    relayed::meet(&a, &b)?;

    for host in [&r1, &r2] {
        let text = metrics(host)?;
        ensure!(counter(&text, "derp_packets_forwarded_in")? > 0, "nothing came from the other relay: {text}");
        ensure!(counter(&text, "derp_current_home_connections")? == 1, "not one client each: {text}");
    }

    // The relay of a is lost: a goes on by way of the other.
    let (first, _) = relays.swap_remove(0);
    first.kill()?;
    a.relayed_to("b", MEET)?;
    a.reaches(&b.ip()?, MEET)?;
    ensure!(counter(&metrics(&r2)?, "derp_current_home_connections")? >= 2, "a is not on the second relay");
    Ok(())
}

/// Keeps `host` from reaching a relay.
fn refuse(host: &Host, relay: &Host) -> Outcome {
    let rule = format!("add rule inet lab_r1 out ip daddr {} tcp dport {DERP} reject with tcp reset", relay.address);
    host.ns.nft(&format!(
        "add table inet lab_r1\nadd chain inet lab_r1 out {{ type filter hook output priority 0; }}\n{rule}\n"
    ))
}

/// Starts a relay; answers its pin too.
fn relay(lab: &mut Lab, host: &Host, other: &Host, name: &str, key_file: &str) -> Outcome<(Daemon, String)> {
    let state = lab.context.folder(&format!("mesh/{name}"))?;
    let (program, binary) = lab.context.options.program();
    let mut command = host.ns.command(program);
    command.args(binary).args(["derp", "--hostname", &host.address, "--listen-addr", &format!("0.0.0.0:{DERP}")]);
    command.args(["--stun-listen-addr", "", "--mesh-key-file", key_file]);
    command.args(["--mesh-with", &format!("http://{}:{DERP}", other.address)]);
    command.args(["--verify-client-url", &format!("http://{SERVER}:{PORT}/verify")]).arg("--state-dir").arg(&state);
    let daemon = host.ns.spawn(name, &mut command)?;
    let pin = lab.context.eventually("the relay says its pin", STEP, || {
        let said = daemon.output();
        let pin = said.lines().find_map(|line| line.trim().strip_prefix("CertName")).map(|pin| pin.trim().to_owned());
        pin.ok_or_else(|| Failure(format!("it says: {said}")))
    })?;
    Ok((daemon, pin))
}

fn metrics(host: &Host) -> Outcome<String> {
    let url = format!("http://127.0.0.1:{DERP}/metrics");
    Ok(host.ns.run(&["curl", "-fsS", "-m", "5", &url], STEP)?.ok()?.stdout)
}

fn counter(text: &str, name: &str) -> Outcome<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok());
    value.ok_or_else(|| Failure(format!("no {name} in {text}")))
}
