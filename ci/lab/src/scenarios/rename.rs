//! An administrator gives a node another name.
//!
//! ```text
//!        internet
//!    ____|____|____
//!   |        |     |
//! server     a     b
//! ```

use crate::client::MEET;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;
use crate::server_config::BASE_DOMAIN;
use crate::status::Status;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "rename",
    summary: "a new name reaches the node itself and its peers, and stays",
    run,
    ..Scenario::BASE
};

fn run(lab: &mut Lab) -> Outcome {
    let key = lab.open()?;
    let mut a = lab.join("a", &key, &[])?;
    let b = lab.join("b", &key, &[])?;
    b.reaches("a", MEET)?;
    let id = lab.server()?.node_id("a")?;
    lab.server()?.command(&["nodes", "rename", "-i", &id, "attic"])?.ok()?;

    b.sees("attic", MEET)?;
    b.reaches(&format!("attic.{BASE_DOMAIN}"), MEET)?;
    let old = b.run(&["getent", "ahostsv4", &format!("a.{BASE_DOMAIN}")], MEET)?;
    ensure!(!old.success(), "the old name still resolves: {}", old.stdout.trim());
    a.context().eventually("a knows its new name", MEET, || own_name(&a.status()?, "attic"))?;

    // The client still says `a` when it comes back; the administrator's choice wins.
    a.stop()?;
    a.launch()?;
    a.wait_state("Running", MEET)?;
    a.context().eventually("a keeps its new name", MEET, || own_name(&a.status()?, "attic"))?;
    b.reaches("attic", MEET)
}

fn own_name(status: &Status, name: &str) -> Outcome {
    let now = Status::label(status.own());
    ensure!(now == name, "{now}");
    Ok(())
}
