//! Clients over in-memory streams: packets, order of loss, duplicates, strangers.

#[path = "common/client.rs"]
mod client;

use client::{TestClient, info, key, relay, relay_with};
use hearthgate_derp::{Admission, Rate, Relay, RelayLimits, RelayOptions, Remote};
use hearthgate_derp_frame::{ClientInfo, DISCO_MAGIC, FrameType, frame, seal_client_info};
use hearthgate_keys::NodePublic;
use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, duplex},
    time::timeout,
};

fn disco() -> Vec<u8> {
    let mut packet = DISCO_MAGIC.to_vec();
    packet.extend([0; 80]);
    packet
}

#[tokio::test]
async fn packets_go_both_ways_and_carry_their_sender() {
    let relay = relay();
    let (mut a, mut b) =
        (TestClient::join(&relay, &key(1), 65536).await, TestClient::join(&relay, &key(2), 65536).await);
    a.packet(&key(2).public(), b"hello").await;
    let (kind, payload) = b.frame().await;
    assert_eq!(kind, FrameType::RecvPacket as u8);
    assert_eq!(payload, [key(1).public().as_bytes().as_slice(), b"hello"].concat());
    b.packet(&key(1).public(), b"back").await;
    assert!(a.frame().await.1.ends_with(b"back"));
    a.send(FrameType::Ping, b"12345678").await;
    assert_eq!(a.frame().await, (FrameType::Pong as u8, b"12345678".to_vec()));
}

#[tokio::test]
async fn bytes_behind_the_upgrade_are_not_lost() {
    let relay = relay();
    let (mut ours, theirs) = duplex(65536);
    let info = seal_client_info(&key(1), &relay.public_key(), &info(), [5; 24]);
    let first = frame(FrameType::ClientInfo, &info);
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
    for i in 0..1000u32 {
        fast.packet(&key(2).public(), &[&i.to_be_bytes()[..], &[0; 1000]].concat()).await;
    }
    fast.send(FrameType::Ping, b"12345678").await;
    fast.frame().await;
    let mut got = Vec::new();
    loop {
        let next = timeout(Duration::from_millis(500), slow.frame()).await;
        let Ok((_, payload)) = next else { break };
        got.push(u32::from_be_bytes(payload[32..36].try_into().unwrap()));
        if got.last() == Some(&999) {
            break;
        }
    }
    // More than a burst (512) behind what was being written does not wait.
    assert_eq!(got.last(), Some(&999), "the newest must arrive: {got:?}");
    assert!(got.len() < 600 && got.windows(2).all(|w| w[0] < w[1]), "{got:?}");
    let lost = format!("derp_packets_dropped{{reason=\"queue_head\",kind=\"other\"}} {}", 1000 - got.len());
    assert!(relay.metrics_text().contains(&lost), "{lost}");
}

#[tokio::test]
async fn of_two_connections_the_last_sender_gets_the_packets() {
    let relay = relay();
    let mut first = TestClient::join(&relay, &key(2), 65536).await;
    let mut second = TestClient::join(&relay, &key(2), 65536).await;
    let mut a = TestClient::join(&relay, &key(1), 65536).await;
    a.packet(&key(2).public(), b"one").await;
    assert!(second.frame().await.1.ends_with(b"one"));
    first.send(FrameType::Ping, b"12345678").await;
    first.frame().await;
    a.packet(&key(2).public(), b"two").await;
    assert!(first.frame().await.1.ends_with(b"two"));
}

#[tokio::test]
async fn peers_are_told_who_is_gone_and_who_is_not_here() {
    let relay = relay();
    let (mut a, mut b) =
        (TestClient::join(&relay, &key(1), 65536).await, TestClient::join(&relay, &key(2), 65536).await);
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
    let mut stranger = TestClient::open(&relay, 65536);
    stranger.frame().await;
    stranger.introduce(&relay.public_key(), &key(2), &info()).await;
    assert!(stranger.is_cut().await);
    relay.close_peer(&key(1).public());
    assert!(a.is_cut().await);
}

#[tokio::test]
async fn strangers_who_break_the_protocol_are_cut_off() {
    let relay = relay();
    for bad in
        [&[0x04, 0xff, 0xff, 0xff, 0xff][..], &[0x02, 0, 0, 0, 3, 1, 2, 3], &[0x04, 0, 0, 0, 2, 1, 2], &[0xff; 64]]
    {
        let mut stranger = TestClient::open(&relay, 65536);
        stranger.write(bad).await;
        assert!(stranger.is_cut().await, "{bad:?}");
    }
    assert_eq!(relay.connection_count(), 0);
    let mut a = TestClient::join(&relay, &key(1), 65536).await;
    a.send(FrameType::WatchConns, &[]).await;
    assert!(a.is_cut().await, "mesh frames need the mesh key");
}

