//! One simulated client.

use bytes::{Bytes, BytesMut};
use hearthgate_keys::{DiscoPublic, MachinePrivate, NodePrivate, Secret};
use hearthgate_tailcfg::{
    Hostinfo, MapRequest, NetInfo, RegisterRequest, RegisterResponse, RegisterResponseAuth, Service,
};
use hearthgate_transport::{connect, fetch_key};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};
use tokio::{net::TcpStream, sync::mpsc};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Capability version the clients claim: that of Tailscale 1.102.
const VERSION: u16 = 142;

/// A client with one Noise connection.
pub struct SimClient {
    machine: MachinePrivate,
    node: NodePrivate,
    name: String,
    requests: http2::SendRequest<Full<Bytes>>,
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("random bytes");
    bytes
}

impl SimClient {
    /// A new machine connects.
    pub async fn connect(addr: SocketAddr) -> Result<Self, Failure> {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let name = format!("sim-{:05}", NUMBER.fetch_add(1, Relaxed));
        Self::dial(addr, MachinePrivate::from_random(random()), NodePrivate::from_random(random()), name).await
    }

    /// The same machine connects again.
    pub async fn reconnected(&self, addr: SocketAddr) -> Result<Self, Failure> {
        Self::dial(addr, self.machine.clone(), self.node.clone(), self.name.clone()).await
    }

    async fn dial(addr: SocketAddr, machine: MachinePrivate, node: NodePrivate, name: String) -> Result<Self, Failure> {
        let host = addr.to_string();
        let server = fetch_key(TcpStream::connect(addr).await?, &host, VERSION).await?;
        let tcp = TcpStream::connect(addr).await?;
        tcp.set_nodelay(true)?;
        let mut stream = connect(tcp, &host, &machine, &server, VERSION).await?;
        skip_early_payload(&mut stream).await?;
        let (requests, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { machine, node, name, requests })
    }

    /// Its host name.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    fn hostinfo(&self) -> Hostinfo {
        Hostinfo {
            hostname: self.name.clone(),
            os: "linux".into(),
            ipn_version: "1.102.5-t0000000-g0000000".into(),
            services: ["peerapi4", "peerapi6"]
                .map(|p| Service { proto: p.into(), port: 40_000, description: String::new() })
                .into(),
            net_info: Some(NetInfo { preferred_derp: 900, working_udp: Some(true), ..Default::default() }),
            ..Default::default()
        }
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> Result<Response<Incoming>, Failure> {
        let request = Request::post(format!("https://bench{path}")).body(Full::new(body.into()))?;
        Ok(self.requests.clone().send_request(request).await?)
    }

    /// Joins with a pre-auth key.
    pub async fn register(&self, key: &str) -> Result<(), Failure> {
        let request = RegisterRequest {
            version: VERSION.into(),
            node_key: self.node.public(),
            auth: Some(RegisterResponseAuth { auth_key: Secret::new(key.into()) }),
            hostinfo: Some(self.hostinfo()),
            ..Default::default()
        };
        let answer = self.post("/machine/register", serde_json::to_vec(&request)?).await?;
        let answer: RegisterResponse = serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?;
        if answer.machine_authorized { Ok(()) } else { Err(format!("not let in: {}", answer.error).into()) }
    }

    /// Opens a map stream; answers after the first whole map has come.
    pub async fn stream(&self) -> Result<Watcher, Failure> {
        let request = MapRequest {
            version: VERSION.into(),
            compress: "zstd".into(),
            keep_alive: true,
            stream: true,
            node_key: self.node.public(),
            disco_key: DiscoPublic::from_bytes(*self.machine.public().as_bytes()),
            hostinfo: Some(self.hostinfo()),
            endpoints: vec!["203.0.113.1:41641".parse()?],
            ..Default::default()
        };
        let answer = self.post("/machine/map", serde_json::to_vec(&request)?).await?;
        if answer.status() != 200 {
            return Err(format!("the map was refused: {}", answer.status()).into());
        }
        let (tx, rx) = mpsc::unbounded_channel();
        let received = Arc::new(AtomicUsize::new(0));
        let mut watcher = Watcher { messages: rx, received: received.clone() };
        tokio::spawn(read_messages(answer.into_body(), tx, received));
        let (_, first) = watcher.messages.recv().await.ok_or("the stream ended before the first map")?;
        if first.windows(8).any(|w| w == b"\"Node\":{") {
            Ok(watcher)
        } else {
            Err("the first map lacks the node".into())
        }
    }
}

/// A map stream as seen by its client.
pub struct Watcher {
    messages: mpsc::UnboundedReceiver<(Instant, Vec<u8>)>,
    received: Arc<AtomicUsize>,
}

impl Watcher {
    /// Messages so far.
    pub fn received(&self) -> usize {
        self.received.load(Relaxed)
    }

    /// When a message with `word` in it came.
    pub async fn wait_for(&mut self, word: &str) -> Result<Instant, Failure> {
        let word = word.as_bytes();
        loop {
            let (at, message) = self.messages.recv().await.ok_or("the stream ended")?;
            if message.windows(word.len()).any(|w| w == word) {
                return Ok(at);
            }
        }
    }
}

/// Cuts the body into messages and decompresses each.
async fn read_messages(mut body: Incoming, tx: mpsc::UnboundedSender<(Instant, Vec<u8>)>, received: Arc<AtomicUsize>) {
    let mut buf = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        buf.extend_from_slice(&data);
        while let Some(len) = buf.get(..4).and_then(|l| l.try_into().ok()).map(|l| u32::from_le_bytes(l) as usize) {
            if buf.len() < 4 + len {
                break;
            }
            let message = buf.split_to(4 + len);
            let Ok(json) = zstd::stream::decode_all(&message[4..]) else { return };
            received.fetch_add(1, Relaxed);
            if tx.send((Instant::now(), json)).is_err() {
                return;
            }
        }
    }
}

/// Nine bytes tell whether an early payload precedes HTTP/2; this server always sends one.
async fn skip_early_payload<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> Result<(), Failure> {
    use tokio::io::AsyncReadExt;
    let mut head = [0u8; 9];
    stream.read_exact(&mut head).await?;
    let [0xff, 0xff, 0xff, b'T', b'S', len @ ..] = head else { return Err("no early payload".into()) };
    let len = u32::from_be_bytes(len) as usize;
    if len > 1024 {
        return Err("an early payload of impossible length".into());
    }
    stream.read_exact(&mut vec![0; len]).await?;
    Ok(())
}
