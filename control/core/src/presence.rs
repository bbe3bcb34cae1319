//! Who is online, and the timers that follow from it.
//!
//! Online means that at least one map stream is open, or was within the grace time: clients reconnect all the time
//! and overlapping streams end in any order, so streams are counted, not remembered by age.

use crate::{Change, ChangeBits, EventKind, NodeId, Now, World};
use hearthgate_sorted::SortedSet;
use std::{collections::HashMap, sync::Arc};

/// How long after its last stream a node still counts as online, in milliseconds.
pub const OFFLINE_GRACE_MS: u64 = 10_000;
/// How often key expiry is looked at, in milliseconds.
const EXPIRY_CHECK_MS: u64 = 15_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Offline(NodeId),
    Ephemeral(NodeId),
    ExpiryCheck,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sessions {
    open: u32,
    offline_due: Option<u64>,
    ephemeral_due: Option<u64>,
}

/// Open streams per node and due times.
#[derive(Debug, Clone, Default)]
pub(crate) struct Presence {
    sessions: Arc<HashMap<NodeId, Sessions>>,
    timers: Arc<SortedSet<(u64, Timer)>>,
    checked: Option<jiff::Timestamp>,
}

impl Presence {
    fn of(&mut self, id: NodeId) -> &mut Sessions {
        Arc::make_mut(&mut self.sessions).entry(id).or_default()
    }

    fn arm(&mut self, due: u64, timer: Timer) {
        Arc::make_mut(&mut self.timers).insert((due, timer));
    }

    fn disarm(&mut self, due: Option<u64>, timer: Timer) {
        if let Some(due) = due {
            Arc::make_mut(&mut self.timers).remove(&(due, timer));
        }
    }

    pub(crate) fn start_ephemeral_timer(&mut self, id: NodeId, now: Now, timeout_ms: u64) {
        let old = self.of(id).ephemeral_due;
        self.disarm(old, Timer::Ephemeral(id));
        let due = now.mono_ms + timeout_ms;
        self.of(id).ephemeral_due = Some(due);
        self.arm(due, Timer::Ephemeral(id));
    }

    pub(crate) fn start_expiry_check(&mut self, now: Now) {
        self.checked = Some(now.wall);
        self.arm(now.mono_ms + EXPIRY_CHECK_MS, Timer::ExpiryCheck);
    }

    pub(crate) fn forget(&mut self, id: NodeId) {
        if let Some(s) = Arc::make_mut(&mut self.sessions).remove(&id) {
            self.disarm(s.offline_due, Timer::Offline(id));
            self.disarm(s.ephemeral_due, Timer::Ephemeral(id));
        }
    }
}

impl World {
    /// A map stream of this node is open.
    pub fn stream_opened(&mut self, id: NodeId) {
        if self.nodes.get(id).is_none() {
            return;
        }
        let s = self.presence.of(id);
        s.open += 1;
        let (offline, ephemeral) = (s.offline_due.take(), s.ephemeral_due.take());
        self.presence.disarm(offline, Timer::Offline(id));
        self.presence.disarm(ephemeral, Timer::Ephemeral(id));
        self.set_online(id, true, None);
    }

    /// A map stream of this node ended.
    pub fn stream_closed(&mut self, id: NodeId, now: Now) {
        if self.nodes.get(id).is_none() {
            return;
        }
        let s = self.presence.of(id);
        s.open = s.open.saturating_sub(1);
        if s.open == 0 {
            let old = s.offline_due;
            let due = now.mono_ms + OFFLINE_GRACE_MS;
            s.offline_due = Some(due);
            self.presence.disarm(old, Timer::Offline(id));
            self.presence.arm(due, Timer::Offline(id));
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next, on the monotonic clock.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.presence.timers.first().map(|(due, _)| *due)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some((due, timer)) = self.presence.timers.first().copied() {
            if due > now.mono_ms {
                break;
            }
            Arc::make_mut(&mut self.presence.timers).pop_first();
            match timer {
                Timer::Offline(id) => self.went_offline(id, now),
                Timer::Ephemeral(id) => {
                    if self.presence.of(id).open == 0 {
                        // Gone already is what this wanted.
                        let _ = self.drop_node(id);
                    }
                }
                Timer::ExpiryCheck => self.check_expiry(now),
            }
        }
    }

    fn went_offline(&mut self, id: NodeId, now: Now) {
        let s = self.presence.of(id);
        s.offline_due = None;
        if s.open > 0 {
            return;
        }
        self.set_online(id, false, Some(now));
        if self.nodes.get(id).is_some_and(|n| n.ephemeral) {
            let timeout = self.settings.ephemeral_timeout_ms;
            self.presence.start_ephemeral_timer(id, now, timeout);
        }
    }

    fn set_online(&mut self, id: NodeId, online: bool, seen: Option<Now>) {
        let Some(node) = self.nodes.get(id) else { return };
        if node.path.online == online {
            return;
        }
        let routes = !node.record.approved_routes.is_empty();
        let edited = self.edit_node(id, false, Change::Patched(id, ChangeBits::ONLINE), |n| {
            n.path.online = online;
            if let Some(now) = seen {
                n.record.last_seen = Some(now.wall);
            }
        });
        if edited.is_ok() && routes {
            self.elect_primaries();
        }
    }

    /// Tells everybody about keys that expired since the last look.
    fn check_expiry(&mut self, now: Now) {
        let since = self.presence.checked.unwrap_or(now.wall);
        let expired: Vec<NodeId> =
            self.nodes.iter().filter(|n| n.expiry.is_some_and(|e| e > since && e <= now.wall)).map(|n| n.id).collect();
        for id in expired {
            if let Ok(node) = self.edit_node(id, false, Change::Upserted(id), |_| ()) {
                self.happened(EventKind::NodeKeyExpired, &node);
            }
        }
        self.drop_old_attributes(now);
        self.early_writes.at(now.mono_ms);
        self.presence.start_expiry_check(now);
    }
}
