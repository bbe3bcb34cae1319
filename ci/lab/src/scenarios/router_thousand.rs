//! Our router in a network of a thousand: memory, first packet, and what a change of one peer costs.
//!
//! ```text
//!        internet
//!    ____|____|______________
//!   |        |   |           |
//! server     a   r    1000 simulated peers (hearthgate-bench)
//! ```
//!
//! An emulated machine would need half an hour to let them in. There the server begins with a state that knows them, made
//! by `hearthgate-bench --prepare` where there is time (`ci/vm/lab` does), in the folder that `HEARTHGATE_LAB_CROWD` names.

use std::path::Path;
use std::time::{Duration, Instant};

use super::router_userspace::memory;
use crate::client::MEET;
use crate::daemon::Daemon;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::router::Router;
use crate::scenario::Scenario;
use crate::server_config;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "router-thousand",
    summary: "our router with a thousand peers: memory, first packet; in the kernel a change of one rewrites no other",
    limit: Duration::from_secs(300),
    usual: false,
    run,
    ..Scenario::BASE
};

const SOON: Duration = Duration::from_secs(20);
const CROWD: usize = 1000;
/// Names the folder of a server's state with so many nodes.
pub(super) const PREPARED: &str = "HEARTHGATE_LAB_CROWD";
/// Most resident memory of a build without optimisation, without the program's own file, in KiB: of itself, and for each
/// peer, with WireGuard in the kernel and in the program. What is delivered needs half: `router-memory`.
const MEMORY: u64 = 4 << 10;
const EACH: [(&str, u64); 2] = [("kernel", 12), ("userspace", 18)];
/// From the router's start to the first packet through it.
const FIRST: Duration = Duration::from_secs(10);
/// What the router writes to its log each time it tells the kernel of peers.
const TOLD: &str = "told WireGuard peers=";

fn run(lab: &mut Lab) -> Outcome {
    let (key, crowd) = peopled(lab)?;
    let url = lab.server()?.url.clone();
    let a = lab.join("a", &key, &[])?;
    let target = a.ip()?;
    let host = lab.internet()?.host("r")?;
    let mut r = Router::install(host, "r")?;
    let start = Instant::now();
    r.start(&["--login-server", &url, "--authkey", &key, "--hostname", "r"])?;
    r.reaches(&target, MEET)?;
    let first = start.elapsed();
    let count = r.status()?.peer_names().len();
    ensure!(count > CROWD, "only {count} peers");
    println!("  {count} peers, {}: start to first packet {:.1} s", plane(&r)?, first.as_secs_f64());
    let limit = FIRST * lab.context.options.patience;
    ensure!(first <= limit, "the first packet came after {first:?}");

    lab.pause(Duration::from_secs(10));
    let (whole, data) = memory(r.pid()?)?;
    println!("  memory, KiB: {whole}, without the program's own file {data}");
    let plane = plane(&r)?;
    let each = EACH.iter().find(|(name, _)| *name == plane).map_or(0, |(_, each)| *each);
    let most = MEMORY + each * CROWD as u64;
    ensure!(data <= most, "{data} KiB, more than {most}");

    // A route of one peer: that one is told, and no other.
    let told = |r: &Router| -> Vec<usize> {
        r.log().lines().filter_map(|line| line.split_once(TOLD)?.1.trim().parse().ok()).collect()
    };
    let before = told(&r);
    a.tailscale(&["set", "--advertise-routes=10.99.0.0/24"], SOON)?.ok()?;
    lab.server()?.approve("a", "10.99.0.0/24")?;
    r.hearthgate(&["router", "up", "--accept-routes"], SOON)?.ok()?;
    lab.context.eventually("r has the route", SOON, || {
        let routes = r.run(&["ip", "route", "show", "table", "52"], SOON)?.ok()?.stdout;
        ensure!(routes.contains("10.99.0.0/24"), "no route");
        Ok(())
    })?;
    // In user space nothing is told, so there is nothing to count.
    if plane == "kernel" {
        let later: Vec<usize> = told(&r).into_iter().skip(before.len()).collect();
        println!(
            "  the kernel was told of {} peers at first, after a change of one: {later:?}",
            before.iter().sum::<usize>()
        );
        ensure!(before.iter().any(|count| *count >= CROWD), "{before:?}: the log does not say what was told");
        ensure!(!later.is_empty(), "the change did not reach the kernel");
        let sum: usize = later.iter().sum();
        ensure!(sum <= 5, "a change of one peer made {sum} others be told anew");
    }
    a.reaches(&r.ip()?, MEET)?;
    if let Some(crowd) = crowd {
        crowd.kill()?;
    }
    r.check()
}

/// A server with a thousand nodes, or those of a prepared state: a key for others, and the program that plays the nodes, if they are online.
pub(super) fn peopled(lab: &mut Lab) -> Outcome<(String, Option<Daemon>)> {
    // The crowd is one machine.
    let config = format!("connections_per_address = 0\n{}", server_config::PLAIN);
    if let Some(prepared) = std::env::var_os(PREPARED) {
        let state = lab.context.folder("server/state/store")?;
        for entry in std::fs::read_dir(Path::new(&prepared).join("store"))? {
            let entry = entry?;
            std::fs::copy(entry.path(), state.join(entry.file_name()))?;
        }
        lab.serve_with(&config, &server_config::url())?;
        return Ok((lab.reusable_key("alice")?, None));
    }
    lab.serve_with(&config, &server_config::url())?;
    let key = lab.reusable_key("alice")?;
    let crowd = lab.crowd("crowd", &key, CROWD)?;
    Ok((key, Some(crowd)))
}

fn plane(r: &Router) -> Outcome<String> {
    r.status().map(|status| status.text("DataPlane"))
}
