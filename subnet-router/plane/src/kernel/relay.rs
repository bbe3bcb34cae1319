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
    errno::Errno,
    libc::{in_addr, in_pktinfo},
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt, sockopt},
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    os::fd::AsRawFd,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Peers that can have an address: 22 bits.
pub(super) const MAX_PEERS: u32 = 1 << 22;
/// 127.64.0.0
const BASE: u32 = 0x7f40_0000;
/// Bytes of socket buffer asked for.
const BUFFER: usize = 1 << 20;
const READ_TIMEOUT: Duration = Duration::from_millis(250);
/// Messages handed in with one call: all that the router takes in its turn (`UDP_MAX_SEGMENTS` is 64 before Linux 6.9).
const RUN_MAX: usize = 64;
/// Their bytes: with its headers a run is an IP packet.
const RUN_BYTES: usize = 65_535 - 28;
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
    /// The kernel cuts several messages out of one call (`UDP_SEGMENT`, Linux 4.18).
    joins: AtomicBool,
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
        let joins = AtomicBool::new(setsockopt(&socket, sockopt::UdpGsoSegment, &0).is_ok());
        Ok(Self { socket, port, wireguard, raw4, raw6, joins })
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

    /// Hands messages to WireGuard as from the peer's own loopback address. Those of one length go in one call: they
    /// take the way through the kernel's network layers together.
    pub(super) fn send_all(&self, index: u32, packets: &[&[u8]]) -> io::Result<()> {
        let mut result = Ok(());
        for run in runs(packets) {
            let sent = match run {
                [first, _, ..] if self.joins.load(Ordering::Relaxed) => match self.send_run(index, run, first.len()) {
                    // This kernel cannot cut.
                    Err(error) if [Errno::EIO, Errno::EINVAL].contains(&error) => {
                        self.joins.store(false, Ordering::Relaxed);
                        self.one_by_one(index, run)
                    }
                    other => other,
                },
                _ => self.one_by_one(index, run),
            };
            result = result.and(sent);
        }
        Ok(result?)
    }

    fn one_by_one(&self, index: u32, packets: &[&[u8]]) -> nix::Result<()> {
        packets.iter().fold(Ok(()), |result, bytes| self.send_run(index, &[bytes], 0).and(result))
    }

    /// One call; `size` is the length of all messages but the last, 0 for a single one.
    fn send_run(&self, index: u32, packets: &[&[u8]], size: usize) -> nix::Result<()> {
        let info = in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: in_addr { s_addr: u32::from(loopback(index)).to_be() },
            ipi_addr: in_addr { s_addr: 0 },
        };
        let to = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.wireguard));
        let mut parts = [IoSlice::new(&[]); RUN_MAX];
        parts.iter_mut().zip(packets).for_each(|(part, packet)| *part = IoSlice::new(packet));
        let parts = parts.get(..packets.len()).ok_or(Errno::EMSGSIZE)?;
        let segment = u16::try_from(size).map_err(|_| Errno::EMSGSIZE)?;
        let control = [ControlMessage::Ipv4PacketInfo(&info), ControlMessage::UdpGsoSegments(&segment)];
        let control = if size == 0 { &control[..1] } else { &control };
        sendmsg(self.socket.as_raw_fd(), parts, control, MsgFlags::empty(), Some(&to))?;
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

/// Cuts a list into what can go in one call: messages of one length, of which the last may be shorter.
fn runs<'a>(mut packets: &'a [&'a [u8]]) -> impl Iterator<Item = &'a [&'a [u8]]> {
    std::iter::from_fn(move || {
        let size = packets.first()?.len();
        let (mut count, mut bytes) = (0, 0);
        for packet in packets {
            if count == RUN_MAX || bytes + packet.len() > RUN_BYTES || (count > 0 && packet.len() > size) {
                break;
            }
            (count, bytes) = (count + 1, bytes + packet.len());
            if packet.len() < size {
                break;
            }
        }
        // One that is longer than any datagram goes alone, and the kernel says so.
        let (run, rest) = packets.split_at(count.max(1));
        packets = rest;
        Some(run)
    })
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
    use super::{Loopback, RUN_BYTES, RUN_MAX, checksum, loopback, runs};

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

    fn cut(lengths: &[usize]) -> Vec<Vec<usize>> {
        let bytes = vec![0; 70_000];
        let packets: Vec<&[u8]> = lengths.iter().map(|length| &bytes[..*length]).collect();
        runs(&packets).map(|run| run.iter().map(|packet| packet.len()).collect()).collect()
    }

    #[test]
    fn a_run_is_of_one_length_and_only_its_last_is_shorter() {
        assert!(cut(&[]).is_empty());
        assert_eq!(cut(&[96]), [[96]]);
        assert_eq!(cut(&[1312, 1312, 96, 96, 1312]), [vec![1312, 1312, 96], vec![96], vec![1312]]);
        assert_eq!(cut(&[96, 148, 148, 148]), [vec![96], vec![148; 3]]);
        assert_eq!(cut(&[0, 0, 32]), [vec![0, 0], vec![32]]);
    }

    #[test]
    fn a_run_is_no_longer_than_the_kernel_takes_and_nothing_is_lost() {
        assert_eq!(cut(&[100; 130]).iter().map(Vec::len).collect::<Vec<_>>(), [RUN_MAX, RUN_MAX, 2]);
        assert_eq!(cut(&[30_000; 5]).iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!(cut(&[70_000, 5]), [[70_000], [5]], "the first fails alone");
        let mut seed = 1_u32;
        for count in 0..200 {
            let mut length = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                [96, 148, 1312, 1312, 60_000][(seed >> 16) as usize % 5]
            };
            let lengths: Vec<usize> = (0..count).map(|_| length()).collect();
            let runs = cut(&lengths);
            assert_eq!(runs.concat(), lengths);
            for run in runs {
                let (last, others) = run.split_last().expect("a run has something");
                assert!(others.iter().all(|length| *length == run[0]) && *last <= run[0], "{run:?}");
                assert!(run.len() <= RUN_MAX && run.iter().sum::<usize>() <= RUN_BYTES, "{run:?}");
            }
        }
    }

    #[test]
    fn checksum_of_rfc_1071() {
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
        assert_eq!(checksum(&[&[0xff, 0xff]]), 0xffff);
    }
}
