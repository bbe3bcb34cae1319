//! When a service is asked: only when an address changed, or once in four weeks because services forget names that
//! nobody updates; not while it has to be left alone.

use crate::{Addresses, Verdict};
use serde::Serialize;

/// An unchanged name is told again after so many seconds: services remove names after 30 days or more.
const REFRESH_S: u64 = 28 * DAY_S;
const DAY_S: u64 = 24 * 3600;
/// Shortest time between two updates, in seconds.
const GAP_S: u64 = 60;
/// First pause after a failure in seconds; it doubles up to the second.
const BACK_OFF_S: (u64, u64) = (60, 3600);
/// Shortest time between two tries that people ask for, in seconds.
const ASKED_GAP_S: u64 = 30;
/// An address counts when it was the same for so many seconds: what is between two connections of a modem is nobody's.
const SETTLE_S: u64 = 10;
/// An IPv6 address is gone when there was none for so many seconds, while IPv4 was there: lines at home come back sooner.
const GONE_S: u64 = 900;
/// First second of 2025: a clock before that was never set.
const CLOCK_SET: u64 = 1_735_689_600;

/// What was told, and how that went. Kept over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct State {
    /// What the name leads to, as far as we know.
    pub told: Addresses,
    /// When that was told, in seconds since 1970; 0 is never.
    pub told_at: u64,
    /// When the last try was.
    pub tried_at: u64,
    /// Failures since the last success.
    pub failures: u32,
    /// Pause after the last try in seconds.
    pub wait_s: u64,
    /// No more tries by itself: somebody has to change something.
    pub stopped: bool,
    /// Why the last try failed; empty when it did not.
    pub why: String,
}

hearthgate_read::struct_of!(State {
    told: "told",
    told_at: "told_at",
    tried_at: "tried_at",
    failures: "failures",
    wait_s: "wait_s",
    stopped: "stopped",
    why: "why"
});

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Rest,
    /// Tell these.
    Tell(Addresses),
}

impl State {
    /// What to do when these are the addresses at `now`, in seconds since 1970.
    #[must_use]
    pub fn step(&self, seen: Addresses, now: u64) -> Step {
        self.decide(seen, false, now)
    }

    /// The same when IPv6 is [gone](Steady::lost_v6), and the service can be told so.
    #[must_use]
    pub fn step_without_v6(&self, seen: Addresses, now: u64) -> Step {
        self.decide(seen, self.leads_to_lost(seen), now)
    }

    /// Whether the name leads to an IPv6 address, and only IPv4 is seen now.
    #[must_use]
    pub fn leads_to_lost(&self, seen: Addresses) -> bool {
        self.told.v6.is_some() && seen.v6.is_none() && seen.v4.is_some()
    }

    /// What holds for whoever sets the name anew after it was given up: the pause, and nothing that was told.
    #[must_use]
    pub fn given_up(&self) -> Self {
        Self { tried_at: self.tried_at, wait_s: self.wait_s, ..Self::default() }
    }

    fn decide(&self, seen: Addresses, lost: bool, now: u64) -> Step {
        if self.stopped || seen.is_empty() {
            return Step::Rest;
        }
        if since(self.tried_at, now) < self.wait_s {
            return Step::Rest;
        }
        let new = |seen: bool, same: bool| seen && !same;
        let changed =
            new(seen.v4.is_some(), seen.v4 == self.told.v4) || new(seen.v6.is_some(), seen.v6 == self.told.v6) || lost;
        let age = since(self.told_at, now);
        // A success that was noted by a clock that was not set, or was wrong, is of no known age.
        let stale = (CLOCK_SET..=now).contains(&self.told_at) && age >= REFRESH_S;
        let due = (changed && (self.told_at == 0 || age >= GAP_S)) || stale;
        // After a failure, what was told may hold; only another try says so.
        if due || self.failures > 0 { Step::Tell(seen) } else { Step::Rest }
    }

    /// The same with a date that is known, if this one's was noted by a clock that was not set, or was wrong, and the
    /// clock is set `now`.
    #[must_use]
    pub fn dated(&self, now: u64) -> Option<Self> {
        let unknown = self.told_at > 0 && !(CLOCK_SET..=now.saturating_add(DAY_S)).contains(&self.told_at);
        (unknown && now >= CLOCK_SET).then(|| Self { told_at: now, ..self.clone() })
    }

    /// After somebody changed what may be why it failed: it may be tried again, but not in a hurry.
    #[must_use]
    pub fn forgiven(self) -> Self {
        let wait_s = self.wait_s.max(ASKED_GAP_S);
        Self { failures: 0, stopped: false, why: String::new(), wait_s, ..self }
    }

    /// Seconds until somebody may ask for a try; 0 is now.
    #[must_use]
    pub fn patience(&self, now: u64) -> u64 {
        ASKED_GAP_S.saturating_sub(since(self.tried_at, now))
    }

