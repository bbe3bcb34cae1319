//! The server's way in: what a request for `/ts2021` has to look like, and the stream it leads to.
//!
//! Two kinds of clients ask (`control/controlhttp` of tailscale.com v1.104.5): native ones POST with an upgrade to a
//! protocol of their own, those in browsers GET a WebSocket. The HTTP server stays with the caller: [`accept`] looks at
//! a request, [`Upgrade::headers`] are the answer's, and [`Upgrade::stream`] takes over the upgraded connection.

use crate::{HANDSHAKE_HEADER, HANDSHAKE_HEADER_MAX, NoiseStream, UPGRADE};
use base64::{Engine, engine::general_purpose::STANDARD};
use hearthgate_keys::{MachinePrivate, MachinePublic};
use hearthgate_noise::{Accepted, HandshakeError, RecordError, encode_early, respond};
use hearthgate_websocket::{WebSocket, websocket_accept};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The version of WebSocket that RFC 6455 is.
const WEBSOCKET_VERSION: &str = "13";
/// Length of a `Sec-WebSocket-Key`: sixteen bytes in base64.
const WEBSOCKET_KEY_LEN: usize = 24;

/// Why a request for `/ts2021` was refused. The texts are meant for the body of the answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// Neither of the two ways in.
    #[error("POST with an upgrade to tailscale-control-protocol is needed here")]
    Method,
    /// The upgrade is missing or to something else.
    #[error("missing or unknown upgrade: a proxy in front must pass on Upgrade: tailscale-control-protocol")]
    Upgrade,
    /// The handshake is missing, too long, or no base64.
    #[error("missing or malformed X-Tailscale-Handshake")]
    Header,
    /// A WebSocket request that RFC 6455 section 4.2.1 does not allow.
    #[error("not a WebSocket request: {0}")]
    WebSocket(&'static str),
    /// A WebSocket request of a version other than 13.
    #[error("WebSocket version 13 is needed here")]
    WebSocketVersion,
    /// The handshake does not authenticate.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

impl AcceptError {
    /// Status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// A request whose handshake succeeded, and whose connection can be upgraded.
#[derive(Debug)]
pub struct Upgrade {
    accepted: Accepted,
    /// `Sec-WebSocket-Accept`, when it is one.
    websocket: Option<String>,
}

/// Looks at a request for `/ts2021`.
///
/// # Errors
/// [`AcceptError`] says what to answer instead.
pub fn accept(key: &MachinePrivate, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Upgrade, AcceptError> {
    let upgrade = headers.get(header::UPGRADE).map(HeaderValue::as_bytes).unwrap_or_default();
    let (websocket, handshake) = match *method {
        Method::POST if upgrade.eq_ignore_ascii_case(UPGRADE.as_bytes()) => {
            let value =
                headers.get(HANDSHAKE_HEADER).filter(|v| v.len() <= HANDSHAKE_HEADER_MAX).ok_or(AcceptError::Header)?;
            (None, STANDARD.decode(value).map_err(|_| AcceptError::Header)?)
        }
        Method::GET if upgrade.eq_ignore_ascii_case(b"websocket") => {
            let key = websocket_key(headers)?;
            (Some(websocket_accept(key)), handshake_in_query(uri).ok_or(AcceptError::Header)?)
        }
        Method::POST => return Err(AcceptError::Upgrade),
        _ => return Err(AcceptError::Method),
    };
    Ok(Upgrade { accepted: respond(key, &handshake)?, websocket })
}

impl Upgrade {
    /// Machine key that the client proved to own.
    #[must_use]
    pub const fn machine(&self) -> MachinePublic {
        self.accepted.machine
    }

    /// Capability version that the client announced.
    #[must_use]
    pub const fn version(&self) -> u16 {
        self.accepted.version
    }

    /// Headers of the answer, whose status is 101.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        let Some(accept) = &self.websocket else {
            headers.insert(header::UPGRADE, HeaderValue::from_static(UPGRADE));
            return headers;
        };
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(UPGRADE));
        // Base64 is always a header value.
        if let Ok(accept) = HeaderValue::from_str(accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        headers
    }

    /// The Noise session over the upgraded connection. The handshake's answer and `early`, the JSON of the early
    /// payload, go out with the first flush; browsers get no early payload, as from the official server.
    ///
    /// # Errors
    /// Never in practice: the record counter would have to be used up.
    pub fn stream<S>(self, io: S, early: &[u8]) -> Result<NoiseStream<Carrier<S>>, RecordError> {
        let native = self.websocket.is_none();
        let io = if native { Carrier::Native(io) } else { Carrier::WebSocket(WebSocket::new(io, Vec::new())) };
        let mut stream = NoiseStream::new(io, self.accepted.session, self.accepted.response.to_vec(), Vec::new());
        if native && !early.is_empty() {
            stream.queue(&encode_early(early))?;
        }
        Ok(stream)
    }
}

/// The client's `Sec-WebSocket-Key`, when all else is in order too.
fn websocket_key(headers: &HeaderMap) -> Result<&str, AcceptError> {
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|v| v != WEBSOCKET_VERSION) {
        return Err(AcceptError::WebSocketVersion);
    }
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
    if !offered.flat_map(|v| v.split(',')).any(|p| p.trim().eq_ignore_ascii_case(UPGRADE)) {
        return Err(AcceptError::WebSocket("the sub-protocol is tailscale-control-protocol"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|v| v.to_str().ok());
    key.filter(|k| k.len() == WEBSOCKET_KEY_LEN).ok_or(AcceptError::WebSocket("its key is missing"))
}

/// The handshake as browsers send it: they cannot set headers, so it is in the query.
fn handshake_in_query(uri: &Uri) -> Option<Vec<u8>> {
    let mut pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.eq_ignore_ascii_case(HANDSHAKE_HEADER))?;
    // An escaped character takes three.
    let value = Some(value).filter(|v| v.len() <= 3 * HANDSHAKE_HEADER_MAX)?;
    STANDARD.decode(unescaped(value)?).ok()
}

/// Undoes `%2B` and the like.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let ([high, low], tail) = tail.split_first_chunk::<2>()?;
        let digit = |c: &u8| char::from(*c).to_digit(16);
        out.push(u8::try_from(digit(high)? << 4 | digit(low)?).ok()?);
        rest = tail;
    }
    Some(out)
}

/// What carries the Noise session.
#[derive(Debug)]
pub enum Carrier<S> {
    /// The connection itself.
    Native(S),
    /// Messages in it.
    WebSocket(WebSocket<S>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Carrier<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Native(io) => Pin::new(io).poll_read(cx, buf),
            Self::WebSocket(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Carrier<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Native(io) => Pin::new(io).poll_write(cx, buf),
            Self::WebSocket(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Native(io) => Pin::new(io).poll_flush(cx),
            Self::WebSocket(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Native(io) => Pin::new(io).poll_shutdown(cx),
            Self::WebSocket(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
