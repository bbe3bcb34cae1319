//! IPv6 to IPv4 and back, packet by packet (RFC 7915). Pure.
//!
//! Addresses of the site are in the IPv6 addresses themselves, clients have an address from [`Table`]. TCP and UDP
//! checksums are adjusted rather than made anew, so that an error on the way stays one. Left out, as the RFC has it:
//! fragments of ICMP, whose checksum covers other bytes in each family; extension headers but the fragment's.

use super::{
    icmp,
    table::{Client, Table, allowed, join, split},
};
use hearthgate_offload::checksum;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Largest IPv6 packet into the tunnel.
const ROOM: usize = 1280;
/// Length of the IPv6 header, and of a fragment's behind it.
pub(super) const V6_LEN: usize = 40;
const FRAGMENT_LEN: usize = 8;
/// Length of an IPv4 header without options.
pub(super) const V4_LEN: usize = 20;

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP: u8 = 1;
pub(super) const ICMPV6: u8 = 58;
const FRAGMENT: u8 = 44;

/// What both headers say, besides addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    class: u8,
    pub(super) protocol: u8,
    hops: u8,
    /// Offset in units of eight bytes, whether more follow, and which packet it is part of.
    fragment: Option<(u16, bool, u32)>,
}

impl Head {
    /// The same with another protocol.
    pub(super) const fn with(self, protocol: u8) -> Self {
        Self { protocol, ..self }
    }

    /// Whether it is part of a larger packet.
    pub(super) const fn is_part(&self) -> bool {
        self.fragment.is_some()
    }

    fn is_first(&self) -> bool {
        self.fragment.is_none_or(|(offset, _, _)| offset == 0)
    }
}

/// The translator.
#[derive(Default)]
pub(crate) struct Translator {
    table: Table,
    number: u16,
    work: Vec<u8>,
    built: Vec<u8>,
}

impl Translator {
    /// Translates a packet; `out` gets each packet that comes of it, in the other family. What cannot be translated is
    /// dropped, as a router drops what it has no route for.
    pub(crate) fn packet(&mut self, packet: &[u8], mut out: impl FnMut(&[u8])) {
        match packet.first().map(|byte| byte >> 4) {
            Some(6) if self.six_to_four(packet).is_some() => out(&self.built),
            // What there was to send is sent.
            Some(4) => drop(self.four_to_six(packet, &mut out)),
            _ => {}
        }
    }

    fn six_to_four(&mut self, packet: &[u8]) -> Option<()> {
        let (head, source, destination, payload) = read_v6(packet)?;
        let (site, to) = split(destination).filter(|(_, to)| allowed(*to))?;
        let from = self.table.address(Client { address: source, site });
        self.work.clear();
        let protocol = if head.protocol == ICMPV6 {
            if head.is_part() {
                return None;
            }
            let table = &mut self.table;
            icmp::to_v4(payload, &mut self.work, |source, destination| {
                // A packet that we sent to the client.
                let (site, from) = split(source)?;
                Some((from, table.address(Client { address: destination, site })))
            })?;
            ICMP
        } else {
            self.work.extend_from_slice(payload);
            if head.is_first() {
                let pair = (IpAddr::V6(source), IpAddr::V6(destination));
                adjust(&mut self.work, head.protocol, pair, (from.into(), to.into()))?;
            }
            head.protocol
        };
        self.number = self.number.wrapping_add(1);
        let number = head.fragment.map_or(self.number, |(_, _, number)| number as u16);
        self.built.clear();
        write_v4(&mut self.built, &head.with(protocol), number, (from, to), self.work.len())?;
        self.built.extend_from_slice(&self.work);
        Some(())
    }

