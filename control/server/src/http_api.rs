//! What anyone may ask of the server over plain HTTP: its key, the upgrade to Noise, health, pages for people.

use crate::{
    admin, api_v1, api_v2, apple, check_pages,
    metrics::Metrics,
    noise_api::{self, Peer},
    oidc_pages, pages,
    reply::{Body, Reply, json, read_json, text, typed},
    state::App,
};
use hearthgate_http::{Handler, Spawner, serve2, spawn};
use hearthgate_keys::{ChallengePublic, MachinePublic};
use hearthgate_tailcfg::{EarlyNoise, OverTlsPublicKeyResponse, VerifyRequest, VerifyResponse};
use hearthgate_transport::{AcceptError, Upgrade};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::{net::IpAddr, time::Duration};

/// Largest body of `/verify`.
const VERIFY_MAX: usize = 4096;
/// A client must finish its first request inside Noise within this time, or the connection is of no use.
const H2_KEEP_ALIVE: Duration = Duration::from_secs(45);
/// How long an unanswered HTTP/2 ping keeps a connection: half-open ones are found out this way.
const H2_PING_TIMEOUT: Duration = Duration::from_secs(25);
/// Streams one client may have open on a connection; the official one needs three.
const H2_STREAMS_MAX: u32 = 32;
/// Bytes that may wait per stream before its producer has to: maps are made of shared pieces, a copy is not.
const H2_SEND_BUFFER: usize = 16 * 1024;
/// Receive window of a stream: requests are small.
const H2_STREAM_WINDOW: u32 = 64 * 1024;

/// Whether a request came over the local socket, where no API key is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From the network, with the address of the client.
    Network(IpAddr),
    /// Passed on by a front, with the address it says the client has. Never local, whatever that address is.
    #[cfg(feature = "front")]
    Front(IpAddr),
    /// From the unix socket.
    Local,
}

/// Answers one request on the outer server.
pub async fn handle(app: App, origin: Origin, req: Request<Incoming>) -> Reply {
    let path = req.uri().path().to_owned();
    if path.starts_with("/api/v1/") {
        return api_v1::handle(app, origin, req).await;
    }
    if path.starts_with("/api/v2/") {
        return api_v2::handle(app, origin, req).await;
    }
    if let Some(which) = path.strip_prefix("/apple/") {
        return apple::profile(which, &app.control.current().settings.server_url);
    }
    if path == "/admin" || path.starts_with("/admin/") {
        return admin::handle(app, origin, req).await;
    }
    let method = req.method().clone();
    match (method, path.as_str()) {
        (Method::GET, "/key") => key(&app, &req),
        (_, "/ts2021") => ts2021(app, origin, req),
        (Method::POST, "/verify") => verify(&app, req).await,
        (Method::GET, "/health") => typed(StatusCode::OK, "application/health+json", r#"{"status":"pass"}"#),
        (Method::GET, "/version") => json(&version()),
        (Method::GET, "/metrics") => metrics(&app, origin),
        (Method::GET, "/robots.txt") => text(StatusCode::OK, "User-agent: *\nDisallow: /\n"),
        (Method::GET | Method::HEAD, "/generate_204") => hearthgate_derp::generate_204(req.headers()).map(Body::from),
        (Method::GET, "/bootstrap-dns") => {
            hearthgate_derp::bootstrap_dns(&app.bootstrap_dns, req.uri().query()).map(Body::from)
        }
        (_, "/derp" | "/derp/probe" | "/derp/latency-check") => derp(&app, origin, req),
        (Method::GET, "/") if admin::shown_to(&app, origin, &req) => admin::see_other("/admin/"),
        (Method::GET, "/") => pages::home(&app),
        (Method::GET, "/join") => admin::join_help(&app),
        (Method::GET, "/apple") => pages::apple(&app),
        (Method::GET, "/windows") => pages::windows(&app),
        (Method::GET, "/oidc/callback") => match &app.oidc {
            Some(oidc) => oidc_pages::callback(&app, oidc, &req).await,
            None => text(StatusCode::NOT_FOUND, "no OpenID provider is configured"),
        },
        (Method::POST, p) if p.starts_with("/register/confirm/") => match &app.oidc {
            Some(oidc) => oidc_pages::confirm(&app, oidc, p.trim_start_matches("/register/confirm/"), req).await,
            None => text(StatusCode::NOT_FOUND, "no OpenID provider is configured"),
        },
        (Method::POST, p) if p.starts_with("/ssh-check/confirm/") => match &app.oidc {
            Some(oidc) => check_pages::confirm(&app, oidc, p.trim_start_matches("/ssh-check/confirm/"), req).await,
            None => text(StatusCode::NOT_FOUND, "no OpenID provider is configured"),
        },
        (Method::GET, p) if p.starts_with("/ssh-check/") => {
            check_pages::show(&app, p.trim_start_matches("/ssh-check/")).await
        }
        (Method::GET, p) if p.starts_with("/.well-known/acme-challenge/") => match app.acme.answer(p) {
            Some(answer) => text(StatusCode::OK, &answer),
            None => text(StatusCode::NOT_FOUND, "no such token"),
        },
        (Method::GET, p) => match p.strip_prefix("/register/") {
            Some(id) => pages::register(&app, id).await,
            None => text(StatusCode::NOT_FOUND, "not found"),
        },
        _ => text(StatusCode::NOT_FOUND, "not found"),
    }
}

/// What `/version` and `hearthgate version` say.
#[must_use]
pub fn version() -> serde_json::Value {
    hearthgate_read::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "capabilityVersion": hearthgate_tailcfg::CapabilityVersion::NEWEST.0,
        "oldestCapabilityVersion": hearthgate_tailcfg::CapabilityVersion::OLDEST.0,
    })
}

