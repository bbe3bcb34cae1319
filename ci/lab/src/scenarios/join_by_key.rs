//! Two clients log in with a pre-auth key and talk directly.
//!
//! ```text
//!        internet
//!    ____|____|_____
//!   |        |      |
//! server     a      b
//! ```

use crate::client::MEET;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;
use crate::server_config::BASE_DOMAIN;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "join-by-key",
    summary: "two clients join by key; ping by name and by address, directly",
    run,
    ..Scenario::BASE
};

fn run(lab: &mut Lab) -> Outcome {
    let key = lab.open()?;
    let a = lab.join("a", &key, &[])?;
    let b = lab.join("b", &key, &[])?;
    a.sees("b", MEET)?;
    b.sees("a", MEET)?;

    let addresses = lab.server()?.addresses("a")?;
    ensure!(addresses == a.status()?.own_addresses(), "server has {addresses:?} for a");

    a.direct_to("b", MEET)?;
    a.reaches(&b.ip()?, MEET)?;
    a.reaches(&b.ip6()?, MEET)?;
    b.reaches("a", MEET)?;
    a.reaches(&format!("b.{BASE_DOMAIN}"), MEET)?;

    for client in [&a, &b] {
        lab.server()?.wait_online(&client.name, true, MEET)?;
    }
    Ok(())
}
