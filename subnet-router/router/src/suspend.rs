//! Notices that the machine was suspended: its clock for timers stood still meanwhile, while peers, relays and NATs gave it
//! up.

use std::{fs, time::Duration};
use tokio::time::Instant;

/// Seconds since the start of the system, those of a suspension too (`proc_uptime(5)`; `CLOCK_BOOTTIME`).
const UPTIME: &str = "/proc/uptime";
/// Shorter ones do no harm: a path is trusted for less.
const LEAST: Duration = Duration::from_secs(10);

/// Compares the two clocks.
#[derive(Debug, Default)]
pub struct Suspension(Option<(Duration, Instant)>);

impl Suspension {
    /// Whether the machine was suspended since the last look.
    pub fn look(&mut self) -> bool {
        let text = fs::read_to_string(UPTIME).unwrap_or_default();
        uptime(&text).is_some_and(|uptime| self.compare(uptime, Instant::now()))
    }

    fn compare(&mut self, uptime: Duration, now: Instant) -> bool {
        let before = self.0.replace((uptime, now));
        before.is_some_and(|(was, then)| uptime.saturating_sub(was) >= now.duration_since(then) + LEAST)
    }
}

fn uptime(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.split_whitespace().next()?.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspension_is_what_only_one_clock_saw() {
        let (mut suspension, now, second) = (Suspension::default(), Instant::now(), Duration::from_secs(1));
        assert!(!suspension.compare(500 * second, now), "the first look has nothing to compare with");
        assert!(!suspension.compare(530 * second, now + 30 * second), "a busy machine");
        assert!(!suspension.compare(542 * second, now + 33 * second), "a short one");
        assert!(suspension.compare(645 * second, now + 36 * second));
        assert!(!suspension.compare(648 * second, now + 39 * second), "once");
        assert!(!Suspension::default().look() && uptime("12.5 3.1\n") == Some(Duration::from_millis(12_500)));
        assert_eq!(uptime(""), None);
    }
}
