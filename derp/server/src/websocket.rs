//! DERP inside WebSocket (RFC 6455), for clients in browsers: server role, sub-protocol `derp`, no extensions.
//!
//! Message boundaries mean nothing: payloads of binary messages are one byte stream, and every write becomes one
//! message.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::digest::{Context as Hash, SHA1_FOR_LEGACY_USE_ONLY};
use std::{
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the client's key is hashed with (RFC 6455 section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Bytes read at once.
const CHUNK: usize = 4096;
/// Payload bytes of one message that we write.
const MESSAGE_MAX: usize = 32 * 1024;
/// Longest payload of a control frame.
const CONTROL_MAX: usize = 125;
/// Longest message that we read: more than any DERP frame, so that a client may send each in one.
const RECEIVED_MAX: u64 = 1 << 20;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// `Sec-WebSocket-Accept` for the client's `Sec-WebSocket-Key`.
#[must_use]
pub fn accept_key(key: &str) -> String {
    // Not for security: the RFC wants a proof that the server speaks WebSocket.
    let mut hash = Hash::new(&SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(GUID.as_bytes());
    STANDARD.encode(hash.finish())
}

/// The head of the HTTP answer to a WebSocket upgrade.
#[must_use]
pub(crate) fn upgrade_response(key: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: derp\r\n\r\n",
        accept_key(key)
    )
}

/// The byte stream inside a WebSocket connection.
#[derive(Debug)]
pub struct WebSocket<S> {
    io: S,
    /// Bytes read and not looked at yet.
    input: Vec<u8>,
    /// Left of the payload of the current data frame, and its mask, turned to the next byte.
    left: u64,
    mask: [u8; 4],
    /// Bytes to write before anything else.
    output: Vec<u8>,
    written: usize,
    closed: bool,
}

impl<S> WebSocket<S> {
    /// On a stream whose HTTP upgrade is done; `received` was read behind the request.
    pub fn new(io: S, received: &[u8]) -> Self {
        Self { io, input: received.to_vec(), left: 0, mask: [0; 4], output: Vec::new(), written: 0, closed: false }
    }

    /// Gives payload of the current frame out of `input`. False when there is none.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let n = self.input.len().min(buf.remaining()).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if n == 0 {
            return false;
        }
        for (i, byte) in self.input.iter_mut().take(n).enumerate() {
            *byte ^= self.mask[i % 4];
        }
        buf.put_slice(self.input.get(..n).unwrap_or_default());
        self.input.drain(..n);
        self.mask.rotate_left(n % 4);
        self.left -= n as u64;
        true
    }

    /// Takes the next frame head, and the whole frame if it is a control frame. False when more bytes are needed.
    fn head(&mut self) -> io::Result<bool> {
        let bad = |what: &'static str| Err(io::Error::new(ErrorKind::InvalidData, what));
        let [first, second, rest @ ..] = self.input.as_slice() else { return Ok(false) };
        let (opcode, fin, short) = (first & 0x0f, first & 0x80 != 0, second & 0x7f);
        if first & 0x70 != 0 {
            return bad("a WebSocket extension nobody agreed on");
        }
        if second & 0x80 == 0 {
            return bad("a WebSocket frame of a client has to be masked");
        }
        let (len, rest) = match short {
            126 => {
                let Some((len, rest)) = rest.split_first_chunk::<2>() else { return Ok(false) };
                (u64::from(u16::from_be_bytes(*len)), rest)
            }
            127 => {
                let Some((len, rest)) = rest.split_first_chunk::<8>() else { return Ok(false) };
                (u64::from_be_bytes(*len), rest)
            }
            short => (u64::from(short), rest),
        };
        if len > RECEIVED_MAX {
            return bad("a WebSocket frame longer than any");
        }
        let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(false) };
        let (mask, head_len) = (*mask, self.input.len() - rest.len());
        match opcode {
            CONTINUATION | BINARY => {
                (self.left, self.mask) = (len, mask);
                self.input.drain(..head_len);
                Ok(true)
            }
            CLOSE | PING | PONG => {
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                if !fin || len > CONTROL_MAX {
                    return bad("a WebSocket control frame is short and whole");
                }
                let Some(payload) = rest.get(..len) else { return Ok(false) };
                let payload: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect();
                self.input.drain(..head_len + len);
                // An answer that finds the last one still waiting is left out: pings are not worth a queue.
                if opcode != PONG && self.output.is_empty() {
                    let kind = if opcode == PING { PONG } else { CLOSE };
                    // At most CONTROL_MAX.
                    self.output.extend_from_slice(&[0x80 | kind, payload.len() as u8]);
                    self.output.extend_from_slice(&payload);
                }
                self.closed |= opcode == CLOSE;
                Ok(true)
            }
            TEXT => bad("DERP is spoken in binary WebSocket messages"),
            _ => bad("an unknown kind of WebSocket frame"),
        }
    }
}

