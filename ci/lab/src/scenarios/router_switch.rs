//! What is lost when a relayed path becomes a direct one under load, and where: before, meanwhile, and after.
//!
//! ```text
//!        internet
//!    ____|____|______|______|____
//!   |        #      |      |     |      # = UDP from the network is dropped, for a time
//! server     a      b      r     q      (a, b: official clients; r, q: hearthgate router up)
//! ```

use std::time::Duration;

use crate::clock;
use crate::ensure;
use crate::flow::{self, Fate, Flow, Load};
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;
use crate::scenarios::member::{Four, Member};
use crate::server_config::PORT;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "router-switch",
    summary: "counts what a relayed path and its switch to a direct one lose under load, ours beside official clients",
    limit: Duration::from_secs(400),
    usual: false,
    run,
    ..Scenario::BASE
};

const SOON: Duration = Duration::from_secs(30);
/// Seconds of load; the way becomes free after a third.
const LOAD: u64 = 12;
/// Load in Mbit/s, and what an emulated machine carries.
const RATE: u64 = 50;
const SLOW_RATE: u64 = 2;
/// Seconds before and after the direct path was first seen that count as the switch: it is looked for four times a second;
/// never before it could be there.
const SWITCH: (f64, f64) = (0.7, 1.0);

/// Packets that a relayed path may lose of those of a run, at the higher rate: its queues overflow while a processor is busy
/// elsewhere. At the lower rate it is not judged: an emulated machine has whatever processor its host has left.
const RELAYED: u64 = 500;

fn run(lab: &mut Lab) -> Outcome {
    let four = Four::join(lab)?;
    let [a, b, r, q] = four.members();
    let mut above = Vec::new();
    for (from, to) in [(&a, &r), (&r, &a), (&r, &q), (&a, &b)] {
        let lost = switch(lab, from, to)?;
        let slow = lab.context.options.patience > 1;
        let most = if slow { u64::MAX } else { RELAYED };
        if (from.is_ours() || to.is_ours()) && (lost.later > 0 || lost.relayed > most) {
            above.push(format!("{} to {}: {lost:?}", from.name(), to.name()));
        }
    }
    ensure!(above.is_empty(), "packets lost: {}", above.join(", "));
    Ok(())
}

/// Packets that were lost.
#[derive(Debug)]
struct Lost {
    /// While the path was relayed.
    relayed: u64,
    /// From the switch on.
    later: u64,
}

/// Loads the relayed path, opens the direct one, and tells what was lost meanwhile.
fn switch(lab: &Lab, from: &Member<'_>, to: &Member<'_>) -> Outcome<Lost> {
    let context = &lab.context;
    from.host().block_udp()?;
    from.relayed_to(to.name())?;
    to.relayed_to(from.name())?;
    let name = format!("{}-{}", from.name(), to.name());
    let rate = if context.options.patience > 1 { SLOW_RATE } else { RATE };
    let seen = |member: &Member<'_>| flow::thrown_away(member.host());
    let before = (seen(from)?, seen(to)?);
    let load = Load::megabits(rate, LOAD);
    let dropped = relay_drops(lab)?;
    let flow = Flow::start(context, &name, from.host(), to.host(), &to.ip()?, load)?;
    lab.pause(Duration::from_secs(LOAD / 3));
    let open = clock::now()?;
    from.host().unblock_udp()?;
    context.eventually("the path is direct under load", SOON, || {
        ensure!(from.is_direct_to(to.name())?, "relayed");
        Ok(())
    })?;
    let direct = clock::now()?;
    let fate = flow.finished(context.within(SOON * 2))?;
    let after = (seen(from)?, seen(to)?);
    println!("  {} to {} ({name}), {rate} Mbit/s: {}", from.what(), to.what(), show(&fate, open, direct));
    let lost = fate.lost();
    if !lost.is_empty() {
        println!("    lost, when after the path was direct, and how many: {}", fate.runs(direct));
        let grown = |before, after| flow::grown(before, after).join(", ");
        let (there, here) = (grown(&before.0, &after.0), grown(&before.1, &after.1));
        println!("    thrown away by the kernel of the sender: {there}; of the receiver: {here}");
        let relay = flow::grown(&dropped, &relay_drops(lab)?).join(", ");
        println!("    thrown away by the relay: {relay}");
    }
    ensure!(fate.sent == load.per_second * LOAD, "{} packets were sent", fate.sent);
    ensure!(!fate.arrivals.is_empty(), "none came");
    let switched = (direct - SWITCH.0).max(open);
    let within = |from, to| fate.lost_within(from, to);
    Ok(Lost { relayed: within(0.0, switched), later: within(switched, f64::MAX) })
}

/// Packets that the relay has dropped so far, by its own account.
fn relay_drops(lab: &Lab) -> Outcome<Vec<(String, u64)>> {
    // For the machine itself only.
    let url = format!("http://127.0.0.1:{PORT}/metrics");
    let words = ["curl", "-sS", "-m", "5", &url];
    let text = lab.running()?.host.ns.run(&words, SOON)?.ok()?.stdout;
    let lines = text.lines().filter_map(|line| line.strip_prefix("derp_packets_dropped")?.rsplit_once(' '));
    let counts: Vec<_> = lines.map(|(name, count)| (name.to_owned(), count.parse().unwrap_or(0))).collect();
    ensure!(!counts.is_empty(), "the relay counts nothing: {text}");
    Ok(counts)
}

fn show(fate: &Fate, open: f64, direct: f64) -> String {
    let (begin, end) = ((direct - SWITCH.0).max(open), direct + SWITCH.1);
    let phases = [("relayed", 0.0, begin), ("switch", begin, end), ("direct", end, f64::MAX)];
    let words = phases.map(|(name, from, to)| {
        let (lost, slowest) = (fate.lost_within(from, to), fate.slowest(from, to) * 1e3);
        format!("{name} {lost} lost, slowest {slowest:.0} ms")
    });
    let (doubled, overtaken) = (fate.doubled(), fate.overtaken());
    format!(
        "of {} packets, {}; {doubled} came twice, {overtaken} late; direct {:.1} s after it could",
        fate.sent,
        words.join("; "),
        direct - open
    )
}
