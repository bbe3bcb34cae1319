//! How soon a relayed path becomes a direct one after it can, as a distribution: ours beside official clients.
//!
//! ```text
//!        internet
//!    ____|____|______|______|____
//!   |        #      |      |     |      # = UDP from the network is dropped, for a time
//! server     a      b      r     q      (a, b: official clients; r, q: hearthgate router up)
//! ```

use std::time::{Duration, Instant};

use crate::client::MEET;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::{Failure, Outcome};
use crate::scenario::Scenario;
use crate::scenarios::member::{Four, Member};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "router-upgrade",
    summary: "how soon relayed paths become direct ones when they can, 32 times: ours, official clients, both",
    limit: Duration::from_secs(900),
    usual: false,
    run,
    ..Scenario::BASE
};

/// Switches of each pair.
const ROUNDS: u32 = 8;
/// How long a path may take.
const LIMIT: Duration = Duration::from_secs(15);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Pings meanwhile, 20 a second.
const PINGS: &str = "ping -q -i 0.05 -w 40";
/// Time between the first relayed packet and the free way: this, and up to five seconds, different each round.
const BEFORE: Duration = Duration::from_secs(1);
/// Half of our paths are direct within this.
const MEDIAN: Duration = Duration::from_millis(1000);
/// And all within this.
const MOST: Duration = Duration::from_millis(2500);

fn run(lab: &mut Lab) -> Outcome {
    let four = Four::join(lab)?;
    let [a, b, r, q] = four.members();
    let mut slow = Vec::new();
    for (from, to) in [(&r, &q), (&r, &a), (&a, &r), (&a, &b)] {
        let mut took = Vec::new();
        for round in 0..ROUNDS {
            took.push(upgrade(lab, from, to, round)?);
        }
        let halves = [took.iter().map(|t| t.0).collect::<Vec<_>>(), took.iter().map(|t| t.1).collect()];
        for (mut times, (way, ours)) in halves.into_iter().zip([("there", from.is_ours()), ("back", to.is_ours())]) {
            times.sort_unstable();
            let at = |part: f64| times[((times.len() - 1) as f64 * part).round() as usize];
            let list = times.iter().map(|t| format!("{:.2}", t.as_secs_f64())).collect::<Vec<_>>().join(" ");
            let pair = format!("{} {} to {} {}, {way}", from.what(), from.name(), to.what(), to.name());
            println!("  {pair}: direct after {list}; median {:.2} s", at(0.5).as_secs_f64());
            let patience = lab.context.options.patience;
            if ours && (at(0.5) > MEDIAN * patience || at(1.0) > MOST * patience) {
                slow.push(pair);
            }
        }
    }
    ensure!(slow.is_empty(), "slow: {}", slow.join("; "));
    Ok(())
}

/// Blocks UDP before `from`, opens it under traffic, and tells how long each side then took.
fn upgrade(lab: &Lab, from: &Member<'_>, to: &Member<'_>, round: u32) -> Outcome<(Duration, Duration)> {
    from.host().block_udp()?;
    from.relayed_to(to.name())?;
    to.relayed_to(from.name())?;
    lab.context.eventually("both have given up the direct path", MEET, || {
        ensure!(!from.is_direct_to(to.name())? && !to.is_direct_to(from.name())?, "direct");
        Ok(())
    })?;
    let name = format!("upgrade-{}-{}-{round}", from.name(), to.name());
    let mut command = from.host().ns.command("sh");
    let words = format!("exec {PINGS} {}", to.ip()?);
    let pings = from.host().ns.spawn(&name, command.args(["-c", &words]))?;
    // Multiples of the golden ratio lie evenly between 0 and 1.
    lab.pause(BEFORE + Duration::from_secs_f64(5.0 * (f64::from(round) * 0.618).fract()));
    ensure!(!from.is_direct_to(to.name())?, "direct though UDP is blocked");
    from.host().unblock_udp()?;
    let start = Instant::now();
    let (mut there, mut back) = (None, None);
    while there.is_none() || back.is_none() {
        for (side, peer, took) in [(from, to, &mut there), (to, from, &mut back)] {
            if took.is_none() && side.is_direct_to(peer.name())? {
                *took = Some(start.elapsed());
            }
        }
        ensure!(start.elapsed() < lab.context.within(LIMIT), "{name}: {there:?} there, {back:?} back");
        std::thread::sleep(LOOK);
    }
    pings.kill()?;
    let failure = || Failure("no time".into());
    Ok((there.ok_or_else(failure)?, back.ok_or_else(failure)?))
}
