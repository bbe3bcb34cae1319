//! Tells a relay connection by its first bytes, before any HTTP machinery is set up for it.
//!
//! That keeps an idle relay connection small, and is the only way to serve a *fast start*: a client that knows the
//! relay's key from the meta certificate sends its first frame right behind the request and wants no HTTP answer
//! (`derp/derpserver` and `derp/derphttp` of tailscale.com v1.104.5).

use crate::proxies::FORWARDED_MAX;
use bytes::{Bytes, BytesMut};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::timeout,
};

/// Longest request head, in bytes.
const HEAD_MAX: usize = 16 * 1024;
/// Most header lines of a request for the relay.
const HEADERS_MAX: usize = 64;
/// Longest time until the head is whole.
const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// What every request for the relay begins with.
const START: &[u8] = b"GET /derp";
/// Longest `Sec-WebSocket-Key`, in bytes; a right one has 24.
const WEBSOCKET_KEY_MAX: usize = 64;

/// How DERP is to be spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framing {
    /// On the bare stream.
    Native,
    /// In binary WebSocket messages; with the request's `Sec-WebSocket-Key`.
    WebSocket(String),
}

/// A request to speak DERP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerpRequest {
    /// Length of the head, in bytes. What follows it is DERP already.
    pub head_len: usize,
    /// How.
    pub framing: Framing,
    /// The client wants no HTTP answer.
    pub fast_start: bool,
    /// The client says that another relay of the region would be its ideal one.
    pub not_ideal: bool,
    /// `X-Forwarded-For`, if it is there and not too long. Only a trusted proxy's is worth anything.
    pub forwarded_for: Option<String>,
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peek {
    /// More bytes are needed to tell.
    Partial,
    /// Anything else: for HTTP to answer.
    Other,
    /// A request for the relay.
    Derp(DerpRequest),
}

/// Looks at the first bytes of a connection (after TLS, if there is any).
#[must_use]
pub fn peek_derp_request(bytes: &[u8]) -> Peek {
    let known = bytes.len().min(START.len());
    if bytes.get(..known) != START.get(..known) {
        return Peek::Other;
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let head_len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return Peek::Partial,
        _ => return Peek::Other,
    };
    // HTTP/1.0 knows no upgrade.
    if request.version != Some(1) || request.path.map(|p| p.split('?').next().unwrap_or(p)) != Some("/derp") {
        return Peek::Other;
    }
    let header =
        |name: &str| request.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.trim_ascii());
    match upgrade_of(&header) {
        Some(framing) => Peek::Derp(DerpRequest {
            head_len,
            framing,
            fast_start: header("Derp-Fast-Start") == Some(b"1"),
            not_ideal: header("Ideal-Node").is_some_and(|node| !node.is_empty()),
            forwarded_for: forwarded_for(request.headers),
        }),
        None => Peek::Other,
    }
}

/// All lines of the header as one list, as RFC 9110 section 5.3 has it.
fn forwarded_for(headers: &[httparse::Header<'_>]) -> Option<String> {
    let mut list = String::new();
    for value in headers.iter().filter(|h| h.name.eq_ignore_ascii_case("X-Forwarded-For")).map(|h| h.value) {
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(std::str::from_utf8(value).ok()?);
        if list.len() > FORWARDED_MAX {
            return None;
        }
    }
    Some(list).filter(|l| !l.is_empty())
}

/// How DERP is to be spoken after this upgrade, given its headers; `None` when it is no upgrade to DERP.
pub(crate) fn upgrade_of<'a>(header: &impl Fn(&str) -> Option<&'a [u8]>) -> Option<Framing> {
    let upgrade = header("Upgrade")?.to_ascii_lowercase();
    match upgrade.as_slice() {
        b"derp" => Some(Framing::Native),
        // Without the sub-protocol it is a native client that is old enough to have called itself so.
        b"websocket" => {
            let protocols = header("Sec-WebSocket-Protocol").unwrap_or_default();
            if !protocols.windows(4).any(|w| w == b"derp") {
                return Some(Framing::Native);
            }
            let key = header("Sec-WebSocket-Key").filter(|k| k.len() <= WEBSOCKET_KEY_MAX)?;
            Some(Framing::WebSocket(String::from_utf8(key.to_vec()).ok()?))
        }
        _ => None,
    }
}

/// A new connection, and what it turned out to be.
#[derive(Debug)]
pub enum Sniffed<S> {
    /// For the relay: [`crate::Relay::serve_request`].
    Derp(DerpRequest, S, Bytes),
    /// For anything else.
    Other(Prefixed<S>),
}

/// Reads as much of a new connection as it takes to tell whether it is for the relay.
///
/// # Errors
/// The connection broke, ended, or said too little for 15 seconds.
pub async fn sniff<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> io::Result<Sniffed<S>> {
    let mut head = BytesMut::with_capacity(1024);
    let looked = async {
        loop {
            if stream.read_buf(&mut head).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match peek_derp_request(&head) {
                Peek::Partial => {}
                done => return Ok(done),
            }
        }
    };
    match timeout(HEAD_WITHIN, looked).await? {
        Ok(Peek::Derp(request)) => {
            let received = head.split_off(request.head_len.min(head.len())).freeze();
            Ok(Sniffed::Derp(request, stream, received))
        }
        Ok(_) => Ok(Sniffed::Other(Prefixed::new(head.freeze(), stream))),
        Err(e) => Err(e),
    }
}

/// A stream of which the first bytes were read already.
#[derive(Debug)]
pub struct Prefixed<S> {
    first: Bytes,
    stream: S,
}

impl<S> Prefixed<S> {
    /// Puts `first` in front of what is still to be read.
    pub fn new(first: Bytes, stream: S) -> Self {
        Self { first, stream }
    }

    /// The stream itself. Only to look at: bytes may wait in front of it.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let n = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first.split_to(n));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
