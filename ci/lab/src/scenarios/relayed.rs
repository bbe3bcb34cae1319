//! Two official clients that UDP does not reach, so that they can only meet at a relay: the middle of several scenarios.

use std::path::Path;

use crate::client::{Client, MEET, Relay};
use crate::internet::Host;
use crate::lab::Lab;
use crate::outcome::{Failure, Outcome};

/// Has `a` and `b` join with one key, on machines to which UDP is blocked. `prepare` sees each machine before its client
/// starts; `roots` are the certificate authorities that the clients trust, when not the system's.
pub(super) fn pair(
    lab: &mut Lab,
    relay: Relay,
    roots: Option<&Path>,
    prepare: impl Fn(&Host) -> Outcome,
) -> Outcome<[Client; 2]> {
    let key = lab.reusable_key("alice")?;
    let url = lab.url()?;
    let mut clients = Vec::new();
    for name in ["a", "b"] {
        let host = lab.internet()?.host(name)?;
        host.block_udp()?;
        prepare(&host)?;
        let mut client = Client::install(host, name, relay)?;
        if let Some(roots) = roots {
            client.environment.push(("SSL_CERT_FILE".into(), roots.to_string_lossy().into_owned()));
        }
        client.launch()?;
        client.up(&url, &key, &[])?;
        clients.push(client);
    }
    clients.try_into().map_err(|_| Failure("not two clients".into()))
}

/// Both see and reach each other, and by the relay alone.
pub(super) fn meet(a: &Client, b: &Client) -> Outcome {
    a.sees("b", MEET)?;
    a.relayed_to("b", MEET)?;
    a.reaches(&b.ip()?, MEET)?;
    b.reaches(&a.ip()?, MEET)?;
    a.stays_relayed("b", 3)
}
