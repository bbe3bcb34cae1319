//! A path appears and disappears while clients talk.
//!
//! ```text
//!        internet
//!    ____|____|_____
//!   |        #      |      # = UDP from the network is dropped, for a time
//! server     a      b
//! ```

use std::time::Duration;

use crate::client::MEET;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "path-change",
    summary: "direct, then only the relay, then direct again, in one conversation",
    limit: Duration::from_secs(240),
    run,
    ..Scenario::BASE
};

/// A client gives a direct path up some seconds after the last answer on it.
const FALLBACK: Duration = Duration::from_secs(30);

fn run(lab: &mut Lab) -> Outcome {
    let key = lab.open()?;
    let a = lab.join("a", &key, &[])?;
    let b = lab.join("b", &key, &[])?;
    a.sees("b", MEET)?;
    a.direct_to("b", MEET)?;

    a.host.block_udp()?;
    a.reaches(&b.ip()?, FALLBACK)?;
    a.relayed_to("b", FALLBACK)?;
    a.stays_relayed("b", 3)?;

    a.host.unblock_udp()?;
    a.direct_to("b", MEET)?;
    b.direct_to("a", MEET)
}
