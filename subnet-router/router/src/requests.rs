//! What people ask of a running router.

use hearthgate_client::View;
use hearthgate_paths::Via;
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// A question, with the way back for the answer.
#[derive(Debug)]
pub enum Request {
    /// How things are, in the official client's JSON form.
    Status(oneshot::Sender<Value>),
    /// How a peer is reached, and how fast.
    Ping {
        /// Address, name or stable id.
        target: String,
        /// The answer; text for people if there is no such peer. Dropped if the peer does not answer.
        answer: oneshot::Sender<Result<PingAnswer, String>>,
    },
    /// Measures our place in the network anew.
    Netcheck(oneshot::Sender<Value>),
    /// The preferences.
    Prefs(oneshot::Sender<Value>),
    /// Changes preferences: those that are named get these values. `auth-key` joins with a key.
    Up {
        /// Preferences by name.
        changes: Map<String, Value>,
        /// What was wrong with them, if anything.
        answer: oneshot::Sender<Result<(), String>>,
    },
    /// The control client's view: another one after a change that began it anew.
    View(oneshot::Sender<watch::Receiver<View>>),
    /// Stops the router.
    Down(oneshot::Sender<()>),
}

/// How a peer answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PingAnswer {
    /// The peer's address in the network.
    pub ip: String,
    /// The peer's name, first label.
    pub name: String,
    /// Its address on the direct path; empty if there is none.
    pub endpoint: String,
    /// Code of the relay it came through; empty if it came straight.
    pub relay: String,
    /// Round-trip time in milliseconds.
    pub latency_ms: f64,
}

impl PingAnswer {
    /// Fills in how an answer came; `code` is the relay's short name.
    pub(crate) fn new(ip: String, name: String, via: Via, latency: Duration, code: impl FnOnce(u16) -> String) -> Self {
        let (endpoint, relay) = match via {
            Via::Hop(hop) => (hop.addr.to_string(), String::new()),
            Via::Relay(region) => (String::new(), code(region)),
        };
        Self { ip, name, endpoint, relay, latency_ms: latency.as_secs_f64() * 1e3 }
    }
}
