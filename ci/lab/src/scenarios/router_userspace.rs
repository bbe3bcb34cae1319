//! Figures of our router beside the official client, in one run: throughput on direct and relayed paths, processor time,
//! memory with a crowd of peers. Run it by name, with a program built with `--profile lab`.
//!
//! ```text
//!        internet ── a crowd of simulated clients
//!    ____|____|_____|_____|_____|
//!   |        |     |     |     |
//! server     a     b     r     s
//! ```
//!
//! `a` and `b` are official clients, `r` and `s` are `hearthgate router up --data-plane userspace`.

use std::fs;
use std::time::Duration;

use crate::client::{Client, MEET};
use crate::command::Output;
use crate::ensure;
use crate::internet::Host;
use crate::lab::Lab;
use crate::outcome::{Failure, Outcome};
use crate::router::Router;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "router-userspace",
    summary: "prints figures of our router in user space beside the official client, with a crowd of peers",
    limit: Duration::from_secs(420),
    usual: false,
    programs: &["iperf3"],
    run,
    ..Scenario::BASE
};

const SOON: Duration = Duration::from_secs(30);
/// Simulated peers in the network when memory is looked at.
const CROWD: usize = 50;
/// Seconds of each transfer.
const SECONDS: u32 = 5;
/// Clock ticks a second in `/proc/PID/stat` (`USER_HZ`, the same on every Linux).
const TICKS: f64 = 100.0;

/// What one transfer showed.
struct Transfer {
    megabits: f64,
    /// Processor seconds per gigabit at the receiving side.
    effort: f64,
}

fn run(lab: &mut Lab) -> Outcome {
    lab.serve()?;
    let (url, key) = (lab.url()?, lab.reusable_key("alice")?);
    let (a, b) = (lab.join("a", &key, &[])?, lab.join("b", &key, &[])?);
    let flags = ["--data-plane", "userspace"];
    let r = Router::join(lab.internet()?.host("r")?, "r", &url, &key, &flags)?;
    let s = Router::join(lab.internet()?.host("s")?, "s", &url, &key, &flags)?;
    a.sees("b", MEET)?;
    r.sees("s", MEET)?;
    a.direct_to("b", MEET)?;
    r.direct_to("s", MEET)?;
    println!("  idle memory, KiB: ours {}, official {}", shown(r.pid()?)?, shown(a.pid()?)?);
    let official = transfer(&a.host, &b.host, &b.ip()?, b.pid()?)?;
    let ours = transfer(&r.host, &s.host, &s.ip()?, s.pid()?)?;
    show("direct", &ours, &official);
    println!("  memory after it, KiB: ours {}, official {}", shown(s.pid()?)?, shown(b.pid()?)?);

    for host in [&a.host, &b.host, &r.host, &s.host] {
        host.block_udp()?;
    }
    a.relayed_to("b", MEET)?;
    r.pings("s", "via DERP(", MEET)?;
    let official = transfer(&a.host, &b.host, &b.ip()?, b.pid()?)?;
    let ours = transfer(&r.host, &s.host, &s.ip()?, s.pid()?)?;
    show("relayed", &ours, &official);

    let crowd = lab.crowd("crowd", &key, CROWD)?;
    seen(&a, &r)?;
    let fresh = Router::join(lab.internet()?.host("f")?, "f", &url, &key, &flags)?;
    fresh.sees("r", MEET)?;
    let words = format!(
        "  memory with {CROWD} more peers, KiB: ours {} (fresh) and {}",
        shown(fresh.pid()?)?,
        shown(r.pid()?)?
    );
    println!("{words}, official {}", shown(a.pid()?)?);
    crowd.kill()
}

/// Waits until both know the crowd.
fn seen(a: &Client, r: &Router) -> Outcome {
    a.context().eventually("the crowd is seen", MEET, || {
        let counts = (a.status()?.peer_names().len(), r.status()?.peer_names().len());
        ensure!(counts.0 >= CROWD && counts.1 >= CROWD, "{counts:?}");
        Ok(())
    })
}

fn show(path: &str, ours: &Transfer, official: &Transfer) {
    let (rate, effort) = (ours.megabits / official.megabits, ours.effort / official.effort);
    println!("  {path}, Mbit/s: ours {:.0}, official {:.0}, ratio {rate:.2}", ours.megabits, official.megabits);
    println!(
        "  {path}, CPU s/Gbit receiving: ours {:.2}, official {:.2}, ratio {effort:.2}",
        ours.effort, official.effort
    );
}

/// One TCP stream through the tunnel.
fn transfer(from: &Host, to: &Host, address: &str, receiver: u32) -> Outcome<Transfer> {
    let mut command = to.ns.command("iperf3");
    let server = to.ns.spawn("iperf3", command.args(["-s", "-1"]))?;
    let before = ticks(receiver)?;
    let seconds = SECONDS.to_string();
    let words = ["iperf3", "-c", address, "-t", seconds.as_str(), "-J"];
    let output: Output = from.ns.context().eventually("iperf3 runs", SOON, || {
        let output = from.ns.run(&words, SOON)?.ok()?;
        // With JSON, iperf3 calls it a success that the server does not listen yet.
        ensure!(!output.stdout.contains("\"error\":"), "{}", output.stdout);
        Ok(output)
    })?;
    let spent = (ticks(receiver)? - before) / TICKS;
    server.finished(SOON)?;
    let report: serde_json::Value =
        serde_json::from_str(&output.stdout).map_err(|e| Failure(format!("iperf3: {e}")))?;
    let received = &report["end"]["sum_received"];
    let rate = received["bits_per_second"].as_f64().ok_or("no rate")?;
    let bytes = received["bytes"].as_f64().ok_or("no bytes")?;
    ensure!(bytes > 0.0, "nothing came through");
    Ok(Transfer { megabits: rate / 1e6, effort: spent / (bytes * 8.0 / 1e9) })
}

fn shown(pid: u32) -> Outcome<String> {
    memory(pid).map(|(whole, data)| format!("{whole} (data {data})"))
}

/// Resident memory of a process in KiB, and the part of it that is not the program's own file: alike in every build.
pub(super) fn memory(pid: u32) -> Outcome<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> Outcome<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("no {name}"))?;
        let number = line.split_whitespace().next().and_then(|word| word.parse().ok());
        number.ok_or_else(|| Failure(format!("{name} is {line}")))
    };
    Ok((field("VmRSS:")?, field("RssAnon:")?))
}

/// Processor time of a process, in clock ticks.
fn ticks(pid: u32) -> Outcome<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may have spaces; user and system time are the 12th and 13th word behind it.
    let words: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let word = |at: usize| words.get(at).and_then(|word| word.parse::<f64>().ok());
    word(11).zip(word(12)).map(|(user, system)| user + system).ok_or_else(|| Failure(format!("stat is {text}")))
}
