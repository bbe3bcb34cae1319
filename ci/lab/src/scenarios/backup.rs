//! A backup is made while clients are connected, everything is lost, and the backup is restored, each time with another
//! store engine. Clients go on without a new login.
//!
//! ```text
//!    internet
//!    ____|_______
//!   |        |   |
//! server     a   b
//! ```

use std::time::Duration;

use crate::client::MEET;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "backup",
    summary: "backup while running, all state lost, restored with each engine: clients go on",
    limit: Duration::from_secs(300),
    run,
    ..Scenario::BASE
};

/// Official clients wait longer after each failed try, up to this with few tries behind them.
const RECONNECT: Duration = Duration::from_secs(60);

fn run(lab: &mut Lab) -> Outcome {
    let key = lab.open()?;
    let a = lab.join("a", &key, &[])?;
    let b = lab.join("b", &key, &[])?;
    a.reaches("b", MEET)?;
    let before = (lab.server()?.addresses("a")?, lab.server()?.addresses("b")?);
    let file = lab.server()?.file("everything.backup");
    for engine in ["redb", "sled", "log"] {
        lab.server()?.command(&["backup", &file])?.ok()?;
        lab.server()?.kill()?;
        lab.server()?.wipe(engine)?;
        lab.server()?.command(&["restore", &file])?.ok()?;
        lab.server()?.launch()?;
        for client in [&a, &b] {
            lab.server()?.wait_online(&client.name, true, RECONNECT)?;
        }
        let after = (lab.server()?.addresses("a")?, lab.server()?.addresses("b")?);
        ensure!(after == before, "with {engine} addresses were {before:?}, now {after:?}");
        ensure!(a.status()?.backend() == "Running", "with {engine} a is no longer in");
        a.reaches("b", MEET)?;
    }
    // A damaged backup is refused, and what is there stays.
    lab.server()?.stop()?;
    let mut bytes = std::fs::read(&file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let bad = lab.server()?.file("damaged.backup");
    std::fs::write(&bad, bytes)?;
    let refused = lab.server()?.command(&["restore", &bad])?;
    ensure!(!refused.success(), "a damaged backup was restored");
    lab.server()?.launch()?;
    lab.server()?.wait_online("a", true, RECONNECT)
}
