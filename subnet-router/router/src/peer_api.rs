//! The peer API: HTTP on our own addresses, for peers alone. It says who we are, and answers DNS questions of those who
//! use us as exit node (`ipn/ipnlocal/peerapi.go` of tailscale.com v1.102.5; DNS over HTTPS: RFC 8484).
//!
//! The packet filter lets every peer in here; who may ask what is decided by the address the question comes from, which
//! WireGuard has proven.

use crate::dns::{self, DNS_MESSAGE, Upstream, Verdict, Zone};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use hearthgate_http::{Handler, Http1, spawn};
use hearthgate_sorted::SortedMap;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use socket2::{Protocol, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::AbortHandle,
    time::timeout,
};

/// CRC-32 as IEEE 802.3 has it.
static CRC32: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
/// Ports tried before any free one.
const TRIES: u8 = 5;
/// Connections at one time.
const CONNECTIONS: usize = 32;
/// Longest DNS question.
const QUESTION_MAX: usize = 4096;
/// How long a connection may take for its questions.
const CONNECTION: Duration = Duration::from_secs(60);
/// What is put up with on one.
const HTTP: Http1 = Http1 { head_within: Duration::from_secs(5), head_max: 16 * 1024, keep_alive: true };

/// A peer, as far as the peer API is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its name, whole.
    pub name: String,
    /// Whether it may ask DNS questions.
    pub dns: bool,
}

/// Peers by address.
pub type Callers = SortedMap<IpAddr, Caller>;

/// What the answers are made of.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Who may call.
    pub callers: watch::Receiver<Arc<Callers>>,
    /// What names mean.
    pub zone: watch::Receiver<Arc<Zone>>,
}

/// A running peer API; it stops when this is dropped.
#[derive(Debug)]
pub struct PeerApi {
    tasks: Vec<AbortHandle>,
    places: Vec<SocketAddr>,
}

impl Drop for PeerApi {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl PeerApi {
    /// Listens on these addresses of ours. One that cannot be had is left out.
    #[must_use]
    pub fn start(own: &[IpAddr], facts: &Facts) -> Self {
        let mut api = Self { tasks: Vec::new(), places: Vec::new() };
        for ip in own {
            match listen(*ip) {
                Ok((listener, place)) => {
                    api.places.push(place);
                    api.tasks.push(spawn(serve(listener, facts.clone())).abort_handle());
                }
                Err(error) => tracing::info!(%ip, %error, "no peer API"),
            }
        }
        api
    }

