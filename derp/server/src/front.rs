//! The front door: one TCP port for TLS and plain text, the relay and whatever else speaks HTTP.
//!
//! The first byte tells TLS; [`crate::sniff`] tells the relay's clients, which get a small task of their own. Everything
//! else is handed to the program that owns the port.

use crate::{
    client::Origin,
    gate::{Gate, Pass},
    proxies::TrustedProxies,
    relay::Relay,
    sniff::{Prefixed, Sniffed, sniff},
    socket::tune_tcp,
    tls::{ACME_TLS, AlpnChallenges},
};
use bytes::Bytes;
use hearthgate_http::spawn;
use rustls::{ServerConfig, server::Acceptor};
use std::{
    future::Future,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, server::TlsStream};

/// What the first byte of TLS is: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// Connections that may be between accept and knowing what they want.
const NEWCOMERS_MAX: usize = 512;
/// How long they may stay there, for TLS and for the rest each.
const NEWCOMER: Duration = Duration::from_secs(15);
/// Wait after accept fails (no file descriptors left): trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What stands behind the port.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "the TLS configuration has none worth reading")]
pub struct Front {
    /// The relay, if there is one.
    pub relay: Option<Arc<Relay>>,
    /// TLS.
    pub tls: Arc<ServerConfig>,
    /// Certificate authorities that are expected to look for our name.
    pub alpn: Arc<AlpnChallenges>,
    /// How many connections an address may have.
    pub gate: Arc<Gate>,
    /// Who may speak for the addresses of others.
    pub proxies: Arc<TrustedProxies>,
}

impl Front {
    /// Accepts connections for ever. `other` gets each one that is not for the relay, in a task of its own.
    pub async fn serve<F, T>(self, listener: TcpListener, other: F)
    where
        F: Fn(Prefixed<Connection>, SocketAddr) -> T + Clone + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let newcomers = Arc::new(Semaphore::new(NEWCOMERS_MAX));
        loop {
            // Before accepting: in a reconnect storm the rest waits in the kernel's queue instead of being turned away.
            let Ok(permit) = newcomers.clone().acquire_owned().await else { return };
            let (stream, remote) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(_) => {
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let ip = remote.ip();
            let pass = if self.proxies.contains(ip) { Some(Pass::uncounted()) } else { self.gate.enter(ip) };
            let Some(pass) = pass else { continue };
            tune_tcp(&stream);
            spawn(self.clone().newcomer(stream, remote, pass, permit, other.clone()));
        }
    }

    async fn newcomer<F, T>(
        self,
        stream: TcpStream,
        remote: SocketAddr,
        pass: Pass,
        permit: OwnedSemaphorePermit,
        other: F,
    ) where
        F: Fn(Prefixed<Connection>, SocketAddr) -> T,
        T: Future<Output = ()> + Send + 'static,
    {
        let Ok(io) = timeout(NEWCOMER, self.open(stream)).await.unwrap_or_else(|e| Err(e.into())) else { return };
        self.admitted(Connection { io, _pass: pass }, remote, permit, other).await;
    }

    /// Takes a connection that did not come to a listener of ours, but was passed on by somebody who accepted it from
    /// `remote`. Only TLS is spoken on it: whoever passed it on is to see no plain text.
    ///
    /// It counts for its address like any other. Nobody speaks for others on it: [`Front::proxies`] are not asked.
    pub async fn pass<F, T>(mut self, stream: Box<dyn Duplex>, remote: SocketAddr, other: F)
    where
        F: Fn(Prefixed<Connection>, SocketAddr) -> T,
        T: Future<Output = ()> + Send + 'static,
    {
        let Some(pass) = self.gate.enter(remote.ip()) else { return };
        self.proxies = Arc::default();
        let opened = timeout(NEWCOMER, self.handshake(Wire::Passed(stream))).await;
        let Ok(io) = opened.unwrap_or_else(|e| Err(e.into())) else { return };
        self.admitted(Connection { io: Io::Tls(Box::new(io)), _pass: pass }, remote, (), other).await;
    }

