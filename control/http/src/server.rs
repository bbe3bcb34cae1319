//! The server's end of a connection.

use crate::{Boxed, Io, Spawner, Stream, io};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::Service,
};
use hyper_util::rt::TokioTimer;
use std::{convert::Infallible, time::Duration};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;
type Answering = Boxed<Result<Answer, Infallible>>;

/// What answers the requests of a connection, for HTTP/1.1 and HTTP/2.
pub struct Handler(Box<dyn Fn(Request<Incoming>) -> Answering + Send>);

impl Handler {
    /// A handler from a function.
    pub fn new<A, F, B>(answer: A) -> Self
    where
        A: Fn(Request<Incoming>) -> F + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        Self(Box::new(move |request| {
            let answer = answer(request);
            Box::pin(async move { Ok(answer.await.map(BodyExt::boxed_unsync)) })
        }))
    }
}

impl Service<Request<Incoming>> for Handler {
    type Response = Answer;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        (self.0)(request)
    }
}

/// What a server of HTTP/1.1 puts up with.
#[derive(Debug, Clone, Copy)]
pub struct Http1 {
    /// Longest time for the head of a request.
    pub head_within: Duration,
    /// Longest request head, in bytes; at least 8 KiB.
    pub head_max: usize,
    /// Whether more than one request is answered.
    pub keep_alive: bool,
}

impl Http1 {
    /// Answers requests on one connection until it ends; upgrades are possible.
    ///
    /// # Errors
    /// The connection broke off, or what came is no HTTP.
    pub async fn serve(self, stream: impl Stream + 'static, handler: Handler) -> Result<(), hyper::Error> {
        self.serve_io(io(stream), handler).await
    }

    fn serve_io(self, io: Io, handler: Handler) -> Boxed<Result<(), hyper::Error>> {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_within)
            .max_buf_size(self.head_max)
            .keep_alive(self.keep_alive)
            .serve_connection(io, handler);
        Box::pin(connection.with_upgrades())
    }
}

/// Answers requests on one connection of HTTP/2 until it ends.
///
/// # Errors
/// The connection broke off, or what came is no HTTP/2.
pub fn serve2(
    options: &http2::Builder<Spawner>,
    stream: impl Stream + 'static,
    handler: Handler,
) -> Boxed<Result<(), hyper::Error>> {
    serve2_io(options, io(stream), handler)
}

fn serve2_io(options: &http2::Builder<Spawner>, io: Io, handler: Handler) -> Boxed<Result<(), hyper::Error>> {
    Box::pin(options.serve_connection(io, handler))
}
