//! The tunnel between box and front: TCP, Noise, and HTTP/2 inside, in which the front asks and the box answers.
//!
//! The Noise handshake is the control protocol's with a version number that no client has: the number is in the
//! prologue, so that a message made for one is none for the other. Flow control is HTTP/2's (RFC 9113 section 5.2): one
//! stream that nobody reads holds up itself only, because the window of the connection is that of all streams together.

use crate::{
    messages::{BODY_MAX, Hello, MayRelay, SOURCE, Welcome},
    tasks::Tasks,
};
use bytes::Bytes;
use hearthgate_keys::{MachinePrivate, MachinePublic, NodePublic};
use hearthgate_noise::{HandshakeError, INITIATION_LEN, Initiator, RESPONSE_LEN, respond};
use hearthgate_transport::NoiseStream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::de::DeserializeOwned;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Version in the handshake: far above all capability versions.
const TUNNEL_VERSION: u16 = 0xf001;
/// What a tunnel begins with on the wire: neither TLS nor a letter.
pub(crate) const TUNNEL_FIRST_BYTE: u8 = TUNNEL_VERSION.to_be_bytes()[0];
/// Clients that are passed on to one box at once. Each device has two connections, control and relay.
pub(crate) const STREAMS_MAX: u32 = 256;
/// Requests besides: greetings and questions about relay clients.
const QUESTIONS_MAX: u32 = 16;
/// Bytes of one client that may wait at the front for a slow client.
const FRONT_WINDOW: u32 = 64 * 1024;
/// Bytes of one client that may wait at the box, which may have 64 MB in all.
const HOME_WINDOW: u32 = 32 * 1024;
/// Bytes that are kept to be sent per stream before its writer has to wait.
const SEND_BUFFER: usize = 16 * 1024;
/// Largest head of a request.
const HEAD_MAX: u32 = 4096;
/// Silence after which the other side is asked whether it is there. NATs forget a TCP connection after minutes to hours
/// of silence (RFC 5382 asks for two hours; home routers have less).
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long the answer may take.
const KEEP_ALIVE_WITHIN: Duration = Duration::from_secs(15);
/// How long a handshake, or a question, may take.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// The window of a connection whose streams have this one: see the module's words about stalled streams.
const fn of_all(window: u32) -> u32 {
    window * (STREAMS_MAX + QUESTIONS_MAX)
}

/// Why a tunnel ended or was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TunnelError {
    /// The network failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// One side is not who it should be.
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    /// HTTP/2 inside failed.
    #[error("the tunnel broke: {0}")]
    Http(#[from] hyper::Error),
    /// An answer is not as described in [`crate::messages`].
    #[error("the other side said something else than expected: {0}")]
    Answer(&'static str),
    /// As many clients as a box can have.
    #[error("too many clients at once")]
    Full,
}

/// The Noise session that all is in.
pub(crate) type Inner = NoiseStream<TcpStream>;
/// A client's stream inside the tunnel.
pub(crate) type Stream = TokioIo<hyper::upgrade::Upgraded>;

/// The box's side of the handshake.
pub(crate) async fn initiate(
    mut tcp: TcpStream,
    key: &MachinePrivate,
    front: &MachinePublic,
) -> Result<Inner, TunnelError> {
    let (initiator, message) = Initiator::start(key, front, TUNNEL_VERSION, None)?;
    tcp.write_all(&message).await?;
    let mut answer = [0u8; RESPONSE_LEN];
    tcp.read_exact(&mut answer).await?;
    Ok(NoiseStream::new(tcp, initiator.finish(&answer)?, Vec::new(), Vec::new()))
}

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
        let request = Request::builder()
            .method(method)
            .uri(format!("http://box{path}"))
            .body(Full::new(body))
            .map_err(|_| TunnelError::Answer("no request"))?;
        let answer = within(self.sender.clone().send_request(request)).await?;
        if !answer.status().is_success() {
            return Err(TunnelError::Answer("an error"));
        }
        collect(answer.into_body()).await
    }
}

async fn within<T>(work: impl Future<Output = Result<T, hyper::Error>>) -> Result<T, TunnelError> {
    Ok(timeout(ANSWER_WITHIN, work).await.map_err(io::Error::from)??)
}

/// Reads a short body.
pub(crate) async fn collect(body: Incoming) -> Result<Bytes, TunnelError> {
    let read = timeout(ANSWER_WITHIN, Limited::new(body, BODY_MAX).collect()).await.map_err(io::Error::from)?;
    read.map(|b| b.to_bytes()).map_err(|e| match e.downcast::<hyper::Error>() {
        Ok(e) => TunnelError::Http(*e),
        Err(e) if e.is::<LengthLimitError>() => TunnelError::Answer("too much"),
        Err(_) => TunnelError::Answer("a body that broke off"),
    })
}

/// The box's end: answers until the tunnel ends.
pub(crate) async fn answer<F, T>(stream: Inner, handler: F) -> Result<(), TunnelError>
where
    F: Fn(Request<Incoming>) -> T + Send + 'static,
    T: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let service = hyper::service::service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(KEEP_ALIVE))
        .keep_alive_timeout(KEEP_ALIVE_WITHIN)
        .max_concurrent_streams(STREAMS_MAX + QUESTIONS_MAX)
        .initial_stream_window_size(HOME_WINDOW)
        .initial_connection_window_size(of_all(HOME_WINDOW))
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}
