//! Figures of the data planes beside WireGuard set by hand: throughput, CPU time, the filter's cost, memory.
//!
//! `ci/vm/figures` runs this where a kernel has WireGuard; it needs root, `iperf3` and `wg`. Rounds go through all cases
//! in turn, so that a machine that is slower for a while is slower for all; medians are printed, and ratios.
//!
//!     figures [throughput|filter|memory]... [--rounds N] [--seconds N]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Net, Node, Ns, kernel_mode, open_filter};
use hearthgate_filter::{Filter, Range, compile};
use hearthgate_keys::NodePrivate;
use hearthgate_plane::{Endpoint, Mode, Peer};
use hearthgate_tailcfg::FilterRule;
use ipnet::IpNet;
use std::{fs, process::Command, thread, time::Duration};

/// Clock ticks of `/proc/stat` in a second (`USER_HZ`, the same on every Linux port).
const TICKS: f64 = 100.0;
const GIGA: f64 = 1e9;
/// Rules of the large filter.
const RULES: usize = 5000;

/// What one run gave.
#[derive(Clone, Copy)]
struct Sample {
    bits_per_second: f64,
    cpu_seconds_per_gigabit: f64,
}

/// A way to carry packets from `a` to an address behind or in `b`, ready to be measured.
struct Case {
    name: &'static str,
    net: Net,
    lan: Option<Ns>,
    target: &'static str,
    _nodes: Vec<Node>,
    samples: Vec<Sample>,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, usual: usize| {
        let at = words.iter().position(|word| word == name);
        at.and_then(|at| words.get(at + 1)).and_then(|word| word.parse().ok()).unwrap_or(usual)
    };
    let (rounds, seconds) = (number("--rounds", 3), number("--seconds", 5));
    let known = ["throughput", "filter", "memory"];
    let any = words.iter().any(|word| known.contains(&word.as_str()));
    let wants = |what: &str| !any || words.iter().any(|word| word == what);
    if let Some(count) = words.iter().position(|word| word == "--peers").and_then(|at| words.get(at + 1)) {
        return resident(count.parse().expect("a number"), words.iter().any(|word| word == "userspace"));
    }
    if wants("throughput") {
        throughput(rounds, seconds);
    }
    if wants("filter") {
        filter(rounds, seconds);
    }
    if wants("memory") {
        memory();
    }
}

fn modes() -> Vec<Mode> {
    kernel_mode().into_iter().chain([Mode::Userspace]).collect()
}

fn throughput(rounds: usize, seconds: usize) {
    let mut cases = Vec::new();
    if kernel_mode().is_some() {
        cases.extend(by_hand("hgw", "WireGuard by hand, nothing else"));
        // What every router has: a firewall that knows connections.
        cases.extend(by_hand("hgt", "WireGuard by hand, connections tracked").inspect(|case| {
            for ns in [&case.net.a, &case.net.b] {
                ns.run(
                    "nft 'add table inet t; add chain inet t c { type filter hook input priority 0; }; \
                     add rule inet t c ct state established,related accept'",
                );
            }
        }));
    }
    for mode in modes() {
        let name = if mode == Mode::Kernel { "hearthgate, kernel" } else { "hearthgate, user space" };
        cases.extend(Net::new(if mode == Mode::Kernel { "hgk" } else { "hgu" }).map(|net| direct(name, net, mode)));
    }
    measure(&mut cases, rounds, seconds);
    print("One TCP stream through the tunnel", &cases);
}

fn filter(rounds: usize, seconds: usize) {
    let mut cases = Vec::new();
    let Some(mode) = modes().first().copied() else { return };
    for (name, rules) in [("forwarded, one rule", 1), ("forwarded, 5000 rules", RULES)] {
        cases.extend(Net::new(if rules == 1 { "hg1" } else { "hg5" }).map(|net| forwarded(name, net, mode, rules)));
    }
    measure(&mut cases, rounds, seconds);
    print("One TCP stream to a host behind the router", &cases);
}

/// Plain WireGuard, as `wg` and `ip` set it up.
fn by_hand(prefix: &str, name: &'static str) -> Option<Case> {
    let net = Net::new(prefix)?;
    let keys = [(); 2].map(|()| net.a.run("wg genkey").trim().to_owned());
    let public = keys.each_ref().map(|key| net.a.run(&format!("echo {key} | wg pubkey")).trim().to_owned());
    for (ns, own, other, end) in [(&net.a, 0, 1, &net.b), (&net.b, 1, 0, &net.a)] {
        let (private, public, own, peer) = (&keys[own], &public[other], own + 1, other + 1);
        ns.run(&format!(
            "ip link add wg0 mtu 1280 type wireguard; f=$(mktemp); echo {private} > $f; \
             wg set wg0 private-key $f listen-port 51820 peer {public} allowed-ips 100.64.0.{peer}/32 \
             endpoint {}:51820; rm $f; ip addr add 100.64.0.{own}/32 dev wg0; ip link set wg0 up; \
             ip route add 100.64.0.{peer}/32 dev wg0",
            end.ip
        ));
    }
    Some(Case { name, net, lan: None, target: "100.64.0.2", _nodes: vec![], samples: vec![] })
}

fn pair(net: &Net, mode: Mode) -> (Node, Node) {
    let (a, b) = (Node::start(&net.a, mode, 1), Node::start(&net.b, mode, 2));
    a.knows(&b, Endpoint::Direct(b.addr(&net.b)));
    b.knows(&a, Endpoint::Direct(a.addr(&net.a)));
    (a, b)
}

fn direct(name: &'static str, net: Net, mode: Mode) -> Case {
    let (a, b) = pair(&net, mode);
    Case { name, net, lan: None, target: "100.64.0.2", _nodes: vec![a, b], samples: vec![] }
}

