//! A tailnet moves from Headscale to hearthgate: the same address, other program; clients go on without a new login.
//!
//! ```text
//!        internet
//!    ____|____|_____
//!   |        |      |
//! server     a      gw (advertises a route)
//! ```
//! Needs Headscale itself (ci/clients/headscale), so it is not among `all`.

use std::time::Duration;

use crate::client::MEET;
use crate::ensure;
use crate::headscale::Headscale;
use crate::lab::Lab;
use crate::outcome::{Failure, Outcome};
use crate::scenario::Scenario;
use crate::server_config::{PLAIN, url};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "import-headscale",
    summary: "clients of a real Headscale go on with hearthgate after an import",
    limit: Duration::from_secs(240),
    usual: false,
    run,
    ..Scenario::BASE
};

const RECONNECT: Duration = Duration::from_secs(60);
const ROUTE: &str = "192.168.77.0/24";

fn run(lab: &mut Lab) -> Outcome {
    // Hearthgate's own folder and address are made first; nothing of it runs while Headscale does.
    lab.serve_with(PLAIN, &url())?;
    lab.server()?.stop()?;
    let folder = lab.server()?.file("headscale");
    let host = &lab.server()?.host;
    let mut headscale = Headscale::start(host, &folder, &url(), None)?;
    let key = headscale.user_with_key("anna", "anna@home.example")?;
    let a = lab.join("a", &key, &[])?;
    let gw = lab.join("gw", &key, &[&format!("--advertise-routes={ROUTE}")])?;
    a.reaches("gw", MEET)?;
    headscale.command(&["nodes", "approve-routes", "-i", "2", "-r", ROUTE])?.ok()?;
    headscale.command(&["nodes", "rename", "-i", "1", "laptop"])?.ok()?;
    lab.pause(Duration::from_secs(2));
    let before = (a.status()?.own_addresses(), gw.status()?.own_addresses());
    // As a power cut would: part of it is in the write-ahead log only.
    headscale.kill()?;

    let db = headscale.database();
    let dry = lab.server()?.command(&["import", "headscale", "--db", &db, "--dry-run"])?.ok()?.stdout;
    ensure!(dry.contains("laptop") && dry.contains("dry run"), "{dry}");
    let not_empty = lab.server()?.command(&["import", "headscale", "--db", &db])?;
    ensure!(not_empty.success(), "hearthgate's folder has no tailnet yet: {}", not_empty.complaint());
    let twice = lab.server()?.command(&["import", "headscale", "--db", &db])?;
    ensure!(!twice.success(), "imported over a tailnet: {}", twice.stdout);
    lab.server()?.wipe("log")?;
    lab.server()?.command(&["import", "headscale", "--db", &db])?.ok()?;
    lab.server()?.launch()?;
    for name in ["laptop", "gw"] {
        lab.server()?.wait_online(name, true, RECONNECT)?;
    }
    ensure!(a.status()?.backend() == "Running" && gw.status()?.backend() == "Running", "a client was logged out");
    let after = (a.status()?.own_addresses(), gw.status()?.own_addresses());
    ensure!(after == before, "addresses were {before:?}, now {after:?}");
    a.reaches("gw", MEET)?;
    gw.reaches("laptop", MEET)?;
    let node = lab.server()?.node("gw")?;
    ensure!(node["user"]["email"] == "anna@home.example", "{node}");
    lab.context.eventually("gw serves its route", MEET, || {
        let node = lab.running()?.node("gw")?;
        if node["subnetRoutes"].to_string().contains(ROUTE) { Ok(()) } else { Err(Failure(node.to_string())) }
    })?;
    // New devices get new numbers and addresses.
    let key = lab.server()?.key("1", &[])?;
    let c = lab.join("c", &key, &[])?;
    c.reaches("gw", MEET)
}
