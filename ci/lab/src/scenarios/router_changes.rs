//! Our router and an official client, with traffic that goes on while something changes under it.
//!
//! ```text
//!        internet
//!    ____|____|_____
//!   |        |      |
//! server     a ===> r (hearthgate router up)
//! ```
//!
//! `a` pings `r` twenty times a second all the while; what is lost is counted and printed.

use std::time::{Duration, Instant};

use crate::client::{Client, LOGIN, MEET};
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::router::Router;
use crate::scenario::Scenario;
use crate::stream::{Report, Stream};

pub(super) const ROAMING: Scenario = Scenario {
    name: "router-roaming",
    summary: "the client's address changes, then our router's, with traffic running; counts what is lost",
    usual: false,
    run: run_roaming,
    ..Scenario::BASE
};

pub(super) const REKEY: Scenario = Scenario {
    name: "router-rekey",
    summary: "control server restarts, keys are changed on both sides, with traffic running; counts what is lost",
    usual: false,
    run: run_rekey,
    ..Scenario::BASE
};

pub(super) const DEVICE: Scenario = Scenario {
    name: "router-device",
    summary: "somebody removes our router's interface, takes it down, unloads WireGuard's module",
    usual: false,
    limit: Duration::from_secs(240),
    run: run_device,
    ..Scenario::BASE
};

const SOON: Duration = Duration::from_secs(20);
/// Time between two pings.
const PACE: Duration = Duration::from_millis(50);
/// Longest silence after the client's address changed: its first ping from there is followed.
const FOLLOWED: Duration = Duration::from_secs(3);
/// Longest silence after ours changed: the router looks at its interfaces every 3 s.
const ROAMED: Duration = Duration::from_secs(6);
/// Longest silence after the interface was taken away: 3 s until it is missed, then a handshake.
const MENDED: Duration = Duration::from_secs(8);
/// Longest silence after a new key was asked for.
const REKEYED: Duration = Duration::from_secs(8);
/// How long the server is away.
const AWAY: Duration = Duration::from_secs(5);
/// Set in machines that are made for tests: modules of the kernel may be removed there.
const OWN_KERNEL: &str = "HEARTHGATE_KERNEL_WIREGUARD";

/// The server, the client `a`, the router `r`, a direct path between them, and pings from `a` to `r`.
fn talking(lab: &mut Lab) -> Outcome<(Client, Router, Stream, String)> {
    lab.serve()?;
    let key = lab.reusable_key("alice")?;
    let url = lab.server()?.url.clone();
    let a = lab.join("a", &key, &[])?;
    let r = Router::join(lab.internet()?.host("r")?, "r", &url, &key, &[])?;
    a.sees("r", MEET)?;
    a.direct_to("r", MEET)?;
    let stream = Stream::start(&a.host.ns, "stream", &r.ip()?, PACE, 56)?;
    Ok((a, r, stream, key))
}

/// Does something and tells how the traffic fared; fails if it was silent for longer than `limit`.
fn during(
    lab: &mut Lab,
    stream: &Stream,
    what: &str,
    limit: Duration,
    change: impl FnOnce(&mut Lab) -> Outcome,
) -> Outcome<Report> {
    let context = lab.context.clone();
    let mark = stream.mark(&context, MEET)?;
    change(lab)?;
    let report = stream.since(&context, mark, MEET + limit)?;
    println!("  {what}: {report}");
    let limit = limit * context.options.patience;
    ensure!(report.gap <= limit.as_secs_f64(), "{what}: silent for {:.1} s, more than {limit:?}", report.gap);
    Ok(report)
}

fn run_roaming(lab: &mut Lab) -> Outcome {
    let (mut a, mut r, stream, _) = talking(lab)?;
    let before = (a.host.address.clone(), r.host.address.clone());
    during(lab, &stream, "client roams", FOLLOWED, |lab| lab.internet()?.renumber(&mut a.host))?;
    reached_at(lab, &r, "a", &a.host.address)?;
    during(lab, &stream, "router roams", ROAMED, |lab| lab.internet()?.renumber(&mut r.host))?;
    lab.context.eventually("a reaches r at its new address", SOON, || {
        let status = a.status()?;
        let at = status.peer("r").map(|peer| peer["CurAddr"].to_string()).unwrap_or_default();
        ensure!(is_at(&at, &r.host.address), "{at}");
        Ok(())
    })?;
    during(lab, &stream, "both roam", 2 * ROAMED, |lab| {
        lab.internet()?.renumber(&mut a.host)?;
        lab.internet()?.renumber(&mut r.host)
    })?;
    reached_at(lab, &r, "a", &a.host.address)?;
    ensure!(before.0 != a.host.address && before.1 != r.host.address, "nothing has moved");
    lab.server()?.wait_online("r", true, MEET)?;
    let said = r.status()?;
    ensure!(said.connected(), "r is not connected to the server");
    stream.end()?;
    r.check()
}

