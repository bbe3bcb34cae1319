//! The client's end of a connection.

use crate::{Boxed, Io, Stream, io};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;

/// Sends requests over a connection of HTTP/1.1.
pub type Sender1 = http1::SendRequest<Full<Bytes>>;

/// A connection, which has to be waited for beside its requests.
pub type Connection1 = Boxed<Result<(), hyper::Error>>;

/// Begins HTTP/1.1 on a connection.
///
/// # Errors
/// The connection broke off.
pub async fn begin1(stream: impl Stream + 'static) -> Result<(Sender1, Connection1), hyper::Error> {
    begin(io(stream)).await
}

fn begin(io: Io) -> Boxed<Result<(Sender1, Connection1), hyper::Error>> {
    Box::pin(async move {
        let (sender, connection) = http1::handshake(io).await?;
        let connection: Connection1 = Box::pin(connection);
        Ok((sender, connection))
    })
}
