//! Clients over in-memory streams: packets, order of loss, duplicates, strangers.

use bytes::Bytes;
use hearthgate_derp::{Admission, AllowAll, Relay, RelayLimits, Remote};
use hearthgate_derp_frame::{ClientInfo, DISCO_MAGIC, FRAME_HEADER, FrameType, parse_header, put_header, seal_client_info};
use hearthgate_keys::{NodePrivate, NodePublic};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};

struct TestClient {
    io: DuplexStream,
}

impl TestClient {
    async fn join(relay: &Arc<Relay>, key: &NodePrivate, pipe: usize) -> Self {
        let (ours, theirs) = duplex(pipe);
        let relay_task = relay.clone();
        tokio::spawn(async move { relay_task.serve(theirs, Bytes::new(), Remote::default()).await });
        let mut client = Self { io: ours };
        assert_eq!(client.frame().await.0, FrameType::ServerKey as u8);
        client.introduce(relay, key).await;
        assert_eq!(client.frame().await.0, FrameType::ServerInfo as u8);
        client
    }

    async fn introduce(&mut self, relay: &Relay, key: &NodePrivate) {
        let info = seal_client_info(key, &relay.public_key(), &ClientInfo { version: 2, can_ack_pings: true, ..Default::default() }, [5; 24]);
        self.send(FrameType::ClientInfo, &[&info]).await;
    }

    async fn send(&mut self, kind: FrameType, parts: &[&[u8]]) {
        let mut out = Vec::new();
        put_header(kind, parts.iter().map(|p| p.len()).sum(), &mut out);
        parts.iter().for_each(|p| out.extend_from_slice(p));
        self.io.write_all(&out).await.unwrap();
    }

    async fn packet(&mut self, to: &NodePublic, packet: &[u8]) {
        self.send(FrameType::SendPacket, &[to.as_bytes(), packet]).await;
    }

    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let mut head = [0; FRAME_HEADER];
            self.io.read_exact(&mut head).await.unwrap();
            let (kind, len) = parse_header(&head).unwrap().unwrap();
            let mut payload = vec![0; len];
            self.io.read_exact(&mut payload).await.unwrap();
            (kind, payload)
        };
        timeout(Duration::from_secs(5), read).await.expect("no frame within five seconds")
    }

    async fn is_cut(&mut self) -> bool {
        let mut rest = Vec::new();
        timeout(Duration::from_secs(5), self.io.read_to_end(&mut rest)).await.is_ok()
    }
}

fn key(n: u8) -> NodePrivate {
    NodePrivate::from_random([n; 32])
}

fn relay() -> Arc<Relay> {
    Relay::new(key(99), Box::new(AllowAll), RelayLimits::default())
}

fn disco() -> Vec<u8> {
    let mut packet = DISCO_MAGIC.to_vec();
    packet.extend([0; 80]);
    packet
}

#[tokio::test]
async fn packets_go_both_ways_and_carry_their_sender() {
    let relay = relay();
    let (mut a, mut b) = (TestClient::join(&relay, &key(1), 65536).await, TestClient::join(&relay, &key(2), 65536).await);
    a.packet(&key(2).public(), b"hello").await;
    let (kind, payload) = b.frame().await;
    assert_eq!(kind, FrameType::RecvPacket as u8);
    assert_eq!(payload, [key(1).public().as_bytes().as_slice(), b"hello"].concat());
    b.packet(&key(1).public(), b"back").await;
    assert!(a.frame().await.1.ends_with(b"back"));
    a.send(FrameType::Ping, &[b"12345678"]).await;
    assert_eq!(a.frame().await, (FrameType::Pong as u8, b"12345678".to_vec()));
}

#[tokio::test]
async fn bytes_behind_the_upgrade_are_not_lost() {
    let relay = relay();
    let (mut ours, theirs) = duplex(65536);
    let info = seal_client_info(&key(1), &relay.public_key(), &ClientInfo { version: 2, ..Default::default() }, [5; 24]);
    let mut first = Vec::new();
    put_header(FrameType::ClientInfo, info.len(), &mut first);
    first.extend(info);
    let task = relay.clone();
    tokio::spawn(async move { task.serve(theirs, first.into(), Remote::default()).await });
    let mut got = vec![0; 5 + 40 + 5];
    timeout(Duration::from_secs(5), ours.read_exact(&mut got)).await.unwrap().unwrap();
    assert_eq!((got[0], got[45]), (FrameType::ServerKey as u8, FrameType::ServerInfo as u8));
}