    fn four_to_six(&mut self, packet: &[u8], out: &mut impl FnMut(&[u8])) -> Option<()> {
        let (head, source, destination, payload) = read_v4(packet)?;
        let client = self.table.client(destination)?;
        let (from, to) = (join(client.site, source), client.address);
        self.work.clear();
        let protocol = if head.protocol == ICMP {
            if head.is_part() {
                return None;
            }
            let table = &self.table;
            icmp::to_v6(payload, (from, to), &mut self.work, |source, destination| {
                // A packet that came from the client.
                let client = table.client(source)?;
                Some((client.address, join(client.site, destination)))
            })?;
            self.work.truncate(ROOM - V6_LEN);
            icmp::seal_v6(&mut self.work, (from, to));
            ICMPV6
        } else {
            self.work.extend_from_slice(payload);
            let pair = (IpAddr::V6(from), IpAddr::V6(to));
            if head.protocol == UDP && head.is_first() && payload.get(6..8)? == [0, 0] {
                // It has no checksum, and needs one; of fragments nobody knows the whole.
                if head.fragment.is_some() {
                    return None;
                }
                seal_udp(&mut self.work, pair)?;
            } else if head.is_first() {
                adjust(&mut self.work, head.protocol, (source.into(), destination.into()), pair)?;
            }
            head.protocol
        };
        self.send_v6(&head.with(protocol), (from, to), out)
    }

    /// Sends what was worked out, in as many fragments as it takes.
    fn send_v6(&mut self, head: &Head, pair: (Ipv6Addr, Ipv6Addr), out: &mut impl FnMut(&[u8])) -> Option<()> {
        let Self { work, built, number, .. } = self;
        if head.fragment.is_none() && V6_LEN + work.len() <= ROOM {
            built.clear();
            write_v6(built, head, head.protocol, pair, work.len())?;
            built.extend_from_slice(work);
            out(built);
            return Some(());
        }
        let (first, more, number) = head.fragment.unwrap_or((0, false, u32::from(*number)));
        let step = (ROOM - V6_LEN - FRAGMENT_LEN) / 8 * 8;
        let last = work.len().div_ceil(step).max(1) - 1;
        for (part, bytes) in work.chunks(step).enumerate() {
            let offset = usize::from(first) + part * step / 8;
            let field = u16::try_from(offset).ok().filter(|offset| *offset < 1 << 13)? << 3;
            built.clear();
            write_v6(built, head, FRAGMENT, pair, FRAGMENT_LEN + bytes.len())?;
            built.extend_from_slice(&[head.protocol, 0]);
            built.extend_from_slice(&(field | u16::from(more || part < last)).to_be_bytes());
            built.extend_from_slice(&number.to_be_bytes());
            built.extend_from_slice(bytes);
            out(built);
        }
        Some(())
    }
}

/// Reads a header and what is behind it: source, destination, payload.
pub(super) fn read_v6(packet: &[u8]) -> Option<(Head, Ipv6Addr, Ipv6Addr, &[u8])> {
    let (header, rest) = packet.split_first_chunk::<V6_LEN>()?;
    let [v, c, _, _, high, low, next, hops, addresses @ ..] = *header;
    if v >> 4 != 6 {
        return None;
    }
    let address = |at: usize| addresses.get(at..at + 16).and_then(|a| <[u8; 16]>::try_from(a).ok()).map(Ipv6Addr::from);
    let length = usize::from(u16::from_be_bytes([high, low]));
    // An error's inner packet may have been cut.
    let payload = rest.get(..length.min(rest.len()))?;
    let mut head = Head { class: v << 4 | c >> 4, protocol: next, hops, fragment: None };
    let mut body = payload;
    if next == FRAGMENT {
        let ([protocol, _, high, low, number @ ..], rest) = payload.split_first_chunk::<FRAGMENT_LEN>()?;
        let field = u16::from_be_bytes([*high, *low]);
        head.protocol = *protocol;
        head.fragment = Some((field >> 3, field & 1 == 1, u32::from_be_bytes(*number)));
        // A fragment that is all of its packet (RFC 6946).
        head.fragment = head.fragment.filter(|(offset, more, _)| *offset > 0 || *more);
        body = rest;
    }
    matches!(head.protocol, TCP | UDP | ICMPV6).then_some((head, address(0)?, address(16)?, body))
}

