//! Listeners: one TCP port for plain HTTP, TLS and DERP, and the unix socket of the command line.
//!
//! A connection tells what it is by its first bytes: 0x16 is TLS; a request for `/derp` goes to the relay before any
//! HTTP machinery is set up for it ([`hearthgate_derp::sniff`]), which is what keeps an idle relay connection small and
//! lets clients start fast; the rest is HTTP/1.1.

use crate::{StartError, http_api, http_api::Origin, state::App};
use bytes::Bytes;
use hearthgate_derp::{Prefixed, Sniffed, sniff, tune_tcp};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use std::{
    future::Future,
    io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// What the first byte of TLS is: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
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
        tokio::spawn(accepted(app.clone(), stream, remote, acceptor.clone(), permit));
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

/// Tells TLS from plain text, and goes on with what is inside.
async fn accepted(app: App, stream: TcpStream, remote: SocketAddr, acceptor: TlsAcceptor, permit: OwnedSemaphorePermit) {
    let mut first = [0u8; 1];
    match timeout(NEWCOMER, stream.peek(&mut first)).await {
        Ok(Ok(1)) if first == [TLS_HANDSHAKE] => {
            // Boxed: the handshake's state would make the future of every connection larger.
            if let Ok(Ok(stream)) = timeout(NEWCOMER, Box::pin(acceptor.accept(stream))).await {
                dispatch(app, stream, remote, permit).await;
            }
        }
        Ok(Ok(1)) => dispatch(app, stream, remote, permit).await,
        _ => {}
    }
}

/// Gives the connection to the relay or to HTTP.
async fn dispatch<S>(app: App, stream: S, remote: SocketAddr, permit: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let sniffed = match &app.relay {
        Some(_) => Box::pin(sniff(stream)).await,
        None => Ok(Sniffed::Other(Prefixed::new(Bytes::new(), stream))),
    };
    drop(permit);
    match (sniffed, &app.relay) {
        (Ok(Sniffed::Derp(request, stream, received)), Some(relay)) if relay.may_accept() => {
            // A task of its own: what accepting needed is freed, and the connection stays small.
            tokio::spawn(relay_connection(relay.clone().serve_request(request, stream, received, remote)));
        }
        (Ok(Sniffed::Other(stream)), _) => {
            tokio::spawn(serve_http(app, stream, Origin::Network(remote.ip().to_canonical())));
        }
        _ => {}
    }
}

async fn relay_connection(served: impl Future<Output = io::Result<()>>) {
    if let Err(e) = served.await {
        tracing::trace!(error = %e, "relay connection ended");
    }
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
