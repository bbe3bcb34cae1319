//! The front door over TCP: requests recorded with the official server, fast start, WebSocket, upgrades after another
//! request.

#[path = "common/client.rs"]
mod client;
#[path = "common/front.rs"]
mod front;

use client::{TestClient, info, key, relay};
use front::{start, start_with};
use hearthgate_derp::{AllowAll, Framing, Peek, Relay, RelayLimits, TrustedProxies, peek_derp_request};
use hearthgate_derp_frame::{FrameType, frame, seal_client_info, server_key_frame};
use hearthgate_keys::{NodePrivate, decode_fixed};
use hearthgate_sorted::SortedSet;
use serde_json::Value;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../frame/tests/vectors/data-derp.json")).unwrap()
}

fn recorded_relay() -> Arc<Relay> {
    let private = vectors()["keys"]["server"]["private"].as_str().unwrap().to_owned();
    Relay::new(NodePrivate::from_bytes(decode_fixed(&private).unwrap()), Box::new(AllowAll), RelayLimits::default())
}

/// Sends a request and reads until nothing more comes.
async fn exchange(addr: SocketAddr, request: &[u8], expect: usize) -> Vec<u8> {
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    tcp.write_all(request).await.unwrap();
    let mut got = Vec::new();
    let enough = async {
        while got.len() < expect {
            if tcp.read_buf(&mut got).await.unwrap() == 0 {
                break;
            }
        }
    };
    let _ = timeout(Duration::from_millis(700), enough).await;
    let _ = timeout(Duration::from_millis(100), tcp.read_to_end(&mut got)).await;
    got
}

/// Status line, header lines in lower case but for their values, and body.
fn parts(response: &[u8]) -> (String, SortedSet<String>, Vec<u8>) {
    let at = response.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(response[..at].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().to_owned();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        format!("{}: {value}", name.to_lowercase())
    });
    (status, headers.filter(|h| !h.starts_with("date:")).collect(), response[at + 4..].to_vec())
}

#[tokio::test]
async fn requests_are_answered_as_the_official_server_answers_them() {
    let v = vectors();
    let addr = start(recorded_relay(), None).await;
    let mut seen = 0;
    for (name, case) in v["http"].as_object().unwrap() {
        let wanted: Vec<u8> = {
            let hex = case["response_hex"].as_str().unwrap();
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
        };
        let got = exchange(addr, case["request"].as_str().unwrap().as_bytes(), wanted.len()).await;
        seen += 1;
        if !wanted.starts_with(b"HTTP/")
            || name.starts_with("upgrade")
            || name == "websocket_upgrade_without_subprotocol"
        {
            // DERP at once, or an answer we write ourselves: byte for byte.
            assert_eq!(got, wanted, "{name}: {}", String::from_utf8_lossy(&got));
            continue;
        }
        let (got, wanted) = (parts(&got), parts(&wanted));
        assert_eq!(got, wanted, "{name}");
    }
    assert_eq!(seen, 10);
}

