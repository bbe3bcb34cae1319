//! One network check: sends the planned requests, takes the answers, and knows when it has enough.

use super::{Basis, Family, Probe, Region, Report, plan};
use crate::{
    Now, RegionId,
    timing::{CHECK_LIMIT, STUN_LIMIT},
};
use hearthgate_sorted::{SortedMap, SortedSet};
use hearthgate_stun::{TxId, parse_response, request};
use std::{collections::VecDeque, net::SocketAddr, time::Duration};

/// After this many regions the rest is only waited for a moment.
const ENOUGH_REGIONS: usize = 3;
/// That moment, if latencies are too small to wait by.
const LEAST_WAIT: Duration = Duration::from_millis(50);

/// What a check wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Send this STUN request.
    Send {
        /// To there.
        to: SocketAddr,
        /// The request.
        bytes: Vec<u8>,
    },
    /// Measure this region over HTTPS.
    Https(RegionId),
    /// Call again then.
    Wait(Now),
    /// That is all; [`Check::into_report`].
    Done,
}

#[derive(Debug)]
struct Sent {
    probe: Probe,
    at: Now,
}

/// A check under way.
#[derive(Debug)]
pub struct Check {
    started: Now,
    full: bool,
    planned: VecDeque<Probe>,
    sent: SortedMap<TxId, Sent>,
    answered_by: SortedSet<SocketAddr>,
    report: Report,
    enough_at: Option<Now>,
    https: Option<SortedSet<RegionId>>,
    https_queue: VecDeque<RegionId>,
}

impl Check {
    /// Starts a check; `basis.last` of `None` makes it a full one.
    #[must_use]
    pub fn new(now: Now, regions: &[Region], basis: Basis<'_>) -> Self {
        let planned: VecDeque<_> = plan(regions, basis).into();
        let https_queue = regions
            .iter()
            .filter(|r| !r.no_measure && (!r.avoid || basis.home == Some(r.id)) && !r.nodes.is_empty())
            .map(|r| r.id)
            .collect();
        Self {
            started: now,
            full: basis.last.is_none(),
            planned,
            sent: SortedMap::new(),
            answered_by: SortedSet::new(),
            report: Report::default(),
            enough_at: None,
            https: None,
            https_queue,
        }
    }

    /// What to do now. Call it again until it says [`Step::Wait`] or [`Step::Done`].
    pub fn step(&mut self, now: Now, txid: impl FnOnce() -> TxId) -> Step {
        if let Some(waiting) = &self.https {
            if let Some(region) = self.https_queue.pop_front() {
                return Step::Https(region);
            }
            let end = self.started + CHECK_LIMIT;
            return if waiting.is_empty() || now >= end { Step::Done } else { Step::Wait(end) };
        }
        while let Some(probe) = self.planned.front() {
            let due = self.started + probe.at;
            if self.would_help(probe) && due > now {
                break;
            }
            let Some(probe) = self.planned.pop_front() else {
                break;
            };
            if self.would_help(&probe) {
                let txid = txid();
                let to = probe.to;
                self.sent.insert(txid, Sent { probe, at: now });
                return Step::Send { to, bytes: request(&txid) };
            }
        }
        self.look_for_end(now);
        let end = self.end();
        if now < end {
            let next = self.planned.front().map_or(end, |probe| end.min(self.started + probe.at));
            return Step::Wait(next);
        }
        if self.report.udp() {
            return Step::Done;
        }
        self.https = Some(self.https_queue.iter().copied().collect());
        self.step(now, txid)
    }

    /// Takes a STUN answer; `false` if it is not one of this check's.
    pub fn stun(&mut self, bytes: &[u8], now: Now) -> bool {
        let Ok((txid, seen)) = parse_response(bytes) else {
            return false;
        };
        let Some(Sent { probe, at }) = self.sent.remove(&txid) else {
            return false;
        };
        let latency = now.saturating_sub(at);
        if !self.answered_by.insert(probe.to) {
            // One server, asked twice: only its speed is news.
            self.note_latency(&probe, latency);
            return true;
        }
        if probe.family == Family::V4 {
            let others = self.report.observed.keys().filter(|a| a.is_ipv4()).count();
            if others > 0 {
                let same = self.report.observed.contains_key(&seen) && self.report.mapping_varies != Some(true);
                self.report.mapping_varies = Some(!same);
            }
            self.report.v4 = true;
        } else {
            self.report.v6 = true;
        }
        *self.report.observed.entry(seen).or_default() += 1;
        self.note_latency(&probe, latency);
        self.look_for_end(now);
        true
    }

    /// Sets the end as soon as there is enough.
    fn look_for_end(&mut self, now: Now) {
        if self.enough_at.is_none() && self.report.udp() && self.has_enough() {
            let slowest = self.report.latency.values().max().copied().unwrap_or_default();
            let wait = if self.full { slowest * 2 } else { slowest };
            self.enough_at = Some(now + wait.max(LEAST_WAIT));
        }
    }

    /// Takes the answer to [`Step::Https`].
    pub fn https(&mut self, region: RegionId, latency: Option<Duration>) {
        if let Some(waiting) = &mut self.https {
            waiting.remove(&region);
        }
        if let Some(latency) = latency {
            self.report.latency_https.insert(region, latency);
            self.report.latency.entry(region).or_insert(latency);
        }
    }

    /// What was found.
    #[must_use]
    pub fn into_report(self) -> Report {
        self.report
    }

    fn note_latency(&mut self, probe: &Probe, latency: Duration) {
        let by_family = match probe.family {
            Family::V4 => &mut self.report.latency_v4,
            Family::V6 => &mut self.report.latency_v6,
        };
        for map in [by_family, &mut self.report.latency] {
            let least = map.entry(probe.region).or_insert(latency);
            *least = latency.min(*least);
        }
    }

    /// Whether an answer would tell something new.
    fn would_help(&self, probe: &Probe) -> bool {
        let measured = match probe.family {
            Family::V4 => &self.report.latency_v4,
            Family::V6 => &self.report.latency_v6,
        };
        if !measured.contains_key(&probe.region) {
            return true;
        }
        // A second server tells whether the mapping varies.
        probe.family == Family::V4 && self.report.mapping_varies.is_none() && !self.answered_by.contains(&probe.to)
    }

    /// Enough regions answered, or all that were asked, and nothing helpful is left to ask.
    fn has_enough(&self) -> bool {
        if self.report.latency.len() >= ENOUGH_REGIONS {
            return true;
        }
        let answered = |probe: &Probe| self.report.latency.contains_key(&probe.region);
        !self.planned.iter().any(|probe| self.would_help(probe)) && self.sent.values().all(|sent| answered(&sent.probe))
    }

    fn end(&self) -> Now {
        let limit = self.started + STUN_LIMIT;
        if self.planned.is_empty() && self.sent.is_empty() {
            return self.started;
        }
        self.enough_at.map_or(limit, |at| at.min(limit))
    }
}
