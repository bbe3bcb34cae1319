//! What a relay that runs by itself answers besides DERP (`cmd/derper` of tailscale.com v1.102.5): probes, the
//! captive-portal check, addresses of other servers, a page for people, and metrics.

use crate::{
    client::Origin,
    http::{BootstrapDns, bootstrap_dns, generate_204},
    proxies::TrustedProxies,
    relay::Relay,
    stun::StunMetrics,
};
use bytes::Bytes;
use hearthgate_http::{Handler, Http1, Stream};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// What is put up with on a connection.
const HTTP: Http1 = Http1 { head_within: Duration::from_secs(15), head_max: 16 * 1024, keep_alive: true };

/// What the pages show.
#[derive(Debug, Clone)]
pub struct Pages {
    /// The relay.
    pub relay: Arc<Relay>,
    /// STUN beside it.
    pub stun: Arc<StunMetrics>,
    /// Names and addresses for clients whose DNS does not work.
    pub bootstrap_dns: BootstrapDns,
    /// Who may speak for the addresses of others.
    pub proxies: Arc<TrustedProxies>,
    /// Metrics are shown to everybody; otherwise to this machine only.
    pub metrics_for_all: bool,
}

/// Serves a connection that is not for the relay, or not yet: proxies send several requests over one.
pub async fn serve_pages(pages: Arc<Pages>, stream: impl Stream + 'static, remote: SocketAddr) {
    let handler = Handler::new(move |request| {
        let answer = pages.answer(request, remote);
        async move { answer }
    });
    // Whoever breaks off has their reasons.
    let _ = HTTP.serve(stream, handler).await;
}

impl Pages {
    fn answer(&self, mut request: Request<Incoming>, remote: SocketAddr) -> Response<Full<Bytes>> {
        let forwarded = request.headers().get("x-forwarded-for").and_then(|v| v.to_str().ok());
        let ip = self.proxies.client(remote.ip(), forwarded);
        let origin = Origin::from(if ip == remote.ip().to_canonical() { remote } else { SocketAddr::new(ip, 0) });
        if let Some(response) = self.relay.answer_http(&mut request, origin) {
            return response;
        }
        match request.uri().path() {
            "/generate_204" => generate_204(request.headers()),
            "/bootstrap-dns" => bootstrap_dns(&self.bootstrap_dns, request.uri().query()),
            "/metrics" if self.metrics_for_all || ip.is_loopback() => {
                page("text/plain; version=0.0.4", self.relay.metrics_text() + &self.stun.text())
            }
            "/health" => page("application/health+json", r#"{"status":"pass"}"#.into()),
            "/robots.txt" => page("text/plain; charset=utf-8", "User-agent: *\nDisallow: /\n".into()),
            "/" => page(
                "text/plain; charset=utf-8",
                "This is a DERP relay for Tailscale clients, run by hearthgate.\n".into(),
            ),
            _ => {
                let mut response = page("text/plain; charset=utf-8", "not found\n".into());
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        }
    }
}

fn page(media: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
