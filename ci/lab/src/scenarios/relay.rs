//! UDP does not get through, so everything goes over the server's DERP relay.
//!
//! ```text
//!        internet
//!    ____|____|_____
//!   |        #      #      # = UDP from the network is dropped
//! server     a      b
//! ```

use std::time::Duration;

use crate::client::MEET;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "relay",
    summary: "UDP is blocked between clients: all traffic goes over DERP",
    limit: Duration::from_secs(180),
    oldest: 0,
    programs: &[],
    run,
};

/// Enough to need several relay packets of the largest size, in both directions.
const LARGE_PINGS: &str = "20";

fn run(lab: &mut Lab) -> Outcome {
    lab.serve()?;
    let key = lab.reusable_key("alice")?;
    let mut clients = Vec::new();
    for name in ["a", "b"] {
        let host = lab.internet()?.host(name)?;
        host.block_udp()?;
        clients.push(lab.join_on(host, name, &key, &[])?);
    }
    let [a, b] = clients.as_slice() else { return Err("two clients".into()) };
    a.sees("b", MEET)?;
    a.relayed_to("b", MEET)?;
    a.reaches(&b.ip()?, MEET)?;
    b.reaches(&a.ip()?, MEET)?;
    a.stays_relayed("b", 5)?;

    let words = ["ping", "-c", LARGE_PINGS, "-i", "0.1", "-s", "1200", &b.ip()?];
    let output = a.run(&words, Duration::from_secs(20))?.ok()?;
    ensure!(output.stdout.contains(" 0% packet loss"), "{}", output.stdout.trim());
    Ok(())
}
