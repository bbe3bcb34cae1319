//! The server's end of a connection.

use crate::{Io, Stream, io};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::rt::TokioTimer;
use std::{convert::Infallible, pin::Pin, time::Duration};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;
type Answering = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

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

    async fn serve_io(self, io: Io, handler: Handler) -> Result<(), hyper::Error> {
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_within)
            .max_buf_size(self.head_max)
            .keep_alive(self.keep_alive)
            .serve_connection(io, handler)
            .with_upgrades()
            .await
    }
}
