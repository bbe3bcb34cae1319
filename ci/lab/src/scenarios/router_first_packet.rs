//! How soon our router is of use.
//!
//! ```text
//!        internet
//!    ____|____|_____
//!   |        |      |
//! server     a ===> r (hearthgate router up)
//! ```

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::{Failure, Outcome};
use crate::router::Router;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "router-first-packet",
    summary: "prints join to first packet, and from there to a direct path",
    limit: Duration::from_secs(240),
    usual: false,
    run,
    ..Scenario::BASE
};

const SOON: Duration = Duration::from_secs(30);
/// From the start of the program to the first answer of a peer.
const JOINED: Duration = Duration::from_secs(2);
/// From the first answer to the direct path.
const DIRECT: Duration = Duration::from_secs(1);

fn run(lab: &mut Lab) -> Outcome {
    lab.serve()?;
    let key = lab.reusable_key("alice")?;
    let a = lab.join("a", &key, &[])?;
    let mut r = first_packet(lab, &a, &key)?;
    r.check()
}

/// Starts the router and pings through it from the first moment on.
fn first_packet(lab: &mut Lab, a: &Client, key: &str) -> Outcome<Router> {
    let url = lab.server()?.url.clone();
    let target = a.ip()?;
    let host = lab.internet()?.host("r")?;
    let words = format!("until ping -n -c 1 -W 0.2 {target} >/dev/null 2>&1; do sleep 0.01; done");
    let mut command = host.ns.command("sh");
    let pings = host.ns.spawn("first-ping", command.args(["-c", &words]))?;
    let mut r = Router::install(host, "r")?;
    let start = Instant::now();
    let limit = lab.context.within(SOON);
    let waiting = std::thread::spawn(move || pings.finished(limit).map(|()| start.elapsed()));
    r.start(&["--login-server", &url, "--authkey", key, "--hostname", "r"])?;
    let joined = waiting.join().map_err(|_| Failure("the waiting thread panicked".into()))??;
    println!("  join to first packet: {:.2} s", joined.as_secs_f64());
    let direct = lab.context.eventually("r's path is direct", SOON, || {
        let log = r.log();
        ensure!(log.lines().any(|line| line.contains(" path=") && !line.contains("relay")), "not yet");
        Ok(start.elapsed().saturating_sub(joined))
    })?;
    println!("  first packet to direct path: at most {:.2} s", direct.as_secs_f64());
    let patience = lab.context.options.patience;
    ensure!(joined <= JOINED * patience, "the first packet came after {joined:?}");
    ensure!(direct <= DIRECT * patience, "the path was direct {direct:?} after the first packet");
    Ok(r)
}
