//! One connection: handshake, reading, writing.

use crate::{
    client::{Client, Outgoing, Packet},
    metrics::add,
    relay::Relay,
};
use bytes::{Bytes, BytesMut};
use hearthgate_derp_frame::{
    FRAME_HEADER, FrameType, GoneReason, KEEP_ALIVE_FRAME, PROTOCOL_VERSION, ServerInfo, is_disco, open_client_info, parse_header, put_header,
    seal_server_info, server_key_frame,
};
use hearthgate_keys::{BOX_NONCE_LEN, KEY_LEN, NodePublic};
use std::{
    collections::HashSet,
    future::poll_fn,
    io,
    mem::MaybeUninit,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf},
    time::{Instant, sleep_until, timeout},
};

/// Longest handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes read at once, on the stack of the poll: an idle connection holds no read buffer.
const READ_CHUNK: usize = 16 * 1024;
/// Bytes gathered before a write: one TLS record.
const WRITE_BATCH: usize = 16 * 1024;
/// Keys remembered per connection to tell when it leaves; a client talks to fewer peers through a relay.
const SENT_TO_MAX: usize = 4096;
/// "Not here" answers per second and connection, and how many at once.
const NOT_HERE_BURST: u32 = 3;
/// TCP_USER_TIMEOUT: unacknowledged data for so long ends a connection.
const USER_TIMEOUT: Duration = Duration::from_secs(15);
/// TCP keep-alive.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(600);

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Remote {
    /// Address of the client, if it is known.
    pub ip: Option<IpAddr>,
}

/// Sets what a relay wants of a TCP connection: no delay, dead peers found in 15 s.
pub fn tune_tcp(stream: &tokio::net::TcpStream) {
    let socket = socket2::SockRef::from(stream);
    // None of these is worth refusing a client for.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(TCP_KEEP_ALIVE));
    let _ = socket.set_tcp_user_timeout(Some(USER_TIMEOUT));
}

impl Relay {
    /// The head of the HTTP answer to an upgrade.
    #[must_use]
    pub fn upgrade_response(&self) -> String {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\nDerp-Version: {PROTOCOL_VERSION}\r\nDerp-Public-Key: {}\r\n\r\n",
            hearthgate_keys::encode(self.public.as_bytes())
        )
    }

    /// Speaks DERP on an upgraded stream until it ends. `received` was read from it already (a client that knows the
    /// server's key sends its first frame together with the upgrade).
    ///
    /// # Errors
    /// The connection broke, or the client broke the protocol.
    pub async fn serve<S>(self: &Arc<Self>, io: S, received: Bytes, remote: Remote) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reader, mut writer) = tokio::io::split(io);
        let mut input = Input { io: reader, buf: received.into() };
        let (key, preferred_nonce) = match timeout(HANDSHAKE, self.handshake(&mut input, &mut writer, remote)).await {
            Ok(done) => done?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        add(&self.metrics.accepts, 1);
        let client = self.enter(key);
        let info = seal_server_info(&self.key, &key, &ServerInfo { version: PROTOCOL_VERSION, ..ServerInfo::default() }, preferred_nonce);
        let mut first = Vec::new();
        put_header(FrameType::ServerInfo, info.len(), &mut first);
        first.extend_from_slice(&info);
        let writing = tokio::spawn(write_loop(self.clone(), client.clone(), writer, first));
        let mut state = Reading { sent_to: HashSet::new(), last_to: None, home: false, not_here: (Instant::now(), NOT_HERE_BURST) };
        let result = tokio::select! {
            result = self.read_loop(&client, &mut input, &mut state) => result,
            () = client.closing() => Ok(()),
        };
        client.close();
        if state.home {
            crate::metrics::less(&self.metrics.home_connections);
        }
        if self.leave(&client) {
            for peer in state.sent_to {
                if let Some(peer) = self.find(&peer) {
                    add(&self.metrics.gone_disconnected, 1);
                    peer.notice(key, GoneReason::Disconnected);
                }
            }
        }
        writing.abort();
        result
    }

    async fn handshake<S: AsyncRead + AsyncWrite>(
        &self,
        input: &mut Input<ReadHalf<S>>,
        writer: &mut WriteHalf<S>,
        remote: Remote,
    ) -> io::Result<(NodePublic, [u8; BOX_NONCE_LEN])> {
        writer.write_all(&server_key_frame(&self.public)).await?;
        writer.flush().await?;
        let (kind, payload) = input.frame().await?;
        if FrameType::from_u8(kind) != Some(FrameType::ClientInfo) {
            return Err(invalid("the first frame has to be the client info"));
        }
        let (key, _info) = open_client_info(&self.key, &payload).map_err(invalid)?;
        if !self.admits(&key, remote.ip) {
            add(&self.metrics.refused, 1);
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut nonce = [0u8; BOX_NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|e| io::Error::other(e.to_string()))?;
        Ok((key, nonce))
    }

    async fn read_loop<R: AsyncRead + Unpin>(&self, client: &Arc<Client>, input: &mut Input<R>, state: &mut Reading) -> io::Result<()> {
        loop {
            let (kind, payload) = input.frame().await?;
            if client.duplicated.load(portable_atomic::Ordering::Relaxed) {
                self.make_active(client);
            }
            match FrameType::from_u8(kind) {
                Some(FrameType::SendPacket) => self.send_packet(client, payload, state)?,
                Some(FrameType::NotePreferred) => {
                    let [flag] = payload[..] else { return Err(invalid("a home note is one byte")) };
                    match (state.home, flag != 0) {
                        (false, true) => add(&self.metrics.home_connections, 1),
                        (true, false) => crate::metrics::less(&self.metrics.home_connections),
                        _ => {}
                    }
                    state.home = flag != 0;
                }
                Some(FrameType::Ping) => {
                    let data: [u8; 8] = payload.get(..8).and_then(|d| d.try_into().ok()).ok_or_else(|| invalid("a ping is eight bytes at least"))?;
                    add(&self.metrics.got_ping, 1);
                    client.pong(data);
                }
                Some(FrameType::Pong) => {}
                Some(FrameType::WatchConns | FrameType::ClosePeer | FrameType::ForwardPacket) => {
                    return Err(invalid("mesh frames from a client that is no relay of this mesh"));
                }
                _ => add(&self.metrics.unknown_frames, 1),
            }
        }
    }

    fn send_packet(&self, client: &Arc<Client>, mut payload: Bytes, state: &mut Reading) -> io::Result<()> {
        let to: [u8; KEY_LEN] = payload.get(..KEY_LEN).and_then(|k| k.try_into().ok()).ok_or_else(|| invalid("a packet without destination"))?;
        let to = NodePublic::from_bytes(to);
        let packet = payload.split_off(KEY_LEN);
        add(&self.metrics.packets_received, 1);
        add(&self.metrics.bytes_received, packet.len() as u64);
        match self.find(&to) {
            Some(peer) => {
                if state.last_to != Some(to) && state.sent_to.len() < SENT_TO_MAX {
                    state.sent_to.insert(to);
                }
                state.last_to = Some(to);
                self.deliver(&peer, Packet { from: client.key, payload: packet });
            }
            None => {
                add(&self.metrics.dropped_unknown_dest, 1);
                // WireGuard packets into the void get no answer; disco probes do, at most one a second.
                if is_disco(&packet) && state.may_say_not_here() {
                    add(&self.metrics.gone_not_here, 1);
                    client.notice(to, GoneReason::NotHere);
                }
            }
        }
        Ok(())
    }
}

