//! UDP does not get through, so everything goes over the server's DERP relay: once as clients
//! are released, over TLS with a certificate that the server made for itself and whose hash
//! stands in the DERP map (`sha256-raw:`), once over plain HTTP.
//!
//! ```text
//!        internet
//!    ____|____|_____
//!   |        #      #      # = UDP from the network is dropped
//! server     a      b
//! ```

use std::time::Duration;

use crate::client::{Client, MEET, Relay};
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

use super::relayed;

pub(super) const TLS: Scenario = Scenario {
    name: "tls-relay",
    summary: "UDP is blocked: traffic goes over DERP with TLS, its certificate pinned in the map",
    run: run_tls,
    ..Scenario::BASE
};

pub(super) const HTTP: Scenario = Scenario {
    name: "relay",
    summary: "UDP is blocked: traffic goes over DERP with plain HTTP",
    run: run_http,
    ..Scenario::BASE
};

/// First client to know pins; the server gives older ones `InsecureForTests` instead.
pub(super) const KNOWS_PINS: u32 = 82;

fn run_http(lab: &mut Lab) -> Outcome {
    both(lab, Relay::Http).map(drop)
}

fn run_tls(lab: &mut Lab) -> Outcome {
    for client in both(lab, Relay::Tls)? {
        if client.minor >= KNOWS_PINS {
            let words = ["debug", "derp-map"];
            let map = client.tailscale(&words, MEET)?.ok()?.stdout;
            ensure!(map.contains("\"sha256-raw:"), "no pin in {map}");
            ensure!(!map.contains("InsecureForTests"), "verification is off in {map}");
        }
    }
    Ok(())
}

fn both(lab: &mut Lab, relay: Relay) -> Outcome<[Client; 2]> {
    lab.serve()?;
    let [a, b] = relayed::pair(lab, relay, None, |_| Ok(()))?;
    relayed::meet(&a, &b)?;

    // As large as the tunnel carries, in both directions.
    let words = ["ping", "-c", "20", "-i", "0.1", "-s", "1200", &b.ip()?];
    let output = a.run(&words, Duration::from_secs(20))?.ok()?;
    ensure!(output.stdout.contains(" 0% packet loss"), "{}", output.stdout.trim());
    Ok([a, b])
}
