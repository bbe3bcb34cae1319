//! The peer API: HTTP on our own addresses, for peers alone. It says who we are, answers DNS questions of those who use us
//! as exit node, takes files, and wakes machines on the LAN (`ipn/ipnlocal/peerapi.go` of tailscale.com v1.102.5; DNS over HTTPS: RFC 8484).
//!
//! The packet filter lets every peer in here; who may ask what is decided by the address the question comes from, which
//! WireGuard has proven.

use crate::{
    dns::{self, Asker, DNS_MESSAGE, Upstream, Verdict, Zone},
    taildrop::{DropError, Inbox, Offer},
    wake,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use hearthgate_http::{Handler, Http1, spawn};
use hearthgate_sorted::SortedMap;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use socket2::{Protocol, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};

/// CRC-32 as IEEE 802.3 has it.
static CRC32: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
/// Ports tried before any free one.
const TRIES: u8 = 5;
/// Connections that are answered at one time.
const CONNECTIONS: usize = 32;
/// Of these, one caller's at most.
const OF_ONE: usize = 24;
/// Connections beside these that wait for their turn, with what the kernel holds of them alone: users of the exit node ask
/// many names at once, each on a connection.
const WAITING: usize = 64;
/// Of these, one caller's at most.
const WAITING_OF_ONE: usize = 40;
/// How long they wait: longer than a connection stays without a question.
const TURN: Duration = Duration::from_secs(10);
/// How long nobody is let in after that failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Longest DNS question.
const QUESTION_MAX: usize = 4096;
/// Longest form.
const FORM_MAX: usize = 1024;
/// Longest part of a refused file's name in the log.
const NAME_SHOWN: usize = 100;
/// How long a connection may take for its questions.
const CONNECTION: Duration = Duration::from_secs(60);
/// How long a question or a form may take.
const BODY: Duration = Duration::from_secs(10);
/// What is put up with on one.
const HTTP: Http1 = Http1 { head_within: Duration::from_secs(5), head_max: 16 * 1024, keep_alive: true };

/// A peer, as far as the peer API is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its name, whole.
    pub name: String,
    /// Its stable id.
    pub id: String,
    /// Whether it may ask DNS questions.
    pub dns: bool,
    /// Whether it may send files.
    pub files: bool,
    /// Whether it may wake machines.
    pub wake: bool,
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
    /// Where files arrive, if they are taken.
    pub inbox: watch::Receiver<Option<Arc<Inbox>>>,
    /// Name of the tunnel's interface.
    pub tunnel: Arc<str>,
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
    let room = Arc::new(Semaphore::new(CONNECTIONS + WAITING));
    let turns = Arc::new(Semaphore::new(CONNECTIONS));
    let held = Arc::default();
    while let Ok(permit) = room.clone().acquire_owned().await {
        let Ok((stream, from)) = listener.accept().await else {
            // There are no more files to be had, say: asking at once again would not help.
            sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let from = from.ip().to_canonical();
        // Strangers get no answer: only the tunnel leads here, but the LAN might route to us.
        if !facts.callers.borrow().contains_key(&from) {
            continue;
        }
        let Ok(here) = stream.local_addr() else { continue };
        let Some(place) = Place::take(&held, from) else { continue };
        let (facts, turns) = (facts.clone(), turns.clone());
        spawn(async move {
            // One caller's wait for each other first, so that they take no turns of others meanwhile.
            let turn = async { (place.turns.acquire().await, turns.acquire().await) };
            let Ok((Ok(_own), Ok(_turn))) = timeout(TURN, turn).await else { return };
            let transfer = Arc::new(());
            let seen = Arc::downgrade(&transfer);
            let handler = Handler::new(move |request| {
                let (facts, transfer) = (facts.clone(), Arc::downgrade(&transfer));
                // Rights change while a connection stays.
                let caller = facts.callers.borrow().get(&from).cloned();
                async move {
                    match caller {
                        Some(caller) => answer(request, &caller, here, &facts, &transfer).await,
                        None => text(StatusCode::FORBIDDEN, "you are not in this network any more\n"),
                    }
                }
            });
            let mut connection = Box::pin(HTTP.serve(stream, handler));
            // Large files take their time, within limits of their own. Whoever asked may have gone away in the middle:
            // nobody is left to tell.
            while timeout(CONNECTION, &mut connection).await.is_err() && seen.strong_count() > 1 {}
            drop(permit);
        });
    }
}

/// How many connections each caller has, and the turns they take.
type Held = Mutex<SortedMap<IpAddr, (usize, Arc<Semaphore>)>>;

/// A connection of one caller's, answered or waiting.
struct Place {
    held: Arc<Held>,
    caller: IpAddr,
    turns: Arc<Semaphore>,
}

impl Place {
    fn take(held: &Arc<Held>, caller: IpAddr) -> Option<Self> {
        let mut all = held.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, turns) = all.remove(&caller).unwrap_or_else(|| (0, Arc::new(Semaphore::new(OF_ONE))));
        let free = count < OF_ONE + WAITING_OF_ONE;
        all.insert(caller, (count + usize::from(free), turns.clone()));
        free.then(|| Self { held: held.clone(), caller, turns })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match all.remove(&self.caller) {
            Some((count, turns)) if count > 1 => drop(all.insert(self.caller, (count - 1, turns))),
            _ => {}
        }
    }
}

