//! How the box's tunnel is doing: written by the task that keeps it, read by pages and commands.

use crate::messages::{Reached, Welcome, Wish};
use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::sync::Notify;

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

/// How the front reached this box from outside, and when it said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What it said.
    pub reached: Reached,
    /// When.
    pub at: Instant,
}

/// Why there is no test from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotTry {
    /// No tunnel.
    #[error("the tunnel to the front is not up")]
    NoTunnel,
    /// It is too old.
    #[error("the front cannot do that: bring it to the version of this box")]
    Old,
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
    /// What the front saw when it last knocked.
    pub seen: Option<Seen>,
}

/// The shared cell.
#[derive(Debug, Default)]
pub struct Status {
    view: Mutex<View>,
    wish: Mutex<Option<Wish>>,
    wished: Notify,
}

impl Status {
    /// Of a front at this address.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self { view: Mutex::new(View { address: address.to_owned(), ..View::default() }), ..Self::default() }
    }

    /// A copy of all of it.
    #[must_use]
    pub fn view(&self) -> View {
        self.lock().clone()
    }

    /// Has the front try whether it reaches this box from outside; [`View::seen`] has what came of it. A wish that the
    /// front has not taken up yet is replaced.
    ///
    /// # Errors
    /// It cannot.
    pub fn want(&self, wish: Wish) -> Result<(), CannotTry> {
        let view = self.view();
        if view.state != State::Connected {
            return Err(CannotTry::NoTunnel);
        }
        if !view.welcome.is_some_and(|w| w.wishes) {
            return Err(CannotTry::Old);
        }
        *self.wish.lock().unwrap_or_else(PoisonError::into_inner) = Some(wish);
        self.wished.notify_one();
        Ok(())
    }

    /// The next wish.
    pub(crate) async fn wished(&self) -> Wish {
        loop {
            let wish = self.wish.lock().unwrap_or_else(PoisonError::into_inner).take();
            match wish {
                Some(wish) => return wish,
                None => self.wished.notified().await,
            }
        }
    }

    /// Changes it.
    pub(crate) fn change(&self, f: impl FnOnce(&mut View)) {
        f(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
