//! A stream of numbered packets between two machines, and what became of each (`helpers/flow.rs`).

use std::path::PathBuf;
use std::time::Duration;

use crate::context::Context;
use crate::daemon::Daemon;
use crate::helpers::flow::{RECEIVE, SEND};
use crate::internet::Host;
use crate::outcome::{Failure, Outcome};

/// Where the receiver listens.
const PORT: u16 = 5001;
/// Runs of lost packets that are shown.
const SHOWN: usize = 12;
/// Counters of a machine that tell of lost packets: file, line, field.
const COUNTERS: &[(&str, &str, &str)] = &[
    ("/proc/net/snmp", "Udp", "RcvbufErrors"),
    ("/proc/net/snmp", "Udp", "SndbufErrors"),
    ("/proc/net/snmp", "Udp", "NoPorts"),
];

/// How much is sent.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Packets in a second.
    pub per_second: u64,
    /// Payload of each.
    pub bytes: u64,
    /// How long.
    pub seconds: u64,
}

impl Load {
    /// That many Mbit/s of payload, in packets of 1,200 bytes.
    pub fn megabits(rate: u64, seconds: u64) -> Self {
        Self { per_second: rate * 1_000_000 / (8 * 1200), bytes: 1200, seconds }
    }
}

/// A running stream.
pub struct Flow {
    sender: Daemon,
    receiver: Daemon,
    file: PathBuf,
}

/// A packet that arrived.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// Which, from 0.
    pub number: u64,
    /// When it was sent and received, in seconds since 1970.
    pub sent: f64,
    /// See `sent`.
    pub came: f64,
}

/// What became of a stream.
#[derive(Debug)]
pub struct Fate {
    /// Packets sent.
    pub sent: u64,
    /// Those that arrived, in this order.
    pub arrivals: Vec<Arrival>,
}

impl Flow {
    /// Starts to send from one machine to an address of another one.
    pub fn start(context: &Context, name: &str, from: &Host, to: &Host, target: &str, load: Load) -> Outcome<Self> {
        let file = context.folder("flow")?.join(name);
        let path = file.display().to_string();
        let any = format!("0.0.0.0:{PORT}");
        let receiver = to.ns.helper(&format!("{name}-in"), &[RECEIVE, &any, &path])?;
        context.eventually("the receiver listens", Duration::from_secs(10), || {
            if file.exists() { Ok(()) } else { Err(Failure("no file".into())) }
        })?;
        let [rate, bytes, seconds] = [load.per_second, load.bytes, load.seconds].map(|n| n.to_string());
        let words = [SEND, &format!("{target}:{PORT}"), &rate, &bytes, &seconds];
        let sender = from.ns.helper(&format!("{name}-out"), &words)?;
        Ok(Self { sender, receiver, file })
    }

    /// Waits for its end.
    pub fn finished(self, limit: Duration) -> Outcome<Fate> {
        self.sender.finished(limit)?;
        self.receiver.finished(limit)?;
        Fate::read(&std::fs::read_to_string(&self.file)?).ok_or_else(|| Failure("the stream's end is missing".into()))
    }
}

impl Fate {
    fn read(text: &str) -> Option<Self> {
        let (lines, sent) = text.trim_end().rsplit_once('\n')?;
        let arrival = |line: &str| {
            let mut words = line.split(' ').map(str::parse::<u64>);
            let mut next = || words.next()?.ok();
            let (number, sent, came) = (next()?, next()?, next()?);
            Some(Arrival { number, sent: sent as f64 / 1e6, came: came as f64 / 1e6 })
        };
        Some(Self { sent: sent.parse().ok()?, arrivals: lines.lines().filter_map(arrival).collect() })
    }

    /// Numbers of the packets that did not come, in order.
    pub fn lost(&self) -> Vec<u64> {
        let mut here = vec![false; usize::try_from(self.sent).unwrap_or(0)];
        for arrival in &self.arrivals {
            if let Some(place) = usize::try_from(arrival.number).ok().and_then(|at| here.get_mut(at)) {
                *place = true;
            }
        }
        here.iter().zip(0..).filter(|(here, _)| !**here).map(|(_, number)| number).collect()
    }

    /// Packets that came more than once.
    pub fn doubled(&self) -> u64 {
        (self.arrivals.len() as u64 + self.lost().len() as u64).saturating_sub(self.sent)
    }

    /// Packets that came after one that was sent later.
    pub fn overtaken(&self) -> u64 {
        let mut highest = 0;
        let mut count = 0;
        for arrival in &self.arrivals {
            count += u64::from(arrival.number < highest);
            highest = highest.max(arrival.number);
        }
        count
    }

    /// When a packet was sent, lost or not: between its neighbours that came.
    pub fn sent_at(&self, number: u64) -> f64 {
        let begin = self.arrivals.iter().min_by_key(|arrival| arrival.number.abs_diff(number));
        begin.map_or(0.0, |arrival| arrival.sent)
    }

