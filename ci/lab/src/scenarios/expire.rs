//! An administrator expires a node's key; its user has to log in again.
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
    name: "expire",
    summary: "an expired node has to log in again; it keeps its address",
    run,
    ..Scenario::BASE
};

fn run(lab: &mut Lab) -> Outcome {
    let (key, a, b) = lab.pair()?;
    let url = lab.url()?;
    let address = a.ip()?;
    let id = lab.server()?.node_id("a")?;

    lab.server()?.command(&["nodes", "expire", "-i", &id])?.ok()?;
    a.wait_state("NeedsLogin", MEET)?;
    b.context().eventually("b cannot use a any more", MEET, || b.does_not_reach(&address))?;

    a.log_in_again(&url, &key)?;
    a.wait_state("Running", LOGIN)?;
    ensure!(a.ip()? == address, "address changed to {}", a.ip()?);
    ensure!(lab.server()?.node_id("a")? == id, "a new node was made");
    b.reaches(&address, MEET)
}
