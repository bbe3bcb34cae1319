//! A client logs out, then in again as the same user, then as another one.
//!
//! ```text
//!        internet
//!    ____|____|____
//!   |        |     |
//! server     a     b
//! ```

use crate::client::{LOGIN, MEET};
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "logout",
    summary: "logout; login again as the same user keeps the node, as another makes a new one",
    run,
    ..Scenario::BASE
};

/// A client that logs out takes up new settings while it still reads the last answers of the server; an answer that comes
/// in between marks them as chosen by its user (`SetControlClientStatus` in `ipn/ipnlocal/local.go` of tailscale.com
/// v1.80.3), and the next `up` then wants every one of them named. Its own way out of that is `--reset`.
const FORGET: [&str; 1] = ["--reset"];

fn run(lab: &mut Lab) -> Outcome {
    lab.serve()?;
    let alice = lab.reusable_key("alice")?;
    let bob = lab.reusable_key("bob")?;
    let url = lab.url()?;
    let a = lab.join("a", &alice, &[])?;
    let b = lab.join("b", &alice, &[])?;
    b.sees("a", MEET)?;
    let id = lab.server()?.node_id("a")?;
    let address = a.ip()?;

    a.tailscale(&["logout"], LOGIN)?.ok()?;
    a.wait_state("NeedsLogin", LOGIN)?;
    lab.server()?.wait_online("a", false, MEET)?;
    b.context().eventually("b has a as offline", MEET, || {
        let status = b.status()?;
        let online = status.peer("a").is_some_and(|peer| peer["Online"] == true);
        ensure!(!online, "still online");
        Ok(())
    })?;

    a.up(&url, &alice, &FORGET)?;
    ensure!(lab.server()?.node_id("a")? == id, "the same user got another node");
    ensure!(a.ip()? == address, "the same node got another address");
    b.sees("a", MEET)?;
    b.reaches(&address, MEET)?;

    a.tailscale(&["logout"], LOGIN)?.ok()?;
    a.wait_state("NeedsLogin", LOGIN)?;
    lab.server()?.wait_online("a", false, MEET)?;
    a.up(&url, &bob, &FORGET)?;
    let nodes = lab.server()?.nodes()?;
    let of_bob: Vec<_> = nodes.iter().filter(|node| node["user"]["name"] == "bob").collect();
    ensure!(of_bob.len() == 1, "bob has {} nodes", of_bob.len());
    ensure!(nodes.len() == 3, "{} nodes: alice's first one has to stay", nodes.len());
    ensure!(a.ip()? != address, "bob got the address of alice's node");
    b.reaches(&a.ip()?, MEET)
}
