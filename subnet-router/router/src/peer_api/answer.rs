//! What the peer API answers: who we are, names, files, waking.

use super::{Caller, Facts};
use crate::{
    dns::{self, Asker, DNS_MESSAGE, Upstream, Verdict, Zone},
    taildrop::{DropError, Inbox, Offer},
    wake,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// Longest DNS question.
const QUESTION_MAX: usize = 4096;
/// Longest form.
const FORM_MAX: usize = 1024;
/// Longest part of a refused file's name in the log.
const NAME_SHOWN: usize = 100;
/// How long a question or a form may take.
const BODY: Duration = Duration::from_secs(10);

/// Answers a request. While `transfer` is held, the connection may go on beyond its time.
pub(super) async fn answer(
    request: http::Request<Incoming>,
    caller: &Caller,
    here: SocketAddr,
    facts: &Facts,
    transfer: &Weak<()>,
) -> Response<Full<Bytes>> {
    let zone = &facts.zone;
    let (parts, body) = request.into_parts();
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    // A page in a browser must not reach us under a name of its own.
    let from_page = [header::ORIGIN, header::REFERER].iter().any(|name| parts.headers.contains_key(name));
    if from_page || host != here.to_string() && host != here.ip().to_string() && host != "peer" {
        return text(StatusCode::FORBIDDEN, "no page may ask this, nor anybody by another name\n");
    }
    match (&parts.method, parts.uri.path()) {
        // The official client's `ping --peerapi` asks for the head alone.
        (&Method::GET | &Method::HEAD, "/") => {
            text(StatusCode::OK, &format!("Hello, {}. This is a hearthgate router.\n", caller.name))
        }
        (_, "/dns-query") if !caller.dns => text(StatusCode::FORBIDDEN, "no DNS for you\n"),
        (&Method::GET, "/dns-query") => {
            let coded = parts.uri.query().into_iter().flat_map(|query| query.split('&'));
            let coded = coded.filter_map(|pair| pair.strip_prefix("dns=")).next().unwrap_or_default();
            let question = URL_SAFE_NO_PAD.decode(coded.trim_end_matches('=')).unwrap_or_default();
            resolve(&question, zone).await
        }
        (&Method::POST, "/dns-query") => match read(body, QUESTION_MAX).await {
            Ok(question) => resolve(&question, zone).await,
            Err(refusal) => refusal,
        },
        (_, "/v0/wol") if !caller.wake => text(StatusCode::FORBIDDEN, "you may not wake machines here\n"),
        (&Method::POST, "/v0/wol") => match read(body, FORM_MAX).await {
            Ok(form) => wake_up(parts.uri.query().unwrap_or_default(), &String::from_utf8_lossy(&form), &facts.tunnel),
            Err(refusal) => refusal,
        },
        (method, path) => match path.strip_prefix("/v0/put/") {
            Some(name) => {
                let inbox = facts.inbox.borrow().clone();
                let Some(inbox) = inbox.filter(|_| caller.files) else {
                    return text(StatusCode::FORBIDDEN, "no files are taken from you here\n");
                };
                match *method {
                    Method::PUT => {
                        // The answer does not hold it: who does not read that is stopped.
                        let _transfer = transfer.upgrade();
                        put(&inbox, caller, name, &parts.headers, body).await
                    }
                    Method::GET => sums(&inbox, &caller.id, name).await,
                    _ => text(StatusCode::METHOD_NOT_ALLOWED, "GET or PUT\n"),
                }
            }
            None => text(StatusCode::NOT_FOUND, "no such page\n"),
        },
    }
}

/// All of a small body.
async fn read(body: Incoming, max: usize) -> Result<Bytes, Response<Full<Bytes>>> {
    match timeout(BODY, Limited::new(body, max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(text(StatusCode::PAYLOAD_TOO_LARGE, "too long, or broken off\n")),
        Err(_) => Err(text(StatusCode::REQUEST_TIMEOUT, "too slow\n")),
    }
}

/// Wakes the machine that the query or the form names.
fn wake_up(query: &str, form: &str, tunnel: &str) -> Response<Full<Bytes>> {
    let mut pairs = query.split('&').chain(form.trim().split('&'));
    let mac = pairs.find_map(|pair| pair.strip_prefix("mac=")).unwrap_or_default();
    let mac = mac.replace("%3A", ":").replace("%3a", ":");
    let Some(mac) = wake::parse(&mac) else { return text(StatusCode::BAD_REQUEST, "bad 'mac' param\n") };
    json(&wake::send(mac, tunnel))
}

/// Takes a file.
async fn put(
    inbox: &Arc<Inbox>,
    caller: &Caller,
    name: &str,
    headers: &HeaderMap,
    body: Incoming,
) -> Response<Full<Bytes>> {
    let offset = match headers.get(header::RANGE) {
        None => Some(0),
        // From there to the end.
        Some(range) => range.to_str().ok().and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()),
    };
    let Some(offset) = offset else { return text(StatusCode::BAD_REQUEST, "invalid Range header\n") };
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let error = match inbox.take(Offer { from: &caller.id, name, offset, length }, body).await {
        Ok(file) => {
            tracing::info!(from = caller.name, file, "a file arrived");
            return text(StatusCode::OK, "{}\n");
        }
        Err(error) => error,
    };
    let file: String = name.chars().take(NAME_SHOWN).collect();
    tracing::info!(from = caller.name, file, %error, "a file did not arrive");
    refused(&error)
}

/// What there is of a file already, for its sender to go on; without a name, which files there are.
async fn sums(inbox: &Arc<Inbox>, from: &str, name: &str) -> Response<Full<Bytes>> {
    let read = match name {
        "" => inbox.partials(from).await.map(|names| serde_json::to_vec(&names).unwrap_or_default()),
        name => inbox.sums(from, name).await,
    };
    read.map_or_else(|error| refused(&error), |bytes| Response::new(Full::from(bytes)))
}

fn refused(error: &DropError) -> Response<Full<Bytes>> {
    let status = match error {
        DropError::Name => StatusCode::BAD_REQUEST,
        DropError::Busy => StatusCode::CONFLICT,
        DropError::TooMany => StatusCode::SERVICE_UNAVAILABLE,
        DropError::Full => StatusCode::INSUFFICIENT_STORAGE,
        DropError::Place => StatusCode::RANGE_NOT_SATISFIABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    text(status, &format!("{error}\n"))
}

fn json(value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(serde_json::to_vec(value).unwrap_or_default()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn resolve(question: &[u8], zone: &watch::Receiver<Arc<Zone>>) -> Response<Full<Bytes>> {
    let verdict = zone.borrow().decide(question);
    let answer = match verdict {
        Verdict::Answer(bytes) => Some(bytes),
        Verdict::Ignore => return text(StatusCode::BAD_REQUEST, "not a DNS question\n"),
        Verdict::Forward(mut to) => {
            // Not on to another peer: two that use each other as exit nodes would pass it to and fro.
            to.retain(|upstream| matches!(upstream, Upstream::Plain(_)));
            match dns::forward(question, &to, false, Asker::Peer).await {
                // Here is room for all of it.
                Some(answer) if dns::is_truncated(&answer) => dns::forward(question, &to, true, Asker::Peer).await,
                answer => answer,
            }
        }
    };
    let Some(answer) = answer else { return text(StatusCode::BAD_GATEWAY, "no resolver answers\n") };
    let mut response = Response::new(Full::from(answer));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(DNS_MESSAGE));
    response
}

pub(super) fn text(status: StatusCode, words: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(words.to_owned()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
