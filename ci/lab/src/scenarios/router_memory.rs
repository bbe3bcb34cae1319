//! Memory of our router beside few and many peers. For figures of what is delivered, let it run a program of `ci/build`:
//!
//!     ci/build x86_64
//!     cargo build -p hearthgate-lab -p hearthgate-bench
//!     target/debug/hearthgate-lab router-memory --hearthgate dist/x86_64/hearthgate --client 1.102.5
//!
//! A slow machine begins with a state that knows the peers, as in `router_thousand`; they are offline then, and one number
//! of them is looked at: `ci/vm/figures memory`.
//!
//! ```text
//!        internet
//!    ____|____|___________________
//!   |         |                   |
//! server      r     simulated peers (hearthgate-bench)
//! ```

use std::time::Duration;

use super::router_thousand::{PREPARED, peopled};
use super::router_userspace::memory;
use crate::client::MEET;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::{Failure, Outcome};
use crate::router::Router;
use crate::scenario::Scenario;
use crate::server_config;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "router-memory",
    summary: "prints resident memory of our router, freshly started, beside 50 and 1,000 simulated peers",
    limit: Duration::from_secs(240),
    usual: false,
    run,
    ..Scenario::BASE
};

/// Peers, how much the router may have resident with them, and how much of that may be other than pages of the program's
/// file; in KiB. For a program of `ci/build`: a development build has more.
const STEPS: [(usize, u64, u64); 2] = [(50, 6_000_000 >> 10, 2 << 10), (1000, 12_000_000 >> 10, 9 << 10)];
/// What a start needs is given back by then.
const SETTLE: Duration = Duration::from_secs(10);

fn run(lab: &mut Lab) -> Outcome {
    if std::env::var_os(PREPARED).is_some() {
        return run_prepared(lab);
    }
    // All simulated peers come from one address.
    let socket = lab.context.folder("box")?.join("r.sock");
    let section = format!("[router]\nenabled = true\nhostname = \"box\"\nsocket = {socket:?}\n");
    let config = format!("connections_per_address = 0\n{}\n{section}", server_config::PLAIN);
    lab.serve_with(&config, &server_config::url())?;
    let (url, key) = (lab.server()?.url.clone(), lab.reusable_key("alice")?);
    let mut r = Router::install(lab.internet()?.host("r")?, "r")?;
    let flags = ["--login-server", &url, "--authkey", &key, "--hostname", "r"];
    let mut above = Vec::new();
    for (peers, most, limit) in STEPS {
        let crowd = lab.crowd(&format!("crowd-{peers}"), &key, peers)?;
        r.launch(&flags)?;
        lab.context.eventually("the router knows them", MEET, || {
            let count = r.status()?.peer_names().len();
            ensure!(count >= peers, "{count} peers");
            Ok(())
        })?;
        lab.pause(SETTLE);
        let (whole, data) = memory(r.pid()?)?;
        let plane = r.status()?.text("DataPlane");
        let count = r.status()?.peer_names().len();
        println!("  {count} peers, {plane}: {whole} KiB resident, {data} of them not pages of the program's own file");
        println!("    {}", parts(r.pid()?)?);
        let server = lab.server()?.pid()?;
        println!("    the server, with a router in it: {} KiB resident; {}", memory(server)?.0, parts(server)?);
        if whole > most || data > limit {
            above.push(format!(
                "{whole} KiB with {count} peers, {data} of them not of its file; {most} and {limit} may be"
            ));
        }
        // Those that went offline stay peers: the next step has a few more.
        r.stop()?;
        crowd.kill()?;
    }
    ensure!(above.is_empty(), "{}", above.join("; "));
    Ok(())
}

/// The same beside the peers that the server's state knows.
fn run_prepared(lab: &mut Lab) -> Outcome {
    let (key, _) = peopled(lab)?;
    let (url, peers) = (lab.url()?, lab.server()?.nodes()?.len());
    let r = Router::join(lab.internet()?.host("r")?, "r", &url, &key, &[])?;
    lab.context.eventually("the router knows them", MEET, || {
        let count = r.status()?.peer_names().len();
        ensure!(count >= peers, "{count} peers");
        Ok(())
    })?;
    lab.pause(SETTLE);
    let (whole, data) = memory(r.pid()?)?;
    let plane = r.status()?.text("DataPlane");
    println!("  {peers} peers, {plane}: {whole} KiB resident, {data} of them not pages of the program's own file");
    println!("    {}", parts(r.pid()?)?);
    println!("    the server: {} KiB resident", memory(lab.server()?.pid()?)?.0);
    let step = STEPS.iter().find(|(most, _, _)| peers <= *most);
    let (_, most, limit) = step.ok_or_else(|| Failure(format!("{peers} peers are too many")))?;
    ensure!(whole <= *most && data <= *limit, "{most} and {limit} may be");
    Ok(())
}

/// What a process has resident, by kind of mapping, in KiB.
fn parts(pid: u32) -> Outcome<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps"))?;
    let mut kinds: Vec<(String, u64)> = Vec::new();
    let mut kind = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [range, rights, _, _, _, name @ ..] if range.contains('-') => {
                kind = match name {
                    [] => "anonymous".into(),
                    [name] if name.starts_with('[') => (*name).into(),
                    _ => format!("file {rights}"),
                };
            }
            ["Rss:", size, ..] => {
                let size = size.parse().unwrap_or(0);
                match kinds.iter_mut().find(|entry| entry.0 == kind) {
                    Some(entry) => entry.1 += size,
                    None => kinds.push((kind.clone(), size)),
                }
            }
            _ => {}
        }
    }
    let words = kinds.iter().filter(|(_, size)| *size > 0).map(|(kind, size)| format!("{kind} {size}"));
    Ok(words.collect::<Vec<_>>().join(", "))
}
