//! What can go wrong between us and a control server.

use hearthgate_fetch::FetchError;
use hearthgate_transport::ClientError;
use std::{io, time::Duration};

/// A try to talk to the control server failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The login server's URL cannot be used.
    #[error("{0:?} is no login server: a URL like https://controlplane.example or http://192.168.1.1:8080 is needed")]
    Url(String),
    /// The server could not be reached, or is no control server.
    #[error(transparent)]
    Connect(#[from] ClientError),
    /// The server could not be asked for its key.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The network failed.
    #[error("network: {0}")]
    Io(#[from] io::Error),
    /// HTTP inside the connection failed.
    #[error("connection to the control server: {0}")]
    Http(#[from] hyper::Error),
    /// A request could not be made.
    #[error("a request could not be made: {0}")]
    Request(#[from] http::Error),
    /// The server refused, in its own words.
    #[error("the control server says: {0}")]
    Refused(String),
    /// The server answered with an error status.
    #[error("{path} was answered with status {status}: {text}")]
    Status {
        /// Which request.
        path: &'static str,
        /// HTTP status.
        status: u16,
        /// Beginning of the body.
        text: String,
        /// The server wants us to wait so long.
        retry_after: Option<Duration>,
    },
    /// An answer is not what the protocol has there.
    #[error("the control server's answer cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A message is larger than any network's.
    #[error("the control server sent a message of {0} bytes; at most {max} are taken", max = crate::MESSAGE_MAX)]
    TooLarge(usize),
    /// A message does not decompress.
    #[error("a message of the control server does not decompress: {0}")]
    Zstd(io::Error),
    /// The packet filter comes in more parts than are kept, which is this number.
    #[error("the control server sent more than {0} parts of the packet filter")]
    TooManyParts(usize),
    /// The first message of a map stream must name us.
    #[error("the first message of the map stream lacks our node")]
    NoSelf,
    /// Nothing was heard for too long.
    #[error("the control server fell silent")]
    Silent,
    /// The server asked for a new key twice in a row.
    #[error("the control server does not accept a new key either")]
    KeyRefused,
    /// Keys could not be stored.
    #[error(transparent)]
    State(#[from] crate::StateError),
}
