//! Asking the router in front of us for a port that is open to everybody: NAT-PMP, PCP and UPnP (source:
//! `net/portmapper` of tailscale.com v1.104.5 for the order of attempts and the times).
//!
//! The codecs are here, and [`Mapper`], which decides. It has a UDP socket of its own (not that of the port it maps)
//! and lets its owner make HTTP requests. A library would have brought its own sockets, clock and HTTP client.

mod mapper;
pub mod pcp;
pub mod pmp;
mod status;
pub mod upnp;

pub use mapper::{Mapper, MapperAction, MapperEvent};
pub use status::{Gateway, Method, Now, Protocol, Status, Trouble, Wanted};
