//! Cutting and joining against each other, and against checksums computed the slow way.

use super::{
    Merger, PLAIN, Segments, VNET_LEN, VnetHeader, checksum,
    headers::{ACK, FIN, Headers, PSH, TCP, UDP, put_u16, u16_at, u32_at},
    vnet::Gso,
};
use proptest::prelude::*;

/// RFC 1071 word by word.
fn slow_sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | word.get(1).copied().map_or(0, u32::from));
    words.fold(0, |sum, word| {
        let sum = sum + word;
        (sum & 0xffff) + (sum >> 16)
    }) as u16
}

/// A packet with right checksums.
fn packet(v6: bool, protocol: u8, port: u16, sequence: u32, flags: u8, options: usize, payload: &[u8]) -> Vec<u8> {
    let head = if protocol == TCP { 20 + options } else { 8 };
    let body = head + payload.len();
    let mut packet = if v6 {
        let mut ip = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
        put_u16(&mut ip, 4, body as u16);
        ip.extend([&[0xfd; 16][..], &[0xfe; 16]].concat());
        ip
    } else {
        let mut ip = vec![0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, protocol, 0, 0, 100, 64, 0, 1, 100, 64, 0, 2];
        put_u16(&mut ip, 2, (20 + body) as u16);
        let sum = !slow_sum(&ip);
        put_u16(&mut ip, 10, sum);
        ip
    };
    let transport = packet.len();
    packet.extend(port.to_be_bytes());
    packet.extend([0, 80]);
    if protocol == TCP {
        packet.extend(sequence.to_be_bytes());
        packet.extend([0, 0, 0, 9, (head as u8 / 4) << 4, flags, 1, 0, 0, 0, 0, 0]);
        packet.extend(vec![1; options]);
    } else {
        packet.extend((body as u16).to_be_bytes());
        packet.extend([0, 0]);
    }
    packet.extend(payload);
    let headers = Headers::read(&packet).unwrap();
    assert_eq!((headers.transport, headers.payload), (transport, transport + head));
    let sum = !headers.transport_sum(&packet);
    put_u16(&mut packet, headers.checksum_at(), if sum == 0 && protocol == UDP { 0xffff } else { sum });
    packet
}

/// Checks both checksums and the length a packet says it has.
fn is_right(packet: &[u8]) {
    let headers = Headers::read(packet).unwrap();
    assert_eq!(headers.said_len(packet), Some(packet.len()));
    if !headers.v6 {
        assert_eq!(slow_sum(&packet[..20]), 0xffff);
    }
    let mut pseudo = if headers.v6 { packet[8..40].to_vec() } else { packet[12..20].to_vec() };
    let body = &packet[headers.transport..];
    pseudo.extend((body.len() as u32).to_be_bytes());
    pseudo.extend([0, 0, 0, headers.protocol]);
    pseudo.extend(body);
    assert_eq!(slow_sum(&pseudo), 0xffff, "{headers:?}");
}

/// What the device would be given, as (header, packet).
fn merged(packets: &[Vec<u8>]) -> Vec<([u8; VNET_LEN], Vec<u8>)> {
    let mut merger = Merger::default();
    let mut buffer = Vec::new();
    let mut places = Vec::new();
    for packet in packets {
        places.push(buffer.len()..buffer.len() + packet.len());
        buffer.extend_from_slice(packet);
    }
    for place in places {
        merger.push(&buffer, place);
    }
    let mut out = Vec::new();
    merger.flush(&mut buffer, |slices| {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let (header, packet) = all.split_first_chunk().unwrap();
        out.push((*header, packet.to_vec()));
    });
    assert!(merger.is_empty());
    out
}

/// What one read of the device is cut into.
fn cut(header: VnetHeader, packet: &[u8]) -> Vec<Vec<u8>> {
    let mut packet = packet.to_vec();
    let Some(mut segments) = Segments::new(header, &mut packet) else { return Vec::new() };
    let mut out = vec![0; 65_535];
    std::iter::from_fn(|| segments.write_next(&mut out).map(|length| out[..length].to_vec())).collect()
}

#[test]
fn a_header_reads_back() {
    let header = VnetHeader {
        gso: Gso::Tcp,
        needs_checksum: true,
        header_len: 52,
        gso_size: 1228,
        csum_start: 20,
        csum_offset: 16,
    };
    for v6 in [false, true] {
        assert_eq!(VnetHeader::decode(header.encode(v6)), Some(header));
    }
    // TCP over IPv4 with congestion marks is TCP; fragments of UDP were never asked for.
    assert_eq!(VnetHeader::decode([0, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]).map(|header| header.gso), Some(Gso::Tcp));
    assert_eq!(VnetHeader::decode([0, 3, 0, 0, 0, 0, 0, 0, 0, 0]), None);
}

