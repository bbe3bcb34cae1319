//! What a relay answers over HTTP besides DERP itself (`derp/derpserver`, `cmd/derper` of tailscale.com v1.104.5):
//! latency probes, the captive-portal check, addresses of other servers, and upgrades that came by way of hyper.

use crate::{
    client::Origin,
    metrics::add,
    relay::Relay,
    sniff::{DerpRequest, Framing, upgrade_of},
};
use bytes::Bytes;
use hearthgate_derp_frame::PROTOCOL_VERSION;
use hearthgate_http::{Stream, spawn};
use hearthgate_sorted::SortedMap;
use hearthgate_websocket::{WebSocket, websocket_accept};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use std::{io, net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// Longest challenge of the captive-portal check, in bytes.
const CHALLENGE_MAX: usize = 64;
/// Longest time for the answer to an upgrade.
const UPGRADE_WITHIN: Duration = Duration::from_secs(10);

/// Names a relay gives the addresses of to clients whose DNS does not work, by name.
pub type BootstrapDns = SortedMap<String, Vec<IpAddr>>;

impl Relay {
    /// Speaks DERP to whoever sent this request, answering it first unless it wants a fast start. `received` is what
    /// came behind the head of the request.
    ///
    /// Spawn it as a task of its own, so that whatever read the request is freed.
    ///
    /// # Errors
    /// As [`Relay::serve`].
    pub async fn serve_request<S>(
        self: Arc<Self>,
        request: DerpRequest,
        mut io: S,
        received: Bytes,
        origin: impl Into<Origin>,
    ) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut origin = origin.into();
        origin.not_ideal |= request.not_ideal;
        let head = match &request.framing {
            Framing::WebSocket(key) => Some(websocket_response(key)),
            Framing::Native if request.fast_start => None,
            Framing::Native => Some(self.upgrade_response()),
        };
        if let Some(head) = head {
            timeout(UPGRADE_WITHIN, io.write_all(head.as_bytes())).await??;
        }
        match request.framing {
            Framing::Native => self.serve(io, received, origin).await,
            Framing::WebSocket(_) => {
                add(&self.metrics.websocket_accepts, 1);
                let io: Box<dyn Stream> = Box::new(WebSocket::new(io, received.to_vec()));
                self.serve(io, Bytes::new(), origin).await
            }
        }
    }

    /// Answers `/derp` and what lies below it, `None` for other paths. An upgrade is answered, and the connection
    /// served in a task of its own once hyper has let go of it; that costs more than [`crate::sniff`] and is for
    /// connections that carried another request first, as those of proxies do.
    pub fn answer_http<B>(
        self: &Arc<Self>,
        request: &mut Request<B>,
        origin: impl Into<Origin>,
    ) -> Option<Response<Full<Bytes>>> {
        match request.uri().path() {
            "/derp/probe" | "/derp/latency-check" => Some(probe(request.method())),
            "/derp" => Some(self.upgrade(request, origin.into())),
            _ => None,
        }
    }

    fn upgrade<B>(self: &Arc<Self>, request: &mut Request<B>, mut origin: Origin) -> Response<Full<Bytes>> {
        let headers = request.headers();
        let framing = upgrade_of(&|name: &str| headers.get(name).map(HeaderValue::as_bytes));
        let fast_start = headers.contains_key("derp-fast-start");
        origin.not_ideal |= headers.get("ideal-node").is_some_and(|node| !node.is_empty());
        // hyper cannot leave a request unanswered. Clients send a fast start only as the first request of a connection.
        let Some(framing) = framing.filter(|_| !fast_start && request.version() == http::Version::HTTP_11) else {
            return plain(StatusCode::UPGRADE_REQUIRED, "DERP requires connection upgrade");
        };
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let answer = response.headers_mut();
        answer.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        match &framing {
            Framing::Native => {
                answer.insert(header::UPGRADE, HeaderValue::from_static("DERP"));
                answer.insert("derp-version", HeaderValue::from(PROTOCOL_VERSION));
                put(answer, "derp-public-key", &hearthgate_keys::encode(self.public.as_bytes()));
            }
            Framing::WebSocket(key) => {
                answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                put(answer, "sec-websocket-accept", &websocket_accept(key));
                answer.insert("sec-websocket-protocol", HeaderValue::from_static("derp"));
            }
        }
        let upgraded = hyper::upgrade::on(request);
        let relay = self.clone();
        spawn(async move {
            if let Ok(io) = upgraded.await {
                let io = TokioIo::new(io);
                let io: Box<dyn Stream> = match framing {
                    Framing::Native => Box::new(io),
                    Framing::WebSocket(_) => {
                        add(&relay.metrics.websocket_accepts, 1);
                        Box::new(WebSocket::new(io, Vec::new()))
                    }
                };
                // How a connection ended is counted where it ended.
                let _ = relay.serve(io, Bytes::new(), origin).await;
            }
        });
        response
    }
}

/// The head of the answer to a WebSocket upgrade.
fn websocket_response(key: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\
         Sec-WebSocket-Protocol: derp\r\n\r\n",
        websocket_accept(key)
    )
}

/// `/derp/probe` and `/derp/latency-check`: how far away the relay is, for clients that cannot use UDP.
fn probe(method: &Method) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "bogus probe method");
    }
    let mut response = Response::new(Full::default());
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// `/generate_204`: shows a client that no captive portal is in between. To be answered on port 80 too, and never
/// with a redirect.
#[must_use]
pub fn generate_204(request: &HeaderMap) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let never = HeaderValue::from_static("no-cache, no-store, must-revalidate, no-transform, max-age=0");
    headers.insert(header::CACHE_CONTROL, never);
    let challenge = request.get("x-tailscale-challenge").and_then(|c| c.to_str().ok()).filter(|c| is_challenge(c));
    if let Some(challenge) = challenge {
        put(headers, "x-tailscale-response", &format!("response {challenge}"));
    }
    response
}

fn is_challenge(text: &str) -> bool {
    (1..=CHALLENGE_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b))
}

/// `/bootstrap-dns`, optionally with `q=` one name: JSON, names with their addresses.
#[must_use]
pub fn bootstrap_dns(names: &BootstrapDns, query: Option<&str>) -> Response<Full<Bytes>> {
    let asked = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("q="));
    let body = match asked.and_then(|name| names.get_key_value(name)) {
        Some((name, addresses)) => serde_json::to_vec(&SortedMap::from([(name, addresses)])),
        None => serde_json::to_vec(names),
    };
    // Strings and addresses always serialize.
    let mut response = Response::new(Full::from(body.unwrap_or_default()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    // The official server ends its texts with a newline.
    let mut response = Response::new(Full::from(format!("{text}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // Hexadecimal, base64 and checked challenges are always header values.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
