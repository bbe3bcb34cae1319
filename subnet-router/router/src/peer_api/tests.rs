use super::{
    place::{OF_ONE, WAITING_OF_ONE},
    *,
};
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
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
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
