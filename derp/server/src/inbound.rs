//! Frames of a client after its handshake.

use crate::{
    client::Client,
    driver::{Ended, Handler},
    limits::{Bucket, Rate},
    metrics::{RelayMetrics, add, less, step},
    outbox::{Dropped, Outbox},
    packet::Packet,
    registry::Route,
    relay::Relay,
};
use hearthgate_derp_frame::{FRAME_HEADER, FrameType, GoneReason, is_disco, parse_header, peer_gone_frame};
use hearthgate_keys::{KEY_LEN, NodePublic};
use portable_atomic::Ordering::Relaxed;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Keys remembered per connection to tell when it leaves; a client talks to fewer peers through a relay.
const PEERS_MAX: usize = 4096;
/// "Not here" answers per connection.
const NOT_HERE: Rate = Rate { per_second: 1, burst: 3 };
/// A home note that comes sooner after the connection is its beginning, not a move.
const MOVE_AFTER: Duration = Duration::from_secs(5);

/// A client's place in the relay, and what reading from it has to remember. Dropping it gives the place back.
pub(crate) struct Inbound {
    relay: Arc<Relay>,
    client: Arc<Client>,
    /// Where the last packet went. Only used while that connection is the active one of its key.
    last: Option<(NodePublic, Route)>,
    /// Connections that got packets from this client, by key.
    peers: HashMap<NodePublic, u64>,
    not_here: Bucket,
    rate: Option<Bucket>,
    paused_until: Option<Instant>,
}

impl Inbound {
    pub(crate) fn new(relay: Arc<Relay>, client: Arc<Client>) -> Self {
        relay.registry.enter(&client, &relay.metrics);
        add(&relay.metrics.not_ideal_connections, u64::from(client.origin.not_ideal));
        let not_here = Bucket::new(NOT_HERE, client.since);
        Self { relay, client, last: None, peers: HashMap::new(), not_here, rate: None, paused_until: None }
    }

    fn frame(&mut self, kind: u8, payload: &[u8], run: &mut Vec<Packet>, counts: &mut Counts) -> Result<(), Ended> {
        match FrameType::from_u8(kind) {
            Some(FrameType::SendPacket) => {
                let Some((to, packet)) = payload.split_first_chunk::<KEY_LEN>() else {
                    return Err(Ended::Violation("a packet without destination"));
                };
                counts.packet(payload.len(), packet);
                self.send(NodePublic::from_bytes(*to), packet, run);
            }
            Some(FrameType::NotePreferred) => {
                let [flag @ (0 | 1)] = *payload else {
                    return Err(Ended::Violation("a home note is one byte, 0 or 1"));
                };
                self.home(flag == 1);
            }
            Some(FrameType::Ping) => {
                let Some((data, _)) = payload.split_first_chunk::<8>() else {
                    return Err(Ended::Violation("a ping is eight bytes at least"));
                };
                add(&self.relay.metrics.got_ping, 1);
                if self.client.outbox.pong(*data) {
                    add(&self.relay.metrics.sent_pong, 1);
                }
            }
            Some(FrameType::WatchConns | FrameType::ClosePeer | FrameType::ForwardPacket) if !self.client.mesh => {
                return Err(Ended::Violation("a mesh frame from a client that is no relay of this mesh"));
            }
            Some(FrameType::WatchConns) => self.relay.registry.watch(&self.client, &self.relay.metrics),
            Some(FrameType::ClosePeer) => {
                let key: [u8; KEY_LEN] = payload.try_into().map_err(|_| Ended::Violation("a key is 32 bytes"))?;
                self.relay.close_peer(&NodePublic::from_bytes(key));
            }
            Some(FrameType::ForwardPacket) => {
                let Some((from, rest)) = payload.split_first_chunk::<KEY_LEN>() else {
                    return Err(Ended::Violation("a forwarded packet without source"));
                };
                let Some((to, packet)) = rest.split_first_chunk::<KEY_LEN>() else {
                    return Err(Ended::Violation("a forwarded packet without destination"));
                };
                self.forwarded(&NodePublic::from_bytes(*from), &NodePublic::from_bytes(*to), packet, run);
            }
            Some(FrameType::Pong) => {}
            _ => add(&self.relay.metrics.unknown_frames, 1),
        }
        Ok(())
    }

    /// Gathers packets of one destination; they are put into its queue together.
    fn send(&mut self, to: NodePublic, packet: &[u8], run: &mut Vec<Packet>) {
        let cached = match &self.last {
            Some((key, Route::Local(client))) => *key == to && client.active.load(Relaxed),
            // A client may connect here at any time: forwarders are looked up again.
            _ => false,
        };
        if !cached {
            self.deliver(run);
            match self.relay.registry.find(&to) {
                Some(route) => {
                    if let Route::Local(client) = &route
                        && (self.peers.len() < PEERS_MAX || self.peers.contains_key(&to))
                    {
                        self.peers.insert(to, client.id);
                    }
                    self.last = Some((to, route));
                }
                None => return self.unknown(&to, packet),
            }
        }
        run.push(match &self.last {
            Some((_, Route::Mesh(_))) => Packet::forwarded(&self.client.key, &to, packet),
            _ => Packet::received(&self.client.key, packet),
        });
    }