    /// Where it listens.
    #[must_use]
    pub fn places(&self) -> &[SocketAddr] {
        &self.places
    }
}

fn listen(ip: IpAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for port in (0..TRIES).map(|attempt| port(ip, attempt)).chain([0]) {
        let bound = dns::socket(SocketAddr::new(ip, port), Type::STREAM, Protocol::TCP).and_then(|socket| {
            socket.listen(CONNECTIONS as i32)?;
            TcpListener::from_std(socket.into())
        });
        match bound {
            Ok(listener) => {
                let place = listener.local_addr()?;
                return Ok((listener, place));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The port for an address: the same after each start, so that connection tracking on the way stays right.
fn port(ip: IpAddr, attempt: u8) -> u16 {
    let octets = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let [.., a, b, c] = octets.as_slice() else { return 0 };
    let sum = CRC32.checksum(&[a.wrapping_add(attempt), *b, *c]);
    0x8000 | u16::try_from(sum & 0x7fff).unwrap_or(0)
}

async fn serve(listener: TcpListener, facts: Facts) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(permit) = room.clone().acquire_owned().await {
        let Ok((stream, from)) = listener.accept().await else { continue };
        // Strangers get no answer: only the tunnel leads here, but the LAN might route to us.
        let Some(caller) = facts.callers.borrow().get(&from.ip().to_canonical()).cloned() else { continue };
        let Ok(here) = stream.local_addr() else { continue };
        let facts = facts.clone();
        spawn(async move {
            let handler = Handler::new(move |request| {
                let (facts, caller) = (facts.clone(), caller.clone());
                async move { answer(request, &caller, here, &facts.zone).await }
            });
            // Whoever asked went away in the middle: nobody is left to tell.
            let _ = timeout(CONNECTION, HTTP.serve(stream, handler)).await;
            drop(permit);
        });
    }
}

async fn answer(
    request: http::Request<Incoming>,
    caller: &Caller,
    here: SocketAddr,
    zone: &watch::Receiver<Arc<Zone>>,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    // A page in a browser must not reach us under a name of its own.
    if host != here.to_string() && host != here.ip().to_string() && host != "peer" {
        return text(StatusCode::FORBIDDEN, "this is no name of ours\n");
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
        (&Method::POST, "/dns-query") => match Limited::new(body, QUESTION_MAX).collect().await {
            Ok(question) => resolve(&question.to_bytes(), zone).await,
            Err(_) => text(StatusCode::PAYLOAD_TOO_LARGE, "too long\n"),
        },
        _ => text(StatusCode::NOT_FOUND, "no such page\n"),
    }
}

async fn resolve(question: &[u8], zone: &watch::Receiver<Arc<Zone>>) -> Response<Full<Bytes>> {
    let verdict = zone.borrow().decide(question);
    let answer = match verdict {
        Verdict::Answer(bytes) => Some(bytes),
        Verdict::Ignore => return text(StatusCode::BAD_REQUEST, "not a DNS question\n"),
        Verdict::Forward(mut to) => {
            // Not on to another peer: two that use each other as exit nodes would pass it to and fro.
            to.retain(|upstream| matches!(upstream, Upstream::Plain(_)));
            match dns::forward(question, &to, false).await {
                // Here is room for all of it.
                Some(answer) if dns::is_truncated(&answer) => dns::forward(question, &to, true).await,
                answer => answer,
            }
        }
    };
    let Some(answer) = answer else { return text(StatusCode::BAD_GATEWAY, "no resolver answers\n") };
    let mut response = Response::new(Full::from(answer));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(DNS_MESSAGE));
    response
}

fn text(status: StatusCode, words: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(words.to_owned()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    #[test]
    fn ports_are_high_stable_and_differ_by_attempt() {
        let ip: IpAddr = "100.64.0.1".parse().unwrap();
        assert!((0..TRIES).all(|attempt| port(ip, attempt) >= 0x8000));
        assert_eq!(port(ip, 0), port("fd7a:115c:a1e0::6440:1".parse().unwrap(), 0));
        assert_ne!(port(ip, 0), port(ip, 1));
    }

    async fn get(at: SocketAddr, path: &str, host: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A stranger's connection is closed with the request unread, which is a reset.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn peers_are_answered_and_others_are_not() {
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        let caller = Caller { name: "b.t.example.".into(), dns: false };
        let (callers, seen) = watch::channel(Arc::new(Callers::from([(here, caller.clone())])));
        let (_zone, zone) = watch::channel(Arc::default());
        let api = PeerApi::start(&[here], &Facts { callers: seen, zone });
        let at = *api.places().first().unwrap();
        assert!(get(at, "/", &at.to_string()).await.contains("Hello, b.t.example."));
        assert!(get(at, "/", "evil.example").await.starts_with("HTTP/1.1 403 "));
        assert!(get(at, "/dns-query?dns=AAAA", &at.to_string()).await.starts_with("HTTP/1.1 403 "));
        callers.send_replace(Arc::new(Callers::from([(here, Caller { dns: true, ..caller })])));
        assert!(get(at, "/dns-query?dns=AAAA", &at.to_string()).await.starts_with("HTTP/1.1 400 "));
        callers.send_replace(Arc::default());
        assert_eq!(get(at, "/", &at.to_string()).await, "");
    }
}
