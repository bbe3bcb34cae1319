//! Devices wait for approval: one that was there before does not, a new one does, then it reaches and is reached.
//!
//! ```text
//!        internet
//!    ____|____|____|___
//!   |        |     |   |
//! server     a     b   c
//! ```

use crate::client::{LOGIN, MEET};
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;
use crate::server_config::PLAIN;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "approval",
    summary: "a new device waits and sees nobody, is approved and reaches; the old one is unaffected",
    run,
    ..Scenario::BASE
};

fn run(lab: &mut Lab) -> Outcome {
    let key = lab.open()?;
    let url = lab.url()?;
    let a = lab.join("a", &key, &[])?;
    let server = lab.server()?;
    server.stop()?;
    server.configure(&PLAIN.replace("[node.ephemeral]", "[node]\napproval = true\n\n[node.ephemeral]"))?;
    server.launch()?;
    server.wait_online("a", true, MEET)?;
    a.wait_state("Running", MEET)?;

    let b = lab.install("b")?;
    let words = ["up", "--login-server", &url, "--authkey", &key, "--hostname", "b", "--timeout", "60s"];
    let up = b.tailscale_background("b-up", &words)?;
    b.wait_state("NeedsMachineAuth", LOGIN)?;
    let waiting = lab.server()?.node("b")?;
    ensure!(waiting["approved"] == false, "{waiting}");
    ensure!(a.status()?.peer("b").is_none(), "a sees a device that waits");
    let address = lab.server()?.addresses("b")?.into_iter().next().unwrap_or_default();
    a.does_not_reach(&address)?;

    // A restart of the server forgets nothing.
    lab.server()?.stop()?;
    lab.server()?.launch()?;
    b.wait_state("NeedsMachineAuth", MEET)?;
    ensure!(lab.server()?.node("b")?["approved"] == false, "approved by a restart");

    let id = lab.server()?.node_id("b")?;
    lab.server()?.command(&["nodes", "approve", "-i", &id])?.ok()?;
    b.wait_state("Running", MEET)?;
    up.finished(LOGIN)?;
    a.sees("b", MEET)?;
    b.sees("a", MEET)?;
    a.reaches(&b.ip()?, MEET)?;
    b.reaches(&a.ip()?, MEET)?;

    // A key that says so brings its device in at once.
    let user = lab.server()?.user("bob")?;
    let free = lab.server()?.key(&user, &["--preauthorized"])?;
    let c = lab.join("c", &free, &[])?;
    c.reaches(&a.ip()?, MEET)
}