/// Answers a request. While `transfer` is held, the connection may go on beyond its time.
async fn answer(
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
        send(at, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
    }

    async fn send(at: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A stranger's connection is closed with the request unread, which is a reset.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A peer API on the loopback address, which takes files, and the ends that it follows.
    struct Running {
        at: SocketAddr,
        callers: watch::Sender<Arc<Callers>>,
        dir: tempfile::TempDir,
        _others: (watch::Sender<Arc<Zone>>, watch::Sender<Option<Arc<Inbox>>>, PeerApi),
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn friend() -> Caller {
        Caller { name: "b.t.example.".into(), id: "n2".into(), dns: true, files: true, wake: true }
    }

    fn running(caller: Caller) -> Running {
        let (callers, seen) = watch::channel(Arc::new(Callers::from([(HERE, caller)])));
        let (zone_kept, zone) = watch::channel(Arc::default());
        let dir = tempfile::tempdir().unwrap();
        let (inbox_kept, inbox) = watch::channel(Some(Arc::new(Inbox::new(dir.path().to_owned()))));
        let api = PeerApi::start(&[HERE], &Facts { callers: seen, zone, inbox, tunnel: "ts0".into() });
        let at = *api.places().first().unwrap();
        Running { at, callers, dir, _others: (zone_kept, inbox_kept, api) }
    }

    #[test]
    fn transfers_leave_the_threads_of_the_runtime_to_others() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let api = running(friend());
            let mut held = Vec::new();
            for name in ["a", "b"] {
                let mut stream = TcpStream::connect(api.at).await.unwrap();
                let head = format!("PUT /v0/put/{name} HTTP/1.1\r\nHost: peer\r\nContent-Length: 9\r\n\r\nx");
                stream.write_all(head.as_bytes()).await.unwrap();
                held.push(stream);
            }
            let partials = || api.dir.path().read_dir().unwrap().count();
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if partials() == 2 {
                    break;
                }
            }
            assert_eq!(partials(), 2, "both are under way");
            let other = timeout(Duration::from_secs(5), tokio::task::spawn_blocking(|| ())).await;
            assert!(other.is_ok(), "a transfer has taken the runtime's thread");
        });
    }

    #[tokio::test]
    async fn rights_are_those_of_each_request() {
        let api = running(friend());
        let mut stream = TcpStream::connect(api.at).await.unwrap();
        let mut ask = async || {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: peer\r\n\r\n").await.unwrap();
            let mut answer = [0; 512];
            let length = stream.read(&mut answer).await.unwrap();
            String::from_utf8_lossy(&answer[..length]).into_owned()
        };
        assert!(ask().await.contains("Hello, b.t.example."));
        api.callers.send_replace(Arc::default());
        assert!(ask().await.starts_with("HTTP/1.1 403 "), "somebody who has left the network");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_holds_no_connection() {
        let api = running(friend());
        for path in ["/dns-query", "/v0/wol"] {
            let head = format!("POST {path} HTTP/1.1\r\nHost: peer\r\nContent-Length: 9\r\n\r\nx");
            let begin = tokio::time::Instant::now();
            let answer = timeout(3 * CONNECTION, send(api.at, &head)).await.expect("the connection is closed");
            assert!(answer.starts_with("HTTP/1.1 408 "), "{path}: {answer}");
            assert!(begin.elapsed() <= CONNECTION, "{path}: {:?}", begin.elapsed());
        }
    }

    const ASKS: &[u8] = b"GET / HTTP/1.1\r\nHost: peer\r\n\r\n";

    /// Connections that are answered and stay.
    async fn hold(api: &Running, count: usize) -> Vec<TcpStream> {
        let mut held = Vec::new();
        for _ in 0..count {
            let mut stream = TcpStream::connect(api.at).await.unwrap();
            stream.write_all(ASKS).await.unwrap();
            assert!(stream.read(&mut [0; 512]).await.unwrap() > 0);
            held.push(stream);
        }
        held
    }

    #[tokio::test]
    async fn what_a_page_asks_at_once_is_answered() {
        let api = running(friend());
        // Nobody asks before all are there: each takes a turn or waits.
        let mut all = Vec::new();
        for _ in 0..OF_ONE + WAITING_OF_ONE {
            all.push(TcpStream::connect(api.at).await.unwrap());
        }
        for (n, stream) in all.iter_mut().enumerate() {
            let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: peer\r\nConnection: close\r\n\r\n").await;
            let mut answer = String::new();
            let read = timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "connection {n}: {asked:?} {read:?} {answer}");
        }
    }

    #[tokio::test]
    async fn one_caller_leaves_connections_to_others() {
        let api = running(friend());
        let other = IpAddr::from([127, 0, 0, 2]);
        api.callers.send_replace(Arc::new(Callers::from([(HERE, friend()), (other, friend())])));
        let mut held = hold(&api, OF_ONE).await;
        let mut waiting = Vec::new();
        for _ in 0..WAITING_OF_ONE {
            let mut stream = TcpStream::connect(api.at).await.unwrap();
            stream.write_all(ASKS).await.unwrap();
            waiting.push(stream);
        }
        assert_eq!(get(api.at, "/", "peer").await, "", "one more than wait");
        let first = waiting.first_mut().unwrap();
        assert!(timeout(Duration::from_millis(200), first.read(&mut [0; 512])).await.is_err(), "it waits");
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(other, 0)).unwrap();
        let mut stream = socket.connect(api.at).await.unwrap();
        stream.write_all(ASKS).await.unwrap();
        let answered = timeout(Duration::from_secs(2), stream.read(&mut [0; 512])).await;
        assert!(answered.is_ok_and(|read| read.unwrap() > 0), "another caller");
        held.pop();
        let answered = timeout(Duration::from_secs(2), first.read(&mut [0; 512])).await;
        assert!(answered.is_ok_and(|read| read.unwrap() > 0), "a turn that was given back");
    }

    #[tokio::test]
    async fn peers_are_answered_and_others_are_not() {
        let (here, caller) = (HERE, Caller { dns: false, files: false, wake: false, ..friend() });
        let Running { at, callers, dir, _others } = running(caller.clone());
        assert!(get(at, "/", &at.to_string()).await.contains("Hello, b.t.example."));
        assert!(get(at, "/", "evil.example").await.starts_with("HTTP/1.1 403 "));
        let page = format!("GET / HTTP/1.1\r\nHost: {at}\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n");
        assert!(send(at, &page).await.starts_with("HTTP/1.1 403 "));
        assert!(get(at, "/dns-query?dns=AAAA", &at.to_string()).await.starts_with("HTTP/1.1 403 "));
        callers.send_replace(Arc::new(Callers::from([(here, Caller { dns: true, ..caller.clone() })])));
        assert!(get(at, "/dns-query?dns=AAAA", &at.to_string()).await.starts_with("HTTP/1.1 400 "));
        let put = async |name: &str, range: &str, body: &str| {
            let head = format!("Host: peer\r\nContent-Length: {}\r\n{range}Connection: close\r\n\r\n", body.len());
            send(at, &format!("PUT /v0/put/{name} HTTP/1.1\r\n{head}{body}")).await
        };
        let wake = "POST /v0/wol?mac=nonsense HTTP/1.1\r\nHost: peer\r\nConnection: close\r\n\r\n";
        assert!(put("f", "", "all of it").await.starts_with("HTTP/1.1 403 "));
        assert!(get(at, "/v0/put/f", "peer").await.starts_with("HTTP/1.1 403 "));
        assert!(send(at, wake).await.starts_with("HTTP/1.1 403 "));
        let friend = Caller { files: true, wake: true, ..caller };
        callers.send_replace(Arc::new(Callers::from([(here, friend)])));
        assert!(put("a%20f", "", "all of it").await.starts_with("HTTP/1.1 200 "));
        assert_eq!(std::fs::read(dir.path().join("a f")).unwrap(), b"all of it");
        assert!(put("%2e%2e%2ff", "", "x").await.starts_with("HTTP/1.1 400 "));
        assert!(put("f", "Range: bytes=5-\r\n", "x").await.starts_with("HTTP/1.1 416 "));
        assert!(put("f", "Range: bytes=5-7\r\n", "x").await.starts_with("HTTP/1.1 400 "));
        assert!(get(at, "/v0/put/", "peer").await.ends_with("[\"f.n2.taildrop-partial\"]"));
        assert!(send(at, wake).await.starts_with("HTTP/1.1 400 "));
        callers.send_replace(Arc::default());
        assert_eq!(get(at, "/", &at.to_string()).await, "");
    }
}
