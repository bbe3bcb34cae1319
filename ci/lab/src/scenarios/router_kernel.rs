//! Hearthgate's router with WireGuard in the kernel, and an official client: everything a user of a router does in turn.
//! `ci/vm/lab` runs it in a virtual machine, since few build machines have the module.
//!
//! ```text
//!   web 198.51.100.10
//!        internet
//!    ____|____|___________
//!   |        |            |
//! server     a            r  (hearthgate router up --data-plane kernel, with a firewall)
//!                         |
//!                      printer
//! ```

use std::fs;
use std::time::{Duration, Instant};

use crate::client::{Client, MEET, Relay};
use crate::ensure;
use crate::internet::WEB;
use crate::lab::Lab;
use crate::nat::{self, NatKind};
use crate::outcome::{Failure, Outcome};
use crate::router::Router;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "router-kernel",
    summary: "our router with WireGuard in the kernel: relay, direct, LAN, exit node, filter, firewall reload, end",
    limit: Duration::from_secs(300),
    usual: false,
    run,
    ..Scenario::BASE
};

const SOON: Duration = Duration::from_secs(20);
/// A reload of the firewall is over after this.
const HEALED: Duration = Duration::from_secs(1);
/// Peers are looked at each three seconds.
const RECONCILED: Duration = Duration::from_secs(5);
/// Everything is allowed.
const OPEN: &str = r#"{"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]}"#;
/// The LAN's port 80 only.
const NARROW: &str = r#"{"grants": [{"src": ["*"], "dst": ["192.168.1.0/24"], "ip": ["tcp:80"]}]}"#;

