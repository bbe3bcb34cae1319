//! The official Rust client, which is another implementation of everything, joins beside an official Go client.
//!
//! Version 0.6.1 can do less than the Go client: it does not read the pin of a self-signed relay, so it talks directly
//! here, and it does not come back by itself when the server was away. Neither is asked of it.
//!
//! ```text
//!        internet
//!    ____|____|_____
//!   |        |      |
//! server     a      r (Rust)
//! ```

use std::time::Duration;

use crate::client::MEET;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::{Failure, Outcome};
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "rust-client",
    summary: "the official Rust client joins, is asked by a Go client, and asks it",
    limit: Duration::from_secs(180),
    run,
    ..Scenario::BASE
};

/// It refuses to run without this.
const EXPERIMENT: (&str, &str) = ("TS_RS_EXPERIMENT", "this_is_unstable_software");

fn run(lab: &mut Lab) -> Outcome {
    let program = lab.context.options.clients_dir.with_file_name("rust-client").join("debug/hearthgate-rust-client");
    ensure!(program.exists(), "{} is missing: build it with ci/clients/rust", program.display());
    let key = lab.open()?;
    let a = lab.join("a", &key, &[])?;
    let _web = a.host.ns.helper("a-web", &["__http", "0.0.0.0:80"])?;
    let url = lab.url()?;
    let machine = lab.internet()?.host("r")?;
    let mut command = machine.ns.command(&program);
    command
        .args([url.as_str(), key.as_str(), "r", &format!("{}:80", a.ip()?)])
        .env(EXPERIMENT.0, EXPERIMENT.1)
        .env("RUST_LOG", "info");
    let r = machine.ns.spawn("r", &mut command)?;
    let address = lab.context.eventually("the Rust client is in", MEET, || said(&r.output(), "address "))?;
    ensure!(lab.server()?.addresses("r")?.contains(&address), "the server has other addresses than {address}");
    a.sees("r", MEET)?;

    let answer = lab.context.eventually("the Rust client is answered by a", MEET, || said(&r.output(), "answer "))?;
    ensure!(answer == format!("from={address}"), "a saw {answer}, not {address}");
    let page = format!("http://{address}/");
    lab.context.eventually("a is answered by the Rust client", MEET, || {
        let answer = a.run(&["curl", "-fsS", "-m", "5", &page], MEET)?.ok()?.stdout;
        ensure!(answer == "this is r", "{answer}");
        Ok(())
    })?;
    Ok(())
}

fn said(output: &str, what: &str) -> Outcome<String> {
    let line = output.lines().find_map(|l| l.strip_prefix(what));
    line.map(str::to_owned).ok_or_else(|| Failure(format!("no {what:?} yet")))
}
