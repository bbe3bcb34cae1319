//! Dynamic DNS: a name that follows the public addresses of a box. Which services there are and how each is asked, what
//! its answer means, and when it may be asked again.
//!
//! No sockets, no clock: the shell looks for addresses, hands them to [`State::step`] with the time, sends what
//! [`Settings::request`] says, and gives the answer to [`judge`] and [`State::note`].

mod answer;
mod interface;
mod service;
mod settings;
mod state;
mod template;

pub use answer::{Verdict, judge};
pub use interface::{best_v6, publishable};
pub use service::{Gone, SERVICES, Service, Words};
pub use settings::{Mistake, Request, Settings};
pub use state::{State, Steady, Step};
pub use template::TemplateError;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Public addresses; `None` is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Addresses {
    /// IPv4.
    pub v4: Option<Ipv4Addr>,
    /// IPv6.
    pub v6: Option<Ipv6Addr>,
}

hearthgate_read::struct_of!(Addresses { v4: "v4", v6: "v6" });

impl Addresses {
    /// None is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }

    /// Those that are known, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }
}
