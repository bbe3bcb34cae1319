//! The decision about one packet from the tunnel, as far as no memory of earlier packets is needed.

use crate::{
    Filter,
    proto::{ICMP, ICMPV6, SCTP, TCP, TSMP, UDP},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It comes in.
    Accept,
    /// It is lost.
    Drop,
    /// It comes in if it answers something that we sent (UDP, SCTP), else it is lost.
    IfReply,
}

/// The parts of a packet that matter.
struct Packet<'a> {
    from: IpAddr,
    to: IpAddr,
    proto: u8,
    later_fragment: bool,
    rest: &'a [u8],
}

impl Filter {
    /// Whether a source may open a connection: for questions about services in this process.
    #[must_use]
    pub fn allows(&self, from: IpAddr, to: IpAddr, proto: u8, port: u16) -> bool {
        let class = self.sources.iter().find(|(range, _)| range.contains(from)).map(|(_, class)| *class);
        let doors = class.and_then(|class| self.classes.get(class));
        doors.is_some_and(|doors| {
            doors.iter().any(|door| {
                door.proto == proto && door.to.contains(to) && (door.ports.0..=door.ports.1).contains(&port)
            })
        })
    }

    /// Whether a destination can be ours.
    #[must_use]
    pub fn is_local(&self, to: IpAddr) -> bool {
        self.local.iter().any(|range| range.contains(to))
    }

    /// Decides about an IP packet that came out of the tunnel.
    #[must_use]
    pub fn decide(&self, packet: &[u8]) -> Decision {
        if packet.is_empty() {
            return Decision::Accept; // WireGuard's keepalive
        }
        let Some(packet) = Packet::parse(packet) else {
            return Decision::Drop;
        };
        if packet.later_fragment {
            return Decision::Accept;
        }
        if to_many_or_to_link(packet.to) || !self.is_local(packet.to) {
            return Decision::Drop;
        }
        let allows = |port| self.allows(packet.from, packet.to, packet.proto, port);
        let accepted = match packet.proto {
            TSMP => true,
            TCP => match (packet.rest.get(13), packet.port()) {
                // SYN without ACK opens a connection, everything else belongs to one.
                (Some(flags), Some(port)) => flags & 0x12 != 0x02 || allows(port),
                _ => false,
            },
            UDP | SCTP => match packet.port() {
                Some(port) if allows(port) => true,
                Some(_) => return Decision::IfReply,
                None => false,
            },
            ICMP => packet.rest.first().is_some_and(|kind| matches!(kind, 0 | 3 | 11 | 12) || allows(0)),
            ICMPV6 => packet.rest.first().is_some_and(|kind| matches!(kind, 1..=4 | 129) || allows(0)),
            _ => allows(0),
        };
        if accepted { Decision::Accept } else { Decision::Drop }
    }
}

fn to_many_or_to_link(to: IpAddr) -> bool {
    match to {
        IpAddr::V4(ip) => ip.is_multicast() || (ip.is_link_local() && ip != Ipv4Addr::new(169, 254, 169, 254)),
        IpAddr::V6(ip) => ip.is_multicast() || ip.is_unicast_link_local(),
    }
}

impl<'a> Packet<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => {
                let head: &[u8; 20] = bytes.first_chunk()?;
                let start = usize::from(head[0] & 15) * 4;
                let fragment = u16::from_be_bytes([head[6], head[7]]) & 0x1fff;
                Some(Self {
                    from: Ipv4Addr::new(head[12], head[13], head[14], head[15]).into(),
                    to: Ipv4Addr::new(head[16], head[17], head[18], head[19]).into(),
                    proto: head[9],
                    later_fragment: fragment != 0,
                    rest: bytes.get(start.max(20)..)?,
                })
            }
            6 => {
                let head: &[u8; 40] = bytes.first_chunk()?;
                let ip = |at: usize| -> Option<IpAddr> {
                    let octets: [u8; 16] = *head.get(at..)?.first_chunk()?;
                    Some(Ipv6Addr::from(octets).into())
                };
                let rest = bytes.get(40..)?;
                Some(Self { from: ip(8)?, to: ip(24)?, proto: head[6], later_fragment: false, rest })
            }
            _ => None,
        }
    }

    /// Destination port.
    fn port(&self) -> Option<u16> {
        self.rest.get(2..4).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }
}