fn run_rekey(lab: &mut Lab) -> Outcome {
    let (a, mut r, stream, key) = talking(lab)?;
    let url = lab.server()?.url.clone();
    let quiet = during(lab, &stream, "control server away for 5 s, then back", PACE * 10, |lab| {
        lab.server()?.kill()?;
        lab.pause(AWAY);
        lab.server()?.launch()?;
        lab.server()?.wait_online("r", true, LOGIN)?;
        lab.server()?.wait_online("a", true, LOGIN)
    })?;
    ensure!(quiet.lost == 0, "{} packets were lost though the path was direct", quiet.lost);

    let node_key = |status: &crate::status::Status| status.own()["PublicKey"].to_string();
    let (address, old) = (r.ip()?, node_key(&r.status()?));
    let id = lab.server()?.node_id("r")?;
    lab.server()?.command(&["nodes", "expire", "-i", &id])?.ok()?;
    lab.context.eventually("r is out", SOON, || {
        let state = r.status()?.backend();
        ensure!(state == "NeedsLogin", "{state}");
        Ok(())
    })?;
    lab.context.eventually("a cannot use r any more", MEET, || a.does_not_reach(&address))?;
    let login = lab.context.eventually("r shows a login URL for its new key", SOON, || {
        let url = r.status()?.auth_url();
        ensure!(!url.is_empty(), "none yet");
        Ok(url)
    })?;
    let login = login.rsplit('/').next().unwrap_or_default();
    let start = Instant::now();
    lab.server()?.command(&["auth", "register", "--auth-id", login, "-u", "alice"])?.ok()?;
    stream.mark(&lab.context, MEET)?;
    let took = start.elapsed();
    println!("  router's key expired, another one let in: 20 packets in a row {:.1} s later", took.as_secs_f64());
    let limit = REKEYED * lab.context.options.patience;
    ensure!(took <= limit, "packets flow {took:?} after the new key, later than {limit:?}");
    ensure!(r.ip()? == address, "the address is {}, not {address}", r.ip()?);
    ensure!(node_key(&r.status()?) != old, "the same key");

    let old = node_key(&a.status()?);
    during(lab, &stream, "client's key changed", REKEYED, |_| a.log_in_again(&url, &key))?;
    ensure!(node_key(&a.status()?) != old, "a has its old key");
    stream.end()?;
    r.check()
}

fn run_device(lab: &mut Lab) -> Outcome {
    let (a, mut r, stream, _) = talking(lab)?;
    let plane = |r: &Router| -> Outcome<String> { r.status().map(|status| status.text("DataPlane")) };
    let first = plane(&r)?;
    println!("  data plane: {first}");
    let own_kernel = std::env::var_os(OWN_KERNEL).is_some();
    ensure!(!own_kernel || first == "kernel", "this machine has the module, but the data plane is {first}");
    during(lab, &stream, "interface removed", MENDED, |_| r.host.ns.ip("link del tailscale0").map(drop))?;
    during(lab, &stream, "interface taken down", MENDED, |_| r.host.ns.ip("link set tailscale0 down").map(drop))?;
    ensure!(plane(&r)? == first, "another data plane");
    if own_kernel {
        let unload = |r: &Router| r.run(&["modprobe", "-r", "wireguard"], SOON)?.ok().map(drop);
        during(lab, &stream, "module unloaded, comes back by itself", MENDED, |_| unload(&r))?;
        ensure!(plane(&r)? == "kernel", "not in the kernel any more");
        let loader = std::fs::read_to_string("/proc/sys/kernel/modprobe")?;
        std::fs::write("/proc/sys/kernel/modprobe", "/bin/false")?;
        let fell = during(lab, &stream, "module unloaded for good", MENDED, |_| unload(&r));
        std::fs::write("/proc/sys/kernel/modprobe", loader.trim())?;
        fell?;
        ensure!(plane(&r)? == "userspace", "there is no module, but {}", plane(&r)?);
        let said = r.hearthgate(&["status"], SOON)?.ok()?.stdout;
        ensure!(said.contains("user space"), "{said}");
        r.stop()?;
        r.launch(&[])?;
        ensure!(plane(&r)? == "kernel", "the module is back, but {}", plane(&r)?);
    } else {
        println!("  not a machine of our own: the module stays where it is");
    }
    a.reaches(&r.ip()?, MEET)?;
    stream.end()?;
    r.stop()?;
    let left = r.run(&["sh", "-c", "ip link; ip rule; ip -6 rule; nft list tables"], SOON)?.ok()?.stdout;
    for ours in ["tailscale0", "lookup 52", "hearthgate"] {
        ensure!(!left.contains(ours), "{ours} is left: {left}");
    }
    Ok(())
}

/// Waits until `r` sends straight to a peer's address.
fn reached_at(lab: &Lab, r: &Router, peer: &str, address: &str) -> Outcome {
    lab.context.eventually(&format!("r reaches {peer} at {address}"), SOON, || {
        let status = r.status()?;
        let at = status.peer(peer).map(|peer| peer["CurAddr"].to_string()).unwrap_or_default();
        ensure!(is_at(&at, address), "{at}");
        Ok(())
    })
}

/// Whether an endpoint is a machine's on the Internet segment, by either family.
fn is_at(endpoint: &str, address: &str) -> bool {
    let number = address.rsplit('.').next().unwrap_or_default();
    endpoint.contains(&format!("{address}:")) || endpoint.contains(&format!("[fd77::{number}]"))
}
