//! The box's end: keeps a tunnel to its front open, and hands out the clients that come through it.

use crate::{
    line::Line,
    messages::{Hello, MayRelay, Reached, SOURCE, VERSION, Welcome},
    status::{Seen, State, Status},
    tunnel::{self, ANSWER_WITHIN, Stream, TunnelError},
};
use bytes::Bytes;
use hearthgate_http::spawn;
use hearthgate_keys::{MachinePrivate, NodePublic};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    time::{Instant, sleep, timeout},
};

/// First wait before the front is dialled again; doubled each time.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
/// Longest wait.
const AGAIN_MAX: Duration = Duration::from_secs(60);
/// A tunnel that held so long was good: the waits begin anew.
const GOOD_AFTER: Duration = Duration::from_secs(60);
/// Most addresses of a front that are tried.
const ADDRESSES_MAX: usize = 8;

/// What the tunnel needs of the box.
pub trait Home: Send + Sync + 'static {
    /// Host in the URL that clients use.
    fn host(&self) -> String;
    /// Takes a client's stream; it must not wait.
    fn take(&self, stream: Passed, source: SocketAddr);
    /// Whether a node may use the front's relay.
    fn may_relay(&self, node: &NodePublic) -> bool;
    /// The front serves us; [`Status::view`] has what it said.
    fn welcomed(&self);
}

/// A client's stream, counted for as long as it lives.
#[derive(Debug)]
pub struct Passed {
    stream: Stream,
    status: Arc<Status>,
}

impl Drop for Passed {
    fn drop(&mut self) {
        self.status.change(|v| v.open = v.open.saturating_sub(1));
    }
}

impl AsyncRead for Passed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Passed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Keeps the tunnel to the front of `line` open for ever. `key` is the box's own, made for this purpose.
pub async fn keep(line: Line, key: MachinePrivate, home: Arc<dyn Home>, status: Arc<Status>) {
    let mut wait = AGAIN_FIRST;
    loop {
        let begun = Instant::now();
        let ended = once(&line, &key, &home, &status).await;
        let why = ended.map_or_else(|e| e.to_string(), |()| "the front closed the connection".to_owned());
        status.change(|v| match &v.state {
            // What the front said is worth more than that it hung up after it.
            State::Refused(_) => {}
            _ => v.state = State::Failed(why.clone()),
        });
        match status.view().state {
            State::Refused(why) => tracing::warn!(front = line.address, why, "the front does not serve this box"),
            _ => tracing::warn!(front = line.address, why, "no tunnel to the front"),
        }
        if begun.elapsed() >= GOOD_AFTER {
            wait = AGAIN_FIRST;
        }
        sleep(wait + jitter(wait)).await;
        wait = (wait * 2).min(AGAIN_MAX);
    }
}

/// Up to a quarter more: boxes of one front do not all come back at the same moment.
fn jitter(wait: Duration) -> Duration {
    let mut random = [0u8; 1];
    // Without random bytes they do, which is no harm.
    let _ = getrandom::fill(&mut random);
    wait.mul_f64(f64::from(random[0]) / 1024.0)
}

/// One tunnel, from dialling to its end.
async fn once(
    line: &Line,
    key: &MachinePrivate,
    home: &Arc<dyn Home>,
    status: &Arc<Status>,
) -> Result<(), TunnelError> {
    let (tcp, addresses) = timeout(ANSWER_WITHIN, dial(line)).await.map_err(io::Error::from)??;
    hearthgate_derp::tune_tcp(&tcp);
    let stream = timeout(ANSWER_WITHIN, tunnel::initiate(tcp, key, &line.key)).await.map_err(io::Error::from)??;
    status.change(|v| {
        v.state = State::Connecting;
        v.addresses = addresses;
    });
    let (home, status, secret) = (home.clone(), status.clone(), line.secret.reveal());
    tunnel::answer(stream, move |request| {
        let (home, status, secret) = (home.clone(), status.clone(), secret.clone());
        async move { reply(home, status, secret, request).await.unwrap_or_else(bad) }
    })
    .await
}

/// Dials all addresses of the front in turn; answers them too.
async fn dial(line: &Line) -> io::Result<(TcpStream, Vec<IpAddr>)> {
    let (host, port) = line.host_and_port();
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.take(ADDRESSES_MAX).collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the front's name has no address");
    for address in &addresses {
        match TcpStream::connect(address).await {
            Ok(tcp) => return Ok((tcp, addresses.iter().map(SocketAddr::ip).collect())),
            Err(e) => last = e,
        }
    }
    Err(last)
}

async fn reply(
    home: Arc<dyn Home>,
    status: Arc<Status>,
    secret: String,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, TunnelError> {
    match (request.method().clone(), request.uri().path()) {
        (Method::CONNECT, _) => {
            let source = request.headers().get(SOURCE).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
            let source: SocketAddr = source.ok_or(TunnelError::Answer("a client without an address"))?;
            if status.view().state != State::Connected {
                return Err(TunnelError::Answer("a client before the welcome"));
            }
            spawn(async move {
                if let Ok(upgraded) = hyper::upgrade::on(request).await {
                    status.change(|v| {
                        v.passed += 1;
                        v.open += 1;
                    });
                    home.take(Passed { stream: Stream::new(upgraded), status }, source);
                }
            });
            Ok(Response::default())
        }
        (Method::GET, "/hello") => json(&Hello { version: VERSION, host: home.host(), secret, wishes: true }),
        (Method::POST, "/welcome") => {
            let welcome: Welcome = serde_json::from_slice(&tunnel::collect(request.into_body()).await?)
                .map_err(|_| TunnelError::Answer("no welcome"))?;
            let served = welcome.refused.is_empty();
            status.change(|v| {
                v.state = if served { State::Connected } else { State::Refused(welcome.refused.clone()) };
                if served {
                    v.welcome = Some(welcome);
                }
            });
            if served {
                tracing::info!(front = status.view().address, "the tunnel to the front is up");
                home.welcomed();
            }
            Ok(Response::default())
        }
        (Method::POST, "/wish") => json(&status.wished().await),
        (Method::POST, "/reached") => {
            let reached: Reached = serde_json::from_slice(&tunnel::collect(request.into_body()).await?)
                .map_err(|_| TunnelError::Answer("no result"))?;
            status.change(|v| v.seen = Some(Seen { reached, at: Instant::now().into_std() }));
            Ok(Response::default())
        }
        (Method::POST, "/may-relay") => {
            let body = tunnel::collect(request.into_body()).await?;
            let node = std::str::from_utf8(&body).ok().and_then(|t| t.parse().ok());
            json(&MayRelay { allow: node.is_some_and(|node| home.may_relay(&node)) })
        }
        _ => Err(TunnelError::Answer("an unknown question")),
    }
}

fn json(value: &impl serde::Serialize) -> Result<Response<Full<Bytes>>, TunnelError> {
    let text = serde_json::to_vec(value).map_err(|_| TunnelError::Answer("no JSON"))?;
    Ok(Response::new(Full::from(text)))
}

fn bad(error: TunnelError) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(error.to_string()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}
