//! Listeners: one TCP port for plain HTTP, TLS and DERP, and the unix socket of the command line.
//!
//! A connection tells what it is by its first bytes: 0x16 is TLS; a request for `/derp` goes to the relay before any
//! HTTP machinery is set up for it, which is what keeps an idle relay connection small; the rest is HTTP/1.1.

use crate::{
    StartError, http_api,
    http_api::Origin,
    state::App,
};
use bytes::{Bytes, BytesMut};
use hearthgate_derp::{Remote, tune_tcp};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// Connections that may be between accept and their first whole request.
const NEWCOMERS_MAX: usize = 512;
/// How long they may stay there.
const NEWCOMER: Duration = Duration::from_secs(15);
/// Longest request head.
const HEAD_MAX: usize = 16 * 1024;
/// Wait after accept fails (no file descriptors left): trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Queue of connections the kernel has finished and we have not accepted.
const BACKLOG: u32 = 4096;

pub(crate) fn bind_tcp(addr: SocketAddr) -> Result<TcpListener, StartError> {
    let bind = || -> io::Result<TcpListener> {
        let socket = if addr.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(StartError::io("listening on", addr.to_string()))
}

pub(crate) fn bind_unix(path: &Path, mode: u32) -> Result<UnixListener, StartError> {
    let place = path.display().to_string();
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(StartError::File { path: path.to_path_buf(), message: "another hearthgate answers on this socket: stop it first".into() });
    }
    // Left behind by a process that was killed.
    let _ = std::fs::remove_file(path);
    let bound = UnixListener::bind(path).and_then(|l| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map(|()| l));
    bound.map_err(StartError::io("listening on", place))
}

pub(crate) async fn serve_tcp(app: App, listener: TcpListener, tls: Arc<ServerConfig>) {
    let newcomers = Arc::new(Semaphore::new(NEWCOMERS_MAX));
    let acceptor = TlsAcceptor::from(tls);
    loop {
        // Before accepting: in a reconnect storm the rest waits in the kernel's queue instead of being turned away.
        let Ok(permit) = newcomers.clone().acquire_owned().await else { return };
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::warn!(error = %e, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        tune_tcp(&stream);
        let (app, acceptor) = (app.clone(), acceptor.clone());
        tokio::spawn(async move {
            let ip = remote.ip().to_canonical();
            let ready = timeout(NEWCOMER, first_request(stream, acceptor)).await;
            drop(permit);
            if let Ok(Ok((stream, head))) = ready {
                dispatch(app, stream, head, ip).await;
            }
        });
    }
}

pub(crate) async fn serve_unix(app: App, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let app = app.clone();
                tokio::spawn(serve_http(app, stream, Origin::Local));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// A plain or encrypted stream.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Reads until the first request head is whole.
async fn first_request(stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<(Box<dyn Stream>, Bytes)> {
    let mut first = [0u8; 1];
    stream.peek(&mut first).await?;
    let mut stream: Box<dyn Stream> = if first[0] == 0x16 { Box::new(acceptor.accept(stream).await?) } else { Box::new(stream) };
    let mut head = BytesMut::new();
    loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // HTTP/2 with prior knowledge and garbage are hyper's to refuse.
        if head.windows(4).any(|w| w == b"\r\n\r\n") || head.len() >= HEAD_MAX {
            return Ok((stream, head.freeze()));
        }
    }
}

/// Gives the connection to the relay or to HTTP.
async fn dispatch(app: App, mut stream: Box<dyn Stream>, head: Bytes, ip: IpAddr) {
    let relay = app.relay.clone().zip(derp_upgrade(&head));
    let Some((relay, upgrade)) = relay else {
        return serve_http(app, Prefixed { first: head, stream }, Origin::Network(ip)).await;
    };
    if !upgrade.fast_start && stream.write_all(relay.upgrade_response().as_bytes()).await.is_err() {
        return;
    }
    // The future of a relay connection is small only if it does not carry what led here.
    drop(app);
    let received = head.slice(upgrade.used..);
    if let Err(e) = relay.serve(stream, received, Remote { ip: Some(ip) }).await {
        tracing::trace!(error = %e, "relay connection ended");
    }
}

struct DerpUpgrade {
    used: usize,
    fast_start: bool,
}

/// Whether this is a native upgrade to DERP. A WebSocket upgrade without the sub-protocol is one too: very old
/// clients sent that.
fn derp_upgrade(head: &[u8]) -> Option<DerpUpgrade> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(used) = request.parse(head).ok()? else { return None };
    if request.method != Some("GET") || request.path != Some("/derp") {
        return None;
    }
    let header = |name: &str| request.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value);
    let upgrade = header("Upgrade")?.to_ascii_lowercase();
    let sub_protocol = header("Sec-WebSocket-Protocol").is_some_and(|p| p.windows(4).any(|w| w == b"derp"));
    let native = upgrade == b"derp" || (upgrade == b"websocket" && !sub_protocol);
    native.then(|| DerpUpgrade { used, fast_start: header("Derp-Fast-Start") == Some(b"1") })
}

async fn serve_http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(app: App, stream: S, origin: Origin) {
    let service = service_fn(move |req| {
        let app = app.clone();
        async move { Ok::<_, std::convert::Infallible>(http_api::handle(app, origin, req).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(NEWCOMER)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(e) = served {
        tracing::trace!(error = %e, "HTTP connection ended");
    }
}

/// A stream of which the first bytes were read already.
struct Prefixed {
    first: Bytes,
    stream: Box<dyn Stream>,
}

impl AsyncRead for Prefixed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let n = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first.split_to(n));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
