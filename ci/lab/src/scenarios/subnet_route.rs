//! A router advertises its LAN; once approved, a client reaches a machine there that knows
//! nothing of Tailscale.
//!
//! ```text
//!        internet
//!    ____|____|________________
//!   |        |    |            |
//! server     a    c           gw  (advertises 192.168.1.0/24)
//!     (accepts)  (does not)    |
//!                           printer
//! ```

use std::time::Duration;

use crate::client::MEET;
use crate::ensure;
use crate::lab::Lab;
use crate::nat::NatKind;
use crate::outcome::Outcome;
use crate::scenario::Scenario;
use crate::server::{field, list};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "subnet-route",
    summary: "a LAN is advertised, approved, used, withdrawn, advertised again, disapproved",
    limit: Duration::from_secs(240),
    run,
    ..Scenario::BASE
};

const SOON: Duration = Duration::from_secs(20);

fn run(lab: &mut Lab) -> Outcome {
    let key = lab.open()?;
    let mut home = lab.internet()?.router("gw", NatKind::Easy)?;
    let printer = home.host("printer")?;
    let _web = printer.ns.helper("printer-web", &["__http", "0.0.0.0:80"])?;
    let lan = home.lan.clone();
    let route = format!("--advertise-routes={lan}");
    let gw = lab.join_on(home.into_host(), "gw", &key, &[&route])?;
    let a = lab.join("a", &key, &["--accept-routes"])?;
    let c = lab.join("c", &key, &[])?;
    a.sees("gw", MEET)?;

    lab.context.eventually("the server lists the route as available", SOON, || {
        let node = lab_node(lab, "gw")?;
        ensure!(holds(field(&node, "availableRoutes", "available_routes"), &lan), "{node}");
        Ok(())
    })?;
    a.does_not_reach(&printer.address)?;

    lab.server()?.approve("gw", &lan)?;
    a.reaches(&printer.address, SOON)?;
    let page = format!("http://{}/", printer.address);
    let answer = a.run(&["curl", "-fsS", "-m", "5", &page], SOON)?.ok()?.stdout;
    ensure!(answer.contains("from=192.168.1.1"), "the LAN saw {answer}, not its own router");
    ensure!(
        a.status()?.peer("gw").is_some_and(|gw| holds(&gw["PrimaryRoutes"], &lan)),
        "gw is not the primary router in a's eyes"
    );
    c.does_not_reach(&printer.address)?;

    gw.tailscale(&["set", "--advertise-routes="], SOON)?.ok()?;
    unreachable(&a, &printer.address)?;
    // Approval outlives a withdrawal.
    gw.tailscale(&["set", &route], SOON)?.ok()?;
    a.reaches(&printer.address, SOON)?;
    lab.server()?.approve("gw", "")?;
    unreachable(&a, &printer.address)?;
    a.reaches(&gw.ip()?, SOON)
}

fn lab_node(lab: &Lab, name: &str) -> Outcome<serde_json::Value> {
    lab.running()?.node(name)
}

fn holds(routes: &serde_json::Value, prefix: &str) -> bool {
    list(routes).iter().any(|route| route == prefix)
}

fn unreachable(a: &crate::client::Client, target: &str) -> Outcome {
    a.context().eventually("the route is gone", SOON, || a.does_not_reach(target))
}
