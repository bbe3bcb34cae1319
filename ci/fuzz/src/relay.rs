//! The relay and the STUN server: everything before and after a client is known.

use crate::Target;
use hearthgate_derp::{Peek, peek_derp_request};
use hearthgate_derp_frame as frame;
use hearthgate_keys::NodePrivate;
use std::net::SocketAddr;

fn server() -> NodePrivate {
    NodePrivate::from_random([3; 32])
}

fn client() -> NodePrivate {
    NodePrivate::from_random([5; 32])
}

const NONCE: [u8; 24] = [1; 24];

pub(crate) const DERP_FRAMES: Target = Target {
    name: "derp-frames",
    run: |mut data| {
        while let Ok(Some((kind, len))) = frame::parse_header(data) {
            assert!(len <= frame::MAX_PACKET + 64, "a frame of {len} bytes");
            let Some(payload) = data.get(frame::FRAME_HEADER..frame::FRAME_HEADER + len) else { break };
            // A name beyond the limits is shown as it is and sent cut.
            if let Some(present) = frame::parse_peer_present(payload).filter(|p| frame::is_app_name(&p.app_name)) {
                let again = frame::peer_present_frame(&present.key, present.addr, present.flags, &present.app_name);
                assert_eq!(frame::parse_peer_present(&again[frame::FRAME_HEADER..]), Some(present));
            }
            let _ = (frame::FrameType::from_u8(kind), frame::parse_peer_gone(payload), frame::is_disco(payload));
            data = &data[frame::FRAME_HEADER + len..];
        }
    },
    seeds: || {
        let (key, other) = (server().public(), client().public());
        let address: SocketAddr = "192.0.2.7:41641".parse().expect("an address");
        let mut all = frame::server_key_frame(&key);
        all.extend(frame::note_preferred_frame(true));
        all.extend(frame::send_packet_frame(&other, b"packet"));
        all.extend(frame::forward_packet_frame(&key, &other, b"packet"));
        all.extend(frame::peer_present_frame(&other, Some(address), frame::PresentFlags(1), "app"));
        all.extend(frame::peer_gone_frame(&other, frame::GoneReason::NotHere));
        all.extend(frame::health_frame("why"));
        all.extend(frame::restarting_frame(10, 20));
        vec![all, vec![4, 255, 255, 255, 255], vec![9, 0, 0, 0, 60]]
    },
};

pub(crate) const DERP_HELLO: Target = Target {
    name: "derp-hello",
    run: |data| {
        // As it comes.
        let _ = frame::open_client_info(&server(), data);
        let _ = frame::open_server_info(&client(), &server().public(), data);
        // What a stranger seals reaches the JSON inside.
        let mut sealed = client().public().as_bytes().to_vec();
        sealed.extend(client().seal_to(&server().public(), NONCE, data));
        if let Ok((key, info)) = frame::open_client_info(&server(), &sealed) {
            assert_eq!(key, client().public());
            let again = frame::seal_client_info(&client(), &server().public(), &info, NONCE);
            assert_eq!(frame::open_client_info(&server(), &again).map(|(_, info)| info), Ok(info));
        }
    },
    seeds: || {
        let info = frame::ClientInfo { version: 2, can_ack_pings: true, ..frame::ClientInfo::default() };
        let sealed = frame::seal_client_info(&client(), &server().public(), &info, NONCE);
        let whole = sealed.clone();
        vec![br#"{"version":2,"CanAckPings":true,"meshKey":"00ff"}"#.to_vec(), whole, b"{".to_vec()]
    },
};

pub(crate) const DERP_REQUEST: Target = Target {
    name: "derp-request",
    run: |data| {
        if let Peek::Derp(request) = peek_derp_request(data) {
            assert!(request.head_len <= data.len());
        }
    },
    seeds: || {
        let derp = b"GET /derp HTTP/1.1\r\nHost: relay\r\nUpgrade: DERP\r\nConnection: Upgrade\r\nDerp-Fast-Start: 1\r\n\r\n\x02\0\0\0\0";
        let web = b"GET /derp HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: derp\r\n\r\n";
        vec![derp.to_vec(), web.to_vec(), b"GET /derp HTTP/1.0\r\n\r\n".to_vec(), b"GET /de".to_vec()]
    },
};

pub(crate) const STUN: Target = Target {
    name: "stun",
    run: |data| {
        if let Ok(txid) = hearthgate_stun::parse_request(data) {
            let from: SocketAddr = "[2001:db8::1]:3478".parse().expect("an address");
            let answer = hearthgate_stun::response(&txid, from);
            assert_eq!(hearthgate_stun::parse_response(&answer), Ok((txid, from)));
        }
        let _ = hearthgate_stun::parse_response(data);
    },
    seeds: || {
        let txid = [6; 12];
        let v4 = "192.0.2.1:4567".parse().expect("an address");
        let mut cut = hearthgate_stun::response(&txid, v4);
        let whole = cut.clone();
        cut.pop();
        vec![hearthgate_stun::request(&txid), whole, cut]
    },
};
