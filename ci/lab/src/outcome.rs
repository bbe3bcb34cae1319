//! What a step of a scenario comes to: nothing to report, or one sentence of why not.
//!
//! A lab has no errors to recover from. A failure is for a reader, so it is text.

use std::fmt;

/// Why a step, and with it the scenario, did not hold.
#[derive(Debug, Clone)]
pub struct Failure(pub String);

/// Result of a step.
pub type Outcome<T = ()> = Result<T, Failure>;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(format!("i/o: {error}"))
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

impl From<&str> for Failure {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

/// Fails the scenario with a formatted reason unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err($crate::outcome::Failure(format!($($reason)+)));
        }
    };
}
