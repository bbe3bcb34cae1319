//! Everything that can come in through the one port of a running server.

mod support;

use base64::{Engine, engine::general_purpose::STANDARD};
use hearthgate_derp::tls::{PemPair, pin_of, self_signed};
use hearthgate_derp_frame::FrameType;
use hearthgate_keys::{MachinePrivate, NodePrivate};
use hearthgate_noise::Initiator;
use std::time::Duration;
use support::{DerpClient, TestServer, connect_tls, exchange};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const WEBSOCKET: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn key(n: u8) -> NodePrivate {
    NodePrivate::from_random([n; 32])
}

#[tokio::test]
async fn relay_clients_come_by_upgrade_and_by_fast_start_and_reach_each_other() {
    let server = TestServer::start().await;
    let mut slow = DerpClient::join(TcpStream::connect(server.addr()).await.unwrap(), &key(1), false).await;
    let tls = connect_tls(server.addr()).await.0;
    let mut fast = DerpClient::join(tls, &key(2), true).await;
    slow.packet(&key(2).public(), b"hello").await;
    let (kind, payload) = fast.next().await;
    assert_eq!(kind, FrameType::RecvPacket as u8);
    assert!(payload.ends_with(b"hello") && payload.starts_with(key(1).public().as_bytes()));
    server.stop().await;
}

#[tokio::test]
async fn browsers_come_by_websocket() {
    let server = TestServer::start().await;
    let derp = format!("GET /derp HTTP/1.1\r\nHost: x\r\n{WEBSOCKET}Sec-WebSocket-Protocol: derp\r\n\r\n");
    let answer = exchange(server.addr(), &derp, 200).await;
    // RFC 6455 section 1.3 has this key and this answer.
    assert!(
        answer.head.starts_with("HTTP/1.1 101") && answer.head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "{}",
        answer.head
    );
    // A binary message with the relay's key.
    assert_eq!(answer.rest.first(), Some(&0x82));
    let machine = MachinePrivate::from_random([3; 32]);
    let (_, first) = Initiator::start(&machine, &server.noise_key().await, 113, None).unwrap();
    let shake = STANDARD.encode(first).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let ts2021 = format!(
        "GET /ts2021?X-Tailscale-Handshake={shake} HTTP/1.1\r\nHost: x\r\n{WEBSOCKET}Sec-WebSocket-Protocol: tailscale-control-protocol\r\n\r\n"
    );
    let answer = exchange(server.addr(), &ts2021, 200).await;
    assert!(answer.head.starts_with("HTTP/1.1 101"), "{}", answer.head);
    assert_eq!(answer.rest.first(), Some(&0x82));
    server.stop().await;
}

#[tokio::test]
async fn probes_and_refusals_are_answered() {
    let server = TestServer::start().await;
    for (request, status) in [
        ("GET /derp/probe", 200),
        ("HEAD /derp/latency-check", 200),
        ("POST /derp/probe", 405),
        ("GET /derp", 426),
        ("GET /generate_204", 204),
        ("GET /bootstrap-dns", 200),
        ("GET /ts2021", 405),
        ("POST /ts2021", 400),
    ] {
        let answer =
            exchange(server.addr(), &format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), 2000).await;
        assert!(answer.head.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {}", answer.head);
    }
    server.stop().await;
}

#[tokio::test]
async fn another_certificate_is_shown_without_dropping_connections() {
    let server = TestServer::start().await;
    let (tls, before) = connect_tls(server.addr()).await;
    let mut client = DerpClient::join(tls, &key(4), true).await;
    let next = self_signed(vec!["relay.example.org".into()]).unwrap();
    let mut options = server.options.clone();
    options.certificate = Some(next.clone());
    server.running.reload(&options).await.unwrap();
    let (_second, after) = connect_tls(server.addr()).await;
    assert_ne!(before, after);
    assert_eq!(after, pin_of(&next).unwrap());
    client.send(FrameType::Ping, b"still up").await;
    assert_eq!(client.next().await, (FrameType::Pong as u8, b"still up".to_vec()));
    // A key that does not fit changes nothing.
    let other = self_signed(vec!["other.example.org".into()]).unwrap();
    options.certificate = Some(PemPair { certificate: next.certificate, key: other.key });
    assert!(server.running.reload(&options).await.is_err());
    assert_eq!(connect_tls(server.addr()).await.1, after);
    server.stop().await;
}

#[tokio::test]
async fn relay_clients_hear_that_the_server_goes_down() {
    let server = TestServer::start().await;
    let mut client = DerpClient::join(TcpStream::connect(server.addr()).await.unwrap(), &key(5), true).await;
    let stopping = tokio::spawn(server.stop());
    let (kind, times) = client.next().await;
    assert_eq!(kind, FrameType::Restarting as u8);
    assert_eq!(times, [0, 0, 3, 232, 0, 0, 234, 96]);
    assert!(timeout(Duration::from_secs(2), client.ended()).await.is_ok());
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_request_in_crumbs_is_still_understood() {
    let server = TestServer::start().await;
    let mut tcp = TcpStream::connect(server.addr()).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    for byte in b"GET /derp/probe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" {
        tcp.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    server.stop().await;
}
