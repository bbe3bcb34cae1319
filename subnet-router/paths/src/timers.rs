//! What is to be done when. Timers are not taken back: who set one looks whether it still matters when it comes.

use crate::Now;
use hearthgate_disco::TxId;
use hearthgate_keys::NodePublic;
use hearthgate_sorted::SortedSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Ping an active peer.
    Heartbeat(NodePublic),
    /// The trust in a peer's best path may have ended.
    Trust(NodePublic),
    /// A pong is overdue.
    PingTimeout(TxId),
    /// A path is relayed while packets flow.
    Haste(NodePublic),
    /// A call-me-maybe has waited for endpoints long enough.
    CallMeMaybe(NodePublic),
    /// The network check has something to do.
    Check,
    /// Is it time for the next network check?
    Restun,
    /// Peer relays have something to do.
    PeerRelay,
}

/// Timers in the order of their time.
#[derive(Debug, Default)]
pub struct Timers(SortedSet<(Now, Timer)>);

impl Timers {
    pub fn set(&mut self, at: Now, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub fn next(&self) -> Option<Now> {
        self.0.first().map(|&(at, _)| at)
    }

    /// Takes the first timer that is due.
    pub fn due(&mut self, now: Now) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
