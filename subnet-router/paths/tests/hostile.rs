//! What strangers and bad peers send: nothing panics, nothing is answered that should not be.

use hearthgate_disco::{Envelope, Message, Ping, Pong, geneve, seal};
use hearthgate_keys::{DiscoPrivate, NodePublic};
use hearthgate_paths::{Action, Config, Event, Hop, Path, Paths, PeerInfo, Region, RegionNode, Via};
use proptest::prelude::*;
use std::{net::SocketAddr, time::Duration};

const SOMEWHERE: ([u8; 4], u16) = ([203, 0, 113, 5], 41641);

struct Fixture {
    us: DiscoPrivate,
    peer: DiscoPrivate,
    peer_node: NodePublic,
    paths: Paths,
}

fn fixture() -> Fixture {
    let us = DiscoPrivate::from_random([1; 32]);
    let peer = DiscoPrivate::from_random([2; 32]);
    let peer_node = NodePublic::from_bytes([3; 32]);
    let mut n = 0u8;
    let entropy = move |out: &mut [u8]| {
        n = n.wrapping_add(1);
        out.fill(n);
    };
    let node = NodePublic::from_bytes([4; 32]);
    let config = Config { node, disco: us.clone(), port: 41641, port_is_fixed: false };
    let mut paths = Paths::new(config, Box::new(entropy));
    let endpoints = vec![SocketAddr::from(SOMEWHERE)];
    let info = PeerInfo { node: peer_node, disco: peer.public(), endpoints, home: Some(1), silent: false };
    paths.handle(Duration::ZERO, Event::Peer(info));
    let stun = RegionNode { name: "1a".into(), v4: Some("198.51.100.1:3478".parse().unwrap()), v6: None };
    let region = Region { id: 1, avoid: false, no_measure: false, score: 1.0, nodes: vec![stun] };
    paths.handle(Duration::ZERO, Event::RelayMap(vec![region]));
    let mut f = Fixture { us, peer, peer_node, paths };
    f.actions();
    f
}

impl Fixture {
    /// What is to be sent or changed, besides the network check.
    fn actions(&mut self) -> Vec<Action> {
        self.all().into_iter().filter(|a| !matches!(a, Action::Heard { .. })).collect()
    }

    fn all(&mut self) -> Vec<Action> {
        let all = std::iter::from_fn(|| self.paths.poll());
        all.filter(|a| !matches!(a, Action::SendUdp { to, .. } if to.port() == 3478)).collect()
    }

    /// Who was heard for the first time.
    fn heard(&mut self) -> Vec<(NodePublic, Via)> {
        let first = |action| if let Action::Heard { peer, via } = action { Some((peer, via)) } else { None };
        self.all().into_iter().filter_map(first).collect()
    }

    fn packet(&self, from: &DiscoPrivate, message: &Message) -> Vec<u8> {
        seal(&from.public(), &from.shared(&self.us.public()), &[9; 24], message)
    }
}

fn ping(txid: u8) -> Message {
    Message::Ping(Ping { txid: [txid; 12], node: None, padding: 0 })
}

#[test]
fn a_ping_is_answered_once_and_only_to_peers() {
    let mut f = fixture();
    let from = SocketAddr::from(([192, 0, 2, 9], 1000));
    let stranger = f.packet(&DiscoPrivate::from_random([7; 32]), &ping(1));
    f.paths.handle(Duration::from_secs(1), Event::Udp { from, bytes: &stranger });
    assert_eq!(f.actions(), []);
    let good = f.packet(&f.peer.clone(), &ping(1));
    for answers in [1, 0] {
        f.paths.handle(Duration::from_secs(1), Event::Udp { from, bytes: &good });
        let actions = f.actions();
        assert_eq!(actions.len(), answers, "{actions:?}");
    }
    // A ping alone is no reason to send anything there but the pong.
    let status = f.paths.status(&f.peer_node, Duration::from_secs(1)).unwrap();
    assert_eq!(status.path, Path::Relay(Some(1)));
    assert!(status.endpoints.iter().any(|(addr, _)| *addr == from));
}

