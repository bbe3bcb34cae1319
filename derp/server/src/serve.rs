//! A connection from its first byte of DERP to its end: handshake, admission, frames.

use crate::{
    client::{Client, Origin},
    driver::{Ended, Pace, drive},
    inbound::Inbound,
    metrics::{RelayMetrics, add, less},
    outbox::Outbox,
    relay::Relay,
};
use bytes::Bytes;
use hearthgate_derp_frame::{
    FRAME_HEADER, FrameType, PROTOCOL_VERSION, ServerInfo, frame, health_frame, is_app_name, open_client_info,
    parse_header, seal_server_info, server_key_frame,
};
use hearthgate_keys::{BOX_NONCE_LEN, KEY_LEN, NodePublic};
use portable_atomic::{AtomicBool, Ordering::Relaxed};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout},
};

/// Longest handshake, admission included.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes read at once during the handshake; the official client's first frame has about two hundred.
const HANDSHAKE_READ: usize = 1024;
/// Handshakes at once: strangers may hold no more than this many connections.
const HANDSHAKES_MAX: u64 = hearthgate_limits::HANDSHAKES;
/// Longest time a relay of the mesh may take nothing.
const MESH_WRITE_TIMEOUT: Duration = Duration::from_secs(30);

impl Relay {
    /// The head of the HTTP answer to an upgrade. Not sent to a client that asked for a fast start.
    #[must_use]
    pub fn upgrade_response(&self) -> String {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\nDerp-Version: {PROTOCOL_VERSION}\r\nDerp-Public-Key: {}\r\n\r\n",
            hearthgate_keys::encode(self.public.as_bytes())
        )
    }

    /// Speaks DERP on an upgraded stream until it ends. `received` was read from it already: a client that knows the
    /// server's key sends its first frame together with the upgrade.
    ///
    /// Spawn it as a task of its own, so that whatever handled the HTTP request is freed.
    ///
    /// # Errors
    /// The connection broke, the client broke the protocol, or it was not admitted.
    pub async fn serve<S>(self: Arc<Self>, mut io: S, received: Bytes, origin: impl Into<Origin>) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(under_way) = UnderWay::begin(&self.metrics) else {
            add(&self.metrics.refused, 1);
            return Err(Ended::Refused.into());
        };
        // Boxed, and dropped before the long part: a connection lives in this future for days.
        let handshake = Box::pin(timeout(HANDSHAKE, self.clone().handshake(&mut io, received.into(), origin.into())));
        let shaken = handshake.await.unwrap_or(Err(Ended::HandshakeTimeout));
        drop(under_way);
        let (client, received) = match shaken {
            Ok(done) => done,
            Err(end) => {
                match end {
                    Ended::Refused => add(&self.metrics.refused, 1),
                    Ended::Frame(_) | Ended::Violation(_) => add(&self.metrics.violations, 1),
                    _ => {}
                }
                return Err(end.into());
            }
        };
        // The numbers are spread over the interval, so that keep-alives of connections that came together are not
        // sent together.
        let spread = u32::try_from(client.id.wrapping_mul(0x9e37_79b9) % 12).unwrap_or(0);
        let pace = Pace {
            keep_alive: Some(self.limits.keep_alive + self.limits.keep_alive / 144 * spread),
            write_timeout: if client.mesh { MESH_WRITE_TIMEOUT } else { self.limits.write_timeout },
        };
        let mut inbound = Inbound::new(self.clone(), client.clone());
        // A node that was removed between the question and its entry was not found by whoever cut its connections.
        if !self.still_admits(&client) {
            add(&self.metrics.refused, 1);
            return Err(Ended::Refused.into());
        }
        let end = drive(io, received, &client.outbox, &mut inbound, pace, &self.metrics).await;
        if matches!(end, Ended::Frame(_) | Ended::Violation(_)) {
            add(&self.metrics.violations, 1);
        }
        match end {
            Ended::Eof | Ended::Closed => Ok(()),
            end => Err(end.into()),
        }
    }

    /// Answers the client, and what it sent after its first frame.
    async fn handshake<S>(
        self: Arc<Self>,
        io: &mut S,
        mut received: Vec<u8>,
        origin: Origin,
    ) -> Result<(Arc<Client>, Vec<u8>), Ended>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        add(&self.metrics.accepts, 1);
        io.write_all(&server_key_frame(&self.public)).await?;
        io.flush().await?;
        let (kind, payload) = read_frame(io, &mut received).await?;
        if FrameType::from_u8(kind) != Some(FrameType::ClientInfo) {
            return Err(Ended::Violation("the first frame has to be the client info"));
        }
        let (key, info) =
            open_client_info(&self.key, &payload).map_err(|_| Ended::Violation("a client info that does not open"))?;
        if !is_app_name(&info.app_name) {
            return Err(Ended::Refused);
        }
        let client = Arc::new(Client {
            id: self.next_id(),
            key,
            origin,
            mesh: self.is_mesh_key(info.mesh_key.as_ref()),
            prober: info.is_prober,
            app_name: info.app_name.into(),
            since: Instant::now(),
            outbox: Outbox::default(),
            active: AtomicBool::new(false),
            duplicated: AtomicBool::new(false),
            home: AtomicBool::new(false),
        });
        if !self.admits(&client).await {
            return Err(Ended::Refused);
        }
        let mut nonce = [0u8; BOX_NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|e| io::Error::other(e.to_string()))?;
        // Through the queue: it goes out in front of everything else.
        let info = seal_server_info(
            &self.key,
            &key,
            &ServerInfo { version: PROTOCOL_VERSION, ..ServerInfo::default() },
            nonce,
        );
        client.outbox.tell(frame(FrameType::ServerInfo, &info));
        let health = self.health();
        if !health.is_empty() {
            client.outbox.tell(health_frame(&health));
        }
        Ok((client, received))
    }
}

/// Counts a handshake while it lasts.
struct UnderWay<'a>(&'a RelayMetrics);

impl<'a> UnderWay<'a> {
    fn begin(metrics: &'a RelayMetrics) -> Option<Self> {
        if metrics.handshakes.fetch_add(1, Relaxed) >= HANDSHAKES_MAX {
            less(&metrics.handshakes, 1);
            return None;
        }
        Some(Self(metrics))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        less(&self.0.handshakes, 1);
    }
}

/// Reads one frame, whose length is checked before anything is held for it; `received` keeps what follows it.
pub(crate) async fn read_frame<S: AsyncRead + Unpin>(
    io: &mut S,
    received: &mut Vec<u8>,
) -> Result<(u8, Vec<u8>), Ended> {
    loop {
        if let Some((kind, len)) = parse_header(received)?
            && received.len() >= FRAME_HEADER + len
        {
            let rest = received.split_off(FRAME_HEADER + len);
            let mut frame = std::mem::replace(received, rest);
            frame.drain(..FRAME_HEADER);
            return Ok((kind, frame));
        }
        let mut chunk = [0u8; HANDSHAKE_READ];
        match io.read(&mut chunk).await? {
            0 => return Err(Ended::Eof),
            n => received.extend_from_slice(chunk.get(..n).unwrap_or_default()),
        }
    }
}

/// The key in a server-key frame.
pub(crate) fn server_key(kind: u8, payload: &[u8]) -> Option<NodePublic> {
    let rest = payload.strip_prefix(&hearthgate_derp_frame::MAGIC)?;
    let key = rest.first_chunk::<KEY_LEN>()?;
    (kind == FrameType::ServerKey as u8).then(|| NodePublic::from_bytes(*key))
}
