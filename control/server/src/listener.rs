//! Listeners: one TCP port for plain HTTP, TLS and DERP, and the unix socket of the command line.
//!
//! [`hearthgate_derp::Front`] tells them apart by the first bytes; what is not for the relay is HTTP/1.1.

use crate::{StartError, http_api, http_api::Origin, reply::text, state::App};
use hearthgate_derp::Front;
use hearthgate_http::{Handler, Http1, Stream, spawn};
use http::StatusCode;
use std::{io, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::Semaphore,
};

/// What is put up with on a connection.
const HTTP: Http1 = Http1 { head_within: Duration::from_secs(15), head_max: 16 * 1024, keep_alive: true };
/// Wait after accept fails (no file descriptors left): trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections to the metrics at once.
const METRICS_MAX: usize = 16;
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
        return Err(StartError::File {
            path: path.to_path_buf(),
            message: "another hearthgate answers on this socket: stop it first".into(),
        });
    }
    // Left behind by a process that was killed.
    let _ = std::fs::remove_file(path);
    let bound = UnixListener::bind(path)
        .and_then(|l| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map(|()| l));
    bound.map_err(StartError::io("listening on", place))
}

pub(crate) async fn serve_tcp(app: App, listener: TcpListener, front: Front) {
    front
        .serve(listener, move |stream, remote| {
            let tls = stream.get_ref().is_tls();
            serve_http(app.clone(), stream, Origin::Network(remote.ip().to_canonical()), tls)
        })
        .await;
}

pub(crate) async fn serve_unix(app: App, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let app = app.clone();
                spawn(serve_http(app, stream, Origin::Local, false));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Shows the metrics to everybody who can reach this listener, and nothing else.
pub(crate) async fn serve_metrics(app: App, listener: TcpListener) {
    let slots = Arc::new(Semaphore::new(METRICS_MAX));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let app = app.clone();
        spawn(async move {
            let handler = Handler::new(move |req| {
                let reply = match req.uri().path() {
                    "/metrics" => http_api::metrics_page(&app),
                    _ => text(StatusCode::NOT_FOUND, "only /metrics is here"),
                };
                async move { reply }
            });
            // Whoever breaks off asks again.
            let _ = HTTP.serve(stream, handler).await;
            drop(slot);
        });
    }
}

/// Marks requests that came over TLS, in their extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OverTls;

/// Answers requests on one connection until it ends.
pub(crate) async fn serve_http(app: App, stream: impl Stream + 'static, origin: Origin, tls: bool) {
    let handler = Handler::new(move |mut req| {
        if tls {
            req.extensions_mut().insert(OverTls);
        }
        let app = app.clone();
        let origin = behind_proxies(&app, origin, req.headers());
        http_api::handle(app, origin, req)
    });
    if let Err(e) = HTTP.serve(stream, handler).await {
        tracing::debug!(error = %e, "HTTP connection ended");
    }
}

/// Where a request really comes from.
fn behind_proxies(app: &App, origin: Origin, headers: &http::HeaderMap) -> Origin {
    let Origin::Network(remote) = origin else { return origin };
    let lines = headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok());
    let forwarded = lines.collect::<Vec<_>>().join(",");
    Origin::Network(app.proxies.client(remote, Some(&forwarded)))
}
