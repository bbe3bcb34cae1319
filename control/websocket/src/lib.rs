//! WebSocket (RFC 6455) in the server's role, for clients in browsers, of the control server and of the relay: any
//! sub-protocol, no extensions.
//!
//! Message boundaries mean nothing here: the payloads of binary messages are one stream of bytes, and every write
//! becomes one message. Payload is handed on as it arrives, so no length in a frame head ever makes a buffer.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::digest::{Context as Hash, SHA1_FOR_LEGACY_USE_ONLY};
use std::{
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the client's key is hashed with (RFC 6455 section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Bytes read from the network at once, on the stack.
const READ_CHUNK: usize = 4096;
/// Most payload in a message that we write; its length fits sixteen bits.
const WRITE_MAX: usize = 32 * 1024;
/// Longest payload of a control frame (RFC 6455 section 5.5).
const CONTROL_MAX: usize = 125;
/// Longest payload of a frame that we read. Official clients send a record of 4 KiB in each.
const FRAME_MAX: u64 = 1 << 20;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FIN: u8 = 0x80;

/// Why the connection is closed (RFC 6455 section 7.4.1).
const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;
const UNSUPPORTED: u16 = 1003;
const TOO_BIG: u16 = 1009;

/// `Sec-WebSocket-Accept` for the client's `Sec-WebSocket-Key`.
#[must_use]
pub fn websocket_accept(key: &str) -> String {
    // SHA-1 guards nothing here: the RFC wants a sign that the server speaks WebSocket.
    let mut hash = Hash::new(&SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(GUID.as_bytes());
    STANDARD.encode(hash.finish())
}

/// The stream of bytes inside a WebSocket connection whose HTTP upgrade is done.
#[derive(Debug)]
pub struct WebSocket<S> {
    io: S,
    /// Received bytes that nobody has looked at; those before `taken` are used up.
    input: Vec<u8>,
    taken: usize,
    /// What is left of the current frame's payload, and its mask, turned to the next byte.
    left: u64,
    mask: [u8; 4],
    /// A message was begun and not finished: only its continuation may follow.
    unfinished: bool,
    /// Whole frames to send; the bytes before `sent` are gone.
    output: Vec<u8>,
    sent: usize,
    /// The answer to the latest ping, to go out after `output`. Earlier ones need none (RFC 6455 section 5.5.3).
    pong: Vec<u8>,
    /// The other side has closed, or has broken the rules.
    ended: bool,
    /// Our close is in `output` or gone.
    close_said: bool,
}

impl<S> WebSocket<S> {
    /// Starts on `io`. `received` was already read from it, behind the upgrade request.
    pub const fn new(io: S, received: Vec<u8>) -> Self {
        Self {
            io,
            input: received,
            taken: 0,
            left: 0,
            mask: [0; 4],
            unfinished: false,
            output: Vec::new(),
            sent: 0,
            pong: Vec::new(),
            ended: false,
            close_said: false,
        }
    }

    /// The stream beneath.
    pub const fn get_ref(&self) -> &S {
        &self.io
    }

    /// Hands out payload that was received. False when there is none.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let n = left.min(buf.remaining()).min(self.input.len() - self.taken);
        let Some(payload) = self.input.get_mut(self.taken..self.taken + n).filter(|p| !p.is_empty()) else {
            return false;
        };
        for (byte, mask) in payload.iter_mut().zip(self.mask.iter().cycle()) {
            *byte ^= mask;
        }
        buf.put_slice(payload);
        self.mask.rotate_left(n % 4);
        self.left -= n as u64;
        self.use_up(n);
        true
    }

    /// Counts `n` received bytes as used; an empty buffer is given back.
    fn use_up(&mut self, n: usize) {
        self.taken += n;
        if self.taken == self.input.len() {
            self.input = Vec::new();
            self.taken = 0;
        }
    }

    /// Queues our close with a reason, once.
    fn say_close(&mut self, reason: &[u8]) {
        if !self.close_said {
            self.close_said = true;
            // Nothing may follow a close.
            self.pong.clear();
            put_frame(&mut self.output, CLOSE, reason);
        }
    }

    /// The other side broke the rules: says why, and lets nothing more in.
    fn refuse(&mut self, code: u16, what: &'static str) -> io::Error {
        self.ended = true;
        self.say_close(&code.to_be_bytes());
        io::Error::new(ErrorKind::InvalidData, what)
    }

    /// Takes the next frame head, and the whole frame when it is a control frame. False when more bytes are needed.
    fn take_head(&mut self) -> io::Result<bool> {
        let Some(received) = self.input.get(self.taken..) else { return Ok(false) };
        let [first, second, rest @ ..] = received else { return Ok(false) };
        let (fin, opcode, masked, short) = (first & FIN != 0, first & 0x0f, second & 0x80 != 0, second & 0x7f);
        if first & 0x70 != 0 {
            return Err(self.refuse(PROTOCOL_ERROR, "a WebSocket extension that nobody agreed on"));
        }
        if !masked {
            return Err(self.refuse(PROTOCOL_ERROR, "a WebSocket frame of a client has to be masked"));
        }
        let control = opcode & 0x8 != 0;
        if control && (!fin || usize::from(short) > CONTROL_MAX) {
            return Err(self.refuse(PROTOCOL_ERROR, "a WebSocket control frame has to be short and whole"));
        }
        let (len, rest) = match short {
            126 => match rest.split_first_chunk::<2>() {
                Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), rest),
                None => return Ok(false),
            },
            127 => match rest.split_first_chunk::<8>() {
                Some((len, rest)) => (u64::from_be_bytes(*len), rest),
                None => return Ok(false),
            },
            short => (u64::from(short), rest),
        };
        if len > FRAME_MAX {
            return Err(self.refuse(TOO_BIG, "a WebSocket frame that is too long"));
        }
        let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(false) };
        let (mask, head) = (*mask, received.len() - rest.len());
        if control {
            let Some(payload) = rest.get(..usize::from(short)) else { return Ok(false) };
            let payload: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            self.use_up(head + payload.len());
            return self.take_control(opcode, &payload).map(|()| true);
        }
        match (opcode, self.unfinished) {
            (CONTINUATION, true) | (BINARY, false) => {}
            (CONTINUATION, false) => return Err(self.refuse(PROTOCOL_ERROR, "a continuation of no WebSocket message")),
            (BINARY, true) => return Err(self.refuse(PROTOCOL_ERROR, "a WebSocket message within another")),
            (TEXT, _) => return Err(self.refuse(UNSUPPORTED, "a WebSocket text where bytes are spoken")),
            _ => return Err(self.refuse(PROTOCOL_ERROR, "an unknown kind of WebSocket frame")),
        }
        (self.left, self.mask, self.unfinished) = (len, mask, !fin);
        self.use_up(head);
        Ok(true)
    }

    fn take_control(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        match opcode {
            PING => {
                self.pong.clear();
                put_frame(&mut self.pong, PONG, payload);
                Ok(())
            }
            PONG => Ok(()),
            CLOSE => {
                self.ended = true;
                // The code comes back as it was; the text does not have to.
                self.say_close(payload.get(..2).unwrap_or_default());
                Ok(())
            }
            _ => Err(self.refuse(PROTOCOL_ERROR, "an unknown kind of WebSocket frame")),
        }
    }
}

