//! The client's way in: `GET /key`, `POST /ts2021`, Noise.

use crate::{HANDSHAKE_HEADER, NoiseStream, UPGRADE};
use base64::{Engine, engine::general_purpose::STANDARD};
use hearthgate_keys::{MachinePrivate, MachinePublic};
use hearthgate_noise::{HandshakeError, Initiator, RESPONSE_LEN};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest response head we read.
const HEAD_MAX: usize = 8 * 1024;
/// Longest `/key` answer, as the official client has it.
const KEY_BODY_MAX: usize = 64 * 1024;

/// Why a connection to a control server failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The network failed.
    #[error("network: {0}")]
    Io(#[from] io::Error),
    /// The server did not answer as a control server does.
    #[error("not a control server: {0}")]
    Http(String),
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

/// Asks for the server's Noise key over `io`, which is used up.
///
/// # Errors
/// The network failed, or the answer is not a key.
pub async fn fetch_key<S: AsyncRead + AsyncWrite + Unpin>(
    mut io: S,
    host: &str,
    version: u16,
) -> Result<MachinePublic, ClientError> {
    let request = format!("GET /key?v={version} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    io.write_all(request.as_bytes()).await?;
    io.flush().await?;
    let (status, rest) = read_head(&mut io).await?;
    if status != 200 {
        return Err(ClientError::Http(format!("GET /key answered {status}")));
    }
    let mut body = rest;
    let room = KEY_BODY_MAX.saturating_sub(body.len()) as u64;
    io.take(room).read_to_end(&mut body).await?;
    let text = String::from_utf8_lossy(&body);
    let field = text.find("\"publicKey\"").and_then(|at| text.get(at..)).unwrap_or_default();
    let key = field.find("mkey:").and_then(|at| field.get(at..at + 69)).unwrap_or_default();
    key.parse().map_err(|e| ClientError::Http(format!("GET /key: {e}")))
}

/// Upgrades `io` to a Noise stream with the server whose key is `server`.
///
/// # Errors
/// The network failed, the server refused the upgrade, or the handshake failed.
pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    mut io: S,
    host: &str,
    key: &MachinePrivate,
    server: &MachinePublic,
    version: u16,
) -> Result<NoiseStream<S>, ClientError> {
    let (initiator, initiation) = Initiator::start(key, server, version, None)?;
    let request = format!(
        "POST /ts2021 HTTP/1.1\r\nHost: {host}\r\nUpgrade: {UPGRADE}\r\nConnection: upgrade\r\n{HANDSHAKE_HEADER}: {}\r\nContent-Length: 0\r\n\r\n",
        STANDARD.encode(initiation)
    );
    io.write_all(request.as_bytes()).await?;
    io.flush().await?;
    let (status, mut received) = read_head(&mut io).await?;
    if status != 101 {
        return Err(ClientError::Http(format!("POST /ts2021 answered {status}")));
    }
    while received.len() < RESPONSE_LEN {
        if io.read_buf(&mut received).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    let rest = received.split_off(RESPONSE_LEN);
    let session = initiator.finish(&received)?;
    Ok(NoiseStream::new(io, session, Vec::new(), rest))
}

/// Reads a response head; answers its status and what was read beyond it.
async fn read_head<S: AsyncRead + Unpin>(io: &mut S) -> Result<(u16, Vec<u8>), ClientError> {
    let mut head = Vec::new();
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&head) {
            Ok(httparse::Status::Complete(used)) => {
                let status = response.code.unwrap_or(0);
                return Ok((status, head.split_off(used)));
            }
            Ok(httparse::Status::Partial) if head.len() < HEAD_MAX => {}
            Ok(httparse::Status::Partial) => return Err(ClientError::Http("the response head is too long".into())),
            Err(e) => return Err(ClientError::Http(e.to_string())),
        }
        if io.read_buf(&mut head).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}
