//! Counters over time, for small charts: in memory only, bounded, gone at a restart.

use std::collections::VecDeque;

/// Samples kept.
pub const SAMPLES_MAX: usize = 90;
/// Time between samples, in milliseconds.
pub const SAMPLE_EVERY_MS: u64 = 10_000;

/// Counters at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    /// When, on the monotonic clock.
    pub at_ms: u64,
    /// Bytes the box's router received, since it started.
    pub received: u64,
    /// Bytes it sent.
    pub sent: u64,
    /// Bytes the relay passed on.
    pub relayed: u64,
    /// Packets the relay passed on.
    pub relay_packets: u64,
    /// Clients of the relay.
    pub relay_clients: u64,
    /// Devices online.
    pub online: u64,
}

/// The last samples.
#[derive(Debug, Clone, Default)]
pub struct History(VecDeque<Sample>);

impl History {
    /// Adds a sample; the oldest makes room.
    pub fn push(&mut self, sample: Sample) {
        if self.0.len() >= SAMPLES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Growth of a counter per second, between each sample and the next. A counter that began anew counts from zero.
    #[must_use]
    pub fn rates(&self, counter: impl Fn(&Sample) -> u64) -> Vec<u64> {
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        let rate = |(before, after): (&Sample, &Sample)| {
            let (old, new) = (counter(before), counter(after));
            let grown = if new >= old { new - old } else { new };
            grown.saturating_mul(1000) / after.at_ms.saturating_sub(before.at_ms).max(1)
        };
        pairs.map(rate).collect()
    }

    /// A value at each sample.
    #[must_use]
    pub fn values(&self, value: impl Fn(&Sample) -> u64) -> Vec<u64> {
        self.0.iter().map(value).collect()
    }
}

/// A number of bytes as people read it.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut rest, mut unit) = (n, 0);
    let mut tenth = 0;
    while rest >= 1000 && unit + 1 < UNITS.len() {
        tenth = rest % 1000 / 100;
        rest /= 1000;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 || rest >= 10 { format!("{rest} {name}") } else { format!("{rest}.{tenth} {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_and_survive_a_restart_of_the_counter() {
        let mut h = History::default();
        for (at_ms, received) in [(0, 0), (10_000, 5_000), (20_000, 5_000), (30_000, 1_000)] {
            h.push(Sample { at_ms, received, ..Sample::default() });
        }
        assert_eq!(h.rates(|s| s.received), [500, 0, 100]);
        for i in 0..200 {
            h.push(Sample { at_ms: i, ..Sample::default() });
        }
        assert_eq!(h.len(), SAMPLES_MAX);
    }

    #[test]
    fn bytes_read_well() {
        let read: Vec<String> = [0, 999, 1_000, 9_949, 12_345, 7_200_000, u64::MAX].into_iter().map(bytes).collect();
        assert_eq!(read, ["0 B", "999 B", "1.0 kB", "9.9 kB", "12 kB", "7.2 MB", "18446744 TB"]);
    }
}
