//! The front's end of a tunnel: it lets a box in, asks it, and opens a stream for each client.

use crate::{
    messages::{Hello, MayRelay, Reached, SOURCE, Welcome, Wish},
    tasks::Tasks,
    tunnel::{
        ANSWER_WITHIN, Inner, KEEP_ALIVE, KEEP_ALIVE_WITHIN, QUESTIONS_MAX, SEND_BUFFER, STREAMS_MAX, Stream,
        TUNNEL_VERSION, TunnelError, collect, of_all,
    },
};
use bytes::Bytes;
use hearthgate_keys::{MachinePrivate, MachinePublic, NodePublic};
use hearthgate_noise::{INITIATION_LEN, respond};
use hearthgate_transport::NoiseStream;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::de::DeserializeOwned;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// What a tunnel begins with on the wire: neither TLS nor a letter.
pub(crate) const TUNNEL_FIRST_BYTE: u8 = TUNNEL_VERSION.to_be_bytes()[0];
/// Bytes of one client that may wait at the front for a slow client.
const FRONT_WINDOW: u32 = 64 * 1024;

/// The front's side; `head` was already read. Answers who the box is.
pub(crate) async fn accept(
    mut tcp: TcpStream,
    head: &[u8],
    key: &MachinePrivate,
) -> Result<(MachinePublic, Inner), TunnelError> {
    // The box waits for our answer, so there cannot be more yet.
    let mut message = [0u8; INITIATION_LEN];
    let rest = message.split_at_mut_checked(head.len()).map(|(first, rest)| {
        first.copy_from_slice(head);
        rest
    });
    tcp.read_exact(rest.ok_or(TunnelError::Answer("a handshake that is too long"))?).await?;
    let accepted = respond(key, &message)?;
    if accepted.version != TUNNEL_VERSION {
        return Err(TunnelError::Answer("another version"));
    }
    tcp.write_all(&accepted.response).await?;
    Ok((accepted.machine, NoiseStream::new(tcp, accepted.session, Vec::new(), Vec::new())))
}

/// The front's end of a tunnel.
#[derive(Clone)]
pub(crate) struct Caller {
    sender: SendRequest<Full<Bytes>>,
    slots: Arc<Semaphore>,
    questions: Arc<Semaphore>,
}

impl Caller {
    /// Begins HTTP/2; the future is the connection itself, which has to be waited for. `tasks` are its own.
    pub(crate) async fn begin(
        stream: Inner,
        tasks: Tasks,
    ) -> Result<(Self, impl Future<Output = Result<(), hyper::Error>>), TunnelError> {
        let (sender, connection) = hyper::client::conn::http2::Builder::new(tasks)
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(KEEP_ALIVE))
            .keep_alive_timeout(KEEP_ALIVE_WITHIN)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(FRONT_WINDOW)
            .initial_connection_window_size(of_all(FRONT_WINDOW))
            .max_send_buf_size(SEND_BUFFER)
            .handshake(TokioIo::new(stream))
            .await?;
        let slots = |n: u32| Arc::new(Semaphore::new(usize::try_from(n).unwrap_or(usize::MAX)));
        Ok((Self { sender, slots: slots(STREAMS_MAX), questions: slots(QUESTIONS_MAX) }, connection))
    }

    /// Whether both are of the same tunnel.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.slots, &other.slots)
    }

    /// Who the box is.
    pub(crate) async fn hello(&self) -> Result<Hello, TunnelError> {
        self.ask(Method::GET, "/hello", Bytes::new()).await
    }

    /// Tells it how it stands.
    pub(crate) async fn welcome(&self, welcome: &Welcome) -> Result<(), TunnelError> {
        let body = serde_json::to_vec(welcome).unwrap_or_default();
        self.send(Method::POST, "/welcome", body.into()).await.map(drop)
    }

    /// Whether a node is one of the box's network.
    pub(crate) async fn may_relay(&self, node: &NodePublic) -> Result<bool, TunnelError> {
        let answer: MayRelay = self.ask(Method::POST, "/may-relay", node.to_string().into()).await?;
        Ok(answer.allow)
    }

    /// Waits for something that the box wants tried from outside, for as long as the tunnel holds.
    pub(crate) async fn wish(&self) -> Result<Wish, TunnelError> {
        let response = self.sender.clone().send_request(question(Method::POST, "/wish", Bytes::new())?).await?;
        if !response.status().is_success() {
            return Err(TunnelError::Answer("an error"));
        }
        let answer = collect(response.into_body()).await?;
        serde_json::from_slice(&answer).map_err(|_| TunnelError::Answer("no such message"))
    }

    /// Tells it what came of that.
    pub(crate) async fn reached(&self, reached: &Reached) -> Result<(), TunnelError> {
        let body = serde_json::to_vec(reached).unwrap_or_default();
        self.send(Method::POST, "/reached", body.into()).await.map(drop)
    }

    /// A stream for a client that came from `source`, and its place among those of the box.
    pub(crate) async fn open(&self, source: SocketAddr) -> Result<(Stream, OwnedSemaphorePermit), TunnelError> {
        let slot = self.slots.clone().try_acquire_owned().map_err(|_| TunnelError::Full)?;
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri("box:443")
            .header(SOURCE, source.to_string())
            .body(Full::default())
            .map_err(|_| TunnelError::Answer("no request"))?;
        let response = within(self.sender.clone().send_request(request)).await?;
        if response.status() != StatusCode::OK {
            return Err(TunnelError::Answer("the box does not take the client"));
        }
        Ok((TokioIo::new(hyper::upgrade::on(response).await?), slot))
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, TunnelError> {
        let answer = self.send(method, path, body).await?;
        serde_json::from_slice(&answer).map_err(|_| TunnelError::Answer("no such message"))
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, TunnelError> {
        let _turn = self.questions.acquire().await.map_err(|_| TunnelError::Full)?;
        let answer = within(self.sender.clone().send_request(question(method, path, body)?)).await?;
        if !answer.status().is_success() {
            return Err(TunnelError::Answer("an error"));
        }
        collect(answer.into_body()).await
    }
}

fn question(method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, TunnelError> {
    let request = Request::builder().method(method).uri(format!("http://box{path}")).body(Full::new(body));
    request.map_err(|_| TunnelError::Answer("no request"))
}

async fn within<T>(work: impl Future<Output = Result<T, hyper::Error>>) -> Result<T, TunnelError> {
    Ok(timeout(ANSWER_WITHIN, work).await.map_err(io::Error::from)??)
}
