//! The dialling side of a mesh: every relay of a region keeps one connection to each other one, learns from it who is
//! connected there, and hands it packets for them (`derp/derphttp` mesh client of tailscale.com v1.104.5).

use crate::{
    driver::{Ended, Handler, Pace, drive},
    metrics::add,
    outbox::{Outbox, WATCHER_CONTROL_MAX},
    packet::Packet,
    registry::Forwarder,
    relay::Relay,
    serve::{read_frame, server_key},
};
use hearthgate_derp_frame::{
    ClientInfo, FRAME_HEADER, FrameType, PROTOCOL_VERSION, frame, parse_header, parse_peer_gone, parse_peer_present,
    seal_client_info,
};
use hearthgate_keys::{BOX_NONCE_LEN, NodePublic};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{collections::HashSet, future::Future, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

/// Wait between two attempts.
const RETRY: Duration = Duration::from_secs(5);
/// Longest time to connect: name, TCP, TLS, HTTP and DERP.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Longest time the other relay may take nothing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest head of the answer to the upgrade, in bytes.
const HEAD_MAX: usize = 8 * 1024;
/// Clients of one other relay that are remembered.
const PRESENT_MAX: usize = 65_536;

/// Another relay of the mesh.
#[derive(Debug, Clone)]
pub struct MeshPeer {
    /// Host name, for TLS and HTTP.
    pub host: String,
    /// `host:port` to connect to.
    pub dial: String,
    /// How its certificate is checked; `None` for plain HTTP.
    pub tls: Option<Arc<ClientConfig>>,
    /// Position in the configuration: when a client is connected to several relays, the first one gets its packets.
    pub index: u64,
}

/// Why a mesh connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeshError {
    /// No mesh key is configured.
    #[error("a mesh needs a mesh key")]
    NoKey,
    /// The other relay is this one.
    #[error("the other relay has the same key: it is this one")]
    Myself,
    /// It did not answer as a relay does.
    #[error("{0}")]
    Protocol(String),
    /// It could not be reached, or the connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Ended> for MeshError {
    fn from(end: Ended) -> Self {
        match end {
            Ended::Io(e) => Self::Io(e),
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// Keeps a connection to another relay until `stop` is ready. `report` hears why one ended, before the next attempt.
///
/// # Errors
/// The other relay is this one, or there is no mesh key: trying again would not help.
pub async fn run_mesh(
    relay: Arc<Relay>,
    peer: MeshPeer,
    report: impl Fn(&MeshError),
    stop: impl Future<Output = ()>,
) -> Result<(), MeshError> {
    tokio::pin!(stop);
    loop {
        let ended = tokio::select! {
            () = &mut stop => return Ok(()),
            ended = session(&relay, &peer) => ended,
        };
        if matches!(ended, MeshError::NoKey | MeshError::Myself) {
            return Err(ended);
        }
        report(&ended);
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = sleep(RETRY) => {}
        }
    }
}

async fn session(relay: &Arc<Relay>, peer: &MeshPeer) -> MeshError {
    let connected = async {
        let tcp = TcpStream::connect(&peer.dial).await?;
        crate::tune_tcp(&tcp);
        match &peer.tls {
            None => greet(relay, peer, Box::new(tcp) as Box<dyn Stream>).await,
            Some(config) => {
                let name = ServerName::try_from(peer.host.clone()).map_err(|e| MeshError::Protocol(e.to_string()))?;
                let tls = TlsConnector::from(config.clone()).connect(name, tcp).await?;
                greet(relay, peer, Box::new(tls) as Box<dyn Stream>).await
            }
        }
    };
    let (io, received) = match timeout(CONNECT_WITHIN, connected).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(e)) => return e,
        Err(_) => return io::Error::from(io::ErrorKind::TimedOut).into(),
    };
    let forwarder = Arc::new(Forwarder { index: peer.index, outbox: Outbox::default() });
    forwarder.outbox.control(frame(FrameType::WatchConns, &[]), WATCHER_CONTROL_MAX);
    let mut listening = Listening { relay: relay.clone(), forwarder: forwarder.clone(), present: HashSet::new() };
    let pace = Pace { keep_alive: None, write_timeout: WRITE_TIMEOUT };
    drive(io, received, &forwarder.outbox, &mut listening, pace, &relay.metrics).await.into()
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Upgrade and handshake, as a client that presents the mesh key.
async fn greet(
    relay: &Relay,
    peer: &MeshPeer,
    mut io: Box<dyn Stream>,
) -> Result<(Box<dyn Stream>, Vec<u8>), MeshError> {
    let mesh_key = relay.options.mesh_key.clone().ok_or(MeshError::NoKey)?;
    let request = format!("GET /derp HTTP/1.1\r\nHost: {}\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n", peer.host);
    io.write_all(request.as_bytes()).await?;
    io.flush().await?;
    let mut received = Vec::new();
    let head_len = loop {
        if let Some(at) = received.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if received.len() > HEAD_MAX || io.read_buf(&mut received).await? == 0 {
            return Err(MeshError::Protocol("the answer to the upgrade is none".into()));
        }
    };
    if !received.starts_with(b"HTTP/1.1 101 ") {
        let line = received.split(|b| *b == b'\r').next().unwrap_or_default();
        return Err(MeshError::Protocol(format!("no upgrade: {}", String::from_utf8_lossy(line))));
    }
    received.drain(..head_len);
    let (kind, payload) = read_frame(&mut io, &mut received).await?;
    let server = server_key(kind, &payload).ok_or_else(|| MeshError::Protocol("no server key".into()))?;
    if server == relay.public {
        return Err(MeshError::Myself);
    }
    let mut nonce = [0u8; BOX_NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(|e| io::Error::other(e.to_string()))?;
    let info = ClientInfo { version: PROTOCOL_VERSION, mesh_key: Some(mesh_key), ..ClientInfo::default() };
    io.write_all(&frame(FrameType::ClientInfo, &seal_client_info(&relay.key, &server, &info, nonce))).await?;
    io.flush().await?;
    Ok((io, received))
}

/// Frames of the other relay. Dropping it forgets all its clients.
struct Listening {
    relay: Arc<Relay>,
    forwarder: Arc<Forwarder>,
    present: HashSet<NodePublic>,
}

impl Listening {
    fn frame(&mut self, kind: u8, payload: &[u8]) -> Result<(), Ended> {
        match FrameType::from_u8(kind) {
            Some(FrameType::PeerPresent) => {
                let peer = parse_peer_present(payload).ok_or(Ended::Violation("a presence without key"))?;
                // The other relay tells of us too: we are its client.
                if peer.key != self.relay.public
                    && (self.present.len() < PRESENT_MAX || self.present.contains(&peer.key))
                {
                    self.present.insert(peer.key);
                    self.relay.registry.forward(&peer.key, &self.forwarder, true, &self.relay.metrics);
                }
            }
            Some(FrameType::PeerGone) => {
                let (key, _) = parse_peer_gone(payload).ok_or(Ended::Violation("an absence without key"))?;
                self.present.remove(&key);
                self.relay.registry.forward(&key, &self.forwarder, false, &self.relay.metrics);
            }
            Some(FrameType::Ping) => {
                let Some((data, _)) = payload.split_first_chunk::<8>() else {
                    return Err(Ended::Violation("a ping is eight bytes at least"));
                };
                self.forwarder.outbox.pong(*data);
            }
            Some(_) => {}
            None => add(&self.relay.metrics.unknown_frames, 1),
        }
        Ok(())
    }
}

impl Handler for Listening {
    fn frames(&mut self, bytes: &[u8], _run: &mut Vec<Packet>) -> Result<usize, Ended> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..) {
            let Some((kind, len)) = parse_header(rest)? else { break };
            let Some(payload) = rest.get(FRAME_HEADER..FRAME_HEADER + len) else { break };
            self.frame(kind, payload)?;
            at += FRAME_HEADER + len;
        }
        Ok(at)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        for key in &self.present {
            self.relay.registry.forward(key, &self.forwarder, false, &self.relay.metrics);
        }
    }
}
