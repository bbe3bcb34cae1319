//! A client's machine is switched off, and on again: once in order, once by the mains.
//!
//! ```text
//!        internet
//!    ____|____|____
//!   |        |     |
//! server     a     b
//! ```

use std::time::Duration;

use crate::client::MEET;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "client-restart",
    summary: "a client stops, or is killed, and starts: same node, no login, its key long spent",
    limit: Duration::from_secs(240),
    run,
    ..Scenario::BASE
};

/// The server's grace for short absences, and then some.
const OFFLINE: Duration = Duration::from_secs(40);

fn run(lab: &mut Lab) -> Outcome {
    lab.serve()?;
    let user = lab.server()?.user("alice")?;
    let spent = lab.server()?.key(&user, &[])?;
    let other = lab.server()?.key(&user, &[])?;
    let mut a = lab.join("a", &spent, &[])?;
    let b = lab.join("b", &other, &[])?;
    b.reaches("a", MEET)?;
    let (id, address) = (lab.server()?.node_id("a")?, a.ip()?);

    for power_cut in [false, true] {
        if power_cut {
            a.kill()?;
        } else {
            a.stop()?;
        }
        lab.server()?.wait_online("a", false, OFFLINE)?;
        b.context().eventually("b has a as offline", OFFLINE, || {
            let status = b.status()?;
            let peer = status.peer("a").ok_or("a is gone")?;
            ensure!(peer["Online"] == false, "still online");
            Ok(())
        })?;
        a.launch()?;
        a.wait_state("Running", MEET)?;
        ensure!(a.ip()? == address, "address changed to {}", a.ip()?);
        ensure!(lab.server()?.node_id("a")? == id, "it became another node");
        b.sees("a", MEET)?;
        b.reaches(&address, MEET)?;
    }
    let count = lab.server()?.nodes()?.len();
    ensure!(count == 2, "{count} nodes instead of 2");
    Ok(())
}
