//! Files go between nodes of one user, and not to another user's.
//!
//! ```text
//!        internet
//!    ____|____|________
//!   |        |    |    |
//! server     a    b    c     a, b are alice's, c is bob's
//! ```

use std::time::Duration;

use crate::client::MEET;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "taildrop",
    summary: "file cp and file get between nodes of one user; refused to another user's",
    run,
    ..Scenario::BASE
};

/// Larger than any buffer on the way.
const SIZE: usize = 3_000_000;
const COPY: Duration = Duration::from_secs(30);

fn run(lab: &mut Lab) -> Outcome {
    lab.serve()?;
    let alice = lab.reusable_key("alice")?;
    let bob = lab.reusable_key("bob")?;
    let a = lab.join("a", &alice, &[])?;
    let b = lab.join("b", &alice, &[])?;
    let c = lab.join("c", &bob, &[])?;
    for peer in ["b", "c"] {
        a.sees(peer, MEET)?;
    }
    let folder = lab.context.folder("a/files")?;
    let file = folder.join("holiday.bin");
    let content: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
    std::fs::write(&file, &content)?;
    let file = file.to_string_lossy().into_owned();

    lab.context
        .eventually("the copy is taken", COPY, || a.tailscale(&["file", "cp", &file, "b:"], COPY)?.ok().map(drop))?;
    let inbox = lab.context.folder("b/files")?;
    b.tailscale(&["file", "get", "--wait", &inbox.to_string_lossy()], COPY)?.ok()?;
    let arrived = std::fs::read(inbox.join("holiday.bin"))?;
    ensure!(arrived == content, "{} bytes arrived, not the same", arrived.len());

    let stranger = a.tailscale(&["file", "cp", &file, "c:"], COPY)?;
    ensure!(!stranger.success(), "a file could be sent to another user");
    c.reaches("a", MEET)
}
