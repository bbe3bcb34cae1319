//! A listener in front of a relay, as a program would have it, and clients that come in by it.
#![allow(dead_code, reason = "every test file uses another part")]

use crate::client::{Stream, TestClient, info};
use hearthgate_derp::{
    BootstrapDns, Front, Gate, PER_ADDRESS, Pages, Relay, TrustedProxies, serve_pages,
    tls::{self_signed, server_config},
};
use hearthgate_keys::NodePrivate;
use rustls::ServerConfig;
use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
};

#[path = "tls_client.rs"]
mod tls_client;
#[allow(unused_imports, reason = "every test file uses another part")]
pub use tls_client::trusting_config;

/// Listens on a free port.
pub async fn start(relay: Arc<Relay>, tls: Option<Arc<ServerConfig>>) -> SocketAddr {
    start_with(relay, tls, PER_ADDRESS, TrustedProxies::default()).await
}

/// The same with limits.
pub async fn start_with(
    relay: Arc<Relay>,
    tls: Option<Arc<ServerConfig>>,
    per_address: u32,
    proxies: TrustedProxies,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let addresses = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    let bootstrap_dns = BootstrapDns::from([("derp.example".into(), addresses), ("other.example".into(), Vec::new())]);
    let own = || server_config(&self_signed(vec!["relay.test".into()]).unwrap(), None).unwrap();
    let proxies = Arc::new(proxies);
    let front = Front {
        relay: Some(relay.clone()),
        tls: tls.unwrap_or_else(own),
        alpn: Arc::default(),
        gate: Gate::new(per_address),
        proxies: proxies.clone(),
    };
    let pages = Arc::new(Pages { relay, stun: Arc::default(), bootstrap_dns, proxies, metrics_for_all: false });
    tokio::spawn(front.serve(listener, move |stream, remote| serve_pages(pages.clone(), stream, remote)));
    addr
}

/// Connects, upgrades and introduces itself.
pub async fn connect(addr: SocketAddr, tls: bool, upgrade_to: &str, relay: &Relay, key: &NodePrivate) -> TestClient {
    let tcp = TcpStream::connect(addr).await.unwrap();
    let io: Box<dyn Stream> = if tls { Box::new(tls_client::connect(tcp).await.unwrap()) } else { Box::new(tcp) };
    let mut client = upgrade(io, upgrade_to).await;
    client.greet(&relay.public_key(), key, &info()).await;
    client
}

/// Sends an upgrade on a stream and reads the head of the answer.
pub async fn upgrade(mut io: Box<dyn Stream>, to: &str) -> TestClient {
    io.write_all(format!("GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: {to}\r\nConnection: Upgrade\r\n\r\n").as_bytes())
        .await
        .unwrap();
    assert!(head(&mut io).await.starts_with("HTTP/1.1 101"));
    TestClient { io }
}

async fn head(io: &mut Box<dyn Stream>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// The same as a browser does it.
pub async fn connect_websocket(addr: SocketAddr, relay: &Relay, key: &NodePrivate) -> TestClient {
    let mut io: Box<dyn Stream> = Box::new(TcpStream::connect(addr).await.unwrap());
    let request = "GET /derp HTTP/1.1\r\nHost: x\r\nOrigin: https://any.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: derp\r\n\r\n";
    io.write_all(request.as_bytes()).await.unwrap();
    assert!(head(&mut io).await.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let mut client = TestClient { io: Box::new(Browser { io, input: Vec::new(), left: 0 }) };
    client.greet(&relay.public_key(), key, &info()).await;
    client
}

/// The client side of WebSocket: every write is a masked message, messages are unwrapped.
struct Browser {
    io: Box<dyn Stream>,
    input: Vec<u8>,
    left: usize,
}

impl AsyncRead for Browser {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        loop {
            if self.left == 0 && self.input.len() >= 2 {
                assert_eq!(self.input[0], 0x82, "one whole binary message");
                let (head, len) = match self.input[1] {
                    126 if self.input.len() >= 4 => {
                        (4, usize::from(u16::from_be_bytes([self.input[2], self.input[3]])))
                    }
                    126 => (0, 0),
                    short => (2, usize::from(short)),
                };
                self.left = len;
                self.input.drain(..head);
            }
            let n = self.left.min(self.input.len()).min(buf.remaining());
            if n > 0 {
                buf.put_slice(&self.input.drain(..n).collect::<Vec<_>>());
                self.left -= n;
                return Poll::Ready(Ok(()));
            }
            let mut chunk = [0; 1000];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.input.extend_from_slice(chunk.filled());
        }
    }
}

impl AsyncWrite for Browser {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        // Small messages fit the socket buffer whole, so nothing has to be kept.
        let part = &buf[..buf.len().min(700)];
        let mask = [0xa5, 0x5a, 1, 2];
        let mut message = vec![0x82, 0x80 | 126];
        message.extend_from_slice(&(part.len() as u16).to_be_bytes());
        message.extend_from_slice(&mask);
        message.extend(part.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        let n = ready!(Pin::new(&mut self.io).poll_write(cx, &message))?;
        assert_eq!(n, message.len());
        Poll::Ready(Ok(part.len()))
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
