//! Joining packets of a TCP stream that came one after another, so that the kernel takes them as one.
//!
//! Only what loses nothing is joined: same headers but for length, checksum and identification, sequence numbers
//! without a gap, no flags but ACK and a PSH at the end, right checksums, equal pieces of which the last may be
//! shorter. Packets of a flow keep their order.

use super::{
    PLAIN, VnetHeader, checksum,
    headers::{ACK, Headers, PSH, TCP, TCP_CHECKSUM, put_u16, u32_at},
    vnet::Gso,
};
use std::{io::IoSlice, ops::Range};

/// Longest IP packet.
const PACKET_MAX: usize = 65_535;
/// Packets in one: as many as one read of a UDP socket gives (`UDP_GRO_CNT_MAX` in `net/ipv4/udp_offload.c`).
const PIECES_MAX: usize = 64;

/// Packets that go to the device together.
#[derive(Debug, Default)]
struct Group {
    /// The first packet, whole.
    head: Range<usize>,
    /// Payloads of the others.
    pieces: Vec<Range<usize>>,
    /// `None`: not TCP.
    headers: Option<Headers>,
    /// The sequence number that would continue it.
    next: u32,
    /// Bytes of payload in the first packet.
    size: usize,
    /// Bytes of all.
    total: usize,
    /// Its last packet had PSH.
    push: bool,
    /// Nothing can be added.
    closed: bool,
}

/// Joins the packets of a batch. They lie in a buffer of the caller's, the same for all calls until [`Self::flush`].
#[derive(Debug, Default)]
pub struct Merger {
    groups: Vec<Group>,
    used: usize,
}

impl Merger {
    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Takes the packet at `place` in `buffer`.
    pub fn push(&mut self, buffer: &[u8], place: Range<usize>) {
        let Some(packet) = buffer.get(place.clone()) else { return };
        let headers = Headers::read(packet).filter(|headers| headers.protocol == TCP);
        let Some(headers) = headers else {
            self.open(Group { total: packet.len(), head: place, closed: true, ..Group::default() });
            return;
        };
        let flags = packet.get(headers.flags_at()).copied().unwrap_or_default();
        let payload = packet.len() - headers.payload;
        let simple = flags & !PSH == ACK
            && payload > 0
            && headers.said_len(packet) == Some(packet.len())
            && (headers.v6
                || headers.transport == 20 && checksum::sum(packet.get(..20).unwrap_or_default()) == u16::MAX)
            && headers.transport_sum(packet) == u16::MAX;
        let sequence = u32_at(packet, headers.sequence_at()).unwrap_or_default();
        let groups = self.groups.get_mut(..self.used).unwrap_or_default();
        let same_flow = |group: &&mut Group| {
            !group.closed
                && group.headers.is_some_and(|other| same_flow(buffer, group.head.start, &other, packet, &headers))
        };
        if let Some(group) = groups.iter_mut().rev().find(same_flow) {
            let joins = simple
                && group.next == sequence
                && payload <= group.size
                && group.pieces.len() + 1 < PIECES_MAX
                && group.total + payload <= PACKET_MAX
                && buffer.get(group.head.clone()).is_some_and(|head| same_headers(head, packet, &headers));
            if joins {
                group.pieces.push(place.start + headers.payload..place.end);
                // A payload is below 2^16.
                group.next = sequence.wrapping_add(payload as u32);
                group.total += payload;
                group.push = flags & PSH != 0;
                group.closed = group.push || payload < group.size;
                return;
            }
            // What comes later must not overtake this one.
            group.closed = true;
        }
        self.open(Group {
            total: packet.len(),
            head: place,
            headers: Some(headers),
            next: sequence.wrapping_add(payload as u32),
            size: payload,
            closed: !simple || flags & PSH != 0,
            ..Group::default()
        });
    }

    fn open(&mut self, group: Group) {
        if let Some(old) = self.groups.get_mut(self.used) {
            // Its memory is used again.
            let mut pieces = std::mem::take(&mut old.pieces);
            pieces.clear();
            *old = Group { pieces, ..group };
        } else {
            self.groups.push(group);
        }
        self.used += 1;
    }

    /// Gives everything out, in the order of the first packets: each time a header for the device and its packet.
    pub fn flush(&mut self, buffer: &mut [u8], mut write: impl FnMut(&[IoSlice<'_>])) {
        let used = std::mem::take(&mut self.used);
        for group in self.groups.iter().take(used) {
            let mut header = PLAIN;
            if let Some(headers) = group.headers.filter(|_| !group.pieces.is_empty())
                && let Some(head) = buffer.get_mut(group.head.clone())
            {
                header = finish(head, &headers, group);
            }
            let mut slices = [IoSlice::new(&[]); PIECES_MAX + 1];
            let parts = [&header[..], buffer.get(group.head.clone()).unwrap_or_default()];
            let pieces = group.pieces.iter().map(|piece| buffer.get(piece.clone()).unwrap_or_default());
            for (slice, part) in slices.iter_mut().zip(parts.into_iter().chain(pieces)) {
                *slice = IoSlice::new(part);
            }
            write(slices.get(..group.pieces.len() + 2).unwrap_or_default());
        }
    }
}

/// Makes the first packet's headers those of all.
fn finish(head: &mut [u8], headers: &Headers, group: &Group) -> [u8; super::VNET_LEN] {
    headers.set_len(head, group.total);
    if group.push
        && let Some(flags) = head.get_mut(headers.flags_at())
    {
        *flags |= PSH;
    }
    // The kernel adds the rest when it has to.
    put_u16(head, headers.checksum_at(), headers.pseudo(group.total - headers.transport));
    // All of these are below 2^16.
    let header = VnetHeader {
        gso: Gso::Tcp,
        needs_checksum: true,
        header_len: headers.payload as u16,
        gso_size: group.size as u16,
        csum_start: headers.transport as u16,
        csum_offset: TCP_CHECKSUM as u16,
    };
    header.encode(headers.v6)
}

fn same_flow(buffer: &[u8], start: usize, other: &Headers, packet: &[u8], headers: &Headers) -> bool {
    let ports = |bytes: &[u8], at: usize| u32_at(bytes, at);
    other.source == headers.source
        && other.destination == headers.destination
        && ports(buffer, start + other.transport) == ports(packet, headers.transport)
}

/// Whether two packets of a flow differ in nothing but length, checksums, identification, sequence number and PSH.
fn same_headers(a: &[u8], b: &[u8], headers: &Headers) -> bool {
    let same = |from: usize, to: usize| a.get(from..to).is_some_and(|part| Some(part) == b.get(from..to));
    // IPv4: version, service; fragment bits, time to live, protocol. IPv6: version, class, label; next header, hops.
    let ip = if headers.v6 { same(0, 4) && same(6, 8) } else { same(0, 2) && same(6, 10) };
    let tcp = headers.transport;
    // Acknowledgement, header length; window; urgent pointer and options.
    ip && same(tcp + 8, tcp + 13) && same(tcp + 14, tcp + 16) && same(tcp + 18, headers.payload)
}
