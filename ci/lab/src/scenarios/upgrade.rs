//! A client is replaced by another version, which finds the state of the first.
//!
//! ```text
//!        internet
//!    ____|____|____
//!   |        |     |
//! server     a     b     a runs each version in turn, from the last to the first
//! ```

use crate::client::MEET;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "upgrade",
    summary: "a client goes from version to version: the same node, and the server knows it",
    versions: 2,
    run,
    ..Scenario::BASE
};

fn run(lab: &mut Lab) -> Outcome {
    let key = lab.open()?;
    let url = lab.url()?;
    let b = lab.join("b", &key, &[])?;
    let mut a = lab.install("a")?;
    a.up(&url, &key, &[])?;
    let (id, address) = (lab.server()?.node_id("a")?, a.ip()?);

    let versions = lab.context.options.versions.clone();
    for version in versions.iter().rev().chain(versions.last()) {
        a.stop()?;
        a.replace(version)?;
        a.launch()?;
        a.wait_state("Running", MEET)?;
        ensure!(a.ip()? == address, "{version} has address {}", a.ip()?);
        ensure!(lab.server()?.node_id("a")? == id, "{version} is another node");
        b.sees("a", MEET)?;
        a.direct_to("b", MEET)?;
        b.reaches(&address, MEET)?;
    }
    Ok(())
}
