//! An administrator deletes a node that is connected.
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
    name: "delete",
    summary: "a deleted node is cut off, told so, and may join again as a new one",
    run,
    ..Scenario::BASE
};

fn run(lab: &mut Lab) -> Outcome {
    let (key, a, b) = lab.pair()?;
    let url = lab.url()?;
    let (id, address) = (lab.server()?.node_id("a")?, a.ip()?);

    lab.server()?.command(&["nodes", "delete", "-i", &id])?.ok()?;
    b.forgets("a", MEET)?;
    b.does_not_reach(&address)?;
    // Not a zombie that believes it is in: the person in front of it has to see it.
    a.wait_state("NeedsLogin", MEET)?;

    a.log_in_again(&url, &key)?;
    a.wait_state("Running", LOGIN)?;
    ensure!(lab.server()?.node_id("a")? != id, "a deleted id was used again");
    b.sees("a", MEET)?;
    b.reaches(&a.ip()?, MEET)
}
