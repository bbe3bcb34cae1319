//! The tunnel between box and front: TCP, Noise, and HTTP/2 inside, in which the front asks and the box answers.
//!
//! The Noise handshake is the control protocol's with a version number that no client has: the number is in the
//! prologue, so that a message made for one is none for the other. Flow control is HTTP/2's (RFC 9113 section 5.2): one
//! stream that nobody reads holds up itself only, because the window of the connection is that of all streams together.

use crate::messages::BODY_MAX;
use bytes::Bytes;
use hearthgate_http::{Handler, Spawner, serve2};
use hearthgate_keys::{MachinePrivate, MachinePublic};
use hearthgate_noise::{HandshakeError, Initiator, RESPONSE_LEN};
use hearthgate_transport::NoiseStream;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Version in the handshake: far above all capability versions.
pub(crate) const TUNNEL_VERSION: u16 = 0xf001;
/// Clients that are passed on to one box at once. Each device has two connections, control and relay.
pub(crate) const STREAMS_MAX: u32 = 256;
/// Requests besides: greetings and questions about relay clients.
pub(crate) const QUESTIONS_MAX: u32 = 16;
/// Bytes of one client that may wait at the box, which may have 64 MB in all.
const HOME_WINDOW: u32 = 32 * 1024;
/// Bytes that are kept to be sent per stream before its writer has to wait.
pub(crate) const SEND_BUFFER: usize = 16 * 1024;
/// Largest head of a request.
const HEAD_MAX: u32 = 4096;
/// Silence after which the other side is asked whether it is there. NATs forget a TCP connection after minutes to hours
/// of silence (RFC 5382 asks for two hours; home routers have less).
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long the answer may take.
pub(crate) const KEEP_ALIVE_WITHIN: Duration = Duration::from_secs(15);
/// How long a handshake, or a question, may take.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// The window of a connection whose streams have this one: see the module's words about stalled streams.
pub(crate) const fn of_all(window: u32) -> u32 {
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
    let mut http = hyper::server::conn::http2::Builder::new(Spawner);
    http.timer(TokioTimer::new())
        .keep_alive_interval(Some(KEEP_ALIVE))
        .keep_alive_timeout(KEEP_ALIVE_WITHIN)
        .max_concurrent_streams(STREAMS_MAX + QUESTIONS_MAX)
        .initial_stream_window_size(HOME_WINDOW)
        .initial_connection_window_size(of_all(HOME_WINDOW))
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(HEAD_MAX);
    serve2(&http, stream, Handler::new(handler)).await?;
    Ok(())
}