/// Appends a frame that is a whole message.
fn put_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    put_head(out, opcode, payload.len());
    out.extend_from_slice(payload);
}

/// Appends the head of such a frame, and makes room for its payload of `len` bytes, [`WRITE_MAX`] at most.
fn put_head(out: &mut Vec<u8>, opcode: u8, len: usize) {
    out.reserve_exact(len + 4);
    out.push(FIN | opcode);
    match u8::try_from(len) {
        Ok(short @ 0..=125) => out.push(short),
        _ => {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
}

impl<S: AsyncWrite + Unpin> WebSocket<S> {
    /// Sends what is queued, a waiting pong after it.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while let Some(rest) = self.output.get(self.sent..).filter(|rest| !rest.is_empty()) {
                match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                    0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                    n => self.sent += n,
                }
            }
            self.sent = 0;
            self.output = std::mem::take(&mut self.pong);
            if self.output.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Sends answers to control frames as far as the network takes them now; the rest goes with the next write.
    fn answer(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.poll_drain(cx) {
            Poll::Ready(Ok(())) => match Pin::new(&mut self.io).poll_flush(cx) {
                Poll::Ready(Err(e)) => Err(e),
                _ => Ok(()),
            },
            Poll::Ready(Err(e)) => Err(e),
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.ended || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if this.give(buf) {
                return Poll::Ready(Ok(()));
            }
            if this.left == 0 {
                let taken = this.take_head();
                if !this.pong.is_empty() || this.ended {
                    // Breaking the rules is what is told, whether or not the goodbye can be sent.
                    let answered = this.answer(cx);
                    taken.as_ref().map_or(Ok(()), |_| answered)?;
                }
                if taken? {
                    continue;
                }
            }
            let mut chunk = [std::mem::MaybeUninit::uninit(); READ_CHUNK];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                // A close frame is the only proper end; without it the bytes may have been cut off.
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
            this.input.drain(..this.taken);
            this.taken = 0;
            this.input.extend_from_slice(chunk.filled());
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    /// Everything that is given at once is one message, as far as it fits.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        if this.close_said {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let len = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(WRITE_MAX);
        if len > 0 {
            put_head(&mut this.output, BINARY, len);
            let mut left = len;
            for buf in bufs {
                let part = buf.get(..left.min(buf.len())).unwrap_or_default();
                this.output.extend_from_slice(part);
                left -= part.len();
            }
        }
        // What the network does not take now goes out with the next write or flush.
        match this.poll_drain(cx) {
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            _ => Poll::Ready(Ok(len)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.say_close(&NORMAL.to_be_bytes());
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}
