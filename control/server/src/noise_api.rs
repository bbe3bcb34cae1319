//! What a client asks inside its Noise connection: register, map, and the smaller endpoints.
//!
//! The machine key of the connection is the identity; every request names a node key, and the pair has to fit.
//! `:authority` is ignored: clients put their own fancy there.

use crate::{
    bodies,
    certificates::CertificateError,
    encode::Compression,
    metrics::Metrics,
    oidc::form,
    pings::ANSWER_MAX,
    reply::{Body, Reply, json, stream, text},
    state::App,
    stream::{Ended, MapStream},
    writer::Unavailable,
};
use bytes::Bytes;
use hearthgate_core::{
    AuthId, CoreError, Fact, Node, NodeId, Registration, SshAnswer, SshAttempt, cert_domain, challenge_record,
};
use hearthgate_http::spawn;
use hearthgate_keys::{MachinePublic, NodePublic};
use hearthgate_sorted::SortedSet;
use hearthgate_tailcfg::{
    CapabilityVersion, MapRequest, QueryFeatureRequest, QueryFeatureResponse, RegisterRequest, RegisterResponse,
    SetDnsRequest,
};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::sync::{broadcast, mpsc};

/// A held login is answered again after this long even without news, so that a lost notice costs only time.
const HOLD_RECHECK: Duration = Duration::from_secs(30);

/// The identity of one Noise connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Machine key it proved to own.
    pub machine: MachinePublic,
    /// Where it came from by itself; `None` through a front.
    pub source: Option<IpAddr>,
}

/// Answers one request.
pub async fn handle(app: App, peer: Peer, req: Request<Incoming>) -> Reply {
    let path = req.uri().path().to_owned();
    match (req.method(), path.as_str()) {
        (&Method::POST, "/machine/register") => register(&app, peer, req).await,
        (&Method::POST, "/machine/map") => map(&app, peer, req).await,
        (&Method::POST, "/machine/set-dns") => set_dns(&app, peer, req).await,
        (&Method::POST, "/machine/feature/query") => feature_query(&app, peer, req).await,
        (&Method::POST, "/machine/update-health" | "/machine/audit-log") => text(StatusCode::OK, ""),
        (&Method::PATCH, "/machine/set-device-attr") => {
            // Postures would be worth nothing if devices could vouch for themselves.
            text(
                StatusCode::FORBIDDEN,
                "a device does not set its own attributes: whoever looks after it does, by the API",
            )
        }
        (&Method::POST, "/machine/id-token") => {
            text(StatusCode::NOT_IMPLEMENTED, "this server issues no identity tokens")
        }
        (_, "/machine/whoami") => whoami(&app, peer),
        (_, p) if p.starts_with("/machine/tka/") => {
            text(StatusCode::NOT_IMPLEMENTED, "tailnet lock is not offered by this server")
        }
        (_, p) if p.starts_with("/machine/webclient/") => {
            text(StatusCode::NOT_IMPLEMENTED, "the remote web client is not offered by this server")
        }
        (_, p) if p.starts_with("/machine/ssh/action/") => ssh_action(&app, peer, &req).await,
        (_, p) => match p.strip_prefix("/machine/ping-response/") {
            Some(id) => ping_response(&app, peer, id, req).await,
            None => text(StatusCode::NOT_FOUND, "no such endpoint"),
        },
    }
}

/// Reads a JSON body; see [`bodies::read`].
async fn read<T: DeserializeOwned>(app: &App, peer: Peer, req: Request<Incoming>) -> Result<T, Box<Reply>> {
    let known = || app.control.current().knows_machine(&peer.machine);
    bodies::read(&app.noise_bodies, known, req.into_body()).await
}

async fn register(app: &App, peer: Peer, req: Request<Incoming>) -> Reply {
    let request: Arc<RegisterRequest> = match read(app, peer, req).await {
        Ok(request) => Arc::new(request),
        Err(reply) => return *reply,
    };
    Metrics::add(&app.metrics.registers);
    if !CapabilityVersion(request.version).is_supported() {
        return json(&RegisterResponse { error: too_old(request.version), ..Default::default() });
    }
    // Subscribed before asking: an approval in between must not be missed.
    let mut facts = app.facts.subscribe();
    loop {
        let asked = request.clone();
        let outcome = app.control.call(move |world, c| world.register(peer.machine, &asked, c.now, c.rng)).await;
        match outcome {
            Ok(Registration::Respond(response)) => return json(&*response),
            Ok(Registration::Hold(id)) => finished(&mut facts, &id).await,
            Err(Unavailable) => return text(StatusCode::INTERNAL_SERVER_ERROR, &Unavailable.to_string()),
        }
    }
}

