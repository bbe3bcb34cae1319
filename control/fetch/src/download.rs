//! Files that are too large to be kept in memory: their bytes go on as they come.

use crate::{ANSWER_WITHIN, Fetch, FetchError, Send, request};
use hearthgate_http::{Boxed, begin1, spawn};
use hyper::body::Incoming;
use std::fmt::Display;
use tokio::{task::JoinHandle, time::timeout};

/// An answer whose body is still to come. Whoever takes it limits its length and its time.
pub struct Download {
    /// HTTP status.
    pub status: u16,
    /// What comes; it ends early when this is dropped.
    pub body: Incoming,
    _connection: Connection,
}

/// The task that carries the connection, for as long as somebody wants of it.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Fetch {
    /// Asks for a file; the answer is there when its head is.
    ///
    /// # Errors
    /// As [`Fetch::get`].
    pub fn download<'a>(
        &'a self,
        url: &'a str,
    ) -> std::pin::Pin<Box<dyn Future<Output = Begun> + std::marker::Send + 'a>> {
        Box::pin(self.begin(url))
    }

    async fn begin(&self, url: &str) -> Begun {
        let wrong = || FetchError::Url(url.to_owned());
        let uri: http::Uri = url.parse().map_err(|_| wrong())?;
        let (stream, request, host) = self.dial(request(&uri, Send::default()).map_err(|_| wrong())?).await?;
        let unreachable = |e: &dyn Display| FetchError::Unreachable { host: host.clone(), why: e.to_string() };
        let beginning: Boxed<Result<_, hyper::Error>> = Box::pin(async move {
            let (mut sender, connection) = begin1(stream).await?;
            let connection = Connection(spawn(async move { drop(connection.await) }));
            Ok((sender.send_request(request).await?, connection))
        });
        let begun = timeout(ANSWER_WITHIN, beginning).await.map_err(|_| FetchError::Slow(host.clone()))?;
        let (answer, connection) = begun.map_err(|e| unreachable(&e))?;
        Ok(Download { status: answer.status().as_u16(), body: answer.into_body(), _connection: connection })
    }
}

type Begun = Result<Download, FetchError>;
