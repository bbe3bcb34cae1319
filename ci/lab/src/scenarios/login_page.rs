//! A client logs in without a key: it shows a page, and an administrator approves.
//!
//! ```text
//!        internet
//!    ____|____|_____
//!   |               |
//! server            a
//! ```

use std::time::Duration;

use crate::client::LOGIN;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "login-page",
    summary: "up without a key prints a URL; the page tells how; approval lets the client in",
    limit: Duration::from_secs(120),
    run,
    ..Scenario::BASE
};

const ID_PREFIX: &str = "hskey-authreq-";

fn run(lab: &mut Lab) -> Outcome {
    lab.serve()?;
    lab.server()?.user("alice")?;
    let url = lab.url()?;
    let a = lab.install("a")?;
    let words = ["up", "--login-server", url.as_str(), "--hostname", "a", "--timeout", "60s"];
    let up = a.tailscale_background("a-up", &words)?;

    let page_url = lab.context.eventually("a shows a login URL", LOGIN, || {
        let url = a.status()?.auth_url();
        ensure!(!url.is_empty(), "none yet");
        Ok(url)
    })?;
    ensure!(page_url.starts_with(&url), "{page_url} is not on {url}");
    lab.context.eventually("up prints the URL", LOGIN, || {
        ensure!(up.output().contains(&page_url), "{}", up.output());
        Ok(())
    })?;
    let auth_id = page_url.rsplit('/').next().unwrap_or_default().to_owned();
    ensure!(auth_id.starts_with(ID_PREFIX), "{auth_id} is no auth id");

    let page = a.run(&["curl", "-fsS", "-m", "5", &page_url], LOGIN)?.ok()?.stdout;
    ensure!(page.contains(&auth_id), "the page does not show the id: {page}");
    ensure!(page.contains("auth register"), "the page does not show how to approve: {page}");
    ensure!(a.status()?.backend() == "NeedsLogin", "the client is in before approval");

    let approve = ["auth", "register", "--auth-id", &auth_id, "-u", "alice"];
    lab.server()?.command(&approve)?.ok()?;
    a.wait_state("Running", LOGIN)?;
    up.finished(LOGIN)?;
    let node = lab.server()?.node("a")?;
    ensure!(node["user"]["name"] == "alice", "{node}");

    let again = lab.server()?.command(&approve)?;
    ensure!(!again.success(), "a used id was accepted again");
    Ok(())
}
