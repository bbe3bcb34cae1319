//! What the router hears from peers and from the box in front of it.

use crate::Target;
use hearthgate_disco::{Envelope, MAGIC, Message, Ping, demux, geneve, seal, tsmp::Tsmp};
use hearthgate_keys::DiscoPrivate;
use hearthgate_offload::{Merger, Segments, VNET_LEN, VnetHeader};
use hearthgate_portmap::{Wanted, pcp, pmp, upnp};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

fn ours() -> DiscoPrivate {
    DiscoPrivate::from_random([7; 32])
}

pub(crate) const DISCO: Target = Target {
    name: "disco",
    run: |data| {
        let _ = (demux::kind(data), Tsmp::parse(data));
        if let Some((header, inner)) = geneve::Header::parse(data) {
            assert_eq!(header.wrap(inner), data, "a Geneve header is written as it was read");
        }
        // As it comes, and what a peer seals.
        if let Some(envelope) = Envelope::parse(data) {
            let _ = envelope.open(&ours().shared(&envelope.sender));
        }
        // Of later versions less is kept than was there.
        if let (Ok(message), Some(0)) = (Message::parse(data), data.get(1)) {
            assert_eq!(Message::parse(&message.encode()), Ok(message));
        }
    },
    seeds: || {
        let peer = DiscoPrivate::from_random([9; 32]);
        let ping = Message::Ping(Ping { txid: [4; 12], node: None, padding: 0 });
        let sealed = seal(&peer.public(), &peer.shared(&ours().public()), &[1; 24], &ping);
        vec![ping.encode(), sealed, MAGIC.to_vec(), vec![3, 0, 1, 2, 3]]
    },
};

pub(crate) const PORT_MAPPING: Target = Target {
    name: "port-mapping",
    run: |data| {
        let _ = (pmp::parse(data), pcp::parse(data), upnp::parse_answer(data));
        let from = IpAddr::from([192, 168, 1, 1]);
        let _ = upnp::parse_search_reply(data, from);
        let Some(url) = upnp::Url::parse("http://192.168.1.1:5000/root.xml") else { return };
        for service in upnp::parse_description(data, &url) {
            let _ = service.add(Ipv4Addr::new(192, 168, 1, 2), Wanted::udp(41641), 41641, Duration::from_secs(7200));
        }
        if let Ok(text) = std::str::from_utf8(data) {
            let _ = upnp::Url::parse(text);
        }
    },
    seeds: || {
        let description: &[u8] = b"<root><device><serviceList><service>\
            <serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
            <controlURL>/ctl</controlURL></service></serviceList></device></root>";
        let reply: &[u8] = b"HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
            LOCATION: http://192.168.1.1:5000/root.xml\r\n\r\n";
        vec![
            vec![0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 7],
            pcp::announce_request(Ipv4Addr::new(192, 168, 1, 2)),
            description.to_vec(),
            reply.to_vec(),
            b"<errorCode>725</errorCode>".to_vec(),
        ]
    },
};

pub(crate) const TUNNEL_PACKETS: Target = Target {
    name: "tunnel-packets",
    run: |data| {
        let Some((header, packet)) = data.split_first_chunk::<VNET_LEN>() else { return };
        // What a device hands over.
        let (mut whole, mut out) = (packet.to_vec(), vec![0; data.len()]);
        if let Some(mut segments) = VnetHeader::decode(*header).and_then(|header| Segments::new(header, &mut whole)) {
            while let Some(length) = segments.write_next(&mut out) {
                assert!(length <= packet.len(), "a piece is no longer than the whole");
            }
        }
        // What peers send: cut in two, it is two packets.
        let mut buffer = packet.to_vec();
        let (mut merger, middle) = (Merger::default(), packet.len() / 2);
        merger.push(&buffer, 0..middle);
        merger.push(&buffer, middle..packet.len());
        let mut given = 0;
        merger.flush(&mut buffer, |slices| given += slices.iter().skip(1).map(|slice| slice.len()).sum::<usize>());
        assert!(given <= packet.len(), "nothing is given twice");
    },
    seeds: || {
        let v4 = [0x45, 0, 0, 44, 0, 7, 0x40, 0, 64, 6, 0, 0, 100, 64, 0, 1, 100, 64, 0, 2];
        let tcp = [0, 7, 0, 80, 0, 0, 0, 1, 0, 0, 0, 9, 0x50, 0x10, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        let header = |kind: u8, size: u16| {
            let ([g0, g1], [s0, s1], [o0, o1]) = (size.to_ne_bytes(), 20_u16.to_ne_bytes(), 16_u16.to_ne_bytes());
            [1, kind, 0, 0, g0, g1, s0, s1, o0, o1]
        };
        vec![[&header(1, 1)[..], &v4, &tcp].concat(), [&header(0, 0)[..], &v4, &tcp].concat()]
    },
};
