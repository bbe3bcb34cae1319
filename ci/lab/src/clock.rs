//! The clock of this machine, which all its namespaces share, so times of different machines of the lab compare.

use std::time::{Duration, SystemTime};

use crate::outcome::{Failure, Outcome};

/// Time since the beginning of 1970.
pub fn since_1970() -> Outcome<Duration> {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|e| Failure(format!("clock: {e}")))
}

/// The same in seconds, as `ping -D` has it.
pub fn now() -> Outcome<f64> {
    Ok(since_1970()?.as_secs_f64())
}