fn run(lab: &mut Lab) -> Outcome {
    let key = lab.open()?;
    let url = lab.url()?;
    let _web = lab.internet()?.ns.helper("web", &["__http", "0.0.0.0:80"])?;
    let mut home = lab.internet()?.router("r", NatKind::Easy)?;
    let printer = home.host("printer")?;
    let _printer = printer.ns.helper("printer-web", &["__http", "0.0.0.0:80"])?;
    let _hidden = printer.ns.helper("printer-setup", &["__http", "0.0.0.0:81"])?;
    let lan = home.lan.clone();

    let host = lab.internet()?.host("a")?;
    host.block_udp()?;
    let mut a = Client::install(host, "a", Relay::Tls)?;
    a.launch()?;
    a.up(&url, &key, &["--accept-routes"])?;
    let route = format!("--advertise-routes={lan}");
    let flags = ["--data-plane", "kernel", &route, "--advertise-exit-node"];
    let mut r = Router::join(home.into_host(), "r", &url, &key, &flags)?;
    let said = r.hearthgate(&["status"], SOON)?.ok()?.stdout;
    ensure!(said.contains("data plane: kernel"), "{said}");
    a.sees("r", MEET)?;
    r.sees("a", MEET)?;
    let (a_ip, r_ip) = (a.ip()?, r.ip()?);

    let clock = Instant::now();
    let step = |lab: &Lab, what: &str| {
        println!("{what}: held at {:.1} s", clock.elapsed().as_secs_f64());
        lab.context.note(what);
    };
    a.reaches(&r_ip, MEET)?;
    r.reaches(&a_ip, MEET)?;
    a.relayed_to("r", MEET)?;
    step(lab, "relayed ping, both ways");

    a.host.unblock_udp()?;
    a.direct_to("r", MEET)?;
    r.reaches(&a_ip, MEET)?;
    a.reaches(&r_ip, MEET)?;
    let words = ["ping", "-c", "50", "-i", "0.1", "-s", "1200", &r_ip];
    let output = a.run(&words, SOON)?.ok()?;
    ensure!(output.stdout.contains(" 0% packet loss"), "{}", output.stdout.trim());
    step(lab, "direct ping, both ways");

    lab.server()?.approve("r", &format!("{lan},0.0.0.0/0,::/0"))?;
    let page = |a: &Client, host: &str| -> Outcome<String> {
        let page = format!("http://{host}/");
        Ok(a.run(&["curl", "-fsS", "-m", "3", &page], SOON)?.ok()?.stdout)
    };
    let opens = |a: &Client, host: &str, from: &str| {
        a.context().eventually(&format!("{host} sees {from}"), SOON, || {
            let answer = page(a, host)?;
            ensure!(answer.trim() == format!("from={from}"), "{answer}");
            Ok(())
        })
    };
    opens(&a, &printer.address, "192.168.1.1")?;
    step(lab, "LAN behind the router");

    let own = a.host.address.clone();
    opens(&a, WEB, &own)?;
    lab.context.eventually("r is on offer", SOON, || {
        let status = a.status()?;
        ensure!(status.peer("r").is_some_and(|r| r["ExitNodeOption"] == true), "not an option");
        Ok(())
    })?;
    a.tailscale(&["set", &format!("--exit-node={r_ip}")], SOON)?.ok()?;
    opens(&a, WEB, &r.host.address)?;
    a.tailscale(&["set", "--exit-node="], SOON)?.ok()?;
    opens(&a, WEB, &own)?;
    step(lab, "exit node");

    let hidden = format!("{}:81", printer.address);
    opens(&a, &hidden, "192.168.1.1")?;
    policy(lab, NARROW)?;
    a.context().eventually("the narrow policy is in force", SOON, || a.does_not_reach(&r_ip))?;
    ensure!(page(&a, &hidden).is_err(), "the printer's other port is open");
    opens(&a, &printer.address, "192.168.1.1")?;
    policy(lab, OPEN)?;
    a.reaches(&r_ip, SOON)?;
    step(lab, "filter");

    let rules = r.host.ns.context().folder("r")?.join("reload.nft");
    fs::write(&rules, format!("flush ruleset\n{}", nat::ruleset(NatKind::Easy)))?;
    let reload = format!(
        "nft -f {} && s=$(date +%s%N) && until nft list tables | grep -q hearthgate; do sleep 0.05; done && \
         echo $((($(date +%s%N) - s) / 1000000))",
        rules.display()
    );
    let output = r.run(&["sh", "-c", &reload], SOON)?.ok()?;
    let took = output.stdout.trim().parse().map_err(|_| Failure(output.stdout.clone()))?;
    let took = Duration::from_millis(took);
    ensure!(took <= HEALED * lab.context.options.patience, "the table was back after {took:?}");
    a.reaches(&r_ip, SOON)?;
    opens(&a, &printer.address, "192.168.1.1")?;
    step(lab, &format!("firewall reload, healed after {} ms", took.as_millis()));

    let shown = "wg show tailscale0 peers | sort; wg show tailscale0 allowed-ips | sort";
    let shown = || -> Outcome<String> { Ok(r.run(&["sh", "-c", shown], SOON)?.ok()?.stdout) };
    let whole = shown()?;
    let key = whole.lines().next().unwrap_or_default();
    for damage in [format!("peer {key} remove"), format!("peer {key} allowed-ips 10.9.8.0/24")] {
        let before = noticed(&r);
        r.run(&["sh", "-c", &format!("wg set tailscale0 {damage}")], SOON)?.ok()?;
        lab.context.eventually("the peers are as before", RECONCILED, || {
            ensure!(noticed(&r) > before, "`{damage}` was not noticed");
            let now = shown()?;
            ensure!(now == whole, "{now}");
            Ok(())
        })?;
        a.reaches(&r_ip, SOON)?;
    }
    step(lab, "peers removed and changed by hand, put back");

    r.stop()?;
    let left = r.run(&["sh", "-c", "ip link; ip rule; ip -6 rule; ip route show table all; nft list tables"], SOON)?;
    let left = left.ok()?.stdout;
    for ours in ["tailscale0", "lookup 52", "table 52", "hearthgate"] {
        ensure!(!left.contains(ours), "{ours} is left: {left}");
    }
    step(lab, "nothing is left after the end");
    Ok(())
}

/// How often our router has told of peers that somebody changed.
fn noticed(r: &Router) -> usize {
    r.log().lines().filter(|line| line.contains("peers were changed by somebody")).count()
}

fn policy(lab: &mut Lab, text: &str) -> Outcome {
    let file = lab.server()?.file("policy.json");
    fs::write(&file, text)?;
    lab.server()?.command(&["policy", "set", "-f", &file])?.ok().map(drop)
}
