//! The scenarios, in the order `all` runs them.

mod join_by_key;
mod relay;

use crate::scenario::Scenario;

/// Every scenario.
pub const ALL: &[Scenario] = &[join_by_key::SCENARIO, relay::SCENARIO];