#[tokio::test]
async fn broken_frames_of_admitted_clients_end_their_connection() {
    let relay = relay();
    let ping7 = frame(FrameType::Ping, b"1234567");
    let note2 = frame(FrameType::NotePreferred, &[1, 0]);
    let note9 = frame(FrameType::NotePreferred, &[9]);
    let short = frame(FrameType::SendPacket, &[1; 31]);
    let unknown = [0x77, 0x00, 0x01, 0x00, 0x21];
    for bad in [&ping7[..], &note2, &note9, &short, &unknown, &[0x04, 0xff, 0xff, 0xff, 0xff]] {
        let mut a = TestClient::join(&relay, &key(1), 65536).await;
        a.write(bad).await;
        assert!(a.is_cut().await, "{bad:?}");
    }
    let mut a = TestClient::join(&relay, &key(1), 65536).await;
    // A kind of a later version is skipped, as is an empty packet's content.
    a.write(&[0x77, 0, 0, 0, 3, 1, 2, 3]).await;
    a.barrier().await;
    assert!(relay.metrics_text().contains("derp_violations 6\n"), "{}", relay.metrics_text());
}

#[tokio::test]
async fn a_frame_may_arrive_byte_by_byte_or_many_at_once() {
    let relay = relay();
    let (mut a, mut b) = (TestClient::join(&relay, &key(1), 1).await, TestClient::join(&relay, &key(2), 1 << 20).await);
    a.packet(&key(2).public(), &[7; 3000]).await;
    assert_eq!(b.frame().await.1.len(), 32 + 3000);
    a.packet(&key(2).public(), &[8; 65536]).await;
    let (_, payload) = b.frame().await;
    assert!(payload.len() == 32 + 65536 && payload[32..].iter().all(|b| *b == 8));
    let mut many = TestClient::join(&relay, &key(3), 1 << 20).await;
    let mut bytes = Vec::new();
    for n in 0..30u8 {
        bytes.extend(hearthgate_derp_frame::send_packet_frame(&key(2).public(), &[n; 1300]));
    }
    many.write(&bytes).await;
    for n in 0..30u8 {
        assert_eq!(b.frame().await.1[32..], [n; 1300]);
    }
}

#[tokio::test]
async fn disco_and_other_packets_wait_in_separate_queues() {
    let relay = relay();
    let mut slow = TestClient::join(&relay, &key(2), 64).await;
    let mut fast = TestClient::join(&relay, &key(1), 65536).await;
    for i in 0..800u16 {
        let i = i.to_be_bytes();
        fast.packet(&key(2).public(), &[&disco()[..], &i].concat()).await;
        fast.packet(&key(2).public(), &[&[0; 80][..], &i].concat()).await;
    }
    fast.barrier().await;
    let (mut disco_seen, mut other_seen) = (Vec::new(), Vec::new());
    while let Some((_, payload)) = slow.frame_within(300).await {
        let seen = if payload[32..].starts_with(&DISCO_MAGIC) { &mut disco_seen } else { &mut other_seen };
        seen.push(u16::from_be_bytes(*payload.last_chunk().unwrap()));
    }
    // The newest of each kind, a burst of 512 at most, after what had left the queues when they filled up.
    for seen in [&disco_seen, &other_seen] {
        assert!(seen.ends_with(&(768..800).collect::<Vec<u16>>()), "{seen:?}");
        assert!(seen.len() < 600 && seen.windows(2).all(|w| w[0] < w[1]), "{seen:?}");
    }
}

#[tokio::test]
async fn who_stops_reading_is_cut_after_the_write_timeout() {
    let limits = RelayLimits { write_timeout: Duration::from_millis(200), ..RelayLimits::default() };
    let relay = relay_with(limits, RelayOptions::default());
    let _deaf = TestClient::join(&relay, &key(2), 512).await;
    let mut a = TestClient::join(&relay, &key(1), 65536).await;
    a.packet(&key(2).public(), &[0; 2000]).await;
    let (kind, _) = a.frame_within(100).await.unwrap_or((0, Vec::new()));
    assert_eq!(kind, 0, "too early");
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!relay.is_connected(&key(2).public()));
    assert!(relay.is_connected(&key(1).public()), "only the deaf one");
    assert!(relay.metrics_text().contains("derp_sclient_write_timeouts 1\n"));
}

