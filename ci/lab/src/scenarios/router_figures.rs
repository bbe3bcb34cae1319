//! Throughput between two members of a network on the same two machines: official clients, our router with WireGuard in
//! the kernel and in user space, and plain WireGuard set by hand. `ci/vm/figures` runs it where the module is.
//!
//! ```text
//!        internet
//!    ____|____|____
//!   |        |     |
//! server     a     b
//! ```

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::router_userspace::memory;
use crate::client::{Client, MEET, Relay};
use crate::internet::Host;
use crate::lab::Lab;
use crate::outcome::{Failure, Outcome};
use crate::router::Router;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "router-figures",
    summary: "prints throughput, CPU time and memory of official clients and of our router",
    limit: Duration::from_secs(900),
    usual: false,
    programs: &["iperf3", "wg"],
    run,
    ..Scenario::BASE
};

/// Seconds of a stream.
const STREAM: u64 = 10;
const SOON: Duration = Duration::from_secs(60);
/// Clock ticks of `/proc/stat` in a second (`USER_HZ`).
const TICKS: f64 = 100.0;

/// A line of the table.
struct Row {
    name: &'static str,
    megabits: f64,
    /// CPU seconds of the whole machine, both ends and the relay, per gigabit.
    cost: f64,
    /// Resident kB of the sender's process after the stream, and the part of it that is not of the program's file.
    memory: Option<(u64, u64)>,
}

fn run(lab: &mut Lab) -> Outcome {
    let key = lab.open()?;
    // Words of the lines that are wanted, such as `relayed`; without it, all.
    let wanted = std::env::var("HEARTHGATE_LAB_LINES").unwrap_or_default();
    let mut rows = Vec::new();
    if wanted.is_empty() {
        rows.push(by_hand(lab)?);
    }
    for (name, plane, relayed) in [
        ("hearthgate, kernel, direct", Some("kernel"), false),
        ("tailscaled, direct", None, false),
        ("hearthgate, user space, direct", Some("userspace"), false),
        ("hearthgate, kernel, relayed", Some("kernel"), true),
        ("tailscaled, relayed", None, true),
    ] {
        if !name.contains(&wanted) {
            continue;
        }
        rows.push(match plane {
            Some(plane) => ours(lab, name, plane, &key, relayed)?,
            None => official(lab, name, &key, relayed)?,
        });
    }
    println!(
        "\n| | Mbit/s | of the first | CPU s per Gbit | of the first | resident kB after | without the program's file |"
    );
    println!("|---|---|---|---|---|---|---|");
    let first = rows.first().map_or((1.0, 1.0), |row| (row.megabits, row.cost));
    for row in &rows {
        let (speed, cost) = (row.megabits / first.0, row.cost / first.1);
        let (whole, data) = row.memory.map_or(("–".into(), "–".into()), |(a, b)| (a.to_string(), b.to_string()));
        println!(
            "| {} | {:.1} | {speed:.2} | {:.1} | {cost:.2} | {whole} | {data} |",
            row.name, row.megabits, row.cost
        );
    }
    Ok(())
}

/// Two machines whose names end in `stem`.
fn machines(lab: &mut Lab, stem: &str, relayed: bool) -> Outcome<(Host, Host)> {
    let (a, b) = (lab.internet()?.host(&format!("a{stem}"))?, lab.internet()?.host(&format!("b{stem}"))?);
    for host in [&a, &b] {
        if relayed {
            host.block_udp()?;
        }
    }
    Ok((a, b))
}

fn by_hand(lab: &mut Lab) -> Outcome<Row> {
    let (a, b) = machines(lab, "w", false)?;
    let key = |host: &Host, words: &str| -> Outcome<String> {
        Ok(host.ns.run(&["sh", "-c", words], SOON)?.ok()?.stdout.trim().to_owned())
    };
    let keys = [key(&a, "wg genkey")?, key(&b, "wg genkey")?];
    let public =
        [key(&a, &format!("echo {} | wg pubkey", keys[0]))?, key(&a, &format!("echo {} | wg pubkey", keys[1]))?];
    for (host, other, own, peer) in [(&a, &b, 0, 1), (&b, &a, 1, 0)] {
        let (own_ip, peer_ip) = (format!("100.99.0.{own}"), format!("100.99.0.{peer}"));
        let words = format!(
            "ip link add wg0 mtu 1280 type wireguard && f=$(mktemp) && echo {} > $f && \
             wg set wg0 private-key $f listen-port 51820 peer {} allowed-ips {peer_ip}/32 endpoint {}:51820 && \
             ip addr add {own_ip}/32 dev wg0 && ip link set wg0 up && ip route add {peer_ip}/32 dev wg0 && \
             nft 'add table inet t; add chain inet t c {{ type filter hook input priority 0; }}; \
                  add rule inet t c ct state established,related accept'",
            keys[own], public[peer], other.address
        );
        host.ns.run(&["sh", "-c", &words], SOON)?.ok()?;
    }
    measure(lab, "WireGuard by hand, connections tracked", [&a, &b], "100.99.0.1", None)
}