/// What the reading side remembers.
struct Reading {
    sent_to: HashSet<NodePublic>,
    last_to: Option<NodePublic>,
    home: bool,
    not_here: (Instant, u32),
}

impl Reading {
    fn may_say_not_here(&mut self) -> bool {
        let (since, left) = &mut self.not_here;
        let refill = u32::try_from(since.elapsed().as_secs()).unwrap_or(u32::MAX);
        if refill > 0 {
            *since = Instant::now();
            *left = left.saturating_add(refill).min(NOT_HERE_BURST);
        }
        let may = *left > 0;
        *left = left.saturating_sub(1);
        may
    }
}

async fn write_loop<S: AsyncWrite>(relay: Arc<Relay>, client: Arc<Client>, mut io: WriteHalf<S>, first: Vec<u8>) {
    let mut out = first;
    let spread = u32::try_from(client.id % 12).unwrap_or(0);
    let keep_alive = relay.limits.keep_alive + relay.limits.keep_alive / 144 * spread;
    loop {
        let mut packets = 0;
        while out.len() < WRITE_BATCH {
            match client.pop() {
                Some(Outgoing::Packet(p)) => {
                    packets += 1;
                    add(&relay.metrics.bytes_sent, p.payload.len() as u64);
                    put_header(FrameType::RecvPacket, KEY_LEN + p.payload.len(), &mut out);
                    out.extend_from_slice(p.from.as_bytes());
                    out.extend_from_slice(&p.payload);
                }
                Some(Outgoing::Gone(key, reason)) => {
                    put_header(FrameType::PeerGone, KEY_LEN + 1, &mut out);
                    out.extend_from_slice(key.as_bytes());
                    out.push(reason as u8);
                }
                Some(Outgoing::Pong(data)) => {
                    add(&relay.metrics.sent_pong, 1);
                    put_header(FrameType::Pong, data.len(), &mut out);
                    out.extend_from_slice(&data);
                }
                None => break,
            }
        }
        if out.is_empty() {
            out = Vec::new();
            let due = Instant::now() + keep_alive;
            tokio::select! {
                () = client.wait() => {}
                () = sleep_until(due) => out.extend_from_slice(&KEEP_ALIVE_FRAME),
            }
            if client.is_closed() {
                let _ = io.shutdown().await;
                return;
            }
            continue;
        }
        let written = timeout(relay.limits.write_timeout, async {
            io.write_all(&out).await?;
            io.flush().await
        });
        match written.await {
            Ok(Ok(())) => add(&relay.metrics.packets_sent, packets),
            Ok(Err(_)) => break,
            Err(_) => {
                add(&relay.metrics.write_timeouts, 1);
                break;
            }
        }
        out.clear();
    }
    client.close();
}

/// Frames out of a stream.
struct Input<R> {
    io: R,
    buf: BytesMut,
}

impl<R: AsyncRead + Unpin> Input<R> {
    /// The next frame: type number and payload. The length is checked before anything is held for it.
    async fn frame(&mut self) -> io::Result<(u8, Bytes)> {
        loop {
            if let Some((kind, len)) = parse_header(&self.buf).map_err(invalid)?
                && self.buf.len() >= FRAME_HEADER + len
            {
                let mut frame = self.buf.split_to(FRAME_HEADER + len).freeze();
                return Ok((kind, frame.split_off(FRAME_HEADER)));
            }
            if self.buf.is_empty() {
                self.buf = BytesMut::new();
            }
            self.read_some().await?;
        }
    }

    async fn read_some(&mut self) -> io::Result<()> {
        let Self { io, buf } = self;
        poll_fn(|cx| {
            let mut chunk = [MaybeUninit::<u8>::uninit(); READ_CHUNK];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            std::task::ready!(Pin::new(&mut *io).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return std::task::Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            buf.extend_from_slice(chunk.filled());
            std::task::Poll::Ready(Ok(()))
        })
        .await
    }
}

fn invalid(e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, e)
}
