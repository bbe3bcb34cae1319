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

    a.up(&url, &alice, &[])?;
    ensure!(lab.server()?.node_id("a")? == id, "the same user got another node");
    ensure!(a.ip()? == address, "the same node got another address");
    b.sees("a", MEET)?;
    b.reaches(&address, MEET)?;

    a.tailscale(&["logout"], LOGIN)?.ok()?;
    a.wait_state("NeedsLogin", LOGIN)?;
    // The client puts its settings back meanwhile: a login in between finds half of them (seen with 1.80).
    lab.server()?.wait_online("a", false, MEET)?;
    a.up(&url, &bob, &[])?;
    let nodes = lab.server()?.nodes()?;
    let of_bob: Vec<_> = nodes.iter().filter(|node| node["user"]["name"] == "bob").collect();
    ensure!(of_bob.len() == 1, "bob has {} nodes", of_bob.len());
    ensure!(nodes.len() == 3, "{} nodes: alice's first one has to stay", nodes.len());
    ensure!(a.ip()? != address, "bob got the address of alice's node");
    b.reaches(&a.ip()?, MEET)
}
