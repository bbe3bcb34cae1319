//! The way to a relay: TCP, TLS, the upgrade, and the introduction (`derp/derphttp` of tailscale.com v1.104.5).

use super::{RelayError, tls::trust};
use hearthgate_derp_frame::{
    ClientInfo, FRAME_HEADER, FrameType, MAGIC, PROTOCOL_VERSION, frame, open_server_info, parse_header,
    seal_client_info,
};
use hearthgate_fetch::Fetch;
use hearthgate_keys::{BOX_NONCE_LEN, KEY_LEN, NodePrivate, NodePublic};
use hearthgate_plane::buffer;
use hearthgate_tailcfg::DerpNode;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, lookup_host},
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Longest time for TCP and TLS.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest time for upgrade and introduction.
const INTRODUCE: Duration = Duration::from_secs(10);
/// Port of a relay that names none.
const HTTPS: u16 = 443;
/// Longest response head we read.
const HEAD_MAX: usize = 8 * 1024;

/// A TLS connection to a relay.
pub type Stream = TlsStream<TcpStream>;

/// Connects to a relay with TLS, by connections of `fetch`, which go past the tunnel.
///
/// # Errors
/// It cannot be reached, or shows a certificate that is not trusted.
pub async fn open(node: &DerpNode, fetch: &Fetch) -> Result<Stream, RelayError> {
    let (config, name) = trust(node, fetch)?;
    let port = u16::try_from(node.derp_port).ok().filter(|&port| port != 0).unwrap_or(HTTPS);
    let whole = async {
        // Past the tunnel: the way to a relay must not lead through what needs the relay.
        let tcp = fetch.tcp_to(&addresses(node, port).await?).await?;
        tcp.set_nodelay(true)?;
        Ok(TlsConnector::from(config).connect(name, tcp).await?)
    };
    timeout(CONNECT, whole).await.unwrap_or(Err(RelayError::Silent))
}

/// The addresses of a relay: those of the map, or what DNS says.
///
/// # Errors
/// The name does not resolve.
pub async fn addresses(node: &DerpNode, port: u16) -> io::Result<Vec<SocketAddr>> {
    let literal: Vec<SocketAddr> =
        [&node.ipv4, &node.ipv6].into_iter().filter_map(|ip| Some(SocketAddr::new(ip.parse().ok()?, port))).collect();
    if !literal.is_empty() {
        return Ok(literal);
    }
    let found = lookup_host((node.host_name.trim_matches(['[', ']']), port)).await?;
    Ok(found.filter(|addr| if addr.is_ipv4() { node.ipv4 != "none" } else { node.ipv6 != "none" }).collect())
}

/// Upgrades to DERP and introduces us. Answers what was read beyond the introduction.
///
/// # Errors
/// The relay is none, or does not take us.
pub async fn introduce(io: &mut Stream, node: &DerpNode, key: &NodePrivate) -> Result<(), RelayError> {
    timeout(INTRODUCE, handshake(io, node, key)).await.unwrap_or(Err(RelayError::Silent))
}

async fn handshake(io: &mut Stream, node: &DerpNode, key: &NodePrivate) -> Result<(), RelayError> {
    let request =
        format!("GET /derp HTTP/1.1\r\nHost: {}\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n", node.host_name);
    io.write_all(request.as_bytes()).await?;
    io.flush().await?;
    let status = head(io).await?;
    if status != 101 {
        return Err(RelayError::Status(status));
    }
    let (kind, hello) = read_frame(io).await?;
    let server = hello.strip_prefix(&MAGIC).and_then(|rest| rest.first_chunk::<KEY_LEN>());
    let server = server.filter(|_| kind == FrameType::ServerKey as u8).ok_or(RelayError::Protocol("no server key"))?;
    let server = NodePublic::from_bytes(*server);
    let mut nonce = [0; BOX_NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(|_| RelayError::Random)?;
    let info = ClientInfo { version: PROTOCOL_VERSION, can_ack_pings: true, ..Default::default() };
    io.write_all(&frame(FrameType::ClientInfo, &seal_client_info(key, &server, &info, nonce))).await?;
    io.flush().await?;
    let (kind, info) = read_frame(io).await?;
    if kind != FrameType::ServerInfo as u8 || open_server_info(key, &server, &info).is_err() {
        return Err(RelayError::Protocol("no server info"));
    }
    Ok(())
}

/// Measures how long a relay takes to answer a request over a connection that is there already.
///
/// # Errors
/// It cannot be reached, or does not answer well.
pub async fn latency(node: &DerpNode, fetch: &Fetch) -> Result<Duration, RelayError> {
    let mut io = open(node, fetch).await?;
    let request = format!("GET /derp/latency-check HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", node.host_name);
    let start = Instant::now();
    io.write_all(request.as_bytes()).await?;
    io.flush().await?;
    match timeout(INTRODUCE, head(&mut io)).await.unwrap_or(Err(RelayError::Silent))? {
        200..=299 => Ok(start.elapsed()),
        status => Err(RelayError::Status(status)),
    }
}

/// Reads a response head, byte by byte so that nothing beyond it is taken; answers its status.
async fn head(io: &mut Stream) -> Result<u16, RelayError> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_MAX {
            return Err(RelayError::Protocol("a response head that does not end"));
        }
        head.push(io.read_u8().await?);
    }
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(&head).map_err(|_| RelayError::Protocol("no HTTP response"))?;
    Ok(response.code.unwrap_or(0))
}

/// Reads a frame: its type and payload. The length was checked before anything is allocated for it.
///
/// # Errors
/// The connection ended, or the frame is longer than any may be.
pub async fn read_frame<R: AsyncRead + Unpin>(stream: &mut R) -> Result<(u8, Vec<u8>), RelayError> {
    let mut head = [0; FRAME_HEADER];
    stream.read_exact(&mut head).await?;
    let (kind, len) = parse_header(&head)
        .map_err(|_| RelayError::Protocol("a frame that is too long"))?
        .ok_or(RelayError::Protocol("no frame"))?;
    let mut payload = buffer::take(len);
    // Not by `read_exact`, which wants its room zeroed first.
    while payload.len() < len {
        let rest = (len - payload.len()) as u64;
        if stream.take(rest).read_buf(&mut payload).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok((kind, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_that_comes_in_pieces_is_whole_and_what_follows_is_left() {
        let long = vec![7; 5000];
        let (mut near, mut far) = tokio::io::duplex(100);
        let both = [frame(FrameType::RecvPacket, &long), frame(FrameType::KeepAlive, &[])].concat();
        let write = async {
            far.write_all(&both).await.expect("room");
            far.write_all(&[FrameType::RecvPacket as u8, 0, 0, 0, 9, 1, 2]).await.expect("room");
            drop(far);
        };
        let read = async {
            assert_eq!(read_frame(&mut near).await.expect("whole"), (FrameType::RecvPacket as u8, long));
            assert_eq!(read_frame(&mut near).await.expect("whole"), (FrameType::KeepAlive as u8, Vec::new()));
            assert!(matches!(read_frame(&mut near).await, Err(RelayError::Io(_))), "it ends in the middle");
        };
        tokio::join!(write, read);
    }
}
