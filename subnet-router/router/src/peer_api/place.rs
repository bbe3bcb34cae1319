//! How many connections one caller has: so many that all of a page is answered, and not so many that others wait for it.

use hearthgate_sorted::SortedMap;
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Semaphore;

/// Of the connections that are answered at one time, one caller's at most.
pub(super) const OF_ONE: usize = 24;
/// Of those that wait for their turn, one caller's at most.
pub(super) const WAITING_OF_ONE: usize = 40;

/// How many connections each caller has, and the turns they take.
pub(super) type Held = Mutex<SortedMap<IpAddr, (usize, Arc<Semaphore>)>>;

/// A connection of one caller's, answered or waiting.
pub(super) struct Place {
    held: Arc<Held>,
    caller: IpAddr,
    pub(super) turns: Arc<Semaphore>,
}

impl Place {
    pub(super) fn take(held: &Arc<Held>, caller: IpAddr) -> Option<Self> {
        let mut all = held.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, turns) = all.remove(&caller).unwrap_or_else(|| (0, Arc::new(Semaphore::new(OF_ONE))));
        let free = count < OF_ONE + WAITING_OF_ONE;
        all.insert(caller, (count + usize::from(free), turns.clone()));
        free.then(|| Self { held: held.clone(), caller, turns })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match all.remove(&self.caller) {
            Some((count, turns)) if count > 1 => drop(all.insert(self.caller, (count - 1, turns))),
            _ => {}
        }
    }
}
