//! Telling readers about changes under a prefix.

use crate::{Op, Revision};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// Events that may wait for one reader; one that is further behind is cut off and has to read anew.
const QUEUE: usize = 1024;

/// A change that became durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Revision of its commit.
    pub revision: Revision,
    /// Key.
    pub key: Vec<u8>,
    /// New value; `None` when it was removed.
    pub value: Option<Vec<u8>>,
}

/// Changes under a prefix, in order. It ends when the store is closed or the reader is too far behind.
pub type Watch = Receiver<Event>;

/// Those who watch.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Vec<(Vec<u8>, SyncSender<Event>)>);

impl Watchers {
    pub(crate) fn add(&mut self, prefix: &[u8]) -> Watch {
        let (tx, rx) = sync_channel(QUEUE);
        self.0.push((prefix.to_vec(), tx));
        rx
    }

    pub(crate) fn tell(&mut self, revision: Revision, ops: &[Op]) {
        self.0.retain(|(prefix, tx)| {
            ops.iter().filter(|op| op.key().starts_with(prefix)).all(|op| {
                let value = if let Op::Put(_, v) = op { Some(v.clone()) } else { None };
                match tx.try_send(Event { revision, key: op.key().to_vec(), value }) {
                    Ok(()) => true,
                    Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
                }
            })
        });
    }
}
