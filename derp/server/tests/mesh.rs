//! Two relays of one mesh over TCP, and what a relay tells one that watches.

#[path = "common/client.rs"]
mod client;
#[path = "common/front.rs"]
mod front;

use client::{TestClient, info, key, relay_with};
use front::start;
use hearthgate_derp::{AllowAll, MeshError, MeshPeer, Relay, RelayLimits, RelayOptions, run_mesh};
use hearthgate_derp_frame::{
    ClientInfo, DISCO_MAGIC, FrameType, PresentFlags, forward_packet_frame, parse_peer_present,
};
use hearthgate_keys::{NodePrivate, NodePublic, Secret};
use std::{sync::Arc, time::Duration};

const MESH_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn options() -> RelayOptions {
    RelayOptions { mesh_key: Some(Secret::new(MESH_KEY.into())), ..RelayOptions::default() }
}

fn mesh_relay(n: u8) -> Arc<Relay> {
    Relay::with_options(NodePrivate::from_random([n; 32]), Box::new(AllowAll), RelayLimits::default(), options())
}

fn mesh_info() -> ClientInfo {
    ClientInfo { mesh_key: Some(Secret::new(MESH_KEY.into())), ..info() }
}

async fn present(watcher: &mut TestClient) -> (NodePublic, PresentFlags, String) {
    let (kind, payload) = watcher.frame().await;
    assert_eq!(kind, FrameType::PeerPresent as u8, "{payload:?}");
    let p = parse_peer_present(&payload).unwrap();
    assert_eq!(p.addr.unwrap().ip().to_string(), "192.0.2.10");
    (p.key, p.flags, p.app_name)
}

#[tokio::test]
async fn a_watcher_hears_who_is_here_who_comes_and_who_goes() {
    let relay = relay_with(RelayLimits::default(), options());
    let mut a = TestClient::join_as(&relay, &key(1), 65536, ClientInfo { app_name: "vector".into(), ..info() }).await;
    let mut watcher = TestClient::join_as(&relay, &key(50), 65536, mesh_info()).await;
    watcher.send(FrameType::WatchConns, &[]).await;
    let mut seen = vec![present(&mut watcher).await, present(&mut watcher).await];
    seen.sort_by_key(|(_, flags, _)| flags.0);
    assert_eq!(
        seen,
        [
            (key(1).public(), PresentFlags::REGULAR, "vector".into()),
            (key(50).public(), PresentFlags::MESH_PEER, String::new())
        ]
    );
    let prober = TestClient::join_as(&relay, &key(3), 65536, ClientInfo { is_prober: true, ..info() }).await;
    assert_eq!(present(&mut watcher).await, (key(3).public(), PresentFlags::PROBER, String::new()));
    drop(prober);
    let gone = [key(3).public().as_bytes().as_slice(), &[0]].concat();
    assert_eq!(watcher.frame().await, (FrameType::PeerGone as u8, gone));
    // Packets of other relays' clients are delivered as theirs, and go no further than here.
    watcher.write(&forward_packet_frame(&key(7).public(), &key(1).public(), b"forwarded")).await;
    let (kind, payload) = a.frame().await;
    assert_eq!(
        (kind, payload),
        (FrameType::RecvPacket as u8, [key(7).public().as_bytes().as_slice(), b"forwarded"].concat())
    );
    watcher.write(&forward_packet_frame(&key(7).public(), &key(8).public(), b"nobody")).await;
    watcher.send(FrameType::ClosePeer, key(1).public().as_bytes()).await;
    assert!(a.is_cut().await);
    let text = relay.metrics_text();
    assert!(text.contains("derp_packets_forwarded_in 2\n") && text.contains("derp_watchers 1\n"), "{text}");
    assert!(text.contains("unknown_dest_on_fwd\",kind=\"other\"} 1\n"), "{text}");
}

