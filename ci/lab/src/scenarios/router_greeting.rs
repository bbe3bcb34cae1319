//! How long peers wait for our router after it was restarted, over and over.
//!
//! ```text
//!        internet
//!    ____|____|_____
//!   |        |      |
//! server     a ===> r (hearthgate router up), restarted
//! ```

use std::time::Duration;

use crate::client::{BACK, MEET};
use crate::clock;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::router::Router;
use crate::scenario::Scenario;
use crate::stream::Stream;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "router-greeting",
    summary: "our router restarts ten times under traffic, the server away or not; prints how long peers waited",
    limit: Duration::from_secs(400),
    usual: false,
    run,
    ..Scenario::BASE
};

const RESTARTS: usize = 10;
/// Longest wait in an emulated machine, from the moment on when the program answers there.
const SLOW_BACK: Duration = Duration::from_secs(14);
const PACE: Duration = Duration::from_millis(50);

fn run(lab: &mut Lab) -> Outcome {
    lab.serve()?;
    let key = lab.reusable_key("alice")?;
    let url = lab.server()?.url.clone();
    let a = lab.join("a", &key, &[])?;
    let mut r = Router::join(lab.internet()?.host("r")?, "r", &url, &key, &[])?;
    a.sees("r", MEET)?;
    a.direct_to("r", MEET)?;
    let stream = Stream::start(&a.host.ns, "stream", &r.ip()?, PACE, 56)?;
    let slow = lab.context.options.patience > 1;
    let mut waited = Vec::new();
    for turn in 0..RESTARTS {
        let mark = stream.mark(&lab.context, MEET)?;
        let away = turn % 2 == 1;
        if away {
            lab.server()?.stop()?;
        }
        // In turn as a service manager would, and as a power cut would.
        if turn % 4 < 2 {
            r.stop()?
        } else {
            r.kill()?
        }
        // The old process is gone: what is answered from now on, the new one answers.
        let mut started = clock::now()?;
        r.start(&[])?;
        if slow {
            // There, reading the program takes longer than anything it does.
            started = clock::now()?;
        }
        let report = stream.since(&lab.context, mark, MEET)?;
        let wait = stream.first_after(started).ok_or("no answer")? - started;
        if away {
            lab.server()?.launch()?;
            lab.server()?.wait_online("r", true, MEET * 2)?;
            lab.server()?.wait_online("a", true, MEET * 2)?;
        }
        let how = if turn % 4 < 2 { "stopped" } else { "killed" };
        let server = if away { "away" } else { "there" };
        println!("  {how}, server {server}: {report}; the first answer {wait:.1} s after the start");
        waited.push(wait);
    }
    waited.sort_by(f64::total_cmp);
    let at = |part: usize| waited.get(part * (waited.len() - 1) / 4).copied().unwrap_or_default();
    println!("  start to first answer, seconds: least {:.1}, median {:.1}, most {:.1}", at(0), at(2), at(4));
    // Hardly stretched for a slow machine: what is to be excluded are WireGuard's own 15 s.
    let limit = if slow { SLOW_BACK } else { BACK }.as_secs_f64();
    ensure!(at(4) <= limit, "peers waited {:.1} s, longer than {limit:.0} s", at(4));
    stream.end()?;
    r.check()
}
