//! Hearthgate's own router and an official client.
//!
//! ```text
//!        internet
//!    ____|____|_____
//!   |        |      |
//! server     a      r (hearthgate router up)
//! ```

use std::time::Duration;

use crate::client::{BACK, Client, MEET, Relay};
use crate::ensure;
use crate::internet::Host;
use crate::lab::Lab;
use crate::nat::NatKind;
use crate::outcome::Outcome;
use crate::router::Router;
use crate::scenario::Scenario;
use crate::server_config::BASE_DOMAIN;

pub(super) const RELAY: Scenario = Scenario {
    name: "router-relay",
    summary: "our router and an official client, UDP blocked: they reach each other through the relay",
    run: run_relay,
    ..Scenario::BASE
};

pub(super) const DIRECT: Scenario = Scenario {
    name: "router-direct",
    summary: "our router and an official client find a direct path; status, ping and netcheck say so",
    programs: &["getent"],
    run: run_direct,
    ..Scenario::BASE
};

pub(super) const UNPLUGGED: Scenario = Scenario {
    name: "router-unplugged",
    summary: "our router restarts while the server is away: peers and addresses come back from flash",
    run: run_unplugged,
    ..Scenario::BASE
};

pub(super) const EASY: Scenario = Scenario {
    name: "router-nat-easy",
    summary: "our router and an official client, each behind NAT that keeps ports: a direct path",
    run: run_easy,
    ..Scenario::BASE
};

pub(super) const HARD: Scenario = Scenario {
    name: "router-nat-hard",
    summary: "our router and an official client, each behind NAT with a new port per destination: the relay",
    run: run_hard,
    ..Scenario::BASE
};

const SOON: Duration = Duration::from_secs(20);

fn run_relay(lab: &mut Lab) -> Outcome {
    let (a, mut r) = both(lab, Host::block_udp, &[])?;
    let (a_ip, r_ip) = (a.ip()?, r.ip()?);
    a.reaches(&r_ip, MEET)?;
    r.reaches(&a_ip, MEET)?;
    r.pings("a", "via DERP(", MEET)?;
    a.relayed_to("r", MEET)?;
    a.stays_relayed("r", 3)?;
    let output = a.run(&["ping", "-c", "20", "-i", "0.1", "-s", "1200", &r_ip], SOON)?.ok()?;
    ensure!(output.stdout.contains(" 0% packet loss"), "{}", output.stdout.trim());
    r.check()
}

fn run_direct(lab: &mut Lab) -> Outcome {
    let (a, mut r) = both(lab, |_| Ok(()), &[])?;
    let (a_ip, r_ip) = (a.ip()?, r.ip()?);
    a.direct_to("r", MEET)?;
    a.reaches(&r_ip, MEET)?;
    a.reaches(
        &a.status()?
            .peer("r")
            .map(|r| r["TailscaleIPs"][1].as_str().unwrap_or_default().to_owned())
            .unwrap_or_default(),
        MEET,
    )?;
    r.reaches(&a_ip, MEET)?;
    r.direct_to("a", MEET)?;
    r.direct_to(&a_ip, MEET)?;
    let peer = r.status()?;
    let peer = peer.peer("a").ok_or("no peer a")?;
    let at = peer["CurAddr"].as_str().unwrap_or_default();
    ensure!(at.starts_with(&a.host.address) || at.starts_with("[fd77::"), "{peer}");
    ensure!(peer["WhyRelayed"] == "" && peer["RxBytes"].as_u64() > Some(0), "{peer}");

    // Names for the machine itself, and what an official client asks of a peer.
    let name = format!("a.{BASE_DOMAIN}");
    let found = r.run(&["getent", "ahostsv4", &name], SOON)?.ok()?.stdout;
    ensure!(found.starts_with(&a_ip), "{name} is {found}");
    a.tailscale(&["ping", "--tsmp", "-c", "1", &r_ip], SOON)?.ok()?;
    a.tailscale(&["ping", "--peerapi", "-c", "1", &r_ip], SOON)?.ok()?;

    let report = r.hearthgate(&["netcheck", "--format", "json"], SOON)?.ok()?.stdout;
    let report: serde_json::Value = serde_json::from_str(&report).map_err(|e| format!("{e}: {report}"))?;
    ensure!(report["UDP"] == true, "{report}");
    let seen = report["GlobalV4"].as_str().unwrap_or_default();
    ensure!(seen.starts_with(&r.host.address), "{report}");

    let output = a.run(&["ping", "-c", "50", "-i", "0.02", "-s", "1200", &r_ip], SOON)?.ok()?;
    ensure!(output.stdout.contains(" 0% packet loss"), "{}", output.stdout.trim());
    lab.server()?.wait_online("r", true, MEET)?;
    r.stop()?;
    let left = r.run(&["ip", "link", "show", "tailscale0"], SOON)?;
    ensure!(!left.success(), "the interface is still there");
    lab.server()?.wait_online("r", false, MEET)
}