async fn map(app: &App, peer: Peer, req: Request<Incoming>) -> Reply {
    let request: Arc<MapRequest> = match read(app, peer, req).await {
        Ok(request) => Arc::new(request),
        Err(reply) => return *reply,
    };
    if !CapabilityVersion(request.version).is_supported() {
        return text(StatusCode::BAD_REQUEST, &too_old(request.version));
    }
    let asked = request.clone();
    let node = match app.control.call(move |world, _| world.report(peer.machine, &asked)).await {
        Ok(Ok(node)) => node,
        Ok(Err(e)) => return refused(&e),
        Err(e) => return text(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
    };
    app.visits.note(app, node, peer.source);
    tracing::debug!(%node, stream = request.stream, endpoints = ?request.endpoints, "map request");
    if !request.stream && request.omit_peers {
        Metrics::add(&app.metrics.endpoint_updates);
        return text(StatusCode::OK, "");
    }
    let compression = Compression::of(&request.compress);
    let snap = app.control.current();
    let first = match app.maps.whole(&snap, node, &SortedSet::new(), compression) {
        Ok(first) => first,
        // A real error before streaming: an empty 200 would make the client loop.
        Err(e) => return text(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
    };
    Metrics::add(&app.metrics.maps_whole);
    if !request.stream {
        return Reply::new(Body::full(first.concat()));
    }
    let Some(record) = snap.node(node).cloned() else { return text(StatusCode::NOT_FOUND, "node not found") };
    let (out, body) = mpsc::channel(1);
    let task = MapStream {
        node: record,
        key: request.node_key,
        compression,
        out,
        control: app.control.clone(),
        maps: app.maps.clone(),
        pings: app.pings.clone(),
    };
    let (app, cursor) = (app.clone(), snap.seq);
    spawn(async move {
        Metrics::add(&app.metrics.streams);
        let ended = task.run(first, cursor).await;
        app.metrics.streams.fetch_sub(1, portable_atomic::Ordering::Relaxed);
        if ended == Ended::Stuck {
            Metrics::add(&app.metrics.streams_stuck);
        }
        tracing::debug!(%node, ?ended, "map stream ended");
    });
    stream(body)
}

/// `/machine/set-dns`: a device wants the answer to its certificate's challenge in DNS.
async fn set_dns(app: &App, peer: Peer, req: Request<Incoming>) -> Reply {
    let request: SetDnsRequest = match read(app, peer, req).await {
        Ok(request) => request,
        Err(reply) => return *reply,
    };
    let node = match owns(app, peer, &request.node_key) {
        Ok(node) => node,
        Err(reply) => return *reply,
    };
    let now = jiff::Timestamp::now();
    let name = match challenge_record(&app.control.current().settings, &node, &request, now) {
        Ok(name) => name,
        Err(CoreError::Denied(why)) => return text(StatusCode::FORBIDDEN, &why),
        Err(e) => return refused(&e),
    };
    match app.device_certificates.set(node.id, &name, &request.value).await {
        Ok(()) => json(&hearthgate_read::json!({})),
        Err(e) => {
            tracing::warn!(node = %node.id, name, error = %e, "no record for a certificate");
            let status = match e {
                CertificateError::Off => StatusCode::FORBIDDEN,
                CertificateError::Spent(_) => StatusCode::TOO_MANY_REQUESTS,
                CertificateError::Slow | CertificateError::Provider(_) => StatusCode::BAD_GATEWAY,
                CertificateError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
                CertificateError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            text(status, &e.to_string())
        }
    }
}

async fn feature_query(app: &App, peer: Peer, req: Request<Incoming>) -> Reply {
    let request: QueryFeatureRequest = match read(app, peer, req).await {
        Ok(request) => request,
        Err(reply) => return *reply,
    };
    let node = match owns(app, peer, &request.node_key) {
        Ok(node) => node,
        Err(reply) => return *reply,
    };
    if request.feature == "serve" && cert_domain(&app.control.current().settings, &node).is_some() {
        return json(&QueryFeatureResponse { complete: true, ..Default::default() });
    }
    let text = match request.feature.as_str() {
        "serve" => {
            "Serve over HTTPS needs certificates, which are not set up on this server (certificates.provider in its \
             configuration). Use `tailscale serve --http=80`."
        }
        "funnel" => "Funnel is not offered by this server: it needs public ingress nodes.",
        _ => "This feature is not offered by this server.",
    };
    json(&QueryFeatureResponse { complete: false, text: text.into(), ..Default::default() })
}

fn whoami(app: &App, peer: Peer) -> Reply {
    let snap = app.control.current();
    let nodes: Vec<String> =
        snap.nodes().filter(|n| n.machine_key == peer.machine).map(|n| format!("{} {}", n.id, n.given_name)).collect();
    text(StatusCode::OK, &format!("machine {}\n{}\n", peer.machine, nodes.join("\n")))
}

/// `/machine/ssh/action/from/<node>/to/<node>?ssh_user=…&auth_id=…`: a machine asks about an SSH session, and waits
/// while a person is asked.
async fn ssh_action(app: &App, peer: Peer, req: &Request<Incoming>) -> Reply {
    let Some(attempt) = ssh_attempt(req.uri().path(), req.uri().query().unwrap_or_default()) else {
        return text(StatusCode::BAD_REQUEST, "expected /machine/ssh/action/from/NODE/to/NODE?ssh_user=LOGIN");
    };
    let mut facts = app.facts.subscribe();
    loop {
        let asked = attempt.clone();
        let answer = app.control.call(move |world, c| world.ssh_attempt(peer.machine, &asked, c.now, c.rng)).await;
        match answer {
            Ok(Ok(SshAnswer::Act(action))) => return json(&action),
            Ok(Ok(SshAnswer::Hold(id))) => finished(&mut facts, &id).await,
            Ok(Err(e)) => return refused(&e),
            Err(e) => return text(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
        }
    }
}

fn ssh_attempt(path: &str, query: &str) -> Option<SshAttempt> {
    let (from, to) = path.strip_prefix("/machine/ssh/action/from/")?.split_once("/to/")?;
    let check = match form(query, "auth_id") {
        Some(id) => Some(AuthId::parse(&id)?),
        None => None,
    };
    let login = form(query, "ssh_user")?;
    Some(SshAttempt { from: NodeId(from.parse().ok()?), to: NodeId(to.parse().ok()?), login, check })
}

/// Until a login or check is over, or it is time to look again.
async fn finished(facts: &mut broadcast::Receiver<Fact>, id: &AuthId) {
    let news = async {
        loop {
            match facts.recv().await {
                Ok(Fact::LoginFinished(done)) if done == *id => break,
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => break,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    // Either way the question is asked again.
    let _ = tokio::time::timeout(HOLD_RECHECK, news).await;
}

async fn ping_response(app: &App, peer: Peer, id: &str, req: Request<Incoming>) -> Reply {
    let snap = app.control.current();
    let fits = app.pings.target(id).and_then(|n| snap.node(n).cloned()).is_some_and(|n| n.machine_key == peer.machine);
    if !fits {
        return text(StatusCode::NOT_FOUND, "no such ping");
    }
    let body = http_body_util::Limited::new(req.into_body(), ANSWER_MAX).collect().await;
    app.pings.answer(id, body.map(http_body_util::Collected::to_bytes).unwrap_or_else(|_| Bytes::new()));
    text(StatusCode::NO_CONTENT, "")
}

fn owns(app: &App, peer: Peer, key: &NodePublic) -> Result<Arc<Node>, Box<Reply>> {
    match app.control.current().node_by_key(key) {
        Some(node) if node.machine_key == peer.machine => Ok(node.clone()),
        _ => Err(Box::new(text(StatusCode::NOT_FOUND, "node not found"))),
    }
}

fn refused(e: &CoreError) -> Reply {
    let status = match e {
        CoreError::NotFound(_) => StatusCode::NOT_FOUND,
        CoreError::Denied(_) => StatusCode::UNAUTHORIZED,
        _ => StatusCode::BAD_REQUEST,
    };
    text(status, &e.to_string())
}

fn too_old(version: u32) -> String {
    format!("this client is too old (capability version {version}): update it to Tailscale 1.80 or newer")
}