    fn unknown(&mut self, to: &NodePublic, packet: &[u8]) {
        let metrics = &self.relay.metrics;
        // WireGuard packets into the void get no answer; path-finding ones do, at most one a second.
        if !is_disco(packet) {
            return add(&metrics.dropped_unknown_dest, 1);
        }
        add(&metrics.dropped_unknown_dest_disco, 1);
        if self.not_here.take(Instant::now()) && self.client.outbox.tell(peer_gone_frame(to, GoneReason::NotHere)) {
            add(&metrics.gone_not_here, 1);
        }
    }

    /// A packet of another relay. It is never handed on to a third one.
    fn forwarded(&mut self, from: &NodePublic, to: &NodePublic, packet: &[u8], run: &mut Vec<Packet>) {
        self.deliver(run);
        add(&self.relay.metrics.forwarded_in, 1);
        match self.relay.registry.find(to) {
            Some(route @ Route::Local(_)) => {
                run.push(Packet::received(from, packet));
                self.last = Some((*to, route));
                self.deliver(run);
                // Packets of this relay's own clients have another source.
                self.last = None;
            }
            _ => add(&self.relay.metrics.dropped_unknown_dest_on_fwd, 1),
        }
    }

    fn deliver(&mut self, run: &mut Vec<Packet>) {
        if run.is_empty() {
            return;
        }
        match &self.last {
            Some((_, Route::Local(client))) => count_dropped(&self.relay.metrics, &client.outbox, run),
            Some((_, Route::Mesh(relay))) => {
                add(&self.relay.metrics.forwarded_out, run.len() as u64);
                count_dropped(&self.relay.metrics, &relay.outbox, run);
            }
            None => run.clear(),
        }
    }

    fn home(&mut self, home: bool) {
        if self.client.home.swap(home, Relaxed) == home {
            return;
        }
        step(&self.relay.metrics.home_connections, home);
        if self.client.since.elapsed() > MOVE_AFTER {
            add(if home { &self.relay.metrics.home_moves_in } else { &self.relay.metrics.home_moves_out }, 1);
        }
    }

    fn charge(&mut self, bytes: usize) {
        let rate = self.relay.rate();
        if rate.per_second == 0 || self.client.mesh {
            self.rate = None;
            return;
        }
        let now = Instant::now();
        if self.rate.is_none_or(|bucket| bucket.rate() != rate) {
            self.rate = Some(Bucket::new(rate, now));
        }
        if let Some(wait) = self.rate.as_mut().and_then(|bucket| bucket.charge(bytes as u64, now)) {
            add(&self.relay.metrics.rate_limit_waited, 1);
            self.paused_until = Some(now + wait);
        }
    }
}

fn count_dropped(metrics: &RelayMetrics, to: &Outbox, run: &mut Vec<Packet>) {
    let Dropped { disco, other, disco_bytes, other_bytes } = to.push(run);
    add(&metrics.dropped_queue_head_disco, disco);
    add(&metrics.dropped_queue_head, other);
    add(&metrics.dropped_bytes_queue_head_disco, disco_bytes);
    add(&metrics.dropped_bytes_queue_head, other_bytes);
}

/// What one read brought, added to the shared counters once.
#[derive(Default)]
struct Counts {
    disco: u64,
    other: u64,
    bytes: u64,
}

impl Counts {
    fn packet(&mut self, bytes: usize, packet: &[u8]) {
        self.bytes += bytes as u64;
        if is_disco(packet) { self.disco += 1 } else { self.other += 1 }
    }

    fn publish(&self, metrics: &RelayMetrics) {
        add(&metrics.packets_received, self.disco + self.other);
        add(&metrics.received_disco, self.disco);
        add(&metrics.received_other, self.other);
        add(&metrics.bytes_received, self.bytes);
    }
}

impl Handler for Inbound {
    fn frames(&mut self, bytes: &[u8], run: &mut Vec<Packet>) -> Result<usize, Ended> {
        let mut counts = Counts::default();
        let mut at = 0;
        let mut result = Ok(());
        while let Some(rest) = bytes.get(at..) {
            let (kind, len) = match parse_header(rest) {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(e) => {
                    result = Err(e.into());
                    break;
                }
            };
            let Some(payload) = rest.get(FRAME_HEADER..FRAME_HEADER + len) else { break };
            at += FRAME_HEADER + len;
            result = self.frame(kind, payload, run, &mut counts);
            if result.is_err() {
                break;
            }
        }
        if at > 0 && self.client.duplicated.load(Relaxed) && !self.client.active.load(Relaxed) {
            self.relay.registry.activate(&self.client);
        }
        self.deliver(run);
        counts.publish(&self.relay.metrics);
        self.charge(at);
        result.map(|()| at)
    }

    fn pause(&mut self) -> Option<Instant> {
        self.paused_until.take()
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        let Self { relay, client, peers, .. } = self;
        if client.home.swap(false, Relaxed) {
            less(&relay.metrics.home_connections, 1);
        }
        less(&relay.metrics.not_ideal_connections, u64::from(client.origin.not_ideal));
        if !relay.registry.leave(client, &relay.metrics) {
            return;
        }
        for (key, id) in peers.drain() {
            // Only the connection that knew this client: one that came later has nothing to forget.
            let told = relay.registry.connections(&key).into_iter().find(|c| c.id == id);
            if told.is_some_and(|c| c.outbox.tell(peer_gone_frame(&client.key, GoneReason::Disconnected))) {
                add(&relay.metrics.gone_disconnected, 1);
            }
        }
    }
}
