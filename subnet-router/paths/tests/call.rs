//! A peer that goes on sending over a relay after we found a direct path is called, so that it finds it too.

use hearthgate_disco::{Envelope, Message, Pong, seal};
use hearthgate_keys::{DiscoPrivate, NodePublic};
use hearthgate_paths::{Action, Config, Event, Path, Paths, PeerInfo, Region, RegionNode};
use std::{net::SocketAddr, time::Duration};

const STUN: ([u8; 4], u16) = ([198, 51, 100, 1], 3478);
const PEER: ([u8; 4], u16) = ([203, 0, 113, 5], 41641);

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Messages of disco in what is to be sent, opened as the peer would.
fn sent(paths: &mut Paths, us: &DiscoPrivate, peer: &DiscoPrivate) -> Vec<Message> {
    let mut out = Vec::new();
    while let Some(action) = paths.poll() {
        let (Action::SendUdp { bytes, .. } | Action::SendRelay { bytes, .. }) = action else { continue };
        if let Some(envelope) = Envelope::parse(&bytes) {
            out.push(envelope.open(&peer.shared(&us.public())).unwrap());
        }
    }
    out
}

fn calls(messages: &[Message]) -> usize {
    messages.iter().filter(|message| matches!(message, Message::CallMeMaybe(_))).count()
}

#[test]
fn a_peer_that_does_not_follow_is_called_each_second() {
    let (us, peer) = (DiscoPrivate::from_random([1; 32]), DiscoPrivate::from_random([2; 32]));
    let node = NodePublic::from_bytes([3; 32]);
    let mut n = 0u8;
    let entropy = move |out: &mut [u8]| {
        n = n.wrapping_add(1);
        out.fill(n);
    };
    let own = NodePublic::from_bytes([4; 32]);
    let config = Config { node: own, disco: us.clone(), port: 41641, port_is_fixed: false };
    let mut paths = Paths::new(config, Box::new(entropy));
    paths.handle(ms(0), Event::LocalAddresses(vec![[192, 0, 2, 1].into()]));
    let stun = RegionNode { name: "1a".into(), v4: Some(STUN.into()), v6: None };
    let region = Region { id: 1, avoid: false, no_measure: false, score: 1.0, nodes: vec![stun] };
    paths.handle(ms(0), Event::RelayMap(vec![region]));
    while let Some(action) = paths.poll() {
        if let Action::SendUdp { bytes, .. } = action {
            let txid = hearthgate_stun::parse_request(&bytes).unwrap();
            let bytes = hearthgate_stun::response(&txid, "192.0.2.1:41641".parse().unwrap());
            paths.handle(ms(1), Event::Udp { from: STUN.into(), bytes: &bytes });
        }
    }
    let endpoints = vec![SocketAddr::from(PEER)];
    let info = PeerInfo { node, disco: peer.public(), endpoints, home: Some(1), silent: false };
    paths.handle(ms(4000), Event::Peer(info));
    paths.handle(ms(4000), Event::Traffic { peer: node, sent: true, received: false });
    let messages = sent(&mut paths, &us, &peer);
    let Some(txid) = messages.iter().find_map(|m| if let Message::Ping(ping) = m { Some(ping.txid) } else { None })
    else {
        panic!("no ping in {messages:?}");
    };
    let pong = Message::Pong(Pong { txid, source: "192.0.2.1:41641".parse().unwrap() });
    let pong = seal(&peer.public(), &peer.shared(&us.public()), &[9; 24], &pong);
    paths.handle(ms(4020), Event::Udp { from: PEER.into(), bytes: &pong });
    let direct = Action::SetPath { peer: node, path: Path::Direct(PEER.into()) };
    assert!(std::iter::from_fn(|| paths.poll()).any(|action| action == direct));
    // Data over the relay, every 50 ms: what was under way, and then what should not be.
    let mut called = Vec::new();
    for at in (4050..6550).step_by(50) {
        paths.handle(ms(at), Event::Relayed { region: 1, from: node, bytes: &[4, 0, 0, 0, 1, 2, 3] });
        if calls(&sent(&mut paths, &us, &peer)) > 0 {
            called.push(at);
        }
    }
    assert_eq!(called, [4250, 5250, 6250]);
}