#[tokio::test]
async fn a_wrong_mesh_key_opens_nothing() {
    let relay = relay_with(RelayLimits::default(), options());
    for wrong in ["", "0", &MESH_KEY.replace('0', "1")] {
        let info = ClientInfo { mesh_key: Some(Secret::new(wrong.into())), ..info() };
        for (kind, payload) in [
            (FrameType::WatchConns, Vec::new()),
            (FrameType::ClosePeer, vec![1; 32]),
            (FrameType::ForwardPacket, vec![1; 80]),
        ] {
            let mut stranger = TestClient::join_as(&relay, &key(9), 65536, info.clone()).await;
            stranger.send(kind, &payload).await;
            assert!(stranger.is_cut().await);
        }
    }
    // A relay without a mesh takes no mesh key at all.
    let alone = client::relay();
    let mut stranger = TestClient::join_as(&alone, &key(9), 65536, mesh_info()).await;
    stranger.send(FrameType::WatchConns, &[]).await;
    assert!(stranger.is_cut().await);
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..300 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn clients_of_two_relays_reach_each_other() {
    let (one, two) = (mesh_relay(101), mesh_relay(102));
    let pair = hearthgate_derp::tls::self_signed(vec!["127.0.0.1".into()]).unwrap();
    let tls = hearthgate_derp::tls::server_config(&pair, Some(&two.public_key())).unwrap();
    let (addr_one, addr_two) = (start(one.clone(), None).await, start(two.clone(), Some(tls)).await);
    let peer = |addr: std::net::SocketAddr, tls| MeshPeer {
        host: "relay.example".into(),
        dial: addr.to_string(),
        tls,
        index: 0,
    };
    let trusting = Arc::new(front::trusting_config());
    let linked =
        tokio::spawn(run_mesh(one.clone(), peer(addr_two, Some(trusting)), |e| panic!("{e}"), std::future::pending()));
    tokio::spawn(run_mesh(two.clone(), peer(addr_one, None), |e| panic!("{e}"), std::future::pending()));
    until("both watch", || [&one, &two].iter().all(|r| r.metrics_text().contains("derp_watchers 1\n"))).await;

    let mut a = TestClient::join(&one, &key(1), 65536).await;
    let mut b = TestClient::join(&two, &key(2), 65536).await;
    until("a is known to two", || two.metrics_text().contains("derp_clients_remote 1\n")).await;
    until("b is known to one", || one.metrics_text().contains("derp_clients_remote 1\n")).await;
    for n in 0..50u8 {
        a.packet(&key(2).public(), &[n; 1000]).await;
        b.packet(&key(1).public(), &[n; 10]).await;
        assert_eq!(
            b.frame().await,
            (FrameType::RecvPacket as u8, [key(1).public().as_bytes().as_slice(), &[n; 1000]].concat())
        );
        assert_eq!(
            a.frame().await,
            (FrameType::RecvPacket as u8, [key(2).public().as_bytes().as_slice(), &[n; 10]].concat())
        );
    }
    assert!(one.metrics_text().contains("derp_packets_forwarded_out 50\n"));

    // Here wins over there.
    let mut nearer = TestClient::join(&one, &key(2), 65536).await;
    a.packet(&key(2).public(), b"nearer").await;
    assert!(nearer.frame().await.1.ends_with(b"nearer"));
    drop(nearer);
    until("only b is left", || one.metrics_text().contains("derp_clients_local 2\n")).await;
    a.packet(&key(2).public(), b"there again").await;
    while !b.frame().await.1.ends_with(b"there again") {}

    // Without the connection its clients are unknown.
    linked.abort();
    until("forgotten", || one.metrics_text().contains("derp_clients_remote 0\n")).await;
    a.packet(&key(2).public(), &[&DISCO_MAGIC[..], &[0; 80]].concat()).await;
    loop {
        let (kind, payload) = a.frame().await;
        if kind == FrameType::PeerGone as u8 && payload.ends_with(&[1]) {
            break;
        }
    }
}

#[tokio::test]
async fn a_relay_that_dials_itself_stops() {
    let one = mesh_relay(101);
    let addr = start(one.clone(), None).await;
    let peer = MeshPeer { host: "relay.example".into(), dial: addr.to_string(), tls: None, index: 0 };
    let ended =
        tokio::time::timeout(Duration::from_secs(3), run_mesh(one, peer.clone(), |_| {}, std::future::pending()))
            .await
            .unwrap();
    assert!(matches!(ended, Err(MeshError::Myself)), "{ended:?}");
    let ended = run_mesh(client::relay(), peer, |_| {}, std::future::pending()).await;
    assert!(matches!(ended, Err(MeshError::NoKey)), "{ended:?}");
}