    /// Notes how telling `what` went.
    pub fn note(&mut self, what: Addresses, verdict: &Verdict, now: u64) {
        self.tried_at = now;
        self.stopped = false;
        match verdict {
            Verdict::Done => {
                // What was not told is as before.
                let told = Addresses { v4: what.v4.or(self.told.v4), v6: what.v6.or(self.told.v6) };
                *self = Self { told, told_at: now, tried_at: now, ..Self::default() };
            }
            Verdict::Later(why, at_least) => {
                let doubled = BACK_OFF_S.0.saturating_mul(1 << self.failures.min(16));
                self.wait_s = doubled.min(BACK_OFF_S.1).max(*at_least);
                self.failures = self.failures.saturating_add(1);
                self.why.clone_from(why);
            }
            Verdict::Stop(why) => {
                self.failures = self.failures.saturating_add(1);
                self.stopped = true;
                self.why.clone_from(why);
            }
        }
    }
}

/// Seconds between two times. A time far in the future was noted by a clock that was wrong.
fn since(then: u64, now: u64) -> u64 {
    match now.checked_sub(then) {
        Some(age) => age,
        None if then - now > DAY_S => u64::MAX,
        None => 0,
    }
}

/// Passes on addresses that have been the same for a while.
#[derive(Debug, Clone, Copy, Default)]
pub struct Steady {
    seen: Addresses,
    since: Option<u64>,
    /// Since when there is IPv4 and no IPv6.
    without_v6: Option<u64>,
}

impl Steady {
    /// Takes what is seen at `now`, in seconds of a clock that does not jump; answers whether it counts.
    pub fn look(&mut self, seen: Addresses, now: u64) -> bool {
        let only_v4 = seen.v4.is_some() && seen.v6.is_none();
        self.without_v6 = only_v4.then(|| self.without_v6.unwrap_or(now));
        match self.since {
            Some(since) if self.seen == seen => now.saturating_sub(since) >= SETTLE_S,
            _ => {
                (self.seen, self.since) = (seen, Some(now));
                false
            }
        }
    }

