//! The way to the authority: our own small HTTP client under `instant-acme`.

use hearthgate_fetch::Fetch;
use http::Request;
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use std::{future::Future, pin::Pin, sync::Arc};

/// One request a connection: an order takes about ten.
pub(crate) struct Transport(pub(crate) Arc<Fetch>);

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<bytes::Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let fetch = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let answer = fetch.request(Request::from_parts(head, body)).await.map_err(|e| Error::Other(Box::new(e)))?;
            Ok(answer.map(Full::<bytes::Bytes>::from).into())
        })
    }
}
