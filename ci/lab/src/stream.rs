//! Pings that go on while something happens, and what was lost meanwhile.

use std::time::Duration;

use crate::clock::now;
use crate::command;
use crate::context::Context;
use crate::daemon::Daemon;
use crate::ensure;
use crate::netns::Namespace;
use crate::outcome::{Failure, Outcome};

/// Replies without a hole between them that say that packets flow again.
const STEADY: u64 = 20;

/// The machine's own `ping`, running.
pub struct Stream {
    daemon: Daemon,
    interval: Duration,
}

/// A moment in a stream: everything up to this number is history.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    sequence: u64,
    at: f64,
}

/// What happened to a stream since a mark.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// Packets sent.
    pub sent: u64,
    /// Those of them without an answer.
    pub lost: u64,
    /// Longest time without an answer, in seconds.
    pub gap: f64,
}

impl Stream {
    /// Begins to ping `target` from a machine, once every `interval`; `bytes` of payload each.
    pub fn start(ns: &Namespace, name: &str, target: &str, interval: Duration, bytes: u32) -> Outcome<Self> {
        let mut command = ns.command("ping");
        let seconds = format!("{:.3}", interval.as_secs_f64());
        command.args(["-n", "-D", "-i", &seconds, "-s", &bytes.to_string(), target]);
        Ok(Self { daemon: ns.spawn(name, &mut command)?, interval })
    }

    /// Waits until packets flow, then marks the moment.
    pub fn mark(&self, context: &Context, limit: Duration) -> Outcome<Mark> {
        let begin = self.replies().last().map_or(0, |reply| reply.0);
        self.steady(context, begin, limit)?;
        let sequence = self.replies().last().map_or(0, |reply| reply.0);
        Ok(Mark { sequence, at: now()? })
    }

    /// Waits until packets flow that were sent after the mark, and tells what was lost since. Call it after what is
    /// to be survived has happened.
    pub fn since(&self, context: &Context, mark: Mark, limit: Duration) -> Outcome<Report> {
        // What was sent by now may still be on its way.
        let sent = mark.sequence + ((now()? - mark.at) / self.interval.as_secs_f64()) as u64;
        self.steady(context, sent, limit)?;
        report(&self.replies(), mark).ok_or_else(|| Failure("no answers".into()))
    }

    /// Time of the first answer that came after a moment, both as [`now`] has them.
    pub fn first_after(&self, moment: f64) -> Option<f64> {
        self.replies().into_iter().map(|(_, at)| at).find(|at| *at >= moment)
    }

    /// Ends it.
    pub fn end(self) -> Outcome {
        command::signal("INT", &[self.daemon.pid()]);
        self.daemon.kill()
    }

    /// Waits for a row of answers to packets after the number `after`.
    fn steady(&self, context: &Context, after: u64, limit: Duration) -> Outcome {
        context.eventually(&format!("packets flow after number {after}"), limit, || {
            let replies = self.replies();
            let last = replies.last().map_or(0, |reply| reply.0);
            let row: Vec<u64> = replies.iter().rev().map(|reply| reply.0).take(STEADY as usize).collect();
            let whole = row.first().zip(row.last()).is_some_and(|(new, old)| new - old == STEADY - 1);
            ensure!(last > after + STEADY && whole, "last answer {last}");
            Ok(())
        })
    }

    /// Number and time of each answer, in the order they came.
    fn replies(&self) -> Vec<(u64, f64)> {
        self.daemon.output().lines().filter_map(reply).collect()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sent, lost, gap, .. } = self;
        write!(f, "{lost} of {sent} packets lost, longest silence {gap:.1} s")
    }
}

/// Number and time in a line of `ping -D`, if it is an answer.
fn reply(line: &str) -> Option<(u64, f64)> {
    let (at, rest) = line.strip_prefix('[')?.split_once(']')?;
    if !rest.contains(" bytes from ") || rest.contains("DUP!") {
        return None;
    }
    let number = rest.split_once("icmp_seq=")?.1.split(' ').next()?;
    Some((number.parse().ok()?, at.parse().ok()?))
}

fn report(replies: &[(u64, f64)], mark: Mark) -> Option<Report> {
    let mut later: Vec<_> = replies.iter().filter(|reply| reply.0 > mark.sequence).collect();
    later.sort_by(|a, b| a.1.total_cmp(&b.1));
    let last = later.iter().map(|reply| reply.0).max()?;
    let sent = last - mark.sequence;
    let (mut gap, mut before) = (0.0_f64, mark.at);
    for (_, at) in &later {
        gap = gap.max(at - before);
        before = *at;
    }
    Some(Report { sent, lost: sent - later.len() as u64, gap })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let line = "[1732201234.500000] 64 bytes from 100.64.0.2: icmp_seq=12 ttl=64 time=1.23 ms";
        assert_eq!(reply(line), Some((12, 1_732_201_234.5)));
        for other in ["PING 100.64.0.2", "[1.0] From 10.0.0.1 icmp_seq=3 Destination Host Unreachable", ""] {
            assert_eq!(reply(other), None, "{other}");
        }
    }

    #[test]
    fn losses_and_the_longest_silence_are_counted() {
        let replies = [(1, 10.0), (2, 10.1), (3, 10.2), (7, 12.2), (8, 12.3)];
        let report = report(&replies, Mark { sequence: 2, at: 10.1 }).unwrap();
        assert_eq!((report.sent, report.lost), (6, 3));
        assert!((report.gap - 2.0).abs() < 0.01, "{report:?}");
        assert!(super::report(&replies, Mark { sequence: 8, at: 12.3 }).is_none());
    }
}