#[test]
fn a_mapped_address_is_the_plain_one() {
    let mut f = fixture();
    let good = f.packet(&f.peer.clone(), &ping(1));
    let from = "[::ffff:192.0.2.9]:1000".parse().unwrap();
    f.paths.handle(Duration::from_secs(1), Event::Udp { from, bytes: &good });
    let actions = f.actions();
    let [Action::SendUdp { to, bytes }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(*to, "192.0.2.9:1000".parse().unwrap());
    let opened = Envelope::parse(bytes).unwrap().open(&f.peer.shared(&f.us.public())).unwrap();
    assert_eq!(opened, Message::Pong(Pong { txid: [1; 12], source: *to }));
}

#[test]
fn a_call_must_come_over_the_relay_and_from_the_keys_owner() {
    let mut f = fixture();
    let call = f.packet(&f.peer.clone(), &Message::CallMeMaybe(vec!["192.0.2.1:1".parse().unwrap()]));
    f.paths.handle(Duration::from_secs(1), Event::Udp { from: SOMEWHERE.into(), bytes: &call });
    let other = NodePublic::from_bytes([8; 32]);
    f.paths.handle(Duration::from_secs(1), Event::Relayed { region: 1, from: other, bytes: &call });
    assert_eq!(f.actions(), []);
    let from = f.peer_node;
    f.paths.handle(Duration::from_secs(1), Event::Relayed { region: 1, from, bytes: &call });
    let sent = f.actions().into_iter().filter(|a| matches!(a, Action::SendUdp { .. })).count();
    assert_eq!(sent, 2, "the endpoint of the map and the one of the call");
}

#[test]
fn a_pong_nobody_waits_for_changes_nothing() {
    let mut f = fixture();
    let pong = Message::Pong(Pong { txid: [5; 12], source: SOMEWHERE.into() });
    let packet = f.packet(&f.peer.clone(), &pong);
    f.paths.handle(Duration::from_secs(1), Event::Udp { from: SOMEWHERE.into(), bytes: &packet });
    assert_eq!(f.actions(), []);
    assert_eq!(f.paths.status(&f.peer_node, Duration::from_secs(1)).unwrap().best, None);
}

#[test]
fn a_peer_is_heard_once_and_a_stranger_never() {
    let mut f = fixture();
    let (peer, from, now) = (f.peer_node, SocketAddr::from(SOMEWHERE), Duration::from_secs(1));
    let stranger = f.packet(&DiscoPrivate::from_random([7; 32]), &ping(1));
    f.paths.handle(now, Event::Udp { from, bytes: &stranger });
    f.paths.handle(now, Event::Relayed { region: 1, from: NodePublic::from_bytes([8; 32]), bytes: &[4; 48] });
    assert_eq!(f.heard(), []);
    let good = f.packet(&f.peer.clone(), &ping(1));
    f.paths.handle(now, Event::Udp { from, bytes: &good });
    f.paths.handle(now, Event::Relayed { region: 1, from: peer, bytes: &[4; 48] });
    assert_eq!(f.heard(), [(peer, Via::Hop(Hop::direct(from)))]);

    let mut f = fixture();
    f.paths.handle(now, Event::Relayed { region: 1, from: peer, bytes: &[4; 48] });
    f.paths.handle(now, Event::Udp { from, bytes: &good });
    assert_eq!(f.heard(), [(peer, Via::Relay(1))]);
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

proptest! {
    /// Random bytes, as they are and sealed by a bad peer, over every way in.
    #[test]
    fn nothing_panics(bodies in prop::collection::vec((any::<bool>(), 0u8..12, body()), 1..20)) {
        let mut f = fixture();
        let shared = f.peer.shared(&f.us.public());
        for (n, (sealed, kind, body)) in bodies.iter().enumerate() {
            let now = Duration::from_millis(700 * n as u64);
            let mut packet = body.clone();
            if *sealed {
                let plain = [&[*kind, 0][..], body].concat();
                let sealed = shared.seal(&[9; 24], &plain);
                packet = [&hearthgate_disco::MAGIC[..], f.peer.public().as_bytes(), &[9; 24], &sealed].concat();
            }
            let header = geneve::Header { protocol: geneve::Protocol::Disco, vni: 7, control: kind % 2 == 0 };
            let from = SocketAddr::from(([192, 0, 2, 1], u16::from(*kind)));
            f.paths.handle(now, Event::Udp { from, bytes: &packet });
            f.paths.handle(now, Event::Udp { from, bytes: &header.wrap(&packet) });
            f.paths.handle(now, Event::Relayed { region: 1, from: f.peer_node, bytes: &packet });
            f.paths.handle(now, Event::Traffic { peer: f.peer_node, sent: true, received: true });
            prop_assert!(f.actions().len() < 300, "more answers than the limits allow");
        }
    }
}
