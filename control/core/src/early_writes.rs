//! How often a client may cause a flash write by what it says about itself: honest ones do so at their start, others
//! could wear the flash out.

use crate::NodeId;
use hearthgate_sorted::SortedMap;
use std::sync::Arc;

/// Writes that one node may cause within [`WINDOW_MS`]; later ones ride along with somebody else's.
pub(crate) const WRITES_MAX: u8 = 6;
/// Over which time is counted, in milliseconds: an hour.
const WINDOW_MS: u64 = 3600 * 1000;

/// What was written of late, by node. Bounded by the number of nodes.
#[derive(Debug, Clone, Default)]
pub(crate) struct EarlyWrites {
    count: Arc<SortedMap<NodeId, u8>>,
    since_ms: u64,
}

impl EarlyWrites {
    /// Counts one more, if there is room.
    pub(crate) fn may(&mut self, id: NodeId) -> bool {
        let count = Arc::make_mut(&mut self.count).entry(id).or_default();
        let may = *count < WRITES_MAX;
        *count = count.saturating_add(1);
        may
    }

    /// Time goes by; called every few seconds.
    pub(crate) fn at(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.since_ms) >= WINDOW_MS {
            *self = Self { since_ms: now_ms, ..Self::default() };
        }
    }
}
