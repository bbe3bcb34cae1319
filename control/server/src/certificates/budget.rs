//! How often records may be written: a device in a circle must use up neither the provider's patience nor the authority's
//! (Let's Encrypt allows five failed validations of a name in an hour).

use hearthgate_core::NodeId;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Over which time is counted.
const WINDOW: Duration = Duration::from_secs(3600);
/// Most records of one node in that time.
const PER_NODE: usize = 6;
/// Most records of all in that time.
const ALL: usize = 120;

/// There were too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Spent {
    /// Of this node.
    #[error("this device has asked for {PER_NODE} certificates within the hour; try again later")]
    Node,
    /// Of all.
    #[error("{ALL} certificates were asked for within the hour; try again later")]
    All,
}

/// What was written lately.
#[derive(Debug, Default)]
pub(super) struct Budget(VecDeque<(Instant, NodeId)>);

impl Budget {
    /// Counts one more, if there is room.
    pub(super) fn spend(&mut self, node: NodeId, now: Instant) -> Result<(), Spent> {
        while self.0.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW) {
            self.0.pop_front();
        }
        if self.0.len() >= ALL {
            return Err(Spent::All);
        }
        if self.0.iter().filter(|(_, who)| *who == node).count() >= PER_NODE {
            return Err(Spent::Node);
        }
        self.0.push_back((now, node));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_and_all_together_have_so_many_an_hour() {
        let (mut budget, start) = (Budget::default(), Instant::now());
        for _ in 0..PER_NODE {
            assert_eq!(budget.spend(NodeId(1), start), Ok(()));
        }
        assert_eq!(budget.spend(NodeId(1), start + WINDOW / 2), Err(Spent::Node));
        assert_eq!(budget.spend(NodeId(2), start), Ok(()));
        assert_eq!(budget.spend(NodeId(1), start + WINDOW), Ok(()));
        for n in 0..ALL as u64 - 1 {
            assert_eq!(budget.spend(NodeId(100 + n), start + WINDOW), Ok(()));
        }
        assert_eq!(budget.spend(NodeId(3), start + WINDOW), Err(Spent::All));
        assert_eq!(budget.0.len(), ALL);
        assert_eq!(budget.spend(NodeId(3), start + WINDOW * 2), Ok(()));
        assert_eq!(budget.0.len(), 1);
    }
}