fn forwarded(name: &'static str, net: Net, mode: Mode, rules: usize) -> Case {
    let lan = net.lan_of_b();
    let (a, b) = pair(&net, mode);
    let subnet: IpNet = "10.20.0.0/24".parse().expect("prefix");
    a.change(|desired| {
        desired.peers[0].allowed_ips.push(subnet);
        desired.routes.push(subnet);
    });
    b.change(|desired| {
        let local = [desired.addresses.clone(), vec![subnet]].concat();
        desired.forward = true;
        desired.filter = if rules == 1 { open_filter(&local) } else { large_filter(&local, rules) };
    });
    Case { name, net, lan: Some(lan), target: "10.20.0.9", _nodes: vec![a, b], samples: vec![] }
}

/// Rules for as many sources, destinations and ports as there are rules; the last one lets our stream through.
fn large_filter(local: &[IpNet], rules: usize) -> Filter {
    let local: Vec<Range> = local.iter().map(|net| Range::from(*net)).collect();
    let rules: Vec<FilterRule> = (1..rules)
        .map(|n| {
            let (high, low) = (n >> 8, n & 255);
            serde_json::json!({
                "SrcIPs": [format!("100.65.{high}.{low}"), "100.64.0.1"],
                "DstPorts": [{ "IP": format!("10.20.0.{}", 10 + n % 200), "Ports": { "First": n, "Last": n } }],
            })
        })
        .chain([serde_json::json!({
            "SrcIPs": ["100.64.0.1"], "DstPorts": [{ "IP": "10.20.0.9", "Ports": { "First": 0, "Last": 65535 } }],
        })])
        .map(|rule| serde_json::from_value(rule).expect("rule"))
        .collect();
    compile(&rules, &local, |_| vec![]).expect("compiles")
}

fn measure(cases: &mut [Case], rounds: usize, seconds: usize) {
    for _ in 0..rounds {
        for case in &mut *cases {
            let sample = case.run(seconds);
            eprintln!("{}: {:.1} Mbit/s", case.name, sample.bits_per_second / 1e6);
            case.samples.push(sample);
        }
    }
}

impl Case {
    fn run(&self, seconds: usize) -> Sample {
        let end = self.lan.as_ref().unwrap_or(&self.net.b);
        end.run("iperf3 -s -1 -D");
        let ready = || self.net.a.try_run(&format!("ping -c 1 -W 1 {}", self.target)).status.success();
        common::eventually("a path", Duration::from_secs(30), ready);
        thread::sleep(Duration::from_millis(500));
        let before = busy();
        let json = self.net.a.run(&format!("iperf3 -c {} -t {seconds} -J", self.target));
        let cpu = busy() - before;
        let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let received = &report["end"]["sum_received"];
        let bits = received["bytes"].as_f64().expect("bytes") * 8.0;
        let bits_per_second = received["bits_per_second"].as_f64().expect("bits per second");
        Sample { bits_per_second, cpu_seconds_per_gigabit: cpu / (bits / GIGA) }
    }

    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        let mut all: Vec<f64> = self.samples.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// CPU seconds the whole machine has worked.
fn busy() -> f64 {
    let text = fs::read_to_string("/proc/stat").expect("/proc/stat");
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // All but idle and waiting for disks; guests are counted in user time already.
    ticks.iter().enumerate().filter(|(at, _)| ![3, 4, 8, 9].contains(at)).map(|(_, t)| t).sum::<f64>() / TICKS
}

fn print(title: &str, cases: &[Case]) {
    let Some(first) = cases.first() else { return };
    println!("\n{title}\n");
    println!("| | Mbit/s | of the first | CPU s per Gbit | of the first |\n|---|---|---|---|---|");
    let (speed, cost) = (|s: &Sample| s.bits_per_second, |s: &Sample| s.cpu_seconds_per_gigabit);
    for case in cases {
        let (s, c) = (case.median(speed), case.median(cost));
        let (of_speed, of_cost) = (s / first.median(speed), c / first.median(cost));
        println!("| {} | {:.1} | {of_speed:.2} | {c:.2} | {of_cost:.2} |", case.name, s / 1e6);
    }
}

fn memory() {
    println!(
        "\nResident memory of a process with nothing but the data plane\n\n| | 50 peers | 1000 peers |\n|---|---|---|"
    );
    for mode in modes() {
        let name = if mode == Mode::Kernel { "kernel" } else { "user space" };
        let cells = ["50", "1000"].map(|count| {
            let mut command = Command::new(std::env::current_exe().expect("our own path"));
            command.args(["--peers", count]).args((mode == Mode::Userspace).then_some("userspace"));
            let out = command.output().expect("runs");
            String::from_utf8_lossy(&out.stdout).trim().to_owned()
        });
        println!("| {name} | {} | {} |", cells[0], cells[1]);
    }
}

/// Prints the resident memory of this process with so many peers, each with a relayed endpoint and a filter class.
fn resident(count: u32, userspace: bool) {
    let Some(net) = Net::new("hgr") else { return };
    let mode = if userspace { Mode::Userspace } else { Mode::Kernel };
    let node = Node::start(&net.a, mode, 1);
    node.change(|desired| {
        desired.peers = (0..count)
            .map(|n| {
                let mut key = [7; 32];
                key[..4].copy_from_slice(&n.to_be_bytes());
                let address = std::net::Ipv4Addr::from(0x6441_0000 + n);
                Peer::new(NodePrivate::from_random(key).public(), vec![IpNet::from(std::net::IpAddr::from(address))])
            })
            .collect();
        desired.routes = desired.peers.iter().flat_map(|peer| peer.allowed_ips.clone()).collect();
    });
    let text = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim().to_owned();
    println!("{}", line("VmRSS:"));
}