#[tokio::test]
async fn a_fast_start_in_one_segment_loses_nothing() {
    let relay = client::relay();
    let addr = start(relay.clone(), None).await;
    let info = seal_client_info(&key(1), &relay.public_key(), &info(), [5; 24]);
    let mut segment =
        b"GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: DERP\r\nConnection: Upgrade\r\nDerp-Fast-Start: 1\r\n\r\n".to_vec();
    segment.extend(frame(FrameType::ClientInfo, &info));
    segment.extend(frame(FrameType::Ping, b"12345678"));
    for cut in [segment.len(), 5, 60] {
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.write_all(&segment[..cut]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
        tcp.write_all(&segment[cut..]).await.unwrap();
        let mut client = TestClient { io: Box::new(tcp) };
        assert_eq!(client.frame().await.0, FrameType::ServerKey as u8);
        assert_eq!(client.frame().await.0, FrameType::ServerInfo as u8);
        assert_eq!(client.frame().await, (FrameType::Pong as u8, b"12345678".to_vec()));
    }
}

#[tokio::test]
async fn packets_pass_between_tcp_tls_and_websocket() {
    let relay = client::relay();
    let plain = start(relay.clone(), None).await;
    let pair = hearthgate_derp::tls::self_signed(vec!["127.0.0.1".into()]).unwrap();
    let config = hearthgate_derp::tls::server_config(&pair, Some(&relay.public_key())).unwrap();
    let tls = start(relay.clone(), Some(config)).await;
    let mut a = front::connect(plain, false, "DERP", &relay, &key(1)).await;
    let mut b = front::connect(tls, true, "DERP", &relay, &key(2)).await;
    let mut c = front::connect_websocket(plain, &relay, &key(3)).await;
    let clients = [key(1).public(), key(2).public(), key(3).public()];
    for size in [0, 1, 1200, 20_000, 65_536] {
        let packet = vec![size as u8; size];
        a.packet(&clients[1], &packet).await;
        b.packet(&clients[2], &packet).await;
        for (receiver, from) in [(&mut b, &clients[0]), (&mut c, &clients[1])] {
            let (kind, payload) = receiver.frame().await;
            assert_eq!(kind, FrameType::RecvPacket as u8);
            assert_eq!(payload, [from.as_bytes().as_slice(), &packet].concat(), "{size}");
        }
    }
    assert!(relay.metrics_text().contains("derp_websocket_accepts 1\n"));
    // Where they come from is known, port included.
    assert!(relay.clients().iter().all(|c| c.addr.is_some_and(|a| a.ip().is_loopback() && a.port() != 0)));
}

#[tokio::test]
async fn an_upgrade_may_follow_another_request() {
    let relay = client::relay();
    let addr = start(relay.clone(), None).await;
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    tcp.write_all(b"GET /derp/probe HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = vec![0; 1024];
    let n = tcp.read(&mut first).await.unwrap();
    assert!(first[..n].starts_with(b"HTTP/1.1 200"));
    let mut client = front::upgrade(Box::new(tcp), "DERP").await;
    client.greet(&relay.public_key(), &key(1), &info()).await;
    client.barrier().await;
}

#[tokio::test]
async fn bootstrap_names_and_a_closed_peer() {
    let relay = client::relay();
    let addr = start(relay.clone(), None).await;
    let got = exchange(addr, b"GET /bootstrap-dns?q=derp.example HTTP/1.1\r\nHost: x\r\n\r\n", 10).await;
    let (status, headers, body) = parts(&got);
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(headers.contains("connection: close") && headers.contains("content-type: application/json"));
    assert_eq!(
        serde_json::from_slice::<Value>(&body).unwrap(),
        serde_json::json!({"derp.example": ["192.0.2.1", "2001:db8::1"]})
    );
    let mut a = front::connect(addr, false, "DERP", &relay, &key(1)).await;
    relay.close_peer(&key(1).public());
    assert!(a.is_cut().await);
}

#[test]
fn only_requests_for_the_relay_are_taken() {
    let derp = |rest: &str| peek_derp_request(format!("GET /derp HTTP/1.1\r\nHost: x\r\n{rest}\r\n").as_bytes());
    let framing = |peek: Peek| match peek {
        Peek::Derp(request) => Some(request.framing),
        _ => None,
    };
    assert_eq!(framing(derp("Upgrade: DERP\r\n")), Some(Framing::Native));
    assert_eq!(framing(derp("upgrade: WebSocket\r\n")), Some(Framing::Native));
    let websocket = derp("Upgrade: websocket\r\nSec-WebSocket-Protocol: other, derp\r\nSec-WebSocket-Key: abc=\r\n");
    assert_eq!(framing(websocket), Some(Framing::WebSocket("abc=".into())));
    for other in ["", "Upgrade: h2c\r\n", "Upgrade: websocket\r\nSec-WebSocket-Protocol: derp\r\n"] {
        assert_eq!(derp(other), Peek::Other, "{other}");
    }
    for (bytes, peek) in [
        (&b""[..], Peek::Partial),
        (b"GE", Peek::Partial),
        (b"GET /derp HTTP/1.1\r\nUpgr", Peek::Partial),
        (b"POST /ts2021", Peek::Other),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Peek::Other),
        (b"GET /derp/probe HTTP/1.1\r\n\r\n", Peek::Other),
        (b"GET /derper HTTP/1.1\r\nUpgrade: DERP\r\n\r\n", Peek::Other),
        (b"GET /derp HTTP/1.0\r\nUpgrade: DERP\r\n\r\n", Peek::Other),
        (b"GET /derp HTTP/1.1\r\nUpgrade\r\n\r\n", Peek::Other),
    ] {
        assert_eq!(peek_derp_request(bytes), peek, "{}", String::from_utf8_lossy(bytes));
    }
    let endless = [b"GET /derp HTTP/1.1\r\nX: ".as_slice(), &[b'a'; 20_000]].concat();
    assert_eq!(peek_derp_request(&endless), Peek::Other);
    let Peek::Derp(request) = derp("Upgrade: DERP\r\nIdeal-Node: 1a\r\nDerp-Fast-Start: 1\r\n") else { panic!() };
    assert!(request.not_ideal && request.fast_start);
    assert_eq!(server_key_frame(&key(1).public()).len(), 45);
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_clients_own_address_counts() {
    let relay = relay();
    let trusted = TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]);
    for (n, proxies, seen) in [(1, trusted, "198.51.100.7"), (2, TrustedProxies::default(), "127.0.0.1")] {
        let addr = start_with(relay.clone(), None, 0, proxies).await;
        let mut io = TcpStream::connect(addr).await.unwrap();
        let head = "GET /derp HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.7\r\n\
            Upgrade: DERP\r\nConnection: Upgrade\r\nDerp-Fast-Start: 1\r\n\r\n";
        io.write_all(head.as_bytes()).await.unwrap();
        let mut client = TestClient { io: Box::new(io) };
        client.greet(&relay.public_key(), &key(n), &info()).await;
        client.barrier().await;
        let view = relay.clients().into_iter().find(|c| c.key == key(n).public()).unwrap();
        assert_eq!(view.addr.unwrap().ip().to_string(), seen);
    }
}
