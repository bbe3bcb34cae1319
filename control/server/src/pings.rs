//! Control pings: messages for one node's stream, and the answers that come back over Noise.
//!
//! A ping carries an unguessable id in its URL, bound to the node it was sent to. They serve the health of routers
//! (c2n `/echo`), and whoever asks a client something through the API.

use crate::writer::fill_random;
use bytes::Bytes;
use hearthgate_core::NodeId;
use hearthgate_keys::encode;
use hearthgate_tailcfg::{MapResponse, PingRequest};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Pings that may wait for one stream.
const QUEUE: usize = 4;
/// Map streams that one node may have: a client has one, or two for a moment. A new one ends the oldest.
pub const STREAMS_MAX: usize = 8;
/// Answers awaited at once.
const WAITING_MAX: usize = 4096;
/// Largest answer kept.
pub const ANSWER_MAX: usize = 64 * 1024;

/// A ping on its way to a stream. Boxed: a channel has room for 32 messages from the start, and every stream has one.
type Ping = Box<MapResponse>;

/// From how many nodes on it is looked for those that are gone.
const SWEEP_FROM: usize = 64;

#[derive(Default)]
struct State {
    streams: HashMap<NodeId, Vec<mpsc::Sender<Ping>>>,
    /// How many nodes there were after the last sweep.
    swept: usize,
    waiting: HashMap<String, (NodeId, oneshot::Sender<Bytes>)>,
}

/// Pings under way.
#[derive(Default)]
pub struct Pings(Mutex<State>);

impl Pings {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pings for one stream of `node`; they end, and with them the stream, when the node has [`STREAMS_MAX`] newer
    /// ones.
    pub fn subscribe(&self, node: NodeId) -> mpsc::Receiver<Ping> {
        let (tx, rx) = mpsc::channel(QUEUE);
        let mut state = self.state();
        if state.streams.len() >= SWEEP_FROM.max(state.swept * 2) {
            // Ephemeral nodes come and go under ever new numbers.
            state.streams.retain(|_, streams| {
                streams.retain(|s| !s.is_closed());
                !streams.is_empty()
            });
            state.swept = state.streams.len();
        }
        let streams = state.streams.entry(node).or_default();
        streams.retain(|s| !s.is_closed());
        if streams.len() >= STREAMS_MAX {
            streams.remove(0);
        }
        streams.push(tx);
        rx
    }

    /// Sends a raw HTTP/1.1 request to the client's c2n handler and waits for its raw answer.
    pub async fn c2n(&self, node: NodeId, server_url: &str, request: &str, wait: Duration) -> Option<Bytes> {
        let mut id = [0u8; 16];
        fill_random(&mut id);
        let id = encode(&id);
        let (tx, rx) = oneshot::channel();
        let message = MapResponse {
            ping_request: Some(PingRequest {
                url: format!("{server_url}/machine/ping-response/{id}"),
                url_is_noise: true,
                types: "c2n".into(),
                payload: request.as_bytes().to_vec().into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        {
            let mut state = self.state();
            if state.waiting.len() >= WAITING_MAX {
                return None;
            }
            let streams = state.streams.get_mut(&node)?;
            streams.retain(|s| !s.is_closed());
            // The newest stream is the one the client reads.
            streams.last()?.try_send(Box::new(message)).ok()?;
            state.waiting.insert(id.clone(), (node, tx));
        }
        let answer = tokio::time::timeout(wait, rx).await;
        self.state().waiting.remove(&id);
        answer.ok()?.ok()
    }

    /// The node that the ping with this id was sent to.
    pub fn target(&self, id: &str) -> Option<NodeId> {
        self.state().waiting.get(id).map(|(node, _)| *node)
    }

    /// Takes in an answer.
    pub fn answer(&self, id: &str, body: Bytes) {
        if let Some((_, tx)) = self.state().waiting.remove(id) {
            // Nobody waits any more: fine.
            let _ = tx.send(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_few_streams_and_the_oldest_ends() {
        use mpsc::error::TryRecvError::{Disconnected, Empty};
        let pings = Pings::default();
        let mut all: Vec<_> = (0..STREAMS_MAX + 3).map(|_| pings.subscribe(NodeId(1))).collect();
        let mut other = pings.subscribe(NodeId(2));
        let ended: Vec<bool> = all.iter_mut().map(|p| matches!(p.try_recv(), Err(Disconnected))).collect();
        assert_eq!(ended.iter().filter(|e| **e).count(), 3);
        assert!(ended[..3].iter().all(|e| *e) && matches!(other.try_recv(), Err(Empty)));
    }

    #[test]
    fn nodes_that_are_gone_leave_nothing_behind() {
        let pings = Pings::default();
        let _stays: Vec<_> = (0..100).map(|n| pings.subscribe(NodeId(n))).collect();
        for n in 1000..20_000 {
            drop(pings.subscribe(NodeId(n)));
        }
        let nodes = pings.state().streams.len();
        assert!((100..=200).contains(&nodes), "{nodes}");
        assert!((0..100).all(|n| pings.state().streams.contains_key(&NodeId(n))));
    }
}
