//! The unix socket by which the command line asks a running router: HTTP with JSON, one request a connection.
//!
//! | request | answer |
//! |---|---|
//! | `GET /status` | as the official client's `status --json` |
//! | `POST /ping?target=NAME&timeout_ms=N` | a [`crate::PingAnswer`]; 504 if the peer is silent so long, or for five seconds |
//! | `POST /netcheck` | as the official client's `netcheck --format=json` |
//! | `GET /prefs` | the preferences |
//! | `POST /up` | takes an object of changed preferences |
//! | `POST /down` | stops the router |

use crate::Request;
use bytes::Bytes;
use hearthgate_http::{Handler, Http1, spawn};
use hearthgate_read::json;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::UnixListener,
    sync::{Semaphore, mpsc, oneshot},
    time::{sleep, timeout},
};

/// Connections served at one time.
const CONNECTIONS: usize = 16;
/// How long nobody is let in after that failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Largest request body.
const BODY_MAX: usize = 64 * 1024;
/// Longest wait for the router; a ping is given up earlier.
const WAIT: Duration = Duration::from_secs(15);
/// What is put up with on a connection.
const HTTP: Http1 = Http1 { head_within: Duration::from_secs(30), head_max: 16 * 1024, keep_alive: true };
/// How long a peer may take for a ping if nothing else is asked for, as with the official client; and at most.
const PING: Duration = Duration::from_secs(5);
const PING_MAX: Duration = Duration::from_secs(25);

/// The listening socket; the file goes away with it.
#[derive(Debug)]
pub struct Listener {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
        // A file that is gone already needs no removal.
        let _ = fs::remove_file(&self.path);
    }
}

/// Listens at `path`, for its owner only, and hands requests to a router.
///
/// # Errors
/// The socket cannot be made, or another router listens there.
pub async fn serve(path: &Path, requests: mpsc::Sender<Request>) -> io::Result<Listener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if tokio::net::UnixStream::connect(path).await.is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "a router is running already"));
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let task = spawn(async move {
        while let Ok(permit) = room.clone().acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else {
                // There are no more files to be had, say: asking at once again would not help.
                sleep(ACCEPT_AGAIN).await;
                continue;
            };
            let requests = requests.clone();
            spawn(async move {
                let handler = Handler::new(move |request| {
                    let requests = requests.clone();
                    async move { answer(request, &requests).await }
                });
                // Whoever asked went away in the middle: nobody is left to tell.
                let _ = timeout(2 * WAIT, HTTP.serve(stream, handler)).await;
                drop(permit);
            });
        }
    });
    Ok(Listener { path: path.to_owned(), task })
}

async fn answer(request: http::Request<Incoming>, requests: &mpsc::Sender<Request>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let asked = |name: &str| {
        let mut pairs = parts.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| decode(value))
    };
    let (target, limit) = (asked("target"), asked("timeout_ms"));
    let result = match (parts.method, parts.uri.path()) {
        (Method::GET, "/status") => ask(requests, Request::Status, WAIT).await,
        (Method::GET, "/prefs") => ask(requests, Request::Prefs, WAIT).await,
        (Method::POST, "/netcheck") => ask(requests, Request::Netcheck, WAIT).await,
        (Method::POST, "/down") => ask(requests, Request::Down, WAIT).await.map(|()| json!({})),
        (Method::POST, "/ping") => {
            let target = target.unwrap_or_default();
            let limit = limit.and_then(|text| text.parse().ok()).map_or(PING, Duration::from_millis).min(PING_MAX);
            let answer = ask(requests, |answer| Request::Ping { target, answer }, limit).await;
            answer.and_then(|answer| match answer {
                Ok(pong) => Ok(serde_json::to_value(pong).unwrap_or_default()),
                Err(text) => Err((StatusCode::NOT_FOUND, text)),
            })
        }
        (Method::POST, "/up") => match changes(body).await {
            Ok(changes) => {
                let answer = ask(requests, |answer| Request::Up { changes, answer }, WAIT).await;
                answer.and_then(|done| done.map(|()| json!({})).map_err(|text| (StatusCode::BAD_REQUEST, text)))
            }
            Err(text) => Err((StatusCode::BAD_REQUEST, text)),
        },
        _ => Err((StatusCode::NOT_FOUND, "no such request".into())),
    };
    let (status, json) = match result {
        Ok(json) => (StatusCode::OK, json),
        Err((status, text)) => (status, json!({ "detail": text })),
    };
    let mut response = Response::new(Full::from(json.to_string()));
    *response.status_mut() = status;
    response
}

async fn ask<T>(
    requests: &mpsc::Sender<Request>,
    request: impl FnOnce(oneshot::Sender<T>) -> Request,
    wait: Duration,
) -> Result<T, (StatusCode, String)> {
    let (answer, answered) = oneshot::channel();
    let stopped = || (StatusCode::SERVICE_UNAVAILABLE, "the router has stopped".to_owned());
    requests.send(request(answer)).await.map_err(|_| stopped())?;
    match timeout(wait, answered).await {
        Ok(answer) => answer.map_err(|_| stopped()),
        Err(_) => Err((StatusCode::GATEWAY_TIMEOUT, "no answer".into())),
    }
}

async fn changes(body: Incoming) -> Result<serde_json::Map<String, Value>, String> {
    let body = Limited::new(body, BODY_MAX).collect().await.map_err(|e| e.to_string())?;
    serde_json::from_slice(&body.to_bytes()).map_err(|e| e.to_string())
}

/// Undoes percent-encoding; what is no valid code stays as it is.
fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match code {
            Some(code) if byte == b'%' => {
                out.push(code);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn percent_codes_are_undone() {
        assert_eq!(decode("fd7a%3A%3a1"), "fd7a::1");
        assert_eq!(decode("a%zz%4"), "a%zz%4");
    }

    async fn exchange(path: &Path, request: &str) -> String {
        let mut stream = tokio::net::UnixStream::connect(path).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn requests_reach_the_router_and_answers_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("router.sock");
        let (sender, mut requests) = mpsc::channel(1);
        let listener = serve(&path, sender.clone()).await.unwrap();
        assert!(serve(&path, sender).await.is_err(), "two routers on one socket");
        let router = tokio::spawn(async move {
            let mut unanswered = Vec::new();
            while let Some(request) = requests.recv().await {
                match request {
                    Request::Status(answer) => answer.send(json!({ "BackendState": "Running" })).unwrap(),
                    Request::Ping { target, answer } if target == "silent" => unanswered.push(answer),
                    Request::Ping { target, answer } => answer.send(Err(format!("no {target}"))).unwrap(),
                    _ => return,
                }
            }
        });
        let status = exchange(&path, "GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(status.starts_with("HTTP/1.1 200 ") && status.ends_with("{\"BackendState\":\"Running\"}"), "{status}");
        let ping = exchange(&path, "POST /ping?target=a%20b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(ping.starts_with("HTTP/1.1 404 ") && ping.contains("no a b"), "{ping}");
        let begin = std::time::Instant::now();
        let words = "POST /ping?timeout_ms=50&target=silent HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        assert!(exchange(&path, words).await.starts_with("HTTP/1.1 504 "));
        assert!(begin.elapsed() < PING);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(listener);
        assert!(!path.exists());
        router.abort();
    }
}
