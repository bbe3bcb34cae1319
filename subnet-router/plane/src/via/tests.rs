use super::{
    is_via,
    table::{POOL, join},
    translate::{ICMP, ICMPV6, TCP, Translator, UDP},
};
use hearthgate_offload::checksum;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const CLIENT: Ipv6Addr = Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 9);
const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

fn host() -> Ipv6Addr {
    join(7, HOST)
}

/// A packet with a right checksum at `at` of its payload.
fn seal(protocol: u8, pair: (IpAddr, IpAddr), at: usize, payload: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    payload[at..at + 2].fill(0);
    let pseudo = if protocol == ICMP { 0 } else { checksum::pseudo(pair.0, pair.1, protocol, payload.len()) };
    let sum = !checksum::add(pseudo, checksum::sum(&payload));
    payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    payload
}

fn v6(next: u8, source: Ipv6Addr, destination: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x62, 0xe0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 60]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

fn v4(protocol: u8, source: Ipv4Addr, destination: Ipv4Addr, field: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((20 + payload.len() as u16).to_be_bytes());
    packet.extend([0x12, 0x34]);
    packet.extend(field.to_be_bytes());
    packet.extend([50, protocol, 0, 0]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

fn all(translator: &mut Translator, packet: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    translator.packet(packet, |packet| found.push(packet.to_vec()));
    found
}

fn one(translator: &mut Translator, packet: &[u8]) -> Vec<u8> {
    let mut found = all(translator, packet);
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// Protocol, addresses and payload of an IPv4 packet whose sums are right.
fn open_v4(packet: &[u8]) -> (u8, Ipv4Addr, Ipv4Addr, Vec<u8>) {
    assert_eq!(checksum::sum(&packet[..20]), 0xffff, "the header's checksum");
    assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), packet.len());
    let address = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap());
    let (protocol, pair, payload) = (packet[9], (address(12), address(16)), &packet[20..]);
    let pseudo =
        if protocol == ICMP { 0 } else { checksum::pseudo(pair.0.into(), pair.1.into(), protocol, payload.len()) };
    assert_eq!(checksum::add(pseudo, checksum::sum(payload)), 0xffff, "the payload's checksum");
    (protocol, pair.0, pair.1, payload.to_vec())
}

fn open_v6(packet: &[u8]) -> (u8, Ipv6Addr, Ipv6Addr, Vec<u8>) {
    assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])), packet.len() - 40);
    let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
    let (protocol, pair, payload) = (packet[6], (address(8), address(24)), &packet[40..]);
    let pseudo = checksum::pseudo(pair.0.into(), pair.1.into(), protocol, payload.len());
    assert_eq!(checksum::add(pseudo, checksum::sum(payload)), 0xffff, "the payload's checksum");
    (protocol, pair.0, pair.1, payload.to_vec())
}

fn without(at: usize, payload: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    payload[at..at + 2].fill(0);
    payload
}

#[test]
fn tcp_and_udp_go_there_and_back() {
    for (protocol, at) in [(TCP, 16), (UDP, 6)] {
        let mut translator = Translator::default();
        let payload = seal(protocol, (CLIENT.into(), host().into()), at, &[0xa7; 333]);
        let there = one(&mut translator, &v6(protocol, CLIENT, host(), &payload));
        assert_eq!((there[1], there[8]), (0x2e, 60), "class and hops stay");
        let (number, from, to, got) = open_v4(&there);
        assert!(number == protocol && to == HOST && POOL.contains(&from), "{from}");
        assert_eq!(without(at, &got), without(at, &payload));

        let answer = seal(protocol, (HOST.into(), from.into()), at, &[0x5b; 1240]);
        let back = one(&mut translator, &v4(protocol, HOST, from, 0x4000, &answer));
        assert_eq!(back.len(), 1280);
        let (number, source, destination, got) = open_v6(&back);
        assert_eq!((number, source, destination), (protocol, host(), CLIENT));
        assert_eq!(without(at, &got), without(at, &answer));
    }
}

#[test]
fn a_checksum_that_is_wrong_stays_wrong() {
    let mut translator = Translator::default();
    let mut payload = seal(UDP, (CLIENT.into(), host().into()), 6, &[1; 40]);
    payload[20] ^= 4;
    let there = one(&mut translator, &v6(UDP, CLIENT, host(), &payload));
    let from = Ipv4Addr::from(<[u8; 4]>::try_from(&there[12..16]).unwrap());
    let pseudo = checksum::pseudo(from.into(), HOST.into(), UDP, payload.len());
    assert_ne!(checksum::add(pseudo, checksum::sum(&there[20..])), 0xffff);
}

