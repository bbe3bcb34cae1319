//! Nodes that joined with an ephemeral key are removed when they leave.
//!
//! ```text
//!        internet
//!    ____|____|________
//!   |        |    |    |
//! server     a    e    f    e and f are ephemeral
//! ```

use std::time::Duration;

use crate::client::MEET;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "ephemeral",
    summary: "an ephemeral node is removed at logout, or some time after it vanished",
    run,
    ..Scenario::BASE
};

/// The configured 5 s of inactivity plus the grace for short absences.
const REMOVAL: Duration = Duration::from_secs(45);

fn run(lab: &mut Lab) -> Outcome {
    lab.serve()?;
    let user = lab.server()?.user("alice")?;
    let key = lab.server()?.key(&user, &["--reusable"])?;
    let passing = lab.server()?.key(&user, &["--reusable", "--ephemeral"])?;
    let mut a = lab.join("a", &key, &[])?;
    let e = lab.join("e", &passing, &[])?;
    let mut f = lab.join("f", &passing, &[])?;
    a.sees("e", MEET)?;
    a.sees("f", MEET)?;
    a.reaches("e", MEET)?;

    e.tailscale(&["logout"], MEET)?.ok()?;
    a.forgets("e", Duration::from_secs(15))?;
    ensure!(lab.server()?.node("e").is_err(), "e is still listed after logout");

    ensure!(lab.server()?.node("f").is_ok(), "f went with e");
    f.kill()?;
    a.forgets("f", REMOVAL)?;
    ensure!(lab.server()?.node("f").is_err(), "f is still listed after it vanished");

    // An ordinary node may be away for as long as it likes.
    a.kill()?;
    lab.server()?.wait_online("a", false, REMOVAL)?;
    lab.pause(Duration::from_secs(8));
    ensure!(lab.server()?.node("a").is_ok(), "a was removed although it is not ephemeral");
    Ok(())
}
