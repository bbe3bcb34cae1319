//! The client's end of a connection.

use crate::{Stream, io};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use std::pin::Pin;

/// Sends requests over a connection of HTTP/1.1.
pub type Sender1 = http1::SendRequest<Full<Bytes>>;

/// Begins HTTP/1.1 on a connection; the future is the connection itself, which has to be waited for beside the request.
///
/// # Errors
/// The connection broke off.
pub async fn begin1(
    stream: impl Stream + 'static,
) -> Result<(Sender1, Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>), hyper::Error> {
    let (sender, connection) = http1::handshake(io(stream)).await?;
    Ok((sender, Box::pin(connection)))
}
