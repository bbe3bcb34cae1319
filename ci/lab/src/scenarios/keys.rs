//! What a pre-auth key may and may not do.
//!
//! ```text
//!        internet
//!    ____|____|____
//!   |        |     |
//! server     a     b
//! ```

use std::time::Duration;

use crate::client::{Client, LOGIN, MEET};
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;
use crate::server::{list, strings};

pub(super) const SCENARIO: Scenario =
    Scenario { name: "keys", summary: "single-use, tagged, expired and invented keys", run, ..Scenario::BASE };

const INVENTED: &str = "hskey-auth-000000000000-0000000000000000000000000000000000000000";
const TAG: &str = "tag:printer";

fn run(lab: &mut Lab) -> Outcome {
    lab.serve()?;
    let url = lab.url()?;
    let user = lab.server()?.user("alice")?;
    let once = lab.server()?.key(&user, &[])?;
    let a = lab.join("a", &once, &[])?;

    let b = lab.install("b")?;
    refused(&b, &url, &once, "already used")?;
    refused(&b, &url, INVENTED, "invalid")?;
    let short = lab.server()?.short_key(&user, "1s")?;
    lab.pause(Duration::from_secs(2));
    refused(&b, &url, &short, "expired")?;
    let count = lab.server()?.nodes()?.len();
    ensure!(count == 1, "{count} nodes: a refused key made one");

    let tagged = lab.server()?.key(&user, &["--tags", TAG])?;
    b.up(&url, &tagged, &[])?;
    a.sees("b", MEET)?;
    a.reaches("b", MEET)?;
    let node = lab.server()?.node("b")?;
    ensure!(strings(&node["tags"]) == [TAG], "{node}");
    let status = a.status()?;
    let tags = status.peer("b").map(|peer| peer["Tags"].clone()).unwrap_or_default();
    ensure!(list(&tags).iter().any(|tag| tag == TAG), "a sees the tags {tags} on b");
    Ok(())
}

/// The refusal has to be the server's word on the key, and not, say, an unreachable server.
fn refused(client: &Client, url: &str, key: &str, reason: &str) -> Outcome {
    let words = ["up", "--login-server", url, "--authkey", key, "--timeout", "5s"];
    let output = client.tailscale(&words, LOGIN)?;
    ensure!(!output.success(), "the key was accepted");
    ensure!(output.stderr.contains(reason), "{}", output.complaint());
    ensure!(client.status()?.backend() != "Running", "the client is in");
    Ok(())
}
