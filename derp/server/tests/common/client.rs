//! A client of a relay, over any stream, for tests.
#![allow(dead_code, reason = "every test file uses another part")]

use bytes::Bytes;
use hearthgate_derp::{AllowAll, Relay, RelayLimits, RelayOptions, Remote};
use hearthgate_derp_frame::{
    ClientInfo, FRAME_HEADER, FrameType, frame, parse_header, seal_client_info, send_packet_frame,
};
use hearthgate_keys::{NodePrivate, NodePublic};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex},
    time::timeout,
};

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub struct TestClient {
    pub io: Box<dyn Stream>,
}

pub fn key(n: u8) -> NodePrivate {
    NodePrivate::from_random([n; 32])
}

pub fn relay() -> Arc<Relay> {
    Relay::new(key(99), Box::new(AllowAll), RelayLimits::default())
}

pub fn relay_with(limits: RelayLimits, options: RelayOptions) -> Arc<Relay> {
    Relay::with_options(key(99), Box::new(AllowAll), limits, options)
}

pub fn info() -> ClientInfo {
    ClientInfo { version: 2, can_ack_pings: true, ..ClientInfo::default() }
}

impl TestClient {
    /// A pipe to the relay, over which nothing was said yet.
    pub fn open(relay: &Arc<Relay>, pipe: usize) -> Self {
        let (ours, theirs) = duplex(pipe);
        tokio::spawn(relay.clone().serve(theirs, Bytes::new(), Remote { ip: Some([192, 0, 2, 10].into()) }));
        Self { io: Box::new(ours) }
    }

    pub async fn join(relay: &Arc<Relay>, key: &NodePrivate, pipe: usize) -> Self {
        Self::join_as(relay, key, pipe, info()).await
    }

    pub async fn join_as(relay: &Arc<Relay>, key: &NodePrivate, pipe: usize, info: ClientInfo) -> Self {
        let mut client = Self::open(relay, pipe);
        client.greet(&relay.public_key(), key, &info).await;
        client
    }

    /// The handshake, after the server's key.
    pub async fn greet(&mut self, relay: &NodePublic, key: &NodePrivate, info: &ClientInfo) {
        let (kind, hello) = self.frame().await;
        assert_eq!(kind, FrameType::ServerKey as u8);
        assert!(hello.ends_with(relay.as_bytes()));
        self.introduce(relay, key, info).await;
        assert_eq!(self.frame().await.0, FrameType::ServerInfo as u8);
    }

    pub async fn introduce(&mut self, relay: &NodePublic, key: &NodePrivate, info: &ClientInfo) {
        self.send(FrameType::ClientInfo, &seal_client_info(key, relay, info, [5; 24])).await;
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
        self.io.flush().await.unwrap();
    }

    pub async fn send(&mut self, kind: FrameType, payload: &[u8]) {
        self.write(&frame(kind, payload)).await;
    }

    pub async fn packet(&mut self, to: &NodePublic, packet: &[u8]) {
        self.write(&send_packet_frame(to, packet)).await;
    }

    pub async fn frame(&mut self) -> (u8, Vec<u8>) {
        timeout(Duration::from_secs(5), self.read()).await.expect("no frame within five seconds").unwrap()
    }

    /// The next frame, or nothing for a while.
    pub async fn frame_within(&mut self, millis: u64) -> Option<(u8, Vec<u8>)> {
        timeout(Duration::from_millis(millis), self.read()).await.ok()?.ok()
    }

    async fn read(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let mut head = [0; FRAME_HEADER];
        self.io.read_exact(&mut head).await?;
        let (kind, len) = parse_header(&head).unwrap().unwrap();
        let mut payload = vec![0; len];
        self.io.read_exact(&mut payload).await?;
        Ok((kind, payload))
    }

    /// Everything before it was handled: the relay answers in order.
    pub async fn barrier(&mut self) {
        self.send(FrameType::Ping, b"barrier!").await;
        while self.frame().await != (FrameType::Pong as u8, b"barrier!".to_vec()) {}
    }

    pub async fn is_cut(&mut self) -> bool {
        let mut rest = Vec::new();
        timeout(Duration::from_secs(5), self.io.read_to_end(&mut rest)).await.is_ok()
    }
}
