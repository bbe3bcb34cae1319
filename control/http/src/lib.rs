//! HTTP connections and tasks, each compiled once for the whole program.
//!
//! hyper and tokio are generic: a server for another kind of stream, with another handler or another body is another
//! copy of their machines, and so is each `tokio::spawn` of another future, twice (for both schedulers). In a program
//! that has to fit into a router's flash that was a tenth of it. Here streams, handlers, bodies and futures are
//! behind one pointer each. That costs an allocation per connection, request and task, and nothing per packet: relayed
//! packets and WireGuard's do not come this way.

mod client;
mod server;
mod task;

pub use client::{Connection1, Sender1, begin1};
pub use server::{Handler, Http1, serve2};
pub use task::{Spawner, spawn};

use hyper_util::rt::TokioIo;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};

/// Both directions of a connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A future behind a pointer. What a function gives back as one of these is compiled where the function is; an `async fn`
/// is compiled in each crate that calls it from something generic.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Any connection, as hyper takes it.
pub type Io = TokioIo<Box<dyn Stream>>;

/// Any connection, as hyper takes it.
pub fn io(stream: impl Stream + 'static) -> Io {
    TokioIo::new(Box::new(stream))
}
