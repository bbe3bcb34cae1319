//! Names: of nodes, of extra records, of a domain with a resolver of its own, of the world.
//!
//! ```text
//!   resolver of corp.example at 198.51.100.10, of the world at 10.77.0.1
//!        internet
//!    ____|____|____
//!   |        |     |
//! server     a     b
//! ```

use std::time::Duration;

use crate::client::{Client, MEET, Relay};
use crate::ensure;
use crate::internet::{GATEWAY, WEB};
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;
use crate::server_config::{self, BASE_DOMAIN, EXTRA_RECORD, SPLIT_DOMAIN};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "dns",
    summary: "MagicDNS names, extra records, split DNS and the world's names through quad-100",
    programs: &["getent"],
    run,
    ..Scenario::BASE
};

const OF_CORP: &str = "192.0.2.9";
const OF_WORLD: &str = "192.0.2.53";
const SOON: Duration = Duration::from_secs(15);

fn run(lab: &mut Lab) -> Outcome {
    let internet = &lab.internet()?.ns;
    let _corp = internet.helper("dns-corp", &["__dns", &format!("{WEB}:53"), OF_CORP])?;
    let _world = internet.helper("dns-world", &["__dns", &format!("{GATEWAY}:53"), OF_WORLD])?;
    lab.serve_with(server_config::DNS, &server_config::url())?;
    let key = lab.reusable_key("alice")?;
    let url = lab.url()?;
    let host = lab.internet()?.host("a")?;
    host.ns.resolver(&format!("nameserver {GATEWAY}\n"))?;
    let mut a = Client::install(host, "a", Relay::Tls)?;
    a.launch()?;
    resolves(&a, "www.example.org", OF_WORLD)?;
    a.up(&url, &key, &[])?;
    let b = lab.join("b", &key, &[])?;
    a.sees("b", MEET)?;

    let seen = a.run(&["cat", "/etc/resolv.conf"], SOON)?.ok()?.stdout;
    ensure!(seen.contains("100.100.100.100"), "the client did not set itself: {seen}");
    resolves(&a, &format!("b.{BASE_DOMAIN}"), &b.ip()?)?;
    resolves(&a, "b", &b.ip()?)?;
    resolves(&a, EXTRA_RECORD.0, EXTRA_RECORD.1)?;
    resolves(&a, &format!("files.{SPLIT_DOMAIN}"), OF_CORP)?;
    resolves(&a, "www.example.org", OF_WORLD)?;
    let unknown = a.run(&["getent", "ahostsv4", &format!("nobody.{BASE_DOMAIN}")], SOON)?;
    ensure!(!unknown.success(), "an unknown name has an address: {}", unknown.stdout.trim());

    a.tailscale(&["down"], SOON)?.ok()?;
    let seen = a.run(&["cat", "/etc/resolv.conf"], SOON)?.ok()?.stdout;
    ensure!(seen.contains(GATEWAY), "the old resolver did not come back: {seen}");
    resolves(&a, "www.example.org", OF_WORLD)
}

fn resolves(client: &Client, name: &str, address: &str) -> Outcome {
    client.context().eventually(&format!("{name} is {address}"), SOON, || {
        let found = client.run(&["getent", "ahostsv4", name], SOON)?.ok()?.stdout;
        let first = found.split_whitespace().next().unwrap_or_default();
        ensure!(first == address, "{first}");
        Ok(())
    })
}
