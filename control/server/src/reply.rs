//! Answers over HTTP, and reading bounded JSON bodies.

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::mpsc, time::timeout};

/// An answer.
pub type Reply = Response<Body>;

/// The body of an answer: whole, or messages as they come.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Whole(Option<Bytes>),
    /// Messages of a stream that ends when the sender is dropped.
    Messages(mpsc::Receiver<Bytes>),
}

impl Body {
    /// A body of these bytes.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }
}

impl From<http_body_util::Full<Bytes>> for Body {
    fn from(mut body: http_body_util::Full<Bytes>) -> Self {
        // A `Full` is one frame, ready at once.
        let frame = std::pin::pin!(&mut body).poll_frame(&mut Context::from_waker(std::task::Waker::noop()));
        match frame {
            Poll::Ready(Some(Ok(frame))) => Self::Whole(frame.into_data().ok()),
            _ => Self::Whole(None),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b)))),
            Self::Messages(rx) => rx.poll_recv(cx).map(|m| m.map(|b| Ok(Frame::data(b)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None)) || matches!(self, Self::Whole(Some(b)) if b.is_empty())
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Whole(bytes) => http_body::SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Messages(_) => http_body::SizeHint::default(),
        }
    }
}

impl Stream for Body {
    type Item = Bytes;
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        http_body::Body::poll_frame(self, cx).map(|f| f.and_then(|f| f.ok().and_then(|f| f.into_data().ok())))
    }
}

/// Longest time for a request body: what was read of one that never ends lies in memory.
pub(crate) const BODY_WITHIN: Duration = Duration::from_secs(60);

/// A plain text.
#[must_use]
pub fn text(status: StatusCode, text: &str) -> Reply {
    typed(status, "text/plain; charset=utf-8", text.to_owned())
}

/// A page.
#[must_use]
pub fn html(status: StatusCode, page: String) -> Reply {
    let mut reply = typed(status, "text/html; charset=utf-8", page);
    let headers = reply.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
        ),
    );
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// A JSON value with status 200.
#[must_use]
pub fn json(value: &impl Serialize) -> Reply {
    json_status(StatusCode::OK, value)
}

/// A JSON value.
#[must_use]
pub fn json_status(status: StatusCode, value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(bytes) => typed(status, "application/json", bytes),
        Err(e) => {
            tracing::error!(error = %e, "an answer could not be written as JSON");
            text(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
        }
    }
}

/// Bytes of a media type.
#[must_use]
pub fn typed(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Reply::new(Body::full(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    reply
}

/// An endless stream of messages.
#[must_use]
pub fn stream(messages: mpsc::Receiver<Bytes>) -> Reply {
    Reply::new(Body::Messages(messages))
}

/// Reads a JSON body of at most `max` bytes.
///
/// # Errors
/// The answer to give instead: 413 or 400.
pub async fn read_json<T: DeserializeOwned>(req: Request<Incoming>, max: usize) -> Result<T, Box<Reply>> {
    let bytes = read_body(req, max).await?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Box::new(text(StatusCode::BAD_REQUEST, &format!("the request body is not as expected: {e}"))))
}

/// Reads a body of at most `max` bytes, within [`BODY_WITHIN`].
///
/// # Errors
/// The answer to give instead: 408 or 413.
pub async fn read_body(req: Request<Incoming>, max: usize) -> Result<Bytes, Box<Reply>> {
    let body = http_body_util::Limited::new(req.into_body(), max).collect();
    let Ok(body) = timeout(BODY_WITHIN, body).await else {
        return Err(Box::new(text(StatusCode::REQUEST_TIMEOUT, "the request body took too long")));
    };
    let too_large = |_| {
        Box::new(text(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("the request body is larger than {max} bytes, or it broke off"),
        ))
    };
    body.map(http_body_util::Collected::to_bytes).map_err(too_large)
}
