//! A server on a free port, and clients that speak just enough.
#![allow(dead_code, reason = "every test file uses another part")]

#[path = "../../../../derp/server/tests/common/tls_client.rs"]
mod tls_client;

use hearthgate_derp::tls::pin_of_der;
use hearthgate_derp_frame::{
    ClientInfo, FRAME_HEADER, FrameType, frame, parse_header, seal_client_info, send_packet_frame,
};
use hearthgate_keys::{MachinePublic, NodePrivate, NodePublic};
use hearthgate_server::{Options, Running, start};
use std::{net::SocketAddr, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct TestServer {
    pub running: Running,
    pub options: Options,
    _dir: TempDir,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(dir.path(), ([127, 0, 0, 1], 0).into());
        options.derp.verify_clients = false;
        change(&mut options);
        let running = start(options.clone()).await.unwrap();
        Self { running, options, _dir: dir }
    }

    pub fn addr(&self) -> SocketAddr {
        self.running.listen
    }

    pub async fn noise_key(&self) -> MachinePublic {
        let answer =
            exchange(self.addr(), "GET /key?v=113 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 2000).await;
        let json: serde_json::Value = serde_json::from_slice(&answer.rest).unwrap();
        json["publicKey"].as_str().unwrap().parse().unwrap()
    }

    /// The audit log, as JSON over the socket of the command line.
    pub async fn audit_log(&self) -> String {
        let mut stream = tokio::net::UnixStream::connect(&self.options.unix_socket).await.unwrap();
        let request = b"GET /api/v1/audit HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// The same again, with what it stored.
    #[allow(dead_code, reason = "each test takes what it needs")]
    pub async fn restart(self) -> Self {
        self.running.stop().await;
        let running = start(self.options.clone()).await.unwrap();
        Self { running, options: self.options, _dir: self._dir }
    }

    pub async fn stop(self) {
        self.running.stop().await;
    }
}

pub struct Answer {
    pub head: String,
    pub rest: Vec<u8>,
}

/// Sends a request and takes what comes within so many milliseconds, or until the end.
pub async fn exchange(addr: SocketAddr, request: &str, millis: u64) -> Answer {
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    let _ =
        timeout(Duration::from_millis(millis), async { while tcp.read_buf(&mut got).await.unwrap_or(0) > 0 {} }).await;
    let at = got.windows(4).position(|w| w == b"\r\n\r\n").map_or(got.len(), |at| at + 4);
    let rest = got.split_off(at);
    Answer { head: String::from_utf8_lossy(&got).into_owned(), rest }
}

/// A TLS connection, and the pin of the certificate that was shown.
pub async fn connect_tls(addr: SocketAddr) -> (TlsStream<TcpStream>, String) {
    let stream = tls_client::connect(TcpStream::connect(addr).await.unwrap()).await.unwrap();
    let leaf = stream.get_ref().1.peer_certificates().unwrap().first().unwrap();
    let pin = pin_of_der(leaf);
    (stream, pin)
}

/// A TLS connection, or why there is none. The name in its hello is `derp.invalid`.
pub async fn try_tls(addr: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    tls_client::connect(TcpStream::connect(addr).await?).await
}

/// A client of the relay.
pub struct DerpClient<S> {
    io: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> DerpClient<S> {
    pub async fn join(mut io: S, key: &NodePrivate, fast: bool) -> Self {
        let fast_start = if fast { "Derp-Fast-Start: 1\r\n" } else { "" };
        let request =
            format!("GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n{fast_start}\r\n");
        io.write_all(request.as_bytes()).await.unwrap();
        io.flush().await.unwrap();
        if !fast {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(io.read_u8().await.unwrap());
            }
            assert!(head.starts_with(b"HTTP/1.1 101 "));
        }
        let mut client = Self { io };
        let (kind, hello) = client.next().await;
        assert_eq!(kind, FrameType::ServerKey as u8);
        let relay = NodePublic::from_bytes(*hello.last_chunk().unwrap());
        let info = ClientInfo { version: 2, ..ClientInfo::default() };
        client.send(FrameType::ClientInfo, &seal_client_info(key, &relay, &info, [5; 24])).await;
        assert_eq!(client.next().await.0, FrameType::ServerInfo as u8);
        client
    }

    pub async fn send(&mut self, kind: FrameType, payload: &[u8]) {
        self.io.write_all(&frame(kind, payload)).await.unwrap();
        self.io.flush().await.unwrap();
    }

    pub async fn packet(&mut self, to: &NodePublic, packet: &[u8]) {
        self.io.write_all(&send_packet_frame(to, packet)).await.unwrap();
        self.io.flush().await.unwrap();
    }

    pub async fn next(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let mut head = [0; FRAME_HEADER];
            self.io.read_exact(&mut head).await.unwrap();
            let (kind, len) = parse_header(&head).unwrap().unwrap();
            let mut payload = vec![0; len];
            self.io.read_exact(&mut payload).await.unwrap();
            (kind, payload)
        };
        timeout(PATIENCE, read).await.expect("no frame in time")
    }

    pub async fn ended(&mut self) {
        let mut rest = Vec::new();
        let _ = self.io.read_to_end(&mut rest).await;
    }
}
