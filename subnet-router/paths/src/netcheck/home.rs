//! Which relay is our home. It changes seldom: each change costs every peer a message.

use super::Report;
use crate::{Now, RegionId};
use hearthgate_sorted::SortedMap;
use std::{collections::VecDeque, time::Duration};

/// How long a measurement counts.
const HISTORY: Duration = Duration::from_secs(300);
/// Most measurements kept; one comes each 20 s.
const HISTORY_LIMIT: usize = 20;
/// A region gains less than this: stay.
const WORTH_MOVING: Duration = Duration::from_millis(10);
/// The home relay was heard this lately: it lives, though STUN says nothing.
const HEARD_LATELY: Duration = Duration::from_secs(8);
/// No region answers, but the home was heard this lately: stay.
const HEARD_AT_ALL: Duration = Duration::from_secs(120);

/// Remembers measurements and the choice.
#[derive(Debug, Default)]
pub struct HomeChooser {
    history: VecDeque<(Now, SortedMap<RegionId, Duration>)>,
    home: Option<RegionId>,
}

impl HomeChooser {
    /// The home, if there ever was a measurement.
    #[must_use]
    pub const fn home(&self) -> Option<RegionId> {
        self.home
    }

    /// Takes a report's latencies and chooses. `heard` tells when anything last came from a region's relay, `score` the
    /// factor on a region's latency.
    pub fn choose(
        &mut self,
        now: Now,
        report: &Report,
        heard: impl Fn(RegionId) -> Option<Now>,
        score: impl Fn(RegionId) -> f64,
    ) -> Option<RegionId> {
        self.history.retain(|(at, _)| now.saturating_sub(*at) <= HISTORY);
        if self.history.len() >= HISTORY_LIMIT {
            self.history.pop_front();
        }
        self.history.push_back((now, report.latency.clone()));
        let heard_within = |region, limit| heard(region).is_some_and(|at| now.saturating_sub(at) < limit);

        // Each region by the best of the last minutes, but only those that are alive now.
        let best = report.latency.keys().filter_map(|&region| {
            let least = self.history.iter().filter_map(|(_, latency)| latency.get(&region)).min()?;
            Some((scaled(*least, score(region)), region))
        });
        let Some((new_latency, new)) = best.min() else {
            self.home = self.home.filter(|&old| heard_within(old, HEARD_AT_ALL));
            return self.home;
        };
        if let Some(old) = self.home.filter(|&old| old != new) {
            let old_latency = report.latency.get(&old).copied();
            let alive = old_latency.is_some() || heard_within(old, HEARD_LATELY);
            let old_latency = old_latency.unwrap_or_default();
            if alive && (old_latency < new_latency + WORTH_MOVING || new_latency > old_latency / 3 * 2) {
                return self.home;
            }
        }
        self.home = Some(new);
        self.home
    }
}

/// A latency times a score that came from the control server, which may be anything.
fn scaled(latency: Duration, score: f64) -> Duration {
    if score.is_finite() && score > 0.0 {
        Duration::try_from_secs_f64(latency.as_secs_f64() * score).unwrap_or(latency)
    } else {
        latency
    }
}
