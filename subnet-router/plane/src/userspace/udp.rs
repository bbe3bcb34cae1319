//! Many datagrams in one system call: `UDP_SEGMENT` and `UDP_GRO` (`linux/udp.h` of Linux 6.12).
//!
//! The kernel cuts what is sent and joins what was received, each datagram but the last of one length. Where it cannot,
//! datagrams go one by one.

use super::receive::MAX_DATAGRAM;
use crate::port::{Sockets, roomy};
use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
    },
};
use std::{
    io::{IoSlice, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::atomic::{AtomicBool, Ordering},
};

/// Datagrams the kernel cuts one buffer into (`UDP_MAX_SEGMENTS`, 64 before Linux 6.9).
pub(super) const SEGMENTS_MAX: usize = 64;
/// Bytes in one such buffer: with the longest headers it is an IP packet.
pub(super) const BYTES_MAX: usize = MAX_DATAGRAM - 48;
/// Socket buffer asked for: data comes here, not only disco.
const SOCKET_BUFFER: usize = 2 << 20;

/// What was received.
pub(super) struct Received {
    /// Bytes in the buffer.
    pub len: usize,
    /// Bytes of each datagram but the last.
    pub size: usize,
    pub from: SocketAddr,
}

/// The sockets, with the kernel's help if it gives any.
pub(super) struct Batches {
    sends: AtomicBool,
}

impl Batches {
    /// Asks for both directions.
    pub(super) fn start(sockets: &Sockets) -> Self {
        let mut sends = true;
        for socket in sockets.all() {
            // Older kernels know neither.
            sends &= setsockopt(socket, sockopt::UdpGsoSegment, &0).is_ok();
            let joined = setsockopt(socket, sockopt::UdpGroSegment, &true).is_ok();
            roomy(socket, SOCKET_BUFFER);
            tracing::debug!(sends, joined, "batches of datagrams");
        }
        Self { sends: AtomicBool::new(sends) }
    }

    /// Sends datagrams of `size` bytes, of which the last may be shorter. Full buffers lose packets, as networks do.
    pub(super) fn send(&self, sockets: &Sockets, to: SocketAddr, bytes: &[u8], size: usize) {
        if bytes.len() > size
            && self.sends.load(Ordering::Relaxed)
            && let (Ok(socket), Ok(segment)) = (sockets.of(to.is_ipv6()), u16::try_from(size))
        {
            let address = SockaddrStorage::from(to);
            let options = [ControlMessage::UdpGsoSegments(&segment)];
            match sendmsg(socket.as_raw_fd(), &[IoSlice::new(bytes)], &options, MsgFlags::empty(), Some(&address)) {
                Ok(_) | Err(Errno::EAGAIN) => return,
                // The device cannot compute the checksums.
                Err(Errno::EIO) => self.sends.store(false, Ordering::Relaxed),
                // The path's MTU is smaller, perhaps: single datagrams may be cut on the way.
                Err(error) => tracing::debug!(%to, %error, "batch not sent"),
            }
        }
        for datagram in bytes.chunks(size.max(1)) {
            if let Err(error) = sockets.send(to, datagram) {
                tracing::debug!(%to, %error, "not sent");
            }
        }
    }
}

/// Room for the one option that comes with a batch.
pub(super) fn options() -> Vec<u8> {
    cmsg_space!(i32)
}

/// Receives a batch; `None`: none came within the socket's patience, or none is there and `wait` is false.
pub(super) fn receive(socket: &UdpSocket, wait: bool, buffer: &mut [u8], options: &mut [u8]) -> Option<Received> {
    let flags = if wait { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
    let mut slices = [IoSliceMut::new(buffer)];
    let got = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(options), flags).ok()?;
    let address = got.address?;
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    let from = v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))?;
    let joined = got.cmsgs().ok()?.find_map(|option| match option {
        ControlMessageOwned::UdpGroSegments(size) => usize::try_from(size).ok(),
        _ => None,
    });
    let size = joined.filter(|&size| size > 0).unwrap_or(got.bytes.max(1));
    Some(Received { len: got.bytes, size, from })
}
