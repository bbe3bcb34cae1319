//! Relayed packets of the kernel's WireGuard.
//!
//! The kernel sends to addresses only, so each relayed peer has one of its own in 127.64.0.0/10, all of which is local
//! without configuration. One socket on the loopback interface hears them all; the destination address names the peer.
//!
//! In the other direction the kernel takes the source of any authentic packet for the peer's new address. While a peer
//! is reached straight, a relayed packet is therefore written with the direct address as its source: the kernel sees no
//! change.

use crate::port::roomy;
use nix::{
    cmsg_space,
    libc::{in_addr, in_pktinfo},
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt, sockopt},
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    os::fd::AsRawFd,
    time::Duration,
};

/// Peers that can have an address: 22 bits.
pub(super) const MAX_PEERS: u32 = 1 << 22;
/// 127.64.0.0
const BASE: u32 = 0x7f40_0000;
/// Bytes of socket buffer asked for.
const BUFFER: usize = 1 << 20;
const READ_TIMEOUT: Duration = Duration::from_millis(250);
/// `IPPROTO_RAW`: packets with their own IP header; nothing is received.
const RAW: i32 = 255;
const UDP: u8 = 17;

/// The sockets.
pub(super) struct Loopback {
    socket: UdpSocket,
    port: u16,
    wireguard: u16,
    raw4: Socket,
    raw6: Option<Socket>,
}

impl Loopback {
    /// Opens them. `wireguard` is WireGuard's port.
    pub(super) fn open(wireguard: u16) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        // Nobody outside may hand in relayed packets.
        socket.bind_device(Some(b"lo"))?;
        roomy(&socket, BUFFER);
        socket.set_read_timeout(Some(READ_TIMEOUT))?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        let socket: UdpSocket = socket.into();
        let port = socket.local_addr()?.port();
        let raw4 = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)))?;
        let raw6 = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::from(RAW))).ok();
        Ok(Self { socket, port, wireguard, raw4, raw6 })
    }

    /// The address that stands for a peer.
    pub(super) fn address(&self, index: u32) -> SocketAddr {
        SocketAddr::new(loopback(index).into(), self.port)
    }

    /// Which peer an endpoint stands for, if it is one of ours.
    pub(super) fn index(endpoint: SocketAddr) -> Option<u32> {
        match endpoint.ip() {
            IpAddr::V4(ip) if u32::from(ip) & !(MAX_PEERS - 1) == BASE => Some(u32::from(ip) & (MAX_PEERS - 1)),
            _ => None,
        }
    }

    /// Waits a moment for a message from WireGuard: its length and the peer's number.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Option<(usize, u32)> {
        let mut space = cmsg_space!(in_pktinfo);
        let mut parts = [IoSliceMut::new(buffer)];
        let message =
            recvmsg::<SockaddrIn>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty()).ok()?;
        let to = message.cmsgs().ok()?.find_map(|part| match part {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr))),
            _ => None,
        })?;
        // Only WireGuard itself may talk here: it sends from its own port.
        if message.address?.port() != self.wireguard {
            return None;
        }
        Some((message.bytes, Self::index(SocketAddr::new(to.into(), 0))?))
    }

    /// Hands a message to WireGuard as from the peer's own loopback address.
    pub(super) fn send(&self, index: u32, bytes: &[u8]) -> io::Result<()> {
        let info = in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: in_addr { s_addr: u32::from(loopback(index)).to_be() },
            ipi_addr: in_addr { s_addr: 0 },
        };
        let to = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.wireguard));
        let control = [ControlMessage::Ipv4PacketInfo(&info)];
        sendmsg(self.socket.as_raw_fd(), &[IoSlice::new(bytes)], &control, MsgFlags::empty(), Some(&to))?;
        Ok(())
    }

    /// Hands a message to WireGuard as if it came from `from`. `local` is our address on the way there: IPv6 keeps the
    /// destination of such a packet as the source of the answers.
    pub(super) fn send_as(&self, from: SocketAddr, local: Option<IpAddr>, bytes: &[u8]) -> io::Result<()> {
        let none = || io::Error::from(io::ErrorKind::AddrNotAvailable);
        match (from.ip(), local) {
            (IpAddr::V4(source), _) => {
                let target = Ipv4Addr::LOCALHOST;
                let packet = packet4(source, target, &udp(from.port(), self.wireguard, bytes)?)?;
                self.raw4.send_to(&packet, &SocketAddr::new(target.into(), 0).into())?;
            }
            (IpAddr::V6(source), Some(IpAddr::V6(target))) => {
                let mut segment = udp(from.port(), self.wireguard, bytes)?;
                let sum = checksum(&[&source.octets(), &target.octets(), &length_and_protocol(&segment), &segment]);
                if let Some(field) = segment.get_mut(6..8) {
                    field.copy_from_slice(&sum.to_be_bytes());
                }
                let mut packet = vec![0x60, 0, 0, 0];
                packet.extend(u16::try_from(segment.len()).map_err(io::Error::other)?.to_be_bytes());
                packet.extend([UDP, 64]);
                packet.extend(source.octets());
                packet.extend(target.octets());
                packet.extend(segment);
                let raw = self.raw6.as_ref().ok_or_else(none)?;
                raw.send_to(&packet, &SocketAddr::new(target.into(), 0).into())?;
            }
            _ => return Err(none()),
        }
        Ok(())
    }
}

fn loopback(index: u32) -> Ipv4Addr {
    Ipv4Addr::from(BASE | (index & (MAX_PEERS - 1)))
}

/// A UDP segment with checksum 0, which IPv4 takes as "none".
fn udp(from: u16, to: u16, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(bytes.len() + 8).map_err(io::Error::other)?;
    let mut segment = Vec::with_capacity(bytes.len() + 8);
    for field in [from, to, length, 0] {
        segment.extend(field.to_be_bytes());
    }
    segment.extend(bytes);
    Ok(segment)
}

/// An IPv4 packet; the kernel fills in identification and checksum.
fn packet4(source: Ipv4Addr, target: Ipv4Addr, segment: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(segment.len() + 20).map_err(io::Error::other)?;
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
    packet.extend(source.octets());
    packet.extend(target.octets());
    packet.extend(segment);
    Ok(packet)
}

fn length_and_protocol(segment: &[u8]) -> [u8; 8] {
    let [a, b, c, d] = u32::try_from(segment.len()).unwrap_or(0).to_be_bytes();
    [a, b, c, d, 0, 0, 0, UDP]
}

/// The Internet checksum (RFC 1071); 0 is written as its other form (RFC 8200 §8.1). All parts but the last are even.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match !u16::try_from(sum).unwrap_or(0) {
        0 => 0xffff,
        sum => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::{Loopback, checksum, loopback};

    #[test]
    fn addresses_name_peers() {
        for index in [0, 1, 255, 256, super::MAX_PEERS - 1] {
            let address = std::net::SocketAddr::new(loopback(index).into(), 9);
            assert_eq!(Loopback::index(address), Some(index));
        }
        for other in ["127.0.0.1:9", "127.128.0.0:9", "[::1]:9"] {
            assert_eq!(Loopback::index(other.parse().expect("address")), None, "{other}");
        }
    }

    #[test]
    fn checksum_of_rfc_1071() {
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
        assert_eq!(checksum(&[&[0xff, 0xff]]), 0xffff);
    }
}
