//! How the box's tunnel is doing: written by the task that keeps it, read by pages and commands.

use crate::messages::Welcome;
use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Where the tunnel is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum State {
    /// Not connected yet.
    #[default]
    Connecting,
    /// Up: clients get through.
    Connected,
    /// The front knows us and says no.
    Refused(String),
    /// It could not be reached, or the connection broke; it is tried again.
    Failed(String),
}

/// What is known of the front.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Where it is.
    pub address: String,
    /// How the tunnel is.
    pub state: State,
    /// What the front said last.
    pub welcome: Option<Welcome>,
    /// Addresses of the front when it said so.
    pub addresses: Vec<IpAddr>,
    /// Clients passed on since the start.
    pub passed: u64,
    /// Clients being passed on now.
    pub open: u64,
}

/// The shared cell.
#[derive(Debug, Default)]
pub struct Status(Mutex<View>);

impl Status {
    /// Of a front at this address.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self(Mutex::new(View { address: address.to_owned(), ..View::default() }))
    }

    /// A copy of all of it.
    #[must_use]
    pub fn view(&self) -> View {
        self.lock().clone()
    }

    /// Changes it.
    pub(crate) fn change(&self, f: impl FnOnce(&mut View)) {
        f(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