impl<S: AsyncWrite + Unpin> WebSocket<S> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.output.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                n => self.written += n,
            }
        }
        self.output = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.closed {
                // The answer to a close goes out if it can; the end is the end.
                let _ = this.poll_drain(cx);
                return Poll::Ready(Ok(()));
            }
            if this.give(buf) {
                return Poll::Ready(Ok(()));
            }
            if this.left == 0 && this.head()? {
                // A pong is written by whoever polls next; here at the latest.
                if let Poll::Ready(Err(e)) = this.poll_drain_control(cx) {
                    return Poll::Ready(Err(e));
                }
                continue;
            }
            let mut chunk = [0u8; CHUNK];
            let mut chunk = ReadBuf::new(&mut chunk);
            if this.input.is_empty() {
                this.input = Vec::new();
            }
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.input.extend_from_slice(chunk.filled());
        }
    }
}

impl<S: AsyncWrite + Unpin> WebSocket<S> {
    fn poll_drain_control(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Makes a message of (part of) these slices and answers how many bytes of them it holds.
    fn compose(&mut self, slices: &[io::IoSlice<'_>]) -> usize {
        let total: usize = slices.iter().map(|s| s.len()).sum::<usize>().min(MESSAGE_MAX);
        self.output.reserve_exact(total + 4);
        self.output.push(0x80 | BINARY);
        // MESSAGE_MAX fits sixteen bits.
        match total as u16 {
            short @ 0..126 => self.output.push(short as u8),
            long => {
                self.output.push(126);
                self.output.extend_from_slice(&long.to_be_bytes());
            }
        }
        let mut left = total;
        for slice in slices {
            let part = slice.get(..left.min(slice.len())).unwrap_or_default();
            self.output.extend_from_slice(part);
            left -= part.len();
        }
        total
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        let n = self.compose(bufs);
        // What does not fit now goes out with the next write or flush.
        match self.poll_drain(cx) {
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            _ => Poll::Ready(Ok(n)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = ready!(self.poll_drain(cx));
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut out = vec![first, 0x80 | if payload.len() < 126 { payload.len() as u8 } else { 126 }];
        if payload.len() >= 126 {
            out.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        out.extend_from_slice(&mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        out
    }

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[tokio::test]
    async fn payloads_are_one_stream_however_they_are_cut() {
        let long: Vec<u8> = (0..5000u32).map(|n| n as u8).collect();
        let mut sent = masked(0x02, b"he");
        sent.extend(masked(0x89, b"are you there"));
        sent.extend(masked(0x80, b"llo"));
        sent.extend(masked(0x82, &long));
        for step in [1, 3, 7, 4096] {
            let (mut client, server) = duplex(65536);
            let mut server = WebSocket::new(server, &sent[..2]);
            for part in sent[2..].chunks(step) {
                client.write_all(part).await.unwrap();
            }
            let mut got = vec![0; 5 + long.len()];
            server.read_exact(&mut got).await.unwrap();
            assert_eq!(&got[..5], b"hello");
            assert_eq!(&got[5..], long);
            let mut pong = [0; 15];
            client.read_exact(&mut pong).await.unwrap();
            assert_eq!(&pong, b"\x8a\x0dare you there");
        }
    }

    #[tokio::test]
    async fn a_flush_is_a_message_and_a_close_is_answered() {
        let (mut client, server) = duplex(65536);
        let mut server = WebSocket::new(server, &[]);
        server.write_all(&[7; 200]).await.unwrap();
        server.flush().await.unwrap();
        let mut head = [0; 4];
        client.read_exact(&mut head).await.unwrap();
        assert_eq!(head, [0x82, 126, 0, 200]);
        client.read_exact(&mut [0; 200]).await.unwrap();
        client.write_all(&masked(0x88, &[3, 0xe8])).await.unwrap();
        assert_eq!(server.read(&mut [0; 10]).await.unwrap(), 0);
        client.read_exact(&mut head).await.unwrap();
        assert_eq!(head, [0x88, 2, 3, 0xe8]);
    }

    #[tokio::test]
    async fn frames_that_break_the_rules_end_it() {
        for bad in [
            &[0x82, 0x01, 0x00][..],
            &masked(0x81, b"text"),
            &masked(0xc2, b"x"),
            &[0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0],
            &masked(0x09, b"part of a ping"),
        ] {
            let (_client, server) = duplex(65536);
            let mut server = WebSocket::new(server, bad);
            assert_eq!(server.read(&mut [0; 10]).await.unwrap_err().kind(), ErrorKind::InvalidData, "{bad:?}");
        }
    }
}
