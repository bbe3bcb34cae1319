//! One connected client, as others see it.

use crate::{driver::Ended, outbox::Outbox};
use hearthgate_derp_frame::{PresentFlags, peer_present_frame};
use hearthgate_keys::NodePublic;
use portable_atomic::AtomicBool;
use std::net::{IpAddr, SocketAddr};
use tokio::time::Instant;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Remote {
    /// Address of the client, if it is known.
    pub ip: Option<IpAddr>,
}

/// Where a connection comes from, with all that a relay tells its mesh of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origin {
    /// Address of the client, if it is known. Port 0 when only the address is.
    pub addr: Option<SocketAddr>,
    /// The client says that another relay of the region would be its ideal one.
    pub not_ideal: bool,
}

impl From<Remote> for Origin {
    fn from(remote: Remote) -> Self {
        Self { addr: remote.ip.map(|ip| SocketAddr::new(ip.to_canonical(), 0)), not_ideal: false }
    }
}

impl From<SocketAddr> for Origin {
    fn from(addr: SocketAddr) -> Self {
        Self { addr: Some(SocketAddr::new(addr.ip().to_canonical(), addr.port())), not_ideal: false }
    }
}

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) key: NodePublic,
    pub(crate) origin: Origin,
    /// It proved to be a relay of the same mesh.
    pub(crate) mesh: bool,
    pub(crate) prober: bool,
    pub(crate) app_name: Box<str>,
    pub(crate) since: Instant,
    pub(crate) outbox: Outbox,
    /// It gets the packets of its key. Never again true once it left.
    pub(crate) active: AtomicBool,
    /// Another connection has the same key.
    pub(crate) duplicated: AtomicBool,
    /// This relay is its home.
    pub(crate) home: AtomicBool,
}

impl Client {
    pub(crate) fn present_frame(&self) -> Vec<u8> {
        let flags = PresentFlags::of(self.mesh, self.prober, self.origin.not_ideal);
        peer_present_frame(&self.key, self.origin.addr, flags, &self.app_name)
    }
}

/// A connection, for an operator to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientView {
    /// The node's key.
    pub key: NodePublic,
    /// Where it connects from.
    pub addr: Option<SocketAddr>,
    /// Seconds since it connected.
    pub connected_secs: u64,
    /// This relay is its home.
    pub home: bool,
    /// It gets the packets of its key (others with the same key do not).
    pub active: bool,
}

impl From<Ended> for std::io::Error {
    fn from(end: Ended) -> Self {
        use std::io::ErrorKind;
        let kind = match &end {
            Ended::Io(e) => e.kind(),
            Ended::Eof | Ended::Closed => ErrorKind::ConnectionAborted,
            Ended::WriteTimeout | Ended::HandshakeTimeout => ErrorKind::TimedOut,
            Ended::Refused => ErrorKind::PermissionDenied,
            Ended::Frame(_) | Ended::Violation(_) => ErrorKind::InvalidData,
        };
        Self::new(kind, end)
    }
}