fn query(req: &Request<Incoming>, name: &str) -> Option<String> {
    let pairs = req.uri().query()?.split('&').filter_map(|p| p.split_once('='));
    pairs.into_iter().find(|(k, _)| *k == name).map(|(_, v)| v.to_owned())
}

fn key(app: &App, req: &Request<Incoming>) -> Reply {
    match query(req, "v").map(|v| v.parse::<u32>()) {
        Some(Ok(_)) => {}
        _ => return text(StatusCode::BAD_REQUEST, "say which capability version you have: /key?v=113"),
    }
    json(&OverTlsPublicKeyResponse { legacy_public_key: MachinePublic::ZERO, public_key: app.noise_key.public() })
}

/// The way to Noise: a POST with an upgrade, or a WebSocket.
fn ts2021(app: App, origin: Origin, mut req: Request<Incoming>) -> Reply {
    let upgrade = match hearthgate_transport::accept(&app.noise_key, req.method(), req.uri(), req.headers()) {
        Ok(upgrade) => upgrade,
        Err(e) => {
            if matches!(e, AcceptError::Handshake(_)) {
                Metrics::add(&app.metrics.noise_failed);
            }
            return text(e.status(), &e.to_string());
        }
    };
    let mut reply = Reply::new(Body::Whole(None));
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *reply.headers_mut() = upgrade.headers();
    let upgrading = hyper::upgrade::on(&mut req);
    spawn(async move {
        if let Ok(upgraded) = upgrading.await {
            serve_noise(app, origin, upgrade, upgraded).await;
        }
    });
    reply
}

/// The relay, for requests that came behind another on their connection, as those of proxies do.
fn derp(app: &App, origin: Origin, mut req: Request<Incoming>) -> Reply {
    let from = match origin {
        Origin::Network(ip) => hearthgate_derp::Remote { ip: Some(ip) },
        #[cfg(feature = "front")]
        Origin::Front(ip) => hearthgate_derp::Remote { ip: Some(ip) },
        Origin::Local => hearthgate_derp::Remote::default(),
    };
    match app.relay.as_ref().and_then(|relay| relay.answer_http(&mut req, from)) {
        Some(reply) => reply.map(Body::from),
        None => text(StatusCode::NOT_FOUND, "no relay runs here"),
    }
}

/// Speaks HTTP/2 inside the Noise session until the client is gone.
async fn serve_noise(app: App, origin: Origin, upgrade: Upgrade, upgraded: hyper::upgrade::Upgraded) {
    Metrics::add(&app.metrics.noise_accepted);
    // Who comes through a front shows nothing of how the world reaches this box.
    let source = if let Origin::Network(ip) = origin { Some(ip) } else { None };
    let peer = Peer { machine: upgrade.machine(), source };
    let mut challenge = [0u8; 32];
    crate::writer::fill_random(&mut challenge);
    let early = EarlyNoise { node_key_challenge: ChallengePublic::from_bytes(challenge) };
    let early = serde_json::to_vec(&early).unwrap_or_default();
    let Ok(stream) = upgrade.stream(TokioIo::new(upgraded), &early) else { return };
    let handler = Handler::new(move |req| noise_api::handle(app.clone(), peer, req));
    let mut http = hyper::server::conn::http2::Builder::new(Spawner);
    http.timer(hyper_util::rt::TokioTimer::new())
        .keep_alive_interval(Some(H2_KEEP_ALIVE))
        .keep_alive_timeout(H2_PING_TIMEOUT)
        .max_concurrent_streams(H2_STREAMS_MAX)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .max_send_buf_size(H2_SEND_BUFFER)
        .max_header_list_size(16 * 1024);
    if let Err(e) = serve2(&http, stream, handler).await {
        tracing::debug!(machine = ?peer.machine, error = %e, "noise connection ended");
    }
}

async fn verify(app: &App, req: Request<Incoming>) -> Reply {
    let request: VerifyRequest = match read_json(req, VERIFY_MAX).await {
        Ok(request) => request,
        Err(reply) => return *reply,
    };
    json(&VerifyResponse { allow: app.control.current().node_by_key(&request.node_public).is_some() })
}

fn metrics(app: &App, origin: Origin) -> Reply {
    match origin {
        Origin::Network(ip) if !ip.is_loopback() => text(StatusCode::NOT_FOUND, "not found"),
        #[cfg(feature = "front")]
        Origin::Front(_) => text(StatusCode::NOT_FOUND, "not found"),
        _ => metrics_page(app),
    }
}

/// All counters, in Prometheus' text form.
pub(crate) fn metrics_page(app: &App) -> Reply {
    let mut out = app.metrics.text();
    let snap = app.control.current();
    let online = snap.nodes().filter(|n| n.path.online).count();
    out.push_str("# HELP hearthgate_nodes Nodes in the tailnet.\n# TYPE hearthgate_nodes gauge\n");
    for (state, count) in [("true", online), ("false", snap.node_count() - online)] {
        out.push_str(&format!("hearthgate_nodes{{online=\"{state}\"}} {count}\n"));
    }
    if let Some(relay) = &app.relay {
        out.push_str(&relay.metrics_text());
    }
    out.push_str(&app.stun.text());
    typed(StatusCode::OK, "text/plain; version=0.0.4", out)
}
