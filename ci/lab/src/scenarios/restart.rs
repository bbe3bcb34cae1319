//! The server restarts, once cleanly and once as after a power cut, while clients stay.
//!
//! ```text
//!        internet
//!    ____|____|________
//!   |        |    |    |
//! server     a    b    c (joins at the end)
//! ```

use std::time::Duration;

use crate::client::MEET;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "restart",
    summary: "server stops, or is killed, and starts: clients reconnect, addresses stay",
    limit: Duration::from_secs(300),
    run,
    ..Scenario::BASE
};

/// Official clients wait longer after each failed try, up to this with few tries behind them.
const RECONNECT: Duration = Duration::from_secs(60);

/// Clients look at their network anew when their own interface has come up.
const SETTLE: Duration = Duration::from_secs(3);

fn run(lab: &mut Lab) -> Outcome {
    let key = lab.open()?;
    let a = lab.join("a", &key, &[])?;
    let b = lab.join("b", &key, &[])?;
    a.direct_to("b", MEET)?;
    // Sessions that last are made with the first packets, each way.
    a.reaches(&b.ip()?, MEET)?;
    b.reaches(&a.ip()?, MEET)?;
    lab.pause(SETTLE);
    let before = (lab.server()?.addresses("a")?, lab.server()?.addresses("b")?);
    let ids = (lab.server()?.node_id("a")?, lab.server()?.node_id("b")?);
    let b_ip = b.ip()?;

    for power_cut in [false, true] {
        if power_cut {
            lab.server()?.kill()?;
        } else {
            lab.server()?.stop()?;
        }
        // Without the server, peers go on talking.
        a.reaches(&b_ip, Duration::from_secs(10))?;
        lab.pause(Duration::from_secs(2));
        lab.server()?.launch()?;
        for client in [&a, &b] {
            lab.server()?.wait_online(&client.name, true, RECONNECT)?;
        }
        let after = (lab.server()?.addresses("a")?, lab.server()?.addresses("b")?);
        ensure!(after == before, "addresses were {before:?}, now {after:?}");
        let now = (lab.server()?.node_id("a")?, lab.server()?.node_id("b")?);
        ensure!(now == ids, "ids were {ids:?}, now {now:?}");
        ensure!(a.status()?.backend() == "Running", "a is no longer in");
        a.reaches(&b_ip, MEET)?;
        b.reaches("a", MEET)?;
    }

    // News reaches the old clients again, and the key from before the power cut still holds.
    let c = lab.join("c", &key, &[])?;
    a.sees("c", RECONNECT)?;
    b.sees("c", RECONNECT)?;
    c.reaches("a", MEET)?;
    let count = lab.server()?.nodes()?.len();
    ensure!(count == 3, "{count} nodes instead of 3");
    Ok(())
}
