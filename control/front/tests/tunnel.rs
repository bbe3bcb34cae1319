//! A front and a box on one machine: what goes through, what does not, and how both come back.

#[path = "common/client_hello.rs"]
mod client_hello;
#[path = "common/gateway.rs"]
mod gateway;

use client_hello::client_hello;
use gateway::{gateway, line};
use hearthgate_front::{
    Boxes, CannotTry, Home, Line, Passed, State, Status, keep,
    messages::{Outcome, Wish},
};
use hearthgate_keys::{MachinePrivate, NodePublic};
use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinHandle,
    time::{sleep, timeout},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A box whose clients get their own bytes back.
struct Echo {
    host: &'static str,
    sources: Mutex<Vec<SocketAddr>>,
}

impl Home for Echo {
    fn host(&self) -> String {
        self.host.into()
    }
    fn take(&self, mut stream: Passed, source: SocketAddr) {
        self.sources.lock().unwrap().push(source);
        tokio::spawn(async move {
            let mut chunk = [0u8; 8192];
            while let Ok(n @ 1..) = stream.read(&mut chunk).await {
                if stream.write_all(&chunk[..n]).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
            let _ = stream.shutdown().await;
        });
    }
    fn may_relay(&self, _node: &NodePublic) -> bool {
        true
    }
    fn welcomed(&self) {}
}

struct Front {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn front(dir: &Path, at: &str) -> Front {
    let (address, task) = gateway(dir, at, &["127.0.0.0/8"]).await;
    Front { address, task }
}

struct AtHome {
    echo: Arc<Echo>,
    status: Arc<Status>,
    task: JoinHandle<()>,
}

impl Drop for AtHome {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn home(line: Line, key: u8, host: &'static str) -> AtHome {
    let echo = Arc::new(Echo { host, sources: Mutex::default() });
    let status = Arc::new(Status::new(&line.address));
    let key = MachinePrivate::from_random([key; 32]);
    let task = tokio::spawn(keep(line, key, echo.clone(), status.clone()));
    AtHome { echo, status, task }
}

async fn until(what: &str, status: &Status, fits: impl Fn(&State) -> bool) {
    let reached = timeout(PATIENCE, async {
        while !fits(&status.view().state) {
            sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(reached.await.is_ok(), "{what}: {:?}", status.view().state);
}

/// Sends a hello for `host`; answers the connection and what came back, which is empty when nobody takes it.
async fn knock(front: SocketAddr, host: &str) -> (TcpStream, Vec<u8>, bool) {
    let hello = client_hello(host);
    let mut tcp = TcpStream::connect(front).await.unwrap();
    tcp.write_all(&hello).await.unwrap();
    let mut got = vec![0u8; hello.len()];
    let whole = timeout(PATIENCE, tcp.read_exact(&mut got)).await.unwrap().is_ok();
    (tcp, got, whole)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_reach_the_box_of_their_name() {
    let dir = tempfile::tempdir().unwrap();
    let front = front(dir.path(), "127.0.0.1:0").await;
    let one = home(line(dir.path(), front.address, 1), 1, "one.example");
    let two = home(line(dir.path(), front.address, 2), 2, "two.example");
    for at_home in [&one, &two] {
        until("up", &at_home.status, |s| *s == State::Connected).await;
    }
    let welcome = one.status.view().welcome.unwrap();
    assert!(welcome.stun_port == 3478 && welcome.relay.unwrap().pin.starts_with("sha256-raw:"));

    let (mut tcp, got, whole) = knock(front.address, "TWO.example").await;
    assert!(whole && got[0] == 0x16 && got.windows(11).any(|w| w == b"two.example" || w == b"TWO.example"));
    assert_eq!(*two.echo.sources.lock().unwrap(), [tcp.local_addr().unwrap()], "with the client's own address");
    assert!(one.echo.sources.lock().unwrap().is_empty());

    // Much more than all windows together, both ways at once.
    let (mut read, mut write) = tcp.split();
    let sent: Vec<u8> = (0..3_000_000u32).map(|i| ((i * 7) >> 3) as u8).collect();
    let mut received = vec![0u8; sent.len()];
    let (wrote, read_all) = tokio::join!(write.write_all(&sent), read.read_exact(&mut received));
    wrote.unwrap();
    read_all.unwrap();
    assert!(sent == received);
    drop(tcp);
    let closed = timeout(PATIENCE, async {
        while two.status.view().open > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(closed.await.is_ok(), "a client that is gone is forgotten");

    for stranger in ["three.example", "127.0.0.1"] {
        assert!(!knock(front.address, stranger).await.2, "{stranger} is nobody's, or anybody's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_encrypted_is_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let front = front(dir.path(), "127.0.0.1:0").await;
    let at_home = home(line(dir.path(), front.address, 1), 1, "one.example");
    until("up", &at_home.status, |s| *s == State::Connected).await;
    let mut tcp = TcpStream::connect(front.address).await.unwrap();
    tcp.write_all(b"GET /key?v=100 HTTP/1.1\r\nHost: one.example\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("https://"), "{answer}");
    // Somebody who does not know the front's key, and somebody who says nothing of sense.
    for bytes in [[0xf0; 200], [0x16; 200]] {
        let mut tcp = TcpStream::connect(front.address).await.unwrap();
        tcp.write_all(&bytes).await.unwrap();
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, tcp.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty());
    }
    assert!(at_home.echo.sources.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_holds_up_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let front = front(dir.path(), "127.0.0.1:0").await;
    let at_home = home(line(dir.path(), front.address, 1), 1, "one.example");
    until("up", &at_home.status, |s| *s == State::Connected).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let (mut tcp, _, whole) = knock(front.address, "one.example").await;
        assert!(whole);
        let filled = timeout(Duration::from_millis(300), async { while tcp.write_all(&[7; 65536]).await.is_ok() {} });
        assert!(filled.await.is_err(), "it has to wait for itself");
        stalled.push(tcp);
    }
    assert!(timeout(Duration::from_secs(5), knock(front.address, "one.example")).await.unwrap().2);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_come_back_and_a_revoked_box_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let first = front(dir.path(), "127.0.0.1:0").await;
    let address = first.address;
    let pairing = line(dir.path(), address, 1);
    let at_home = home(pairing.clone(), 1, "one.example");
    until("up", &at_home.status, |s| *s == State::Connected).await;

    // The box starts again: its secret is used up, its key is known.
    drop(at_home);
    let at_home = home(pairing.clone(), 1, "one.example");
    until("up again", &at_home.status, |s| *s == State::Connected).await;
    assert!(knock(address, "one.example").await.2);

    // Another box with the same line.
    let thief = home(pairing, 9, "thief.example");
    until("the line works once", &thief.status, |s| matches!(s, State::Refused(why) if why.contains("does not know")))
        .await;

    // Clients that are there go, too.
    let (mut client, _, whole) = knock(address, "one.example").await;
    assert!(whole);
    Boxes::change(dir.path(), |b| b.revoke("one.example")).unwrap().1.unwrap();
    assert!(timeout(PATIENCE, client.read_u8()).await.unwrap().is_err(), "the client was not cut off");
    until("revoked", &at_home.status, |s| matches!(s, State::Refused(_))).await;
    assert!(!knock(address, "one.example").await.2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_knocks_where_the_box_is_and_not_too_often() {
    let dir = tempfile::tempdir().unwrap();
    let front = front(dir.path(), "127.0.0.1:0").await;
    let pairing = line(dir.path(), front.address, 1);
    let early = Status::new("front.example:443");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let stun = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let wish = Wish { tcp_port: closed, stun_port: stun.local_addr().unwrap().port() };
    assert_eq!(early.want(wish), Err(CannotTry::NoTunnel));
    tokio::spawn(async move {
        let mut packet = [0; 1500];
        while let Ok((length, from)) = stun.recv_from(&mut packet).await {
            let txid = hearthgate_stun::parse_request(&packet[..length]).unwrap();
            stun.send_to(&hearthgate_stun::response(&txid, from), from).await.unwrap();
        }
    });
    let at_home = home(pairing, 1, "one.example");
    until("up", &at_home.status, |s| *s == State::Connected).await;
    assert_eq!(at_home.status.view().seen, None);

    let seen = async |wish, patience| {
        let when = || at_home.status.view().seen.map(|s| s.at);
        let before = when();
        at_home.status.want(wish).unwrap();
        let told = timeout(patience, async {
            while when() == before {
                sleep(Duration::from_millis(20)).await;
            }
        });
        told.await.ok().and_then(|()| at_home.status.view().seen).map(|s| s.reached)
    };
    let reached = seen(wish, PATIENCE).await.unwrap();
    assert_eq!((reached.address, reached.tcp_port), (front.address.ip(), closed));
    assert_eq!((reached.tcp, reached.stun), (Outcome::Refused, Outcome::Answered));
    assert!(reached.key.is_empty());

    // Somebody who speaks neither TLS nor STUN.
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let strange = Wish { tcp_port: other.local_addr().unwrap().port(), stun_port: 0 };
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = other.accept().await {
            tcp.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        }
    });
    assert_eq!(seen(strange, Duration::from_secs(3)).await, None, "it did not pause");
    let reached = seen(strange, PATIENCE).await.unwrap();
    assert_eq!((reached.tcp, reached.stun), (Outcome::Strange, Outcome::Skipped));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_with_another_key_is_not_believed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let front = front(dir.path(), "127.0.0.1:0").await;
    let at_home = home(line(other.path(), front.address, 1), 1, "one.example");
    until("not the one of the line", &at_home.status, |s| matches!(s, State::Failed(_))).await;
    assert!(at_home.status.view().welcome.is_none());
}
