//! The responder on real sockets: both families, several local addresses, garbage.

use hearthgate_derp::{StunMetrics, run_stun};
use hearthgate_stun::{parse_response, request};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::UdpSocket, time::timeout};

async fn start(bind: &str) -> (SocketAddr, Arc<StunMetrics>) {
    let socket = UdpSocket::bind(bind).await.unwrap();
    let addr = socket.local_addr().unwrap();
    let metrics = Arc::new(StunMetrics::default());
    tokio::spawn(run_stun(socket, metrics.clone(), std::future::pending()));
    (addr, metrics)
}

/// Asks `server` on a connected socket, which hears only what comes from that very address.
async fn ask(bind: &str, server: SocketAddr) -> SocketAddr {
    let client = UdpSocket::bind(bind).await.unwrap();
    client.connect(server).await.unwrap();
    client.send(&request(&[3; 12])).await.unwrap();
    let mut buf = [0; 100];
    let n = timeout(Duration::from_secs(3), client.recv(&mut buf))
        .await
        .expect("no answer from the address asked")
        .unwrap();
    let (txid, seen) = parse_response(&buf[..n]).unwrap();
    assert_eq!(txid, [3; 12]);
    assert_eq!(seen.port(), client.local_addr().unwrap().port());
    seen
}

#[tokio::test]
async fn the_answer_comes_from_the_address_that_was_asked() {
    let (addr, metrics) = start("0.0.0.0:0").await;
    for ip in ["127.0.0.1", "127.0.0.2", "127.9.9.9"] {
        // From a fixed source: without the packet information the kernel would answer from 127.0.0.1 to all.
        let seen = ask("127.0.0.1:0", SocketAddr::new(ip.parse().unwrap(), addr.port())).await;
        assert_eq!(seen.ip().to_string(), "127.0.0.1");
    }
    let text = metrics.text();
    assert!(text.contains("stun_requests{disposition=\"success\"} 3"), "{text}");
    assert!(text.contains("stun_requests{disposition=\"no_local_addr\"} 0"), "{text}");
    assert!(text.contains("stun_addrfamily{family=\"ipv4\"} 3"), "{text}");
}

#[tokio::test]
async fn one_socket_serves_both_families_and_unmaps_the_older_one() {
    let (addr, metrics) = start("[::]:0").await;
    assert_eq!(ask("[::1]:0", SocketAddr::new("::1".parse().unwrap(), addr.port())).await.ip().to_string(), "::1");
    let seen = ask("127.0.0.1:0", SocketAddr::new("127.0.0.2".parse().unwrap(), addr.port())).await;
    assert_eq!(seen.ip().to_string(), "127.0.0.1");
    let text = metrics.text();
    assert!(text.contains("family=\"ipv4\"} 1") && text.contains("family=\"ipv6\"} 1"), "{text}");
}

#[tokio::test]
async fn garbage_gets_no_answer_and_a_crowd_gets_all_of_them() {
    let (addr, metrics) = start("127.0.0.1:0").await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(b"", addr).await.unwrap();
    client.send_to(&[0xff; 1600], addr).await.unwrap();
    for n in 0..100u8 {
        client.send_to(&request(&[n; 12]), addr).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut buf = [0; 100];
    for _ in 0..100 {
        let n = timeout(Duration::from_secs(3), client.recv(&mut buf)).await.unwrap().unwrap();
        seen.push(parse_response(&buf[..n]).unwrap().0[0]);
    }
    assert_eq!(seen, (0..100).collect::<Vec<u8>>());
    assert!(metrics.text().contains("disposition=\"not_stun\"} 2"));
}