#[test]
fn a_missing_checksum_is_written() {
    for (v6, protocol) in [(false, TCP), (true, TCP), (false, UDP), (true, UDP)] {
        let right = packet(v6, protocol, 1000, 1, ACK, 0, b"hello");
        let headers = Headers::read(&right).unwrap();
        let mut partial = right.clone();
        let at = headers.checksum_at();
        put_u16(&mut partial, at, headers.pseudo(right.len() - headers.transport));
        let header = VnetHeader {
            gso: Gso::None,
            needs_checksum: true,
            header_len: 0,
            gso_size: 0,
            csum_start: headers.transport as u16,
            csum_offset: (at - headers.transport) as u16,
        };
        assert_eq!(cut(header, &partial), [right]);
        // A place outside the packet is refused, not written.
        assert_eq!(cut(VnetHeader { csum_offset: 400, ..header }, &partial), Vec::<Vec<u8>>::new());
        assert_eq!(cut(VnetHeader { csum_start: 400, ..header }, &partial), Vec::<Vec<u8>>::new());
    }
}

#[test]
fn what_differs_is_not_joined() {
    let base = |sequence| packet(false, TCP, 1000, sequence, ACK, 12, &[5; 100]);
    assert_eq!(merged(&[base(1), base(101)]).len(), 1);
    let with = |change: fn(&mut Vec<u8>)| {
        let mut second = base(101);
        change(&mut second);
        // Checksums are right again, so that only the difference counts.
        let headers = Headers::read(&second).unwrap();
        headers.set_len(&mut second, 152);
        put_u16(&mut second, headers.checksum_at(), 0);
        let sum = !headers.transport_sum(&second);
        put_u16(&mut second, headers.checksum_at(), sum);
        merged(&[base(1), second]).len()
    };
    assert_eq!(with(|_| {}), 1);
    type Change = (&'static str, fn(&mut Vec<u8>));
    let changes: [Change; 9] = [
        ("service", |packet| packet[1] = 4),
        ("time to live", |packet| packet[8] = 63),
        ("source", |packet| packet[15] = 9),
        ("port", |packet| packet[21] = 9),
        ("a gap", |packet| packet[27] = 102),
        ("acknowledgement", |packet| packet[31] = 10),
        ("FIN", |packet| packet[33] |= FIN),
        ("window", |packet| packet[35] = 10),
        ("options", |packet| packet[40] = 0),
    ];
    for (what, change) in changes {
        assert_eq!(with(change), 2, "{what}");
    }
    for at in [11, 37, 60, 151] {
        let mut broken = base(101);
        broken[at] ^= 0x40;
        let out = merged(&[base(1), broken.clone()]);
        assert_eq!(out[1], (PLAIN, broken), "byte {at}: a broken packet goes on as it is");
    }
    // After a shorter piece and after PSH nothing is added.
    let short = packet(false, TCP, 1000, 101, ACK, 12, &[5; 99]);
    assert_eq!(merged(&[base(1), short, base(200)]).len(), 2);
    let pushed = packet(false, TCP, 1000, 101, ACK | PSH, 12, &[5; 100]);
    let out = merged(&[base(1), pushed, base(201)]);
    assert_eq!(out.len(), 2);
    assert_eq!(out[0].1[33], ACK | PSH);
}

proptest! {
    #[test]
    fn sums_are_those_of_the_rfc(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        // Zero and 0xffff are the same number in ones' complement.
        prop_assert_eq!(checksum::sum(&bytes) % 0xffff, slow_sum(&bytes) % 0xffff);
    }

    /// A stream that is joined and cut again is the same stream, whatever else is among it.
    #[test]
    fn cutting_undoes_joining(
        v6: bool,
        options in 0_usize..=10,
        size in 1_usize..1300,
        start: u32,
        turns in prop::collection::vec((0_u16..3, 0_u8..12), 1..150),
    ) {
        let mut sent = Vec::new();
        let mut sequences = [start; 3];
        for (flow, kind) in turns {
            let (protocol, flags, length) = match kind {
                0 => (UDP, 0, 30),
                1 => (TCP, ACK | FIN, 0),
                2 => (TCP, ACK | PSH, size),
                3 => (TCP, ACK, size / 2),
                _ => (TCP, ACK, size),
            };
            let sequence = &mut sequences[usize::from(flow)];
            let payload: Vec<u8> = (0..length).map(|n| (sequence.wrapping_add(n as u32) % 251) as u8).collect();
            sent.push(packet(v6, protocol, 1000 + flow, *sequence, flags, options * 4, &payload));
            if protocol == TCP {
                *sequence = sequence.wrapping_add(length as u32);
            }
        }
        let mut got = Vec::new();
        for (header, joined) in merged(&sent) {
            prop_assert!(joined.len() <= 65_535);
            let header = VnetHeader::decode(header).unwrap();
            if header.gso == Gso::None {
                got.push(joined);
                continue;
            }
            // The kernel trusts all of it: lengths, and the sum of the pseudo header.
            let headers = Headers::read(&joined).unwrap();
            prop_assert_eq!(headers.said_len(&joined), Some(joined.len()));
            prop_assert_eq!(usize::from(header.csum_start), headers.transport);
            prop_assert_eq!(usize::from(header.header_len), headers.payload);
            let pseudo = headers.pseudo(joined.len() - headers.transport);
            prop_assert_eq!(u16_at(&joined, headers.checksum_at()), Some(pseudo));
            let pieces = cut(header, &joined);
            prop_assert!(pieces.len() > 1);
            got.extend(pieces);
        }
        prop_assert_eq!(got.len(), sent.len());
        for flow in 0..3_u16 {
            for protocol in [TCP, UDP] {
                let of = |all: &[Vec<u8>]| -> Vec<Vec<u8>> {
                    let mine = |packet: &&Vec<u8>| {
                        let headers = Headers::read(packet).unwrap();
                        headers.protocol == protocol && u16_at(packet, headers.transport) == Some(1000 + flow)
                    };
                    all.iter().filter(mine).map(|packet| {
                        let mut packet = packet.clone();
                        is_right(&packet);
                        if !v6 {
                            // Cutting numbers the pieces.
                            put_u16(&mut packet, 4, 0);
                            put_u16(&mut packet, 10, 0);
                        }
                        packet
                    }).collect()
                };
                prop_assert_eq!(of(&got), of(&sent));
            }
        }
    }

    /// Pieces of what the kernel hands over are right, and together are the whole.
    #[test]
    fn pieces_are_right(
        v6: bool,
        tcp: bool,
        size in 1_u16..1400,
        length in 1_usize..60_000,
        sequence: u32,
    ) {
        let length = length.min(usize::from(size) * 200);
        let payload: Vec<u8> = (0..length).map(|n| (n % 253) as u8).collect();
        let protocol = if tcp { TCP } else { UDP };
        let whole = packet(v6, protocol, 7, sequence, ACK | PSH | FIN, 12, &payload);
        let headers = Headers::read(&whole).unwrap();
        let header = VnetHeader {
            gso: if tcp { Gso::Tcp } else { Gso::Udp },
            needs_checksum: true,
            header_len: 0,
            gso_size: size,
            csum_start: headers.transport as u16,
            csum_offset: (headers.checksum_at() - headers.transport) as u16,
        };
        let pieces = cut(header, &whole);
        prop_assert_eq!(pieces.len(), length.div_ceil(usize::from(size)));
        let mut all = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            is_right(piece);
            let last = number + 1 == pieces.len();
            if tcp {
                prop_assert_eq!(u32_at(piece, headers.sequence_at()), Some(sequence.wrapping_add(all.len() as u32)));
                prop_assert_eq!(piece[headers.flags_at()], if last { ACK | PSH | FIN } else { ACK });
            }
            all.extend_from_slice(&piece[headers.payload..]);
        }
        prop_assert_eq!(all, payload);
    }

    /// Whatever peers and devices hand in, nothing panics.
    #[test]
    fn garbage_is_only_passed_on(
        header: [u8; VNET_LEN],
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..8),
        first in prop::sample::select(vec![0x45_u8, 0x46, 0x4f, 0x40, 0x60, 0x00]),
    ) {
        let packets: Vec<Vec<u8>> = packets.into_iter().map(|mut packet| {
            if let Some(byte) = packet.first_mut() { *byte = first; }
            if let Some(byte) = packet.get_mut(if first == 0x60 { 6 } else { 9 }) { *byte = TCP; }
            packet
        }).collect();
        let out = merged(&packets);
        prop_assert_eq!(out.len(), packets.len());
        for packet in packets {
            if let Some(header) = VnetHeader::decode(header) {
                let pieces = cut(header, &packet);
                prop_assert!(pieces.len() <= packet.len() + 1);
            }
        }
    }
}
