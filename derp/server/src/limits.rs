//! Limits of the relay, and the token bucket behind those that are rates.

use std::time::Duration;
use tokio::time::Instant;

/// A burst, in bytes, below which a rate limit would refuse single frames.
const BURST_MIN: u64 = 65_568;

/// Limits of the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayLimits {
    /// Connections at once.
    pub connections_max: u64,
    /// Time between two keep-alives; up to a twelfth more is added per connection. Below 60 s for proxies that cut
    /// silent connections after a minute.
    pub keep_alive: Duration,
    /// Longest time a client may take nothing of what waits for it; zero for no limit.
    pub write_timeout: Duration,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            connections_max: hearthgate_limits::RELAY_CONNECTIONS,
            keep_alive: Duration::from_secs(60),
            write_timeout: Duration::from_secs(2),
        }
    }
}

/// How much, and how much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate {
    /// Bytes, or events, per second; 0 for no limit.
    pub per_second: u64,
    /// The same at once.
    pub burst: u64,
}

impl Rate {
    /// A rate of received bytes: its burst lets the largest frame through.
    #[must_use]
    pub fn of_bytes(per_second: u64, burst: u64) -> Self {
        Self { per_second, burst: burst.max(BURST_MIN) }
    }
}

/// A token bucket that may go into debt: what was read already has to be handled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    rate: Rate,
    /// Tokens, in millionths.
    level: i128,
    at: Instant,
}

const MICRO: i128 = 1_000_000;

impl Bucket {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, level: i128::from(rate.burst) * MICRO, at: now }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    fn refill(&mut self, now: Instant) {
        let micros = i128::try_from(now.saturating_duration_since(self.at).as_micros()).unwrap_or(i128::MAX / MICRO);
        self.at = self.at.max(now);
        let gained = micros.saturating_mul(i128::from(self.rate.per_second));
        self.level = self.level.saturating_add(gained).min(i128::from(self.rate.burst) * MICRO);
    }

    /// Takes one token, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let may = self.level >= MICRO;
        if may {
            self.level -= MICRO;
        }
        may
    }

    /// Takes `n` tokens; answers how long it takes until the debt is paid, if there is one.
    pub(crate) fn charge(&mut self, n: u64, now: Instant) -> Option<Duration> {
        if self.rate.per_second == 0 {
            return None;
        }
        self.refill(now);
        self.level -= i128::from(n) * MICRO;
        let debt = u64::try_from(-self.level).ok()?;
        (debt > 0).then(|| Duration::from_micros(debt / self.rate.per_second + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate { per_second: 2, burst: 3 }, start);
        assert!((0..3).all(|_| bucket.take(start)));
        assert!(!bucket.take(start));
        assert!(bucket.take(start + Duration::from_millis(500)));
        assert!(!bucket.take(start + Duration::from_millis(600)));
        assert!((0..3).all(|_| bucket.take(start + Duration::from_secs(60))));
        assert!(!bucket.take(start + Duration::from_secs(60)));
    }

    #[test]
    fn debt_is_paid_by_waiting() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate::of_bytes(1000, 0), start);
        assert_eq!(bucket.charge(BURST_MIN, start), None);
        let wait = bucket.charge(500, start).unwrap();
        assert!((499..=501).contains(&wait.as_millis()), "{wait:?}");
        assert_eq!(bucket.charge(0, start + wait), None);
        assert_eq!(Bucket::new(Rate::default(), start).charge(u64::MAX, start), None);
    }
}
