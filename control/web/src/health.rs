//! What is wrong with the network, and the remedy.

use crate::{
    reach::{Finding, Level},
    text::{count, day},
};
use hearthgate_core::{Now, World};
use jiff::{SignedDuration, Timestamp};

/// A key that expires within this many hours is worth a word.
const SOON_H: i64 = 7 * 24;
/// First second of 2025: a clock before that was never set.
const CLOCK_SET: i64 = 1_735_689_600;

/// Everything that is worth a word; empty when all is well.
#[must_use]
pub fn findings(world: &World, now: Now) -> Vec<Finding> {
    let mut out = Vec::new();
    if now.wall.as_second() < CLOCK_SET {
        out.push(Finding::new(
            Level::Bad,
            format!("The clock of this box says {}: keys and certificates may be refused.", day(now.wall)),
            "Let the box reach a time server, or set the clock.",
        ));
    }
    if world.derp_map().regions.is_empty() {
        out.push(Finding::new(
            Level::Bad,
            "There is no relay: devices that cannot reach each other directly do not reach each other at all.",
            "Set `derp.server.enabled = true` in the configuration, or name files of relays in `derp.paths`.",
        ));
    }
    let soon = now.wall.checked_add(SignedDuration::from_hours(SOON_H)).unwrap_or(Timestamp::MAX);
    for node in world.nodes() {
        let name = &node.given_name;
        if node.is_expired(now.wall) {
            out.push(Finding::new(
                Level::Warn,
                format!("The key of {name} has expired: it is cut off."),
                "Log in on it again, or remove it.",
            ));
        } else if let Some(expiry) = node.expiry.filter(|e| *e <= soon) {
            let day = day(expiry);
            out.push(Finding::new(
                Level::Warn,
                format!("The key of {name} expires on {day}."),
                "Log in on it again before that, or lift its expiry.",
            ));
        }
        let waiting = node.advertised_routes().iter().filter(|r| !node.approved_routes.contains(r)).count();
        if waiting > 0 {
            out.push(Finding::new(
                Level::Warn,
                format!("{name} offers {} without approval.", count(waiting, "network")),
                "Approve them on its page, or let it stop offering them.",
            ));
        }
    }
    let waiting = world.nodes().filter(|n| n.waiting).count();
    if waiting > 0 {
        out.push(Finding::new(
            Level::Warn,
            format!("Waiting for approval: {}.", count(waiting, "device")),
            "Approve or remove them under Devices.",
        ));
    }
    let logins = world.pending_logins().count();
    if logins > 0 {
        out.push(Finding::new(
            Level::Warn,
            format!("Waiting to be let in: {}.", count(logins, "device")),
            "Look at them under Devices.",
        ));
    }
    out
}