fn ours(lab: &mut Lab, name: &'static str, plane: &str, key: &str, relayed: bool) -> Outcome<Row> {
    let stem = format!("{}{}", plane.get(..1).unwrap_or("p"), u8::from(relayed));
    let (a, b) = machines(lab, &stem, relayed)?;
    let url = lab.url()?;
    let flags = ["--data-plane", plane];
    let mut a = Router::join(a, &format!("a{stem}"), &url, key, &flags)?;
    let mut b = Router::join(b, &format!("b{stem}"), &url, key, &flags)?;
    a.sees(&b.name, MEET)?;
    let target = b.ip()?;
    a.reaches(&target, MEET)?;
    a.pings(&b.name, if relayed { "via DERP(" } else { "via " }, MEET)?;
    lab.pause(Duration::from_secs(5));
    let said = a.hearthgate(&["ping", "-c", "1", "--until-direct=false", &b.name], SOON)?.ok()?.stdout;
    if said.contains("DERP") != relayed {
        return Err(Failure(format!("wrong path: {said}")));
    }
    let row = measure(lab, name, [&a.host, &b.host], &target, Some("hearthgate"))?;
    a.stop()?;
    b.stop()?;
    Ok(row)
}

fn official(lab: &mut Lab, name: &'static str, key: &str, relayed: bool) -> Outcome<Row> {
    let stem = format!("t{}", u8::from(relayed));
    let (a, b) = machines(lab, &stem, relayed)?;
    let url = lab.url()?;
    let join = |host, name: &str| -> Outcome<Client> {
        let mut client = Client::install(host, name, Relay::Tls)?;
        client.launch()?;
        client.up(&url, key, &[])?;
        Ok(client)
    };
    let (mut a, mut b) = (join(a, &format!("a{stem}"))?, join(b, &format!("b{stem}"))?);
    a.sees(&b.name, MEET)?;
    let target = b.ip()?;
    a.reaches(&target, MEET)?;
    if relayed {
        a.relayed_to(&b.name, MEET)?
    } else {
        a.direct_to(&b.name, MEET)?
    }
    lab.pause(Duration::from_secs(5));
    let row = measure(lab, name, [&a.host, &b.host], &target, Some("tailscaled"))?;
    a.stop()?;
    b.stop()?;
    Ok(row)
}

/// One TCP stream from the first machine to an address of the second.
fn measure(lab: &Lab, name: &'static str, hosts: [&Host; 2], target: &str, program: Option<&str>) -> Outcome<Row> {
    let [a, b] = hosts;
    b.ns.run(&["iperf3", "-s", "-1", "-D"], SOON)?.ok()?;
    lab.pause(Duration::from_secs(1));
    let busy = busy()?;
    let seconds = STREAM.to_string();
    let words = ["iperf3", "-c", target, "-t", &seconds, "-J"];
    let out = a.ns.run(&words, Duration::from_secs(STREAM) + SOON)?.ok()?.stdout;
    let cpu = self::busy()? - busy;
    let memory = program.map(|program| resident(a, program)).transpose()?;
    let report: serde_json::Value = serde_json::from_str(&out).map_err(|e| Failure(format!("{e}: {out}")))?;
    let received = &report["end"]["sum_received"];
    let number = |name: &str| received[name].as_f64().ok_or_else(|| Failure(format!("no {name} in {out}")));
    let (bits, speed) = (number("bytes")? * 8.0, number("bits_per_second")?);
    let row = Row { name, megabits: speed / 1e6, cost: cpu / (bits / 1e9), memory };
    println!("{name}: {:.1} Mbit/s, {:.1} CPU s per Gbit", row.megabits, row.cost);
    Ok(row)
}

/// CPU seconds the whole machine has worked: all but idle, waiting for disks, and guests, which are in user time.
fn busy() -> Outcome<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks = line.split_whitespace().skip(1).filter_map(|word| word.parse::<f64>().ok());
    Ok(ticks.enumerate().filter(|(at, _)| ![3, 4, 8, 9].contains(at)).map(|(_, t)| t).sum::<f64>() / TICKS)
}

/// Resident kB of the largest process on a machine whose name begins so, and how much of it is not of the program's file.
fn resident(host: &Host, program: &str) -> Outcome<(u64, u64)> {
    let pids = host.ns.context().run(Command::new("ip").args(["netns", "pids", &host.ns.name]), SOON)?.ok()?.stdout;
    let named = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with(program));
    let pids = pids.split_whitespace().filter_map(|pid| pid.parse().ok()).filter(named);
    let largest = pids.filter_map(|pid| memory(pid).ok()).max();
    largest.ok_or_else(|| Failure(format!("no {program} on {}", host.ns.name)))
}
