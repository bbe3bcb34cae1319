//! A control server and a client of it, without a network.
#![allow(dead_code)]

use bytes::Bytes;
use hearthgate_keys::MachinePrivate;
use hearthgate_transport::{ClientStream, accept};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::SendRequest,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

pub type Body = BoxBody<Bytes, Infallible>;

/// What the server says before HTTP/2.
pub const EARLY: &[u8] =
    br#"{"nodeKeyChallenge":"chalpub:2122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f40"}"#;

pub fn server_key() -> MachinePrivate {
    MachinePrivate::from_random([8; 32])
}

pub fn client_key() -> MachinePrivate {
    MachinePrivate::from_random([7; 32])
}

/// Nothing here takes long: what does, hangs.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work).await.expect("it hangs")
}

/// Serves one connection; the task ends when everything on it has.
pub fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: S, early: &'static [u8]) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (noise, mut sessions) = mpsc::channel::<JoinHandle<()>>(1);
        let service = service_fn(move |req| {
            let noise = noise.clone();
            async move { Ok::<_, Infallible>(outer(req, early, noise).await) }
        });
        let _ = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades()
            .await;
        while let Some(session) = sessions.recv().await {
            session.await.unwrap();
        }
    })
}

async fn outer(
    mut req: Request<Incoming>,
    early: &'static [u8],
    sessions: mpsc::Sender<JoinHandle<()>>,
) -> Response<Full<Bytes>> {
    if req.uri().path() == "/key" {
        let json =
            format!(r#"{{"legacyPublicKey":"mkey:{}","publicKey":"{}"}}"#, "0".repeat(64), server_key().public());
        return Response::new(json.into());
    }
    let upgrade = match accept(&server_key(), req.method(), req.uri(), req.headers()) {
        Ok(upgrade) => upgrade,
        Err(e) => {
            let mut answer = Response::new(e.to_string().into());
            *answer.status_mut() = e.status();
            return answer;
        }
    };
    assert_eq!(upgrade.machine(), client_key().public());
    assert_eq!(upgrade.version(), 148);
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = upgrade.headers();
    let upgrading = hyper::upgrade::on(&mut req);
    let session = tokio::spawn(async move {
        let Ok(io) = upgrading.await else { return };
        let stream = upgrade.stream(TokioIo::new(io), early).unwrap();
        let service = service_fn(|req| async move { Ok::<_, Infallible>(inner(req).await) });
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    });
    sessions.send(session).await.unwrap();
    answer
}

/// A body made of pieces as they come.
pub struct Pieces(mpsc::Receiver<Bytes>);

impl Pieces {
    pub fn new() -> (mpsc::Sender<Bytes>, Self) {
        let (sender, receiver) = mpsc::channel(1);
        (sender, Self(receiver))
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|p| Ok(Frame::data(p))))
    }
}

/// `/echo` gives the body back; `/map` sends every piece of the body back as soon as it has come.
async fn inner(req: Request<Incoming>) -> Response<Body> {
    let path = req.uri().path().to_owned();
    let mut body = req.into_body();
    if path == "/echo" {
        return Response::new(Full::new(body.collect().await.unwrap().to_bytes()).boxed());
    }
    let (sender, pieces) = Pieces::new();
    tokio::spawn(async move {
        while let Some(Ok(frame)) = body.frame().await {
            if sender.send(frame.into_data().unwrap()).await.is_err() {
                return;
            }
        }
    });
    Response::new(pieces.boxed())
}

/// Connects over `io` as an official client does, up to HTTP/2.
pub async fn client<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    io: ClientStream<S>,
) -> (SendRequest<Body>, JoinHandle<()>) {
    let (requests, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    (requests, tokio::spawn(async move { connection.await.unwrap_or_default() }))
}

/// Bytes that differ from place to place.
pub fn pattern(len: usize) -> Bytes {
    (0..len).map(|i| (i * 31 + i / 251) as u8).collect()
}
