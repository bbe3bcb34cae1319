//! The UDP port: one socket for each family, marked so that its packets never go into the tunnel.

use crate::{PlaneError, host::BYPASS_MARK};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsFd,
    time::Duration,
};

/// Bytes of socket buffer asked for; a burst of a fast sender fits.
const BUFFER: usize = 1 << 20;
/// How long a read waits before it looks whether to stop.
const READ_TIMEOUT: Duration = Duration::from_millis(250);
/// Ports tried for one that is free in both families.
const TRIES: usize = 10;

/// Both sockets; a host without IPv6 has one.
pub(crate) struct Sockets {
    v4: UdpSocket,
    v6: Option<UdpSocket>,
    port: u16,
}

impl Sockets {
    /// Opens a port in both families; if it is taken, another one.
    pub(crate) fn open(port: u16) -> Result<Self, PlaneError> {
        let failed = |error| PlaneError::Port { port, error };
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for wish in [port].into_iter().chain(std::iter::repeat_n(0, TRIES)) {
            match Self::pair(wish) {
                Ok(sockets) => return Ok(sockets),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(last))
    }

    fn pair(port: u16) -> io::Result<Self> {
        let v4 = bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
        let port = v4.local_addr()?.port();
        let v6 = match bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
            Ok(socket) => Some(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => {
                tracing::info!(%error, "no IPv6");
                None
            }
        };
        Ok(Self { v4, v6, port })
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) const fn has_v6(&self) -> bool {
        self.v6.is_some()
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &UdpSocket> {
        [Some(&self.v4), self.v6.as_ref()].into_iter().flatten()
    }

    /// The one of a family.
    pub(crate) fn of(&self, v6: bool) -> io::Result<&UdpSocket> {
        let none = || io::Error::from(io::ErrorKind::AddrNotAvailable);
        if v6 { self.v6.as_ref().ok_or_else(none) } else { Ok(&self.v4) }
    }

    /// Sends a datagram. A full buffer is a lost packet, not an error.
    pub(crate) fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        match self.of(to.is_ipv6())?.send_to(bytes, to) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other.map(drop),
        }
    }

    /// Waits a moment for a datagram; `None`: none came, or the network reported an error for an earlier one.
    pub(crate) fn receive(&self, v6: bool, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        self.of(v6).ok()?.recv_from(buffer).ok()
    }
}

/// Asks for socket buffers in the name of the system's administrator, so that the system's own limit (some
/// ninety packets) does not count; in a container it does, and bursts are lost earlier.
pub(crate) fn roomy(socket: &impl AsFd, bytes: usize) {
    let forced = setsockopt(socket, sockopt::RcvBufForce, &bytes).and(setsockopt(socket, sockopt::SndBufForce, &bytes));
    if forced.is_err() {
        let _ = setsockopt(socket, sockopt::RcvBuf, &bytes);
        let _ = setsockopt(socket, sockopt::SndBuf, &bytes);
    }
}

fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
    let domain = if addr.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_mark(BYPASS_MARK)?;
    roomy(&socket, BUFFER);
    socket.set_read_timeout(Some(READ_TIMEOUT))?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}