    /// The longest time between sending and arrival, in seconds, of packets sent within a time.
    pub fn slowest(&self, from: f64, to: f64) -> f64 {
        let within = self.arrivals.iter().filter(|arrival| arrival.sent >= from && arrival.sent < to);
        within.fold(0.0, |worst: f64, arrival| worst.max(arrival.came - arrival.sent))
    }

    /// Lost packets that were sent within a time.
    pub fn lost_within(&self, from: f64, to: f64) -> u64 {
        let within = |number: &u64| (from..to).contains(&self.sent_at(*number));
        self.lost().into_iter().filter(within).count() as u64
    }

    /// Runs of lost packets: when, in seconds after a moment, first number, and how many.
    pub fn runs(&self, moment: f64) -> String {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for number in self.lost() {
            match runs.last_mut() {
                Some((first, count)) if *first + *count == number => *count += 1,
                _ => runs.push((number, 1)),
            }
        }
        let shown = runs.iter().take(SHOWN);
        let words = shown.map(|(first, count)| format!("{:+.3} s {count}", self.sent_at(*first) - moment));
        let more = if runs.len() > SHOWN { format!(", and {} more", runs.len() - SHOWN) } else { String::new() };
        words.collect::<Vec<_>>().join(", ") + &more
    }
}

/// Packets that a machine's kernel has thrown away so far, by where.
pub fn thrown_away(host: &Host) -> Outcome<Vec<(String, u64)>> {
    let limit = Duration::from_secs(10);
    let mut counts = Vec::new();
    for (file, protocol, field) in COUNTERS {
        let text = host.ns.run(&["cat", file], limit)?.ok()?.stdout;
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(&format!("{protocol}: ")));
        let at = lines.next().and_then(|names| names.split(' ').position(|name| name == *field));
        let value = at.zip(lines.next()).and_then(|(at, values)| values.split(' ').nth(at)?.parse().ok());
        counts.push((format!("{protocol} {field}"), value.unwrap_or(0)));
    }
    let text = host.ns.run(&["cat", "/proc/net/dev"], limit)?.ok()?.stdout;
    for line in text.lines() {
        let Some((name, fields)) = line.split_once(':') else { continue };
        // Received: bytes, packets, errors, drops, ...; sent: the same, from the ninth on.
        let field = |at: usize| fields.split_whitespace().nth(at)?.parse::<u64>().ok();
        for (at, what) in [(3, "received"), (11, "to send")] {
            counts.push((format!("{} {what}", name.trim()), field(at).unwrap_or(0)));
        }
    }
    // "qdisc KIND HANDLE dev NAME ...", and in a line below it "(dropped N, ...".
    let text = host.ns.run(&["tc", "-s", "qdisc", "show"], limit)?.ok()?.stdout;
    let mut name = "";
    for line in text.lines() {
        if line.starts_with("qdisc ") {
            name = line.split(' ').skip_while(|word| *word != "dev").nth(1).unwrap_or("");
        } else if let Some((_, rest)) = line.split_once("(dropped ") {
            let count = rest.split(',').next().and_then(|word| word.parse().ok());
            counts.push((format!("{name} queue"), count.unwrap_or(0)));
        }
    }
    Ok(counts)
}

/// What grew between two looks.
pub fn grown(before: &[(String, u64)], after: &[(String, u64)]) -> Vec<String> {
    let old = |name: &str| before.iter().find(|entry| entry.0 == name).map_or(0, |entry| entry.1);
    let change = after.iter().map(|(name, count)| (name, count.saturating_sub(old(name))));
    change.filter(|(_, more)| *more > 0).map(|(name, more)| format!("{name} {more}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_doubled_and_overtaken_packets_are_told_apart() {
        let text = "0 1000000 1000100\n1 1100000 1100100\n4 1400000 1400100\n3 1300000 1500000\n4 1400000 1600000\n7\n";
        let fate = Fate::read(text).unwrap();
        assert_eq!(fate.lost(), [2, 5, 6]);
        assert_eq!((fate.doubled(), fate.overtaken()), (1, 1));
        assert_eq!(fate.lost_within(1.0, 1.35), 1, "5 and 6 were sent after 4");
        assert!((fate.slowest(1.25, 1.35) - 0.2).abs() < 1e-6);
        assert_eq!(fate.runs(1.0), "+0.100 s 1, +0.400 s 2");
        assert!(Fate::read("0 1 2\n").is_none(), "no end");
    }

    #[test]
    fn only_what_grew_is_told() {
        let entry = |name: &str, count| (name.to_owned(), count);
        let before = [entry("a", 1), entry("b", 2)];
        assert_eq!(grown(&before, &[entry("a", 1), entry("b", 5), entry("c", 1)]), ["b 3", "c 1"]);
    }
}