#[test]
fn a_datagram_without_a_checksum_gets_one() {
    let (mut translator, from) = known();
    let back = one(&mut translator, &v4(UDP, HOST, from, 0, &[0, 53, 0, 9, 0, 13, 0, 0, 1, 2, 3, 4, 5]));
    assert_eq!(open_v6(&back).0, UDP);
}

#[test]
fn echo_goes_there_and_back() {
    let mut translator = Translator::default();
    let ask = seal(ICMPV6, (CLIENT.into(), host().into()), 2, &[128, 0, 0, 0, 1, 2, 3, 4, 9, 9]);
    let (number, from, to, got) = open_v4(&one(&mut translator, &v6(ICMPV6, CLIENT, host(), &ask)));
    assert_eq!((number, to, without(2, &got)), (ICMP, HOST, vec![8, 0, 0, 0, 1, 2, 3, 4, 9, 9]));
    let answer = seal(ICMP, (HOST.into(), from.into()), 2, &[0, 0, 0, 0, 1, 2, 3, 4, 9, 9]);
    let (number, source, destination, got) = open_v6(&one(&mut translator, &v4(ICMP, HOST, from, 0, &answer)));
    assert_eq!((number, source, destination), (ICMPV6, host(), CLIENT));
    assert_eq!(without(2, &got), [129, 0, 0, 0, 1, 2, 3, 4, 9, 9]);
}

#[test]
fn large_packets_are_cut_and_fragments_stay_fragments() {
    let (mut translator, from) = known();
    // The first of two fragments, as large as the kernel makes them for this device.
    let first: Vec<u8> = (0..1240_u16).map(|n| n as u8).collect();
    let parts = all(&mut translator, &v4(UDP, HOST, from, 0x2000, &first));
    let field = |packet: &[u8]| u16::from_be_bytes([packet[42], packet[43]]);
    assert_eq!(
        parts.iter().map(|p| (p.len(), p[6], p[40], field(p))).collect::<Vec<_>>(),
        [(1280, 44, UDP, 1), (56, 44, UDP, 1232 | 1)]
    );
    let last = one(&mut translator, &v4(UDP, HOST, from, 155, &[3; 20]));
    assert_eq!((field(&last), &last[44..48], &last[48..]), (155 << 3, &[0, 0, 0x12, 0x34][..], &[3; 20][..]));

    let mut fragment = vec![UDP, 0, 0, 9, 0, 0, 0xab, 0xcd];
    fragment.extend([5; 16]);
    let there = one(&mut translator, &v6(44, CLIENT, host(), &fragment));
    assert_eq!((&there[4..8], there[9], &there[20..]), (&[0xab, 0xcd, 0x20, 1][..], UDP, &[5; 16][..]));
}

#[test]
fn errors_quote_the_packet_they_are_about() {
    let mut translator = Translator::default();
    let asked = seal(UDP, (CLIENT.into(), host().into()), 6, &[7; 24]);
    let there = one(&mut translator, &v6(UDP, CLIENT, host(), &asked));
    let from = open_v4(&there).1;
    // Nobody listens on the port.
    let error = seal(ICMP, (HOST.into(), from.into()), 2, &[&[3, 3, 0, 0, 0, 0, 0, 0], &there[..]].concat());
    let (number, source, destination, got) = open_v6(&one(&mut translator, &v4(ICMP, HOST, from, 0, &error)));
    assert_eq!((number, source, destination, &got[..2]), (ICMPV6, host(), CLIENT, &[1, 4][..]));
    assert_eq!(open_v6(&got[8..]), (UDP, CLIENT, host(), asked));

    // The client has no such port either.
    let answer = seal(UDP, (HOST.into(), from.into()), 6, &[8; 24]);
    let back = one(&mut translator, &v4(UDP, HOST, from, 0, &answer));
    let error = [&[1, 4, 0, 0, 0, 0, 0, 0], &back[..]].concat();
    let error = seal(ICMPV6, (CLIENT.into(), host().into()), 2, &error);
    let (_, _, to, got) = open_v4(&one(&mut translator, &v6(ICMPV6, CLIENT, host(), &error)));
    assert_eq!((to, &got[..2]), (HOST, &[3, 3][..]));
    assert_eq!(open_v4(&got[8..]), (UDP, HOST, from, answer.clone()));

    // An error about somebody else's packet is not passed on.
    let strange = seal(
        ICMP,
        (HOST.into(), from.into()),
        2,
        &[&[3, 3, 0, 0, 0, 0, 0, 0], &v4(UDP, Ipv4Addr::new(10, 0, 0, 6), HOST, 0, &answer)[..]].concat(),
    );
    assert!(all(&mut translator, &v4(ICMP, HOST, from, 0, &strange)).is_empty());
}