#[tokio::test(start_paused = true)]
async fn keep_alives_come_and_a_silent_stranger_is_cut() {
    let relay = relay();
    let mut stranger = TestClient::open(&relay, 65536);
    stranger.frame().await;
    let start = tokio::time::Instant::now();
    assert_eq!(stranger.io.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    assert!((9..=11).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    let mut a = TestClient::join(&relay, &key(1), 65536).await;
    for _ in 0..3 {
        let start = tokio::time::Instant::now();
        let alive = a.frame_within(70_000).await;
        assert_eq!(alive, Some((FrameType::KeepAlive as u8, Vec::new())));
        assert!((60..=66).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn health_restart_and_home_are_told_and_counted() {
    let relay = relay();
    let mut a = TestClient::join(&relay, &key(1), 65536).await;
    a.write(&hearthgate_derp_frame::note_preferred_frame(true)).await;
    a.barrier().await;
    assert!(relay.metrics_text().contains("derp_current_home_connections 1\n"));
    assert!(relay.clients().iter().any(|c| c.home && c.active && c.key == key(1).public()));
    relay.set_health("disk full");
    assert_eq!(a.frame().await, (FrameType::Health as u8, b"disk full".to_vec()));
    let mut late = TestClient::join(&relay, &key(2), 65536).await;
    assert_eq!(late.frame().await.1, b"disk full");
    relay.set_health("");
    assert_eq!(a.frame().await, (FrameType::Health as u8, Vec::new()));
    relay.announce_restart(1500, 4000);
    relay.close_all();
    assert_eq!(
        a.frame().await,
        (FrameType::Restarting as u8, vec![0, 0, 5, 0xdc, 0, 0, 0x0f, 0xa0]),
        "said before the end"
    );
    assert!(a.is_cut().await);
    let text = relay.metrics_text();
    assert!(
        text.contains("derp_current_home_connections 0\n") && text.contains("derp_current_connections 0\n"),
        "{text}"
    );
}

#[tokio::test]
async fn duplicates_are_counted_and_the_survivor_gets_the_packets() {
    let relay = relay();
    let first = TestClient::join(&relay, &key(2), 65536).await;
    let mut second = TestClient::join(&relay, &key(2), 65536).await;
    let mut a = TestClient::join(&relay, &key(1), 65536).await;
    let has = |line: &str| assert!(relay.metrics_text().contains(line), "{line} in {}", relay.metrics_text());
    has("derp_current_dup_client_keys 1\n");
    has("derp_current_dup_client_conns 2\n");
    has("derp_clients_local 2\n");
    second.packet(&key(1).public(), b"I am newest").await;
    a.frame().await;
    drop(second);
    // One connection is left: the key is not gone.
    assert_eq!(a.frame_within(100).await, None);
    a.packet(&key(2).public(), b"still there").await;
    let mut first = first;
    assert!(first.frame().await.1.ends_with(b"still there"));
    has("derp_current_dup_client_keys 0\n");
    has("derp_current_dup_client_conns 0\n");
    drop(first);
    tokio::time::sleep(Duration::from_millis(50)).await;
    has("derp_clients_local 1\n");
    has("derp_current_connections 1\n");
}

#[tokio::test]
async fn at_most_three_not_here_answers_at_once() {
    let relay = relay();
    let mut a = TestClient::join(&relay, &key(1), 65536).await;
    for n in 10..20 {
        a.packet(&key(n).public(), &disco()).await;
    }
    let mut answers = 0;
    while let Some((kind, _)) = a.frame_within(100).await {
        assert_eq!(kind, FrameType::PeerGone as u8);
        answers += 1;
    }
    assert_eq!(answers, 3);
}

#[tokio::test]
async fn who_sends_too_much_is_slowed_down_and_loses_nothing() {
    let relay = relay_with(
        RelayLimits::default(),
        RelayOptions { rate: Rate::of_bytes(200_000, 0), ..RelayOptions::default() },
    );
    let (mut a, mut b) =
        (TestClient::join(&relay, &key(1), 4096).await, TestClient::join(&relay, &key(2), 1 << 20).await);
    let start = Instant::now();
    let sending = async {
        for _ in 0..110 {
            a.packet(&key(2).public(), &[0; 1000]).await;
        }
    };
    let receiving = async {
        for _ in 0..110 {
            b.frame().await;
        }
    };
    tokio::join!(sending, receiving);
    // 114 kB, of which 65.5 kB pass at once and the rest at 200 kB/s.
    let took = start.elapsed();
    assert!((150..900).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test]
async fn refused_names_and_too_many_connections() {
    let options = RelayOptions {
        refused_app_names: vec!["bad".into()],
        accept: Rate { per_second: 1, burst: 2 },
        ..RelayOptions::default()
    };
    let relay = relay_with(RelayLimits { connections_max: 1, ..RelayLimits::default() }, options);
    for name in ["bad", "\u{7f}", &"x".repeat(33)] {
        let mut bad = TestClient::open(&relay, 65536);
        bad.frame().await;
        bad.introduce(&relay.public_key(), &key(3), &ClientInfo { app_name: name.to_owned(), ..info() }).await;
        assert!(bad.is_cut().await, "{name}");
    }
    let _a = TestClient::join_as(&relay, &key(1), 65536, ClientInfo { app_name: "good".into(), ..info() }).await;
    let mut b = TestClient::open(&relay, 65536);
    b.frame().await;
    b.introduce(&relay.public_key(), &key(2), &info()).await;
    assert!(b.is_cut().await);
    assert!(relay.metrics_text().contains("derp_refused 4\n"));
    assert!(relay.may_accept() && relay.may_accept() && !relay.may_accept());
}

struct AskElsewhere;
impl Admission for AskElsewhere {
    fn may_connect(&self, _key: &NodePublic, _source: Option<IpAddr>) -> bool {
        true
    }
    fn confirm<'a>(
        &'a self,
        key: &NodePublic,
        source: Option<IpAddr>,
    ) -> Option<Pin<Box<dyn Future<Output = bool> + Send + 'a>>> {
        let answer = *key == client::key(1).public() && source == Some([192, 0, 2, 10].into());
        Some(Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            answer
        }))
    }
}

#[tokio::test]
async fn a_second_opinion_is_waited_for() {
    let relay = Relay::new(key(99), Box::new(AskElsewhere), RelayLimits::default());
    TestClient::join(&relay, &key(1), 65536).await.barrier().await;
    let mut b = TestClient::open(&relay, 65536);
    b.frame().await;
    b.introduce(&relay.public_key(), &key(2), &info()).await;
    assert!(b.is_cut().await);
}

#[tokio::test]
async fn a_key_holds_only_so_many_connections() {
    let relay = relay();
    let mut held = Vec::new();
    for _ in 0..12 {
        held.push(TestClient::join(&relay, &key(2), 65536).await);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(relay.connection_count(), 8);
    assert!(held[0].is_cut().await);
    held[11].barrier().await;
}

#[tokio::test]
async fn strangers_hold_only_so_many_handshakes() {
    let relay = relay();
    let mut strangers = Vec::new();
    for _ in 0..1024 {
        strangers.push(TestClient::open(&relay, 64));
        strangers.last_mut().unwrap().frame().await;
    }
    assert!(TestClient::open(&relay, 64).is_cut().await);
    strangers.truncate(1000);
    tokio::time::sleep(Duration::from_millis(50)).await;
    TestClient::join(&relay, &key(1), 65536).await.barrier().await;
    assert!(relay.metrics_text().contains("derp_current_handshakes 1000\n"));
}

/// Yes, and from the second question on no.
#[derive(Default)]
struct Once(portable_atomic::AtomicBool);
impl Admission for Once {
    fn may_connect(&self, _key: &NodePublic, _source: Option<IpAddr>) -> bool {
        !self.0.swap(true, portable_atomic::Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_node_removed_while_it_connects_does_not_stay() {
    let relay = Relay::new(key(99), Box::new(Once::default()), RelayLimits::default());
    let mut a = TestClient::open(&relay, 65536);
    a.frame().await;
    a.introduce(&relay.public_key(), &key(1), &info()).await;
    assert!(a.is_cut().await);
    assert_eq!(relay.connection_count(), 0);
}

#[tokio::test]
async fn a_flood_does_not_keep_the_timers_from_running() {
    let limits = RelayLimits { keep_alive: Duration::from_millis(100), ..RelayLimits::default() };
    let relay = relay_with(limits, RelayOptions::default());
    let mut a = TestClient::join(&relay, &key(1), 1 << 20).await;
    let flood = hearthgate_derp_frame::send_packet_frame(&key(5).public(), &[0; 1000]).repeat(50);
    let (mut reading, mut writing) = tokio::io::split(std::mem::replace(&mut a.io, Box::new(tokio::io::empty())));
    let flooding =
        tokio::spawn(async move { while tokio::io::AsyncWriteExt::write_all(&mut writing, &flood).await.is_ok() {} });
    let mut alive = [0; 15];
    timeout(Duration::from_secs(5), reading.read_exact(&mut alive)).await.expect("three keep-alives").unwrap();
    assert_eq!(alive, [6, 0, 0, 0, 0, 6, 0, 0, 0, 0, 6, 0, 0, 0, 0]);
    flooding.abort();
}
