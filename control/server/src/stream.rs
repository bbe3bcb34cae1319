//! One map stream: the whole map, then what changed, keep-alives in between.
//!
//! The task holds nothing but a cursor and a channel of one message: a client that does not take its messages makes
//! its own stream wait, and is cut off after [`STUCK`].

use crate::{
    encode::Compression,
    maps::{MapError, Maps},
    pings::Pings,
    writer::Control,
};
use bytes::Bytes;
use hearthgate_core::{
    Node, NodeId, Snapshot,
    map::{self, Delta},
};
use hearthgate_keys::NodePublic;
use hearthgate_sorted::SortedSet;
use hearthgate_tailcfg::MapResponse;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

/// Silence after which a keep-alive goes out; the client gives up after 120 s. Each stream adds its own jitter.
const KEEP_ALIVE: Duration = Duration::from_secs(50);
/// Spread of the keep-alives, in milliseconds.
const KEEP_ALIVE_JITTER_MS: u64 = 9_000;
/// A client that takes no message for so long is cut off; it comes back for a whole map.
const STUCK: Duration = Duration::from_secs(30);

/// An expiry in the past, in seconds: any will do.
const LONG_AGO_S: i64 = 86_400;

/// What a stream needs.
pub struct MapStream {
    /// The node whose stream it is, as it was when the stream began.
    pub node: Arc<Node>,
    /// The key it polls with: when the node's key is another one, the stream has had its time.
    pub key: NodePublic,
    /// How its client wants messages.
    pub compression: Compression,
    /// Where messages go; the body of the HTTP/2 response.
    pub out: mpsc::Sender<Bytes>,
    /// The way to the writer.
    pub control: Control,
    /// Shared bytes.
    pub maps: Arc<Maps>,
    /// Control pings for this node.
    pub pings: Arc<Pings>,
}

/// Why a stream ended; for the log and the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The client closed it.
    ClientGone,
    /// The client did not take its messages.
    Stuck,
    /// The node was deleted, or has another key now.
    Retired,
    /// The node has opened too many others since.
    Replaced,
    /// The server goes down.
    Shutdown,
    /// A map could not be made.
    Failed,
}

impl MapStream {
    /// Runs until the client is gone. Presence is told to the writer at both ends.
    ///
    /// `cursor` is the number of the snapshot that `first` was made from; the snapshot itself is not held, for a stream
    /// lives for weeks.
    pub async fn run(self, first: Vec<Bytes>, cursor: u64) -> Ended {
        let node = self.node.id;
        self.control.cast(move |world, _| world.stream_opened(node));
        let ended = self.feed(first, cursor).await;
        self.control.cast(move |world, context| world.stream_closed(node, context.now));
        ended
    }

    async fn feed(&self, first: Vec<Bytes>, mut cursor: u64) -> Ended {
        let mut published: watch::Receiver<Arc<Snapshot>> = self.control.published();
        let mut pings = self.pings.subscribe(self.node.id);
        if let Err(ended) = self.send(first).await {
            return ended;
        }
        loop {
            let quiet_until = Instant::now() + KEEP_ALIVE + jitter(self.node.id);
            // What was published before the first map went out counts as news too.
            let message = tokio::select! {
                biased;
                () = self.out.closed() => return Ended::ClientGone,
                changed = next_after(&mut published, cursor) => {
                    let Some(snap) = changed else { return Ended::Shutdown };
                    let next = self.news(&snap, cursor);
                    cursor = snap.seq;
                    match next {
                        Ok(news) => news,
                        Err(MapError::NodeGone) => {
                            // A client never registers again by itself when its polls fail; told that its key has
                            // expired, it says that a login is needed.
                            if let Some(farewell) = self.farewell(&snap) {
                                let _ = self.send(vec![farewell]).await;
                            }
                            return Ended::Retired;
                        }
                        Err(MapError::Behind) => return Ended::Stuck,
                        Err(e) => {
                            tracing::error!(node = %self.node.id, error = %e, "a map could not be made");
                            return Ended::Failed;
                        }
                    }
                },
                ping = pings.recv() => match ping {
                    Some(ping) => self.maps.single(&ping, self.compression).ok().map(|m| vec![m]),
                    None => return Ended::Replaced,
                },
                () = sleep_until(quiet_until) => Some(vec![self.maps.keep_alive(self.compression)]),
            };
            if let Some(message) = message
                && let Err(ended) = self.send(message).await
            {
                return ended;
            }
        }
    }

    /// What has to be said of a new snapshot.
    fn news(&self, snap: &Arc<Snapshot>, cursor: u64) -> Result<Option<Vec<Bytes>>, MapError> {
        let node = snap.node(self.node.id).ok_or(MapError::NodeGone)?;
        if node.node_key != self.key {
            return Err(MapError::NodeGone);
        }
        match Delta::since(snap, cursor) {
            Some(delta) if !delta.is_whole_for(node.id) => {
                Ok(self.maps.delta(snap, cursor, &delta, node, self.compression)?.map(|m| vec![m]))
            }
            Some(delta) => self.maps.whole(snap, node.id, delta.removed(), self.compression).map(Some),
            None if map::is_alone(snap, node) => Err(MapError::Behind),
            None => self.maps.whole(snap, node.id, &SortedSet::new(), self.compression).map(Some),
        }
    }

    /// The last message of a deleted node: itself, with a key that expired long ago.
    fn farewell(&self, snap: &Snapshot) -> Option<Bytes> {
        if snap.node(self.node.id).is_some() {
            // It lives on under another key, whose stream tells everything.
            return None;
        }
        let mut own = map::self_node(snap, &self.node);
        own.key_expiry = jiff::Timestamp::from_second(LONG_AGO_S).ok().into();
        let message = MapResponse { node: Some(own), ..Default::default() };
        self.maps.single(&message, self.compression).ok()
    }

    async fn send(&self, message: Vec<Bytes>) -> Result<(), Ended> {
        for piece in message {
            match timeout(STUCK, self.out.send(piece)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Ended::ClientGone),
                Err(_) => return Err(Ended::Stuck),
            }
        }
        Ok(())
    }
}

/// The next published snapshot beyond `cursor`; `None` when the server goes down.
async fn next_after(published: &mut watch::Receiver<Arc<Snapshot>>, cursor: u64) -> Option<Arc<Snapshot>> {
    published.wait_for(|s| s.seq > cursor).await.ok().map(|s| s.clone())
}

/// Spreads keep-alives without a random source: neighbours differ.
fn jitter(node: NodeId) -> Duration {
    Duration::from_millis(node.0.wrapping_mul(2_654_435_761) % KEEP_ALIVE_JITTER_MS)
}
