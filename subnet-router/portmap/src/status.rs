//! What is wanted of a router, and how it went.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// A moment: time since any fixed point, the same for all calls, never going back.
pub type Now = Duration;

/// What a port is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl Protocol {
    /// As in UPnP's commands and in what people read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }

    /// Its number in IP packets, which PCP takes (RFC 6887 section 11.1).
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Udp => 17,
            Self::Tcp => 6,
        }
    }
}

/// A port to be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// What it is of.
    pub protocol: Protocol,
    /// Our port.
    pub internal: u16,
    /// The port outside that is best; `None` leaves it to the router. Another one may be given.
    pub external: Option<u16>,
}

impl Wanted {
    /// UDP port `internal`, whatever it is outside.
    #[must_use]
    pub const fn udp(internal: u16) -> Self {
        Self { protocol: Protocol::Udp, internal, external: None }
    }
}

/// Ways to a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// NAT-PMP.
    Pmp,
    /// PCP.
    Pcp,
    /// UPnP.
    Upnp,
}

impl Method {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pmp => "NAT-PMP",
            Self::Pcp => "PCP",
            Self::Upnp => "UPnP",
        }
    }
}

/// The router in front of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gateway {
    /// Its address in our network.
    pub address: Ipv4Addr,
    /// Ours.
    pub own: Ipv4Addr,
}

/// Why nothing is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody answered.
    Silent,
    /// The router said no, with this code of its protocol.
    Refused(Method, u16),
    /// The router maps, but at an address that is not of the Internet: it is behind another NAT itself.
    Inside(SocketAddr),
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// The router that is asked; `None` if there is none, or none has to be asked because we have a public address.
    pub gateway: Option<Gateway>,
    /// What is mapped, and how.
    pub mapped: Option<(Method, SocketAddr)>,
    /// Why the last attempt came to nothing; `None` before its end too.
    pub trouble: Option<Trouble>,
}
