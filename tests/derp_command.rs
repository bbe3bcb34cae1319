//! `hearthgate derp` as it is run: two relays that share a mesh, one of which asks a URL who may come in.

use hearthgate_derp_frame::{
    ClientInfo, FRAME_HEADER, FrameType, frame, parse_header, seal_client_info, send_packet_frame,
};
use hearthgate_keys::{NodePrivate, NodePublic};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

struct Relay {
    child: Child,
    addr: SocketAddr,
    metrics: SocketAddr,
    _dir: tempfile::TempDir,
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Relay {
    fn start(addr: SocketAddr, other: SocketAddr, verify: Option<SocketAddr>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (key, file) = (dir.path().join("mesh.key"), dir.path().join("derp.toml"));
        std::fs::write(&key, format!("{}\n", "5a".repeat(32))).unwrap();
        let verify = verify.map_or_else(String::new, |v| format!("http://{v}/verify"));
        let metrics = free();
        let text = format!(
            "stun_listen_addr = \"\"\n[verify]\nurl = \"{verify}\"\n[mesh]\nkey_path = \"{}\"\n",
            key.display()
        );
        std::fs::write(&file, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_hearthgate"))
            .args(["derp", "--config"])
            .arg(&file)
            .args(["--listen-addr", &addr.to_string(), "--metrics-listen-addr", &metrics.to_string()])
            .args(["--mesh-with", &format!("http://{other}"), "--state-dir"])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said: Vec<String> =
            BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).take(7).collect();
        assert!(said.iter().any(|l| l.contains("sha256-raw:")), "{said:?}");
        Self { child, addr, metrics, _dir: dir }
    }

    fn metric(&self, name: &str) -> f64 {
        let mut tcp = TcpStream::connect(self.metrics).unwrap();
        tcp.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        tcp.read_to_string(&mut text).unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
        line.trim().parse().unwrap()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < give_up, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Answers every question with yes, except about one key.
fn judge(refused: NodePublic) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let mut tcp = tcp.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"}") {
                let mut chunk = [0; 1024];
                match tcp.read(&mut chunk).unwrap() {
                    0 => break,
                    n => asked.extend_from_slice(&chunk[..n]),
                }
            }
            let allow = !String::from_utf8(asked).unwrap().contains(&refused.to_string());
            let body = format!("{{\"Allow\":{allow}}}");
            write!(tcp, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    addr
}

struct Client(TcpStream);

impl Client {
    fn introduce(addr: SocketAddr, key: &NodePrivate) -> Self {
        let mut tcp = TcpStream::connect(addr).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.write_all(
            b"GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: DERP\r\nConnection: Upgrade\r\nDerp-Fast-Start: 1\r\n\r\n",
        )
        .unwrap();
        let mut client = Self(tcp);
        let (_, hello) = client.next().unwrap();
        let relay = NodePublic::from_bytes(*hello.last_chunk().unwrap());
        let info = ClientInfo { version: 2, ..ClientInfo::default() };
        client.0.write_all(&frame(FrameType::ClientInfo, &seal_client_info(key, &relay, &info, [5; 24]))).unwrap();
        client
    }

    fn next(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let mut head = [0; FRAME_HEADER];
        self.0.read_exact(&mut head)?;
        let (kind, len) = parse_header(&head).unwrap().unwrap();
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload)?;
        Ok((kind, payload))
    }
}

#[test]
fn two_relays_share_their_clients_and_one_asks_who_may_come() {
    let [alice, bob, mallory] = [1, 2, 3].map(|n| NodePrivate::from_random([n; 32]));
    let (first, second) = (free(), free());
    let mut a = Relay::start(first, second, None);
    let b = Relay::start(second, first, Some(judge(mallory.public())));
    until("the mesh", || [&a, &b].iter().all(|r| r.metric("derp_current_connections ") >= 1.0));
    let mut in_a = Client::introduce(a.addr, &alice);
    assert_eq!(in_a.next().unwrap().0, FrameType::ServerInfo as u8);
    let mut in_b = Client::introduce(b.addr, &bob);
    assert_eq!(in_b.next().unwrap().0, FrameType::ServerInfo as u8);
    // The news of a client reaches the other relay a moment later.
    in_b.0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    until("a packet through both relays", || {
        in_a.0.write_all(&send_packet_frame(&bob.public(), b"across")).unwrap();
        in_b.next().is_ok_and(|(kind, payload)| kind == FrameType::RecvPacket as u8 && payload.ends_with(b"across"))
    });
    assert!(Client::introduce(b.addr, &mallory).next().is_err());
    assert_eq!(b.metric("derp_refused "), 1.0);
    // SIGTERM: clients are told.
    let pid = nix::unistd::Pid::from_raw(a.child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let told = std::iter::from_fn(|| in_a.next().ok()).any(|(kind, _)| kind == FrameType::Restarting as u8);
    assert!(told);
    assert!(a.child.wait().unwrap().success());
}
