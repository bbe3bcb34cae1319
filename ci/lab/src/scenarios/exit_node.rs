//! A client sends everything through another node.
//!
//! ```text
//!   web 198.51.100.10
//!        internet
//!    ____|____|_______
//!   |        |        |
//! server     a        x (exit node)
//! ```

use std::time::Duration;

use crate::client::{Client, MEET};
use crate::ensure;
use crate::internet::WEB;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "exit-node",
    summary: "an exit node is offered, approved, used and left again",
    run,
    ..Scenario::BASE
};

const SOON: Duration = Duration::from_secs(20);

fn run(lab: &mut Lab) -> Outcome {
    let key = lab.open()?;
    let _web = lab.internet()?.ns.helper("web", &["__http", "0.0.0.0:80"])?;
    let host = lab.internet()?.host("x")?;
    for family in ["ipv4.ip_forward", "ipv6.conf.all.forwarding"] {
        host.ns.sysctl(&format!("net.{family}"), "1")?;
    }
    let x = lab.join_on(host, "x", &key, &["--advertise-exit-node"])?;
    let a = lab.join("a", &key, &[])?;
    a.sees("x", MEET)?;
    let (own, exit) = (a.host.address.clone(), x.host.address.clone());
    let x_ip = x.ip()?;
    web_sees(&a, &own)?;

    let early = a.tailscale(&["set", &format!("--exit-node={x_ip}")], SOON)?;
    ensure!(!early.success(), "the exit node could be chosen before approval");

    lab.server()?.approve("x", "0.0.0.0/0,::/0")?;
    lab.context.eventually("x is on offer", SOON, || {
        let status = a.status()?;
        let peer = status.peer("x").ok_or("no peer x")?;
        ensure!(peer["ExitNodeOption"] == true, "not an option");
        Ok(())
    })?;
    a.tailscale(&["set", &format!("--exit-node={x_ip}")], SOON)?.ok()?;
    web_sees(&a, &exit)?;
    // The client's own way to the server is not through the exit node.
    lab.server()?.wait_online("a", true, SOON)?;

    a.tailscale(&["set", "--exit-node="], SOON)?.ok()?;
    web_sees(&a, &own)
}

fn web_sees(a: &Client, address: &str) -> Outcome {
    let what = format!("the web sees a as {address}");
    a.context().eventually(&what, SOON, || {
        let page = format!("http://{WEB}/");
        let answer = a.run(&["curl", "-fsS", "-m", "3", &page], SOON)?.ok()?.stdout;
        ensure!(answer.trim() == format!("from={address}"), "{answer}");
        Ok(())
    })
}
