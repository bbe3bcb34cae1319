//! What the pages know of the router in the same process, and the counters they draw.
//!
//! The router is another crate's; it is asked over a function that the command line hands in, and answers in the
//! official client's JSON (`ipn/ipnstate/ipnstate.go` of tailscale.com v1.104.5). Without a router there are fewer figures.

use crate::state::App;
use hearthgate_web::{
    paths::{BoxPaths, PeerPath, Way},
    traffic::{History, SAMPLE_EVERY_MS, Sample},
};
use portable_atomic::{AtomicU64, Ordering::Relaxed};
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Hands a question for the router's status over; false when it takes none now.
pub type AskRouter = Arc<dyn Fn(oneshot::Sender<Value>) -> bool + Send + Sync>;

/// Longest wait for the router: a page is shown without it then.
const PATIENCE: Duration = Duration::from_millis(500);

/// The router of this process, if there is one, and what was counted.
#[derive(Default)]
pub struct OwnRouter {
    ask: OnceLock<AskRouter>,
    last: Mutex<BoxPaths>,
    history: Mutex<History>,
    /// Grows when a path becomes another one.
    changes: AtomicU64,
}

impl OwnRouter {
    /// Tells how the router is asked; once.
    pub fn is_asked_by(&self, ask: AskRouter) {
        // A second router in one process there is not.
        let _ = self.ask.set(ask);
    }

    /// How its peers are reached now; `None` without a router, or when it does not answer in time.
    pub async fn paths(&self) -> Option<BoxPaths> {
        let (answer, answered) = oneshot::channel();
        if !self.ask.get()?(answer) {
            return None;
        }
        let paths = read(&tokio::time::timeout(PATIENCE, answered).await.ok()?.ok()?);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !paths.same_ways(&last) {
            last.clone_from(&paths);
            self.changes.fetch_add(1, Relaxed);
        }
        Some(paths)
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.ask.get().is_some()
    }

    /// Stable id of the router's own node; `None` without a router, or before it has joined.
    pub async fn own_id(&self) -> Option<String> {
        let known = self.last.lock().unwrap_or_else(PoisonError::into_inner).own.clone();
        if known.is_empty() { self.paths().await.map(|p| p.own).filter(|own| !own.is_empty()) } else { Some(known) }
    }

    /// The last counters.
    pub fn history(&self) -> History {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A number that differs when a path became another one, or a sample came.
    pub fn changes(&self) -> u64 {
        self.changes.load(Relaxed)
    }
}

/// Takes a sample every [`SAMPLE_EVERY_MS`].
pub async fn count(app: App) {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(SAMPLE_EVERY_MS));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let peers = app.own_router.paths().await.map(|p| p.peers).unwrap_or_default();
        let sum = |count: fn(&PeerPath) -> u64| peers.iter().map(count).fold(0, u64::saturating_add);
        let sample = Sample {
            at_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            received: sum(|p| p.received),
            sent: sum(|p| p.sent),
            relayed: app.relay.as_ref().map_or(0, |r| r.metrics().bytes_sent.load(Relaxed)),
            relay_packets: app.relay.as_ref().map_or(0, |r| r.metrics().packets_sent.load(Relaxed)),
            relay_clients: app.relay.as_ref().map_or(0, |r| r.metrics().clients_local.load(Relaxed)),
            online: app.control.current().nodes().filter(|n| n.path.online).count() as u64,
        };
        app.own_router.history.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
        app.own_router.changes.fetch_add(1, Relaxed);
    }
}

/// Reads the status. What is missing is nothing.
fn read(status: &Value) -> BoxPaths {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let peers = status["Peer"].as_object().into_iter().flat_map(serde_json::Map::values);
    let mut peers: Vec<PeerPath> = peers
        .map(|p| {
            let (direct, through) = (text(&p["CurAddr"]), text(&p["PeerRelay"]));
            let way = if p["Active"] != true {
                Way::Idle
            } else if !through.is_empty() {
                Way::PeerRelay(through)
            } else if !direct.is_empty() {
                Way::Direct(direct)
            } else {
                Way::Relay(text(&p["Relay"]), text(&p["WhyRelayed"]))
            };
            PeerPath {
                stable_id: text(&p["ID"]),
                latency_ms: p["LatencyMs"].as_f64().filter(|_| way != Way::Idle),
                way,
                received: p["RxBytes"].as_u64().unwrap_or(0),
                sent: p["TxBytes"].as_u64().unwrap_or(0),
            }
        })
        .collect();
    hearthgate_sorted::sort_by(&mut peers, |a, b| a.stable_id.cmp(&b.stable_id));
    BoxPaths { own: text(&status["Self"]["ID"]), peers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_way_is_told_from_the_others() {
        let status = json!({
            "Self": { "ID": "n1" },
            "Peer": {
                "a": { "ID": "n2", "Active": true, "CurAddr": "192.0.2.1:41641", "LatencyMs": 3.5, "RxBytes": 7, "TxBytes": 9 },
                "b": { "ID": "n3", "Active": true, "Relay": "home", "WhyRelayed": "it does not answer" },
                "c": { "ID": "n4", "Active": false, "CurAddr": "192.0.2.2:1", "LatencyMs": 1.0 },
                "d": { "ID": "n5", "Active": true, "PeerRelay": "192.0.2.3:1:vni:4" },
            },
        });
        let paths = read(&status);
        assert_eq!((paths.own.as_str(), paths.peers.len()), ("n1", 4));
        let direct = paths.to("n2").expect("it is there");
        assert_eq!((&direct.way, direct.latency_ms), (&Way::Direct("192.0.2.1:41641".into()), Some(3.5)));
        assert_eq!((direct.received, direct.sent), (7, 9));
        assert_eq!(paths.to("n3").expect("n3").way, Way::Relay("home".into(), "it does not answer".into()));
        assert_eq!((&paths.to("n4").expect("n4").way, paths.to("n4").expect("n4").latency_ms), (&Way::Idle, None));
        assert_eq!(paths.to("n5").expect("n5").way, Way::PeerRelay("192.0.2.3:1:vni:4".into()));
        assert_eq!(read(&Value::Null), BoxPaths::default());
    }

    #[tokio::test]
    async fn a_router_that_is_not_there_or_does_not_answer_holds_nobody_up() {
        let own = OwnRouter::default();
        assert!(own.paths().await.is_none());
        let kept = Mutex::new(Vec::new());
        own.is_asked_by(Arc::new(move |answer| {
            kept.lock().expect("whole").push(answer);
            true
        }));
        let begun = Instant::now();
        assert!(own.paths().await.is_none());
        assert!(begun.elapsed() < PATIENCE * 4);
    }
}