fn run_unplugged(lab: &mut Lab) -> Outcome {
    let (a, mut r) = both(lab, |_| Ok(()), &[])?;
    let (a_ip, r_ip) = (a.ip()?, r.ip()?);
    a.reaches(&r_ip, MEET)?;
    r.stop()?;
    lab.server()?.stop()?;
    r.start(&[])?;
    ensure!(r.ip()? == r_ip, "another address");
    a.reaches(&r_ip, BACK)?;
    r.reaches(&a_ip, MEET)?;
    lab.server()?.launch()?;
    lab.server()?.wait_online("r", true, Duration::from_secs(60))?;
    // As after a power cut: what the last one left in the system is no obstacle.
    r.kill()?;
    r.launch(&[])?;
    ensure!(r.ip()? == r_ip, "another address after a power cut");
    a.reaches(&r_ip, BACK)?;
    r.reaches(&a_ip, MEET)
}

fn run_easy(lab: &mut Lab) -> Outcome {
    let (a, mut r) = behind(lab, NatKind::Easy)?;
    let (a_ip, r_ip) = (a.ip()?, r.ip()?);
    a.direct_to("r", MEET)?;
    a.reaches(&r_ip, MEET)?;
    r.reaches(&a_ip, MEET)?;
    let path = a.status()?.peer("r").map(|r| r["CurAddr"].to_string()).unwrap_or_default();
    ensure!(path.contains("10.77.0."), "the path is {path}, not by r's router");
    r.check()
}

fn run_hard(lab: &mut Lab) -> Outcome {
    let (a, mut r) = behind(lab, NatKind::Hard)?;
    let (a_ip, r_ip) = (a.ip()?, r.ip()?);
    a.relayed_to("r", MEET)?;
    a.reaches(&r_ip, MEET)?;
    r.reaches(&a_ip, MEET)?;
    a.stays_relayed("r", 3)?;
    r.pings("a", "via DERP(", MEET)?;
    let peer = r.status()?;
    let why = peer.peer("a").map(|a| a["WhyRelayed"].to_string()).unwrap_or_default();
    ensure!(why.contains("NAT"), "{why}");
    r.check()
}

/// As [`both`], each behind a home router of its own.
fn behind(lab: &mut Lab, kind: NatKind) -> Outcome<(Client, Router)> {
    let key = lab.open()?;
    let url = lab.url()?;
    let host = lab.internet()?.router("ra", kind)?.host("a")?;
    let a = lab.join_on(host, "a", &key, &[])?;
    let host = lab.internet()?.router("rr", kind)?.host("r")?;
    let r = Router::join(host, "r", &url, &key, &[])?;
    a.sees("r", MEET)?;
    r.sees("a", MEET)?;
    Ok((a, r))
}

/// The server, the official client `a` and the router `r`, who see each other.
fn both(lab: &mut Lab, prepare: fn(&Host) -> Outcome, flags: &[&str]) -> Outcome<(Client, Router)> {
    let key = lab.open()?;
    let url = lab.url()?;
    let host = lab.internet()?.host("a")?;
    prepare(&host)?;
    let mut a = Client::install(host, "a", Relay::Tls)?;
    a.launch()?;
    a.up(&url, &key, &[])?;
    let host = lab.internet()?.host("r")?;
    prepare(&host)?;
    host.ns.resolver("nameserver 100.100.100.100\n")?;
    let r = Router::join(host, "r", &url, &key, flags)?;
    a.sees("r", MEET)?;
    r.sees("a", MEET)?;
    Ok((a, r))
}
