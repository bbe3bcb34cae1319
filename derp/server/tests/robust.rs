//! Nonsense from clients ends their connection at most, and connections stay small.

#[path = "common/client.rs"]
mod client;

use bytes::Bytes;
use client::{TestClient, info, key, relay};
use hearthgate_derp::{Remote, peek_derp_request, sniff};
use hearthgate_derp_frame::{FrameType, frame, parse_peer_gone, parse_peer_present, seal_client_info};
use portable_atomic::Ordering::Relaxed;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// A small generator (xorshift), so that a failure comes again.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn bytes(&mut self, max: usize) -> Vec<u8> {
        (0..self.below(max)).map(|_| self.next() as u8).collect()
    }
}

#[tokio::test]
async fn noise_behind_a_handshake_never_breaks_the_relay() {
    let relay = relay();
    let mut noise = Noise(0x1234_5678_9abc_def1);
    for round in 0..300 {
        let (mut ours, theirs) = duplex(1 << 20);
        let mut bytes = frame(FrameType::ClientInfo, &seal_client_info(&key(1), &relay.public_key(), &info(), [5; 24]));
        for _ in 0..noise.below(20) {
            // Mostly right frames with a wrong inside, sometimes just bytes.
            let payload = noise.bytes(200);
            let kind = [0x04, 0x04, 0x04, 0x04, 0x05, 0x08, 0x13, 0x77, 0x03, 0x12, 0x07, 0x0a][noise.below(12)];
            match noise.below(8) {
                0 => bytes.extend(&payload),
                _ => {
                    bytes.push(kind);
                    bytes.extend((payload.len() as u32).to_be_bytes());
                    bytes.extend(&payload);
                }
            }
        }
        if round % 3 == 0 {
            let at = noise.below(bytes.len());
            bytes[at] ^= 1 << noise.below(8);
        }
        let served = tokio::spawn(relay.clone().serve(theirs, Bytes::new(), Remote::default()));
        for part in bytes.chunks(1 + noise.below(300)) {
            if ours.write_all(part).await.is_err() {
                break;
            }
        }
        // It goes on reading: who is gone altogether is not listened to any more.
        let _ = ours.shutdown().await;
        let _ = timeout(Duration::from_secs(5), ours.read_to_end(&mut Vec::new()))
            .await
            .expect("it ends when the client does");
        // An error is fine; a panic is not.
        let _ = timeout(Duration::from_secs(5), served).await.expect("it ends when the client does").expect("no panic");
    }
    assert_eq!(relay.connection_count(), 0);
    let metrics = relay.metrics();
    let (packets, violations) = (metrics.packets_received.load(Relaxed), metrics.violations.load(Relaxed));
    assert!(
        packets > 50 && violations > 50,
        "{packets} packets, {violations} violations: the noise does not reach far"
    );
    TestClient::join(&relay, &key(1), 65536).await.barrier().await;
}

#[tokio::test]
async fn noise_in_front_of_a_handshake_never_breaks_anything() {
    let mut noise = Noise(0xfeed_beef_1234_0001);
    for _ in 0..3000 {
        let mut bytes = noise.bytes(120);
        if noise.below(2) == 0 {
            bytes = [b"GET /derp HTTP/1.1\r\nUpgrade: websocket\r\n".as_slice(), &bytes, b"\r\n\r\n"].concat();
            let at = noise.below(bytes.len());
            bytes[at] ^= 1 << noise.below(8);
        }
        let _ = peek_derp_request(&bytes);
        let _ = (parse_peer_present(&bytes), parse_peer_gone(&bytes));
    }
    let (mut ours, theirs) = duplex(64);
    ours.write_all(b"GET /de").await.unwrap();
    drop(ours);
    assert!(sniff(theirs).await.is_err());
}

#[tokio::test]
async fn an_idle_connection_is_small() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let origin: SocketAddr = "192.0.2.1:5".parse().unwrap();
    let future = relay().serve(stream, Bytes::new(), origin);
    let size = size_of_val(&future);
    assert!(size <= 1200, "{size} bytes for each connection's task");
}
