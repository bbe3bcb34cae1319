//! A server behind a front, both here: what comes through it, and what must not.
#![cfg(feature = "front")]

#[path = "../../front/tests/common/gateway.rs"]
mod gateway;
mod support;

use gateway::{gateway, line};
use hearthgate_front::{Boxes, Line};
use hearthgate_keys::NodePrivate;
use hearthgate_server::AdminOptions;
use hearthgate_web::gate::{Gate, LAN};
use std::{net::SocketAddr, time::Duration};
use support::{DerpClient, TestServer, connect_tls, exchange, try_tls};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    time::{sleep, timeout},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A front on this machine, and a line of it.
async fn front(dir: &std::path::Path) -> (SocketAddr, Line) {
    front_that_tries(dir, &[]).await
}

/// One to which these networks are the Internet.
async fn front_that_tries(dir: &std::path::Path, internet: &[&str]) -> (SocketAddr, Line) {
    let (address, _) = gateway(dir, "127.0.0.1:0", internet).await;
    (address, line(dir, address, 5))
}

/// A server with that front, once clients get through.
async fn behind(front: SocketAddr, line: &Line) -> TestServer {
    let server = TestServer::start_with(|o| {
        o.settings.server_url = "https://derp.invalid".into();
        o.front = Some(line.reveal());
        o.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        let networks = LAN.iter().map(|n| n.parse().unwrap()).collect();
        o.admin = AdminOptions { enabled: true, gate: Gate { networks, hosts: Vec::new() } };
    })
    .await;
    let up = timeout(PATIENCE, async {
        while !ask(front, "/health").await.is_some_and(|a| a.starts_with("HTTP/1.1 200")) {
            sleep(Duration::from_millis(50)).await;
        }
    });
    up.await.expect("the tunnel is up");
    server
}

/// A request over TLS; `None` when nobody takes the connection.
async fn ask(addr: SocketAddr, path: &str) -> Option<String> {
    let mut tls = try_tls(addr).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    // A peer that leaves out the end of TLS has answered all the same.
    let _ = timeout(PATIENCE, tls.read_to_end(&mut answer)).await.ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_through_a_front_is_never_local() {
    let dir = tempfile::tempdir().unwrap();
    let (address, line) = front(dir.path()).await;
    let server = behind(address, &line).await;
    // The front says, and rightly so, that the client is 127.0.0.1: on the LAN that opens doors.
    for (path, straight, passed) in [
        ("/metrics", "200", "404"),
        ("/admin/", "200", "404"),
        ("/api/v1/user", "401", "401"),
        ("/key?v=113", "200", "200"),
    ] {
        let near = ask(server.addr(), path).await.unwrap();
        assert!(near.starts_with(&format!("HTTP/1.1 {straight}")), "{path} here: {near}");
        let far = ask(address, path).await.unwrap();
        assert!(far.starts_with(&format!("HTTP/1.1 {passed}")), "{path} through the front: {far}");
    }
    let home = ask(address, "/").await.unwrap();
    assert!(!home.contains("/admin/"), "{home}");
    server.stop().await;
    assert!(ask(address, "/health").await.is_none(), "the tunnel ends with the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_clients_come_through_a_front() {
    let dir = tempfile::tempdir().unwrap();
    let (address, line) = front(dir.path()).await;
    let server = behind(address, &line).await;
    let key = |n: u8| NodePrivate::from_random([n; 32]);
    let mut slow = DerpClient::join(connect_tls(address).await.0, &key(1), false).await;
    let mut fast = DerpClient::join(connect_tls(address).await.0, &key(2), true).await;
    slow.packet(&key(2).public(), b"hello").await;
    assert!(fast.next().await.1.ends_with(b"hello"));
    server.stop().await;
}

/// A question over the box's own socket.
async fn local(server: &TestServer, method: &str, path: &str) -> serde_json::Value {
    let mut socket = UnixStream::connect(&server.options.unix_socket).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE * 2, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_front_tells_who_answers_at_the_address_of_the_box() {
    let dir = tempfile::tempdir().unwrap();
    let (address, line) = front_that_tries(dir.path(), &["127.0.0.0/8"]).await;
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let other = TestServer::start().await;
    // One whose URL has the port it listens on, and one whose port leads to another box.
    for (url_port, ours) in [(port, true), (other.addr().port(), false)] {
        let server = TestServer::start_with(|o| {
            o.settings.server_url = format!("https://derp.invalid:{url_port}");
            o.listen = ([127, 0, 0, 1], if ours { port } else { 0 }).into();
            o.derp.stun_listen = None;
        })
        .await;
        assert!(local(&server, "POST", "/api/v1/front/test").await["detail"].is_string(), "there is no front yet");
        let paired = if ours { line.clone() } else { gateway::line(dir.path(), address, 6) };
        pair(&server, &paired).await;
        let up = timeout(PATIENCE, async {
            while local(&server, "GET", "/api/v1/front").await["state"] != "connected" {
                sleep(Duration::from_millis(50)).await;
            }
        });
        up.await.expect("the tunnel is up");
        assert!(local(&server, "GET", "/api/v1/front").await["outside"].is_null(), "nobody has looked yet");
        let told = local(&server, "POST", "/api/v1/front/test").await;
        let seen = &told["outside"];
        assert_eq!((&seen["tcp"], &seen["ours"]), (&"answered".into(), &ours.into()), "{told}");
        assert_eq!((&seen["stun"], &seen["port"]), (&"skipped".into(), &url_port.into()));
        assert_eq!(seen["reachable"], ours, "{told}");
        server.stop().await;
        // Its name is free for the next.
        Boxes::change(dir.path(), |b| b.revoke("derp.invalid")).unwrap();
    }
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_in_the_same_network_is_no_witness() {
    let dir = tempfile::tempdir().unwrap();
    let (address, line) = front(dir.path()).await;
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let server = TestServer::start_with(|o| {
        o.settings.server_url = format!("https://derp.invalid:{port}");
        o.listen = ([127, 0, 0, 1], port).into();
        o.front = Some(line.reveal());
    })
    .await;
    let up = timeout(PATIENCE, async {
        while ask(address, "/health").await.is_none() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    up.await.expect("the tunnel is up");
    let told = local(&server, "POST", "/api/v1/front/test").await;
    let seen = &told["outside"];
    assert_eq!((&seen["tcp"], &seen["stun"]), (&"skipped".into(), &"skipped".into()), "{told}");
    assert_eq!((&seen["reachable"], &seen["ours"]), (&false.into(), &false.into()), "{told}");
    assert!(seen["findings"].to_string().contains("says nothing of the outside"), "{told}");
    server.stop().await;
}

async fn pair(server: &TestServer, line: &Line) {
    let body = serde_json::json!({ "pairing": line.reveal() }).to_string();
    let mut socket = UnixStream::connect(&server.options.unix_socket).await.unwrap();
    let head = "POST /api/v1/front HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length:";
    socket.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_without_tls_does_not_pair() {
    let dir = tempfile::tempdir().unwrap();
    let (address, line) = front(dir.path()).await;
    let server = TestServer::start_with(|o| {
        o.settings.server_url = "http://192.168.1.1:8080".into();
        o.front = Some(line.reveal());
    })
    .await;
    assert!(
        exchange(server.addr(), "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 2000)
            .await
            .head
            .contains("200")
    );
    sleep(Duration::from_millis(500)).await;
    assert!(Boxes::load(dir.path()).unwrap().all().is_empty());
    assert!(ask(address, "/health").await.is_none());
    server.stop().await;
}
