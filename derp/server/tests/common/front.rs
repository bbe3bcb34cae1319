//! A listener in front of a relay, as a program would have it, and clients that come in by it.
#![allow(dead_code, reason = "every test file uses another part")]

use crate::client::{Stream, TestClient, info};
use bytes::Bytes;
use hearthgate_derp::{BootstrapDns, Origin, Relay, Sniffed, bootstrap_dns, generate_204, sniff, tune_tcp};
use hearthgate_keys::NodePrivate;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use std::{convert::Infallible, net::SocketAddr, pin::Pin, sync::Arc, task::{Context, Poll, ready}};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

#[path = "tls_client.rs"]
mod tls_client;
#[allow(unused_imports, reason = "every test file uses another part")]
pub use tls_client::trusting_config;

/// Listens on a free port.
pub async fn start(relay: Arc<Relay>, tls: Option<Arc<ServerConfig>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, remote)) = listener.accept().await {
            tune_tcp(&tcp);
            let (relay, tls) = (relay.clone(), tls.clone());
            tokio::spawn(async move {
                let io: Box<dyn Stream> = match tls {
                    Some(config) => Box::new(TlsAcceptor::from(config).accept(tcp).await.unwrap()),
                    None => Box::new(tcp),
                };
                begin(relay, io, remote.into()).await;
            });
        }
    });
    addr
}

async fn begin(relay: Arc<Relay>, io: Box<dyn Stream>, origin: Origin) {
    match sniff(io).await {
        Ok(Sniffed::Derp(request, io, received)) => {
            tokio::spawn(relay.serve_request(request, io, received, origin));
        }
        Ok(Sniffed::Other(io)) => {
            let service = service_fn(move |request| {
                let relay = relay.clone();
                async move { Ok::<_, Infallible>(answer(&relay, request, origin)) }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), service).with_upgrades().await;
        }
        Err(_) => {}
    }
}

fn answer(relay: &Arc<Relay>, mut request: Request<Incoming>, origin: Origin) -> Response<Full<Bytes>> {
    if let Some(response) = relay.answer_http(&mut request, origin) {
        return response;
    }
    match request.uri().path() {
        "/generate_204" => generate_204(request.headers()),
        "/bootstrap-dns" => {
            let addresses = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
            let names = BootstrapDns::from([("derp.example".into(), addresses), ("other.example".into(), Vec::new())]);
            bootstrap_dns(&names, request.uri().query())
        }
        _ => Response::builder().status(404).body(Full::default()).unwrap(),
    }
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
    io.write_all(format!("GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: {to}\r\nConnection: Upgrade\r\n\r\n").as_bytes()).await.unwrap();
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
                    126 if self.input.len() >= 4 => (4, usize::from(u16::from_be_bytes([self.input[2], self.input[3]]))),
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