    /// Finds out what a connection is for, and gives it to whoever serves that. `newcomer` is dropped once that is
    /// known.
    async fn admitted<F, T, N>(self, connection: Connection, remote: SocketAddr, newcomer: N, other: F)
    where
        F: Fn(Prefixed<Connection>, SocketAddr) -> T,
        T: Future<Output = ()> + Send + 'static,
    {
        if connection.protocol() == Some(ACME_TLS) {
            return;
        }
        let sniffed = match &self.relay {
            Some(_) => sniff(connection).await,
            None => Ok(Sniffed::Other(Prefixed::new(Bytes::new(), connection))),
        };
        drop(newcomer);
        match (sniffed, self.relay) {
            (Ok(Sniffed::Derp(request, stream, received)), Some(relay)) if relay.may_accept() => {
                let ip = self.proxies.client(remote.ip(), request.forwarded_for.as_deref());
                let origin =
                    Origin::from(if ip == remote.ip().to_canonical() { remote } else { SocketAddr::new(ip, 0) });
                // A task of its own: what accepting needed is freed, and the connection stays small.
                spawn(relay.serve_request(request, stream, received, origin));
            }
            (Ok(Sniffed::Other(stream)), _) => drop(spawn(other(stream, remote))),
            _ => {}
        }
    }

    /// Tells TLS from plain text, and is past its handshake when it answers.
    async fn open(&self, stream: TcpStream) -> io::Result<Io> {
        let mut first = [0u8; 1];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let wire = Wire::Tcp(stream);
        Ok(if first == [TLS_HANDSHAKE] { Io::Tls(Box::new(self.handshake(wire).await?)) } else { Io::Plain(wire) })
    }

    async fn handshake(&self, stream: Wire) -> io::Result<TlsStream<Wire>> {
        if self.alpn.is_empty() {
            return TlsAcceptor::from(self.tls.clone()).accept(stream).await;
        }
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let config = self.alpn.answer(&hello.client_hello()).unwrap_or_else(|| self.tls.clone());
        hello.into_stream(config).await
    }
}

/// A connection that came through the door: plain, or TLS with its handshake done.
#[derive(Debug)]
pub struct Connection {
    io: Io,
    _pass: Pass,
}

#[derive(Debug)]
enum Io {
    Plain(Wire),
    Tls(Box<TlsStream<Wire>>),
}

/// Both directions of a stream that somebody else accepted.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// What carries a connection.
enum Wire {
    Tcp(TcpStream),
    Passed(Box<dyn Duplex>),
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Tcp(_)) { "Tcp" } else { "Passed" })
    }
}

macro_rules! streams {
    ($name:ident: $($variant:ident),+) => {
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(io) => Pin::new(io).poll_read(cx, buf)),+ }
            }
        }

        impl AsyncWrite for $name {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                match self.get_mut() { $(Self::$variant(io) => Pin::new(io).poll_write(cx, buf)),+ }
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() { $(Self::$variant(io) => Pin::new(io).poll_write_vectored(cx, bufs)),+ }
            }

            fn is_write_vectored(&self) -> bool {
                match self { $(Self::$variant(io) => io.is_write_vectored()),+ }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(io) => Pin::new(io).poll_flush(cx)),+ }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(io) => Pin::new(io).poll_shutdown(cx)),+ }
            }
        }
    };
}
streams!(Wire: Tcp, Passed);
streams!(Io: Plain, Tls);

impl Connection {
    /// Whether TLS is spoken on it.
    pub fn is_tls(&self) -> bool {
        matches!(self.io, Io::Tls(_))
    }

    /// What TLS agreed to speak, if it did.
    fn protocol(&self) -> Option<&[u8]> {
        match &self.io {
            Io::Plain(_) => None,
            Io::Tls(io) => io.get_ref().1.alpn_protocol(),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
