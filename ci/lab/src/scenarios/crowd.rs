//! Many clients at once: all come, all see all, all come back after a restart of the server.
//!
//! ```text
//!        internet
//!    ____|____|_______________
//!   |        |    |    |      |
//! server    n0   n1   n2 ... n9
//! ```
//!
//! What this finds and two clients do not: changes of several nodes travel in one message then.
//! Clients of 1.102 lose all patches of a message (`PeersChangedPatch`) in which one is about a
//! node that is not their peer, be it themselves (`nodeBackend.UpdateNetmapDelta` in
//! `ipn/ipnlocal/node_backend.go` returns before it stores any, and its caller goes on).

use std::time::Duration;

use crate::client::{Client, LOGIN, MEET};
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "crowd",
    summary: "ten clients log in at the same moment; the server restarts under all of them",
    limit: Duration::from_secs(300),
    run,
    ..Scenario::BASE
};

const COUNT: usize = 10;
/// All at once is harder than one.
const PATIENCE: Duration = Duration::from_secs(90);

fn run(lab: &mut Lab) -> Outcome {
    let key = lab.open()?;
    let url = lab.url()?;
    let mut clients = Vec::new();
    for number in 0..COUNT {
        clients.push(lab.install(&format!("n{number}"))?);
    }
    let mut logins = Vec::new();
    for client in &clients {
        let words = ["up", "--login-server", &url, "--authkey", &key, "--hostname", &client.name];
        logins.push(client.tailscale_background(&format!("{}-up", client.name), &words)?);
    }
    for login in logins {
        login.finished(LOGIN)?;
    }
    everyone(lab, &clients)?;
    let nodes = lab.server()?.nodes()?;
    ensure!(nodes.len() == COUNT, "{} nodes", nodes.len());

    lab.server()?.kill()?;
    lab.server()?.launch()?;
    for client in &clients {
        lab.server()?.wait_online(&client.name, true, PATIENCE)?;
    }
    everyone(lab, &clients)
}

/// Each sees each other one online, and reaches its neighbour.
fn everyone(lab: &Lab, clients: &[Client]) -> Outcome {
    for client in clients {
        for other in clients.iter().filter(|other| other.name != client.name) {
            client.sees(&other.name, PATIENCE)?;
        }
    }
    for (client, neighbour) in clients.iter().zip(clients.iter().cycle().skip(1)) {
        client.reaches(&neighbour.ip()?, MEET)?;
    }
    lab.context.note("everyone is there");
    Ok(())
}
