//! One connection to the control server: HTTP/2 over Noise, and the requests that go over it.

use crate::{
    ControlError,
    dial::{Connection, Server},
};
use bytes::Bytes;
use hearthgate_http::{Spawner, io, spawn};
use hearthgate_keys::NodePublic;
use hearthgate_tailcfg::{MapRequest, RegisterRequest, RegisterResponse};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use tokio::task::AbortHandle;

/// Largest answer besides the map stream.
const ANSWER_MAX: usize = 1024 * 1024;
/// How much of an error's text is shown.
const TEXT_MAX: usize = 200;
/// The longest wait a server may ask for.
const RETRY_MAX: Duration = Duration::from_secs(300);
/// Window of a stream: what the server may send before we have read it.
const WINDOW: u32 = 256 * 1024;

/// A connection.
#[derive(Clone)]
pub struct Session {
    sender: SendRequest<Full<Bytes>>,
    authority: Arc<str>,
    _driver: Arc<Driver>,
}

struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    /// Begins HTTP/2 on a connection.
    pub async fn begin(connection: Connection, server: &Server) -> Result<Self, ControlError> {
        let (sender, driver) = hyper::client::conn::http2::Builder::new(Spawner)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(io(connection))
            .await?;
        // Its end shows in every request that waits.
        let driver = spawn(async move { drop(driver.await) });
        let driver = Arc::new(Driver(driver.abort_handle()));
        Ok(Self { sender, authority: server.authority.as_str().into(), _driver: driver })
    }

    /// Registers, or asks how a login goes on.
    pub async fn register(&self, request: &RegisterRequest) -> Result<RegisterResponse, ControlError> {
        let answer = self.post("/machine/register", request, request.node_key).await?;
        let answer: RegisterResponse = serde_json::from_slice(&collect(answer).await?)?;
        if answer.error.is_empty() { Ok(answer) } else { Err(ControlError::Refused(answer.error)) }
    }

    /// Tells the server about us.
    pub async fn update(&self, request: &MapRequest) -> Result<(), ControlError> {
        let answer = self.post("/machine/map", request, request.node_key).await?;
        collect(answer).await.map(drop)
    }

    /// Opens a map stream.
    pub async fn poll(&self, request: &MapRequest) -> Result<Incoming, ControlError> {
        Ok(self.post("/machine/map", request, request.node_key).await?.into_body())
    }

    /// Answers a ping at the path and query of `url`, whose host does not matter here; without a body it is a HEAD.
    pub async fn answer(&self, url: &str, body: Option<Vec<u8>>) -> Result<(), ControlError> {
        let path = url.parse::<http::Uri>().ok().and_then(|uri| uri.path_and_query().map(ToString::to_string));
        let path = path.ok_or_else(|| ControlError::Url(url.to_owned()))?;
        let method = if body.is_some() { Method::POST } else { Method::HEAD };
        let request = Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.authority))
            .body(Full::from(body.unwrap_or_default()))?;
        let answer = self.sender.clone().send_request(request).await?;
        collect(answer).await.map(drop)
    }

    async fn post<T: Serialize>(
        &self,
        path: &'static str,
        body: &T,
        key: NodePublic,
    ) -> Result<Response<Incoming>, ControlError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("https://{}{path}", self.authority))
            .header("Ts-Lb", key.to_string())
            .body(Full::from(serde_json::to_vec(body)?))?;
        let answer = self.sender.clone().send_request(request).await?;
        if answer.status() == StatusCode::OK {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let wait = answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
        let retry_after = wait.map(|s| Duration::from_secs(s).min(RETRY_MAX));
        let text = collect(answer).await.unwrap_or_default();
        let text: String = String::from_utf8_lossy(&text).trim().chars().take(TEXT_MAX).collect();
        Err(ControlError::Status { path, status, text, retry_after })
    }
}

async fn collect(answer: Response<Incoming>) -> Result<Bytes, ControlError> {
    match Limited::new(answer.into_body(), ANSWER_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(e) => Err(ControlError::Refused(format!("an answer that breaks off or is too long: {e}"))),
    }
}