#[test]
fn a_path_that_is_too_narrow_is_told() {
    let (mut translator, _) = known();
    let large = seal(TCP, (host().into(), CLIENT.into()), 16, &[8; 1200]);
    let quoted = v6(TCP, host(), CLIENT, &large);
    let error = [&[2, 0, 0, 0, 0, 0, 0x05, 0x00], &quoted[..600]].concat();
    let error = seal(ICMPV6, (CLIENT.into(), host().into()), 2, &error);
    let (_, _, _, got) = open_v4(&one(&mut translator, &v6(ICMPV6, CLIENT, host(), &error)));
    assert_eq!(&got[..8], [&[3, 4][..], &got[2..4], &[0, 0, 0x04, 0xec]].concat());
}

#[test]
fn what_has_no_place_is_dropped() {
    let (mut translator, from) = known();
    let udp = seal(UDP, (CLIENT.into(), host().into()), 6, &[7; 24]);
    let elsewhere: Ipv6Addr = "fd7a:115c:a1e0::5".parse().unwrap();
    let nobody = Ipv4Addr::from(u32::from(from) + 1);
    for packet in [
        v6(UDP, CLIENT, elsewhere, &udp),
        v6(UDP, CLIENT, join(7, Ipv4Addr::LOCALHOST), &udp),
        v6(UDP, CLIENT, join(7, Ipv4Addr::new(169, 254, 169, 254)), &udp),
        v6(UDP, CLIENT, host(), &[1, 2, 3]),
        v6(0, CLIENT, host(), &udp),
        v6(44, CLIENT, host(), &[UDP]),
        v4(UDP, HOST, nobody, 0, &udp),
        v4(ICMP, HOST, from, 0, &[5, 1, 0, 0, 0, 0, 0, 0]),
        v4(UDP, HOST, from, 0x2000, &[0, 53, 0, 9, 0, 13, 0, 0]),
        v4(47, HOST, from, 0, &udp),
    ] {
        assert!(all(&mut translator, &packet).is_empty(), "{packet:02x?}");
    }
}

#[test]
fn nothing_that_comes_in_is_a_panic() {
    let (mut translator, from) = known();
    let udp = seal(UDP, (CLIENT.into(), host().into()), 6, &[7; 24]);
    let error = [&[1, 4, 0, 0, 0, 0, 0, 0][..], &v6(UDP, host(), CLIENT, &udp)].concat();
    let error4 = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &v4(UDP, from, HOST, 0, &udp)].concat();
    let whole = [v6(ICMPV6, CLIENT, host(), &error), v4(ICMP, HOST, from, 0, &error4), v6(44, CLIENT, host(), &udp)];
    for packet in whole {
        for length in 0..packet.len() {
            all(&mut translator, &packet[..length]);
        }
        for at in 0..packet.len() {
            for bits in [0x01, 0x0f, 0x80, 0xff] {
                let mut packet = packet.clone();
                packet[at] ^= bits;
                all(&mut translator, &packet);
            }
        }
    }
}

#[test]
fn routes_for_one_site_are_told_from_others() {
    for (route, is) in [
        ("fd7a:115c:a1e0:b1a:0:7:a00:0/120", true),
        ("fd7a:115c:a1e0:b1a:0:7::/96", true),
        ("fd7a:115c:a1e0:b1a::/64", false),
        ("fd7a:115c:a1e0::/48", false),
        ("10.0.0.0/24", false),
    ] {
        assert_eq!(is_via(&route.parse().unwrap()), is, "{route}");
    }
}

/// A translator that knows the client, and the address that stands for it.
fn known() -> (Translator, Ipv4Addr) {
    let mut translator = Translator::default();
    let payload = seal(UDP, (CLIENT.into(), host().into()), 6, &[7; 24]);
    let there = one(&mut translator, &v6(UDP, CLIENT, host(), &payload));
    (translator, open_v4(&there).1)
}