/// As [`read_v6`], for IPv4; options are passed over.
pub(super) fn read_v4(packet: &[u8]) -> Option<(Head, Ipv4Addr, Ipv4Addr, &[u8])> {
    let header = packet.first_chunk::<V4_LEN>()?;
    let [v, class, high, low, i, d, flags, offset, hops, protocol, _, _, s @ ..] = *header;
    let start = usize::from(v & 15) * 4;
    if v >> 4 != 4 || start < V4_LEN {
        return None;
    }
    let end = usize::from(u16::from_be_bytes([high, low])).min(packet.len());
    let payload = packet.get(start..end)?;
    let field = u16::from_be_bytes([flags, offset]);
    let (offset, more) = (field & 0x1fff, field & 0x2000 != 0);
    let number = u32::from(u16::from_be_bytes([i, d]));
    let fragment = (offset > 0 || more).then_some((offset, more, number));
    let [a, b, c, d, e, f, g, h] = s;
    let head = Head { class, protocol, hops, fragment };
    let known = matches!(protocol, TCP | UDP | ICMP);
    known.then_some((head, Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h), payload))
}

/// Writes a header before `length` bytes.
pub(super) fn write_v4(
    to: &mut Vec<u8>,
    head: &Head,
    number: u16,
    pair: (Ipv4Addr, Ipv4Addr),
    length: usize,
) -> Option<()> {
    let start = to.len();
    let length = u16::try_from(V4_LEN + length).ok()?;
    let (offset, more, _) = head.fragment.unwrap_or_default();
    to.extend_from_slice(&[0x45, head.class]);
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(&number.to_be_bytes());
    to.extend_from_slice(&(offset | u16::from(more) << 13).to_be_bytes());
    to.extend_from_slice(&[head.hops, head.protocol, 0, 0]);
    to.extend_from_slice(&pair.0.octets());
    to.extend_from_slice(&pair.1.octets());
    let sum = !checksum::sum(to.get(start..)?);
    to.get_mut(start + 10..start + 12)?.copy_from_slice(&sum.to_be_bytes());
    Some(())
}

/// As [`write_v4`], for IPv6.
pub(super) fn write_v6(
    to: &mut Vec<u8>,
    head: &Head,
    next: u8,
    pair: (Ipv6Addr, Ipv6Addr),
    length: usize,
) -> Option<()> {
    let length = u16::try_from(length).ok()?;
    to.extend_from_slice(&[0x60 | head.class >> 4, head.class << 4, 0, 0]);
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(&[next, head.hops]);
    to.extend_from_slice(&pair.0.octets());
    to.extend_from_slice(&pair.1.octets());
    Some(())
}

/// Corrects the checksum of a TCP or UDP header for other addresses (RFC 1624). `None`: the header is not whole.
pub(super) fn adjust(payload: &mut [u8], protocol: u8, old: (IpAddr, IpAddr), new: (IpAddr, IpAddr)) -> Option<()> {
    let at = if protocol == TCP { 16 } else { 6 };
    let field = payload.get_mut(at..at + 2)?.first_chunk_mut::<2>()?;
    let had = !u16::from_be_bytes(*field);
    let less = !checksum::pseudo(old.0, old.1, protocol, 0);
    let sum = !checksum::add(checksum::add(had, less), checksum::pseudo(new.0, new.1, protocol, 0));
    // Zero would mean that UDP has none.
    *field = if protocol == UDP && sum == 0 { [0xff; 2] } else { sum.to_be_bytes() };
    Some(())
}

fn seal_udp(datagram: &mut [u8], pair: (IpAddr, IpAddr)) -> Option<()> {
    let sum = checksum::add(checksum::pseudo(pair.0, pair.1, UDP, datagram.len()), checksum::sum(datagram));
    let sum = if sum == 0xffff { sum } else { !sum };
    datagram.get_mut(6..8)?.copy_from_slice(&sum.to_be_bytes());
    Some(())
}