#[tokio::test]
async fn a_slow_reader_loses_the_oldest_packets() {
    let relay = relay();
    let mut slow = TestClient::join(&relay, &key(2), 256).await;
    let mut fast = TestClient::join(&relay, &key(1), 65536).await;
    for i in 0..200u32 {
        fast.packet(&key(2).public(), &[&i.to_be_bytes()[..], &[0; 1000]].concat()).await;
    }
    fast.send(FrameType::Ping, &[b"12345678"]).await;
    fast.frame().await;
    let mut got = Vec::new();
    loop {
        let next = timeout(Duration::from_millis(500), slow.frame()).await;
        let Ok((_, payload)) = next else { break };
        got.push(u32::from_be_bytes(payload[32..36].try_into().unwrap()));
        if got.last() == Some(&199) {
            break;
        }
    }
    assert_eq!(got.last(), Some(&199), "the newest must arrive: {got:?}");
    assert!(got.len() < 100 && got.windows(2).all(|w| w[0] < w[1]), "{got:?}");
    assert!(relay.metrics_text().contains("derp_packets_dropped{reason=\"queue_head\",kind=\"other\"} 1"));
}

#[tokio::test]
async fn of_two_connections_the_last_sender_gets_the_packets() {
    let relay = relay();
    let mut first = TestClient::join(&relay, &key(2), 65536).await;
    let mut second = TestClient::join(&relay, &key(2), 65536).await;
    let mut a = TestClient::join(&relay, &key(1), 65536).await;
    a.packet(&key(2).public(), b"one").await;
    assert!(second.frame().await.1.ends_with(b"one"));
    first.send(FrameType::Ping, &[b"12345678"]).await;
    first.frame().await;
    a.packet(&key(2).public(), b"two").await;
    assert!(first.frame().await.1.ends_with(b"two"));
}

#[tokio::test]
async fn peers_are_told_who_is_gone_and_who_is_not_here() {
    let relay = relay();
    let (mut a, mut b) = (TestClient::join(&relay, &key(1), 65536).await, TestClient::join(&relay, &key(2), 65536).await);
    a.packet(&key(2).public(), b"hello").await;
    b.frame().await;
    drop(a);
    assert_eq!(b.frame().await, (FrameType::PeerGone as u8, [key(1).public().as_bytes().as_slice(), &[0]].concat()));
    b.packet(&key(3).public(), b"wireguard into the void").await;
    b.packet(&key(3).public(), &disco()).await;
    assert_eq!(b.frame().await, (FrameType::PeerGone as u8, [key(3).public().as_bytes().as_slice(), &[1]].concat()));
}

struct Only(NodePublic);
impl Admission for Only {
    fn may_connect(&self, key: &NodePublic, _source: Option<IpAddr>) -> bool {
        *key == self.0
    }
}

#[tokio::test]
async fn admission_and_removal_cut_connections() {
    let relay = Relay::new(key(99), Box::new(Only(key(1).public())), RelayLimits::default());
    let mut a = TestClient::join(&relay, &key(1), 65536).await;
    let (ours, theirs) = duplex(65536);
    let task = relay.clone();
    tokio::spawn(async move { task.serve(theirs, Bytes::new(), Remote::default()).await });
    let mut stranger = TestClient { io: ours };
    stranger.frame().await;
    stranger.introduce(&relay, &key(2)).await;
    assert!(stranger.is_cut().await);
    relay.close_peer(&key(1).public());
    assert!(a.is_cut().await);
}

#[tokio::test]
async fn strangers_who_break_the_protocol_are_cut_off() {
    let relay = relay();
    for bad in [&[0x04, 0xff, 0xff, 0xff, 0xff][..], &[0x02, 0, 0, 0, 3, 1, 2, 3], &[0x04, 0, 0, 0, 2, 1, 2], &[0xff; 64]] {
        let (mut ours, theirs) = duplex(65536);
        let task = relay.clone();
        tokio::spawn(async move { task.serve(theirs, Bytes::new(), Remote::default()).await });
        ours.write_all(bad).await.unwrap();
        assert!(TestClient { io: ours }.is_cut().await, "{bad:?}");
    }
    let mut a = TestClient::join(&relay, &key(1), 65536).await;
    a.send(FrameType::WatchConns, &[]).await;
    assert!(a.is_cut().await, "mesh frames need the mesh key");
}