    /// Whether there has been no IPv6 for so long at `now` that it is gone.
    #[must_use]
    pub fn lost_v6(&self, now: u64) -> bool {
        self.without_v6.is_some_and(|since| now.saturating_sub(since) >= GONE_S)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const NOW: u64 = 1_800_000_000;

    fn at(last: u8) -> Addresses {
        Addresses { v4: Some(Ipv4Addr::new(203, 0, 113, last)), v6: None }
    }

    fn done() -> State {
        let mut state = State::default();
        assert_eq!(state.step(at(1), NOW), Step::Tell(at(1)));
        state.note(at(1), &Verdict::Done, NOW);
        state
    }

    #[test]
    fn only_a_change_is_told_and_not_in_a_hurry() {
        let state = done();
        assert_eq!(state.step(at(1), NOW + 3600), Step::Rest);
        assert_eq!(state.step(Addresses::default(), NOW + 3600), Step::Rest);
        assert_eq!(state.step(at(2), NOW + 10), Step::Rest);
        assert_eq!(state.step(at(2), NOW + GAP_S), Step::Tell(at(2)));
        let both = Addresses { v6: Some("2001:db8::1".parse().unwrap()), ..at(1) };
        assert_eq!(state.step(both, NOW + GAP_S), Step::Tell(both));
        // As after a restart.
        let again: State = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        assert_eq!(again, state);
        assert_eq!(again.step(at(1), NOW + 60), Step::Rest);
    }

    #[test]
    fn an_unchanged_name_is_told_once_in_four_weeks() {
        let mut state = done();
        let mut count = 0;
        for hour in 1..24 * 90 {
            let now = NOW + hour * 3600;
            if let Step::Tell(what) = state.step(at(1), now) {
                count += 1;
                state.note(what, &Verdict::Done, now);
            }
        }
        assert_eq!(count, 3);
        // A box whose clock was set only after its first update.
        let mut early = State::default();
        early.note(at(1), &Verdict::Done, 100);
        assert_eq!(early.step(at(1), NOW), Step::Rest);
        assert_eq!((early.dated(200), state.dated(NOW + 90 * DAY_S)), (None, None));
        let dated = early.dated(NOW).expect("the clock is set");
        assert_eq!(dated.step(at(1), NOW), Step::Rest);
        assert_eq!(dated.step(at(1), NOW + REFRESH_S), Step::Tell(at(1)));
        // Told by a clock that was ahead, or looked at by one that is not set yet.
        let mut ahead = State::default();
        ahead.note(at(1), &Verdict::Done, NOW + 400 * DAY_S);
        assert_eq!((ahead.step(at(1), NOW), ahead.step(at(1), 100)), (Step::Rest, Step::Rest));
        assert_eq!(ahead.step(at(2), NOW), Step::Tell(at(2)));
        assert_eq!(ahead.dated(NOW).map(|s| s.step(at(1), NOW + REFRESH_S)), Some(Step::Tell(at(1))));
    }

    #[test]
    fn failures_are_tried_less_and_less_often() {
        let mut state = State::default();
        let mut pauses = Vec::new();
        let mut now = NOW;
        for _ in 0..9 {
            state.note(at(1), &Verdict::Later("away".into(), 0), now);
            let begun = now;
            while state.step(at(1), now) == Step::Rest {
                now += 10;
            }
            pauses.push(now - begun);
        }
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        let mut state = State::default();
        state.note(at(1), &Verdict::Later("911".into(), 1800), NOW);
        assert_eq!(state.step(at(1), NOW + 1799), Step::Rest);
        assert_eq!(state.step(at(1), NOW + 1800), Step::Tell(at(1)));
        // The clock was a year ahead when it failed.
        assert_eq!(state.step(at(1), NOW - 365 * DAY_S), Step::Tell(at(1)));
    }

    #[test]
    fn a_failure_does_not_outlast_the_address_that_it_was_about() {
        let mut state = done();
        state.note(at(2), &Verdict::Later("away".into(), 0), NOW + 100);
        assert_eq!(state.step(at(1), NOW + 159), Step::Rest);
        assert_eq!(state.step(at(1), NOW + 160), Step::Tell(at(1)));
        state.note(at(1), &Verdict::Done, NOW + 160);
        assert_eq!((state.step(at(1), NOW + 600), state.why.as_str()), (Step::Rest, ""));
    }

    #[test]
    fn what_is_forgiven_is_tried_again_but_not_at_once() {
        let mut state = done();
        state.note(at(2), &Verdict::Stop("badauth".into()), NOW + 100);
        let state = state.forgiven();
        assert_eq!((state.told, state.why.as_str(), state.patience(NOW + 110)), (at(1), "", 20));
        assert_eq!(state.step(at(2), NOW + 129), Step::Rest);
        assert_eq!(state.step(at(2), NOW + 130), Step::Tell(at(2)));
        assert_eq!(state.step(at(1), NOW + 130), Step::Rest);
    }

    #[test]
    fn what_was_refused_for_good_is_left_alone_until_somebody_asks() {
        let mut state = done();
        state.note(at(2), &Verdict::Stop("badauth".into()), NOW + 100);
        for later in [200, 3600, 90 * DAY_S] {
            assert_eq!(state.step(at(3), NOW + later), Step::Rest);
        }
        assert_eq!(state.told, at(1), "the old one still holds");
        assert_eq!((state.patience(NOW + 110), state.patience(NOW + 130)), (20, 0));
        state.note(at(2), &Verdict::Done, NOW + 200);
        assert_eq!((state.stopped, state.failures, state.why.as_str()), (false, 0, ""));
        assert_eq!(state.step(at(3), NOW + 300), Step::Tell(at(3)));
    }

    #[test]
    fn an_address_that_is_gone_is_taken_away_once_it_is_sure() {
        let both = Addresses { v6: Some("2001:db8::1".parse().unwrap()), ..at(1) };
        let mut state = State::default();
        state.note(both, &Verdict::Done, NOW);
        assert_eq!(state.step(at(1), NOW + 3600), Step::Rest, "nobody says that it is gone");
        assert_eq!(state.step_without_v6(at(1), NOW + 3600), Step::Tell(at(1)));
        assert_eq!(state.step_without_v6(both, NOW + 3600), Step::Rest, "it is there");
        assert_eq!(state.step_without_v6(Addresses::default(), NOW + 3600), Step::Rest, "nothing is there at all");
        state.note(at(1), &Verdict::Done, NOW + 3600);
        assert!(state.leads_to_lost(at(1)), "only what was taken away is gone");
        state.told.v6 = None;
        assert_eq!(state.step_without_v6(at(1), NOW + 9000), Step::Rest);
        let mut steady = Steady::default();
        for (seen, now, lost) in [
            (both, 0, false),
            (at(1), 10, false),
            (at(1), 9 + GONE_S, false),
            (at(2), 10 + GONE_S, true),
            (both, 11 + GONE_S, false),
            (at(1), 12 + GONE_S, false),
            (Addresses::default(), 13 + GONE_S, false),
            (at(1), 14 + GONE_S, false),
            (at(1), 13 + 2 * GONE_S, false),
        ] {
            steady.look(seen, now);
            assert_eq!(steady.lost_v6(now), lost, "{now}");
        }
        // The clock of Steady does not jump, and settling is as before.
        assert!(steady.look(at(1), 30 + GONE_S));
    }

    #[test]
    fn who_gives_a_name_up_keeps_the_pause_and_nothing_else() {
        let mut state = done();
        state.note(at(2), &Verdict::Later("911".into(), 1800), NOW + 100);
        let left = state.given_up();
        assert_eq!(left.step(at(1), NOW + 1899), Step::Rest);
        assert_eq!(left.step(at(1), NOW + 1900), Step::Tell(at(1)));
        assert_eq!((left.patience(NOW + 110), left.told, left.why.as_str()), (20, Addresses::default(), ""));
    }

    #[test]
    fn what_flickers_does_not_count() {
        let mut steady = Steady::default();
        assert!(!steady.look(at(1), 0) && !steady.look(at(1), 9) && steady.look(at(1), 10));
        assert!(
            !steady.look(at(2), 11) && !steady.look(at(1), 12) && !steady.look(at(1), 21) && steady.look(at(1), 22)
        );
    }
}
