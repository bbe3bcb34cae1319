//! How long to wait before the next try (`util/backoff` of tailscale.com v1.104.5).

use std::time::Duration;

/// Longest wait before it is spread.
const LONGEST: Duration = Duration::from_secs(30);
/// The first wait; it grows with the square of the failures.
const UNIT_MS: u64 = 10;

/// Counts failures in a row.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backoff(u32);

impl Backoff {
    /// It worked.
    pub fn succeeded(&mut self) {
        self.0 = 0;
    }

    /// It failed: wait so long. `random` is any number; it spreads the wait to between a half and one and a half.
    pub fn failed(&mut self, random: u32) -> Duration {
        self.0 = self.0.saturating_add(1);
        let n = u64::from(self.0);
        let base = Duration::from_millis(n.saturating_mul(n).saturating_mul(UNIT_MS)).min(LONGEST);
        base.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX))
    }

    /// Failures in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.failed(0), Duration::from_millis(5));
        assert_eq!(backoff.failed(0), Duration::from_millis(20));
        for _ in 0..1000 {
            assert!(backoff.failed(u32::MAX) <= Duration::from_secs(45));
        }
        assert_eq!(backoff.failed(0), Duration::from_secs(15));
        backoff.succeeded();
        assert_eq!(backoff.failed(u32::MAX), Duration::from_millis(15));
    }
}
