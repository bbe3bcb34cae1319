//! Reading and changing the headers that cutting and joining need. All offsets are checked: a packet comes from a peer.

use super::checksum;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
/// Where TCP's checksum is in its header, and UDP's.
pub(super) const TCP_CHECKSUM: usize = 16;
pub(super) const UDP_CHECKSUM: usize = 6;
/// Bits of TCP's flags.
pub(super) const FIN: u8 = 0x01;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;
pub(super) const CWR: u8 = 0x80;
/// Where they are.
pub(super) const TCP_FLAGS: usize = 13;
const TCP_SEQUENCE: usize = 4;
const TCP_OFFSET: usize = 12;
const V6_LEN: usize = 40;

/// A packet's IP and TCP or UDP headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Headers {
    pub v6: bool,
    pub protocol: u8,
    /// Where TCP or UDP begins.
    pub transport: usize,
    /// Where the payload begins.
    pub payload: usize,
    pub source: IpAddr,
    pub destination: IpAddr,
}

impl Headers {
    /// Reads them. `None`: neither TCP nor UDP, IPv6 extension headers, a fragment, or cut short.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        let first = *packet.first()?;
        let (transport, protocol, source, destination) = match first >> 4 {
            4 => {
                let fragment = u16_at(packet, 6)? & 0x3fff;
                if fragment != 0 {
                    return None;
                }
                let at = |at: usize| packet.get(at..)?.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into());
                (usize::from(first & 0x0f) * 4, *packet.get(9)?, at(12)?, at(16)?)
            }
            6 => {
                let at = |at: usize| packet.get(at..)?.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into());
                (V6_LEN, *packet.get(6)?, at(8)?, at(24)?)
            }
            _ => return None,
        };
        if transport < 20 {
            return None;
        }
        let length = match protocol {
            TCP => usize::from(packet.get(transport + TCP_OFFSET)? >> 4) * 4,
            UDP => 8,
            _ => return None,
        };
        let payload = transport + length;
        let whole = packet.len() >= payload && (protocol != TCP || length >= 20);
        whole.then_some(Self { v6: first >> 4 == 6, protocol, transport, payload, source, destination })
    }

    /// The packet's length as its IP header says it.
    pub(super) fn said_len(&self, packet: &[u8]) -> Option<usize> {
        if self.v6 { Some(usize::from(u16_at(packet, 4)?) + V6_LEN) } else { u16_at(packet, 2).map(usize::from) }
    }

    /// Writes a new length of the whole packet into the IP header, and IPv4's checksum of that.
    pub(super) fn set_len(&self, packet: &mut [u8], len: usize) {
        let short = |len: usize| u16::try_from(len).unwrap_or(u16::MAX);
        if self.v6 {
            put_u16(packet, 4, short(len.saturating_sub(V6_LEN)));
        } else {
            put_u16(packet, 2, short(len));
            put_u16(packet, 10, 0);
            let sum = checksum::sum(packet.get(..self.transport).unwrap_or_default());
            put_u16(packet, 10, !sum);
        }
    }

    /// Sum of pseudo header, header and payload as they stand: 0xffff if the checksum in it is right.
    pub(super) fn transport_sum(&self, packet: &[u8]) -> u16 {
        let body = packet.get(self.transport..).unwrap_or_default();
        checksum::add(self.pseudo(body.len()), checksum::sum(body))
    }

    /// Sum of the pseudo header for a TCP segment or UDP datagram of `len` bytes.
    pub(super) fn pseudo(&self, len: usize) -> u16 {
        checksum::pseudo(self.source, self.destination, self.protocol, len)
    }

    /// Where the checksum of TCP or UDP is, from the packet's beginning.
    pub(super) const fn checksum_at(&self) -> usize {
        self.transport + if self.protocol == TCP { TCP_CHECKSUM } else { UDP_CHECKSUM }
    }

    pub(super) const fn flags_at(&self) -> usize {
        self.transport + TCP_FLAGS
    }

    pub(super) const fn sequence_at(&self) -> usize {
        self.transport + TCP_SEQUENCE
    }
}

pub(super) fn u16_at(packet: &[u8], at: usize) -> Option<u16> {
    packet.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

pub(super) fn u32_at(packet: &[u8], at: usize) -> Option<u32> {
    packet.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Writes it; a place outside the packet stays unwritten.
pub(super) fn put_u16(packet: &mut [u8], at: usize, value: u16) {
    if let Some(place) = packet.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = value.to_be_bytes();
    }
}

pub(super) fn put_u32(packet: &mut [u8], at: usize, value: u32) {
    if let Some(place) = packet.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = value.to_be_bytes();
    }
}
