//! A Noise session as a stream of bytes.
//!
//! Thousands of these sit idle on a server, so no buffer is kept while nothing is under way: reading goes through
//! the stack, and the write buffer is given back when it is empty.

use hearthgate_noise::{Opener, RecordError, Sealer, Session};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Ciphertext that may wait before writers have to.
const OUT_MAX: usize = 16 * 1024;
/// Most plaintext taken from one write call.
const WRITE_MAX: usize = 16 * 1024;
/// Bytes read from the network at once, on the stack.
const READ_CHUNK: usize = 8 * 1024;

/// A stream that encrypts what is written and decrypts what is read.
#[derive(Debug)]
pub struct NoiseStream<S> {
    io: S,
    sealer: Sealer,
    opener: Opener,
    /// Received bytes; those before `taken` are used up.
    input: Vec<u8>,
    taken: usize,
    /// Plaintext in `input` that was decrypted and not yet handed out.
    ready: std::ops::Range<usize>,
    /// Ciphertext to send; those before `sent` are gone.
    output: Vec<u8>,
    sent: usize,
}

impl<S> NoiseStream<S> {
    /// Starts with the keys of a finished handshake. `first` is sent before anything else (the server's handshake
    /// answer); `received` was already read from `io` after the handshake.
    pub fn new(io: S, session: Session, first: Vec<u8>, received: Vec<u8>) -> Self {
        Self {
            io,
            sealer: session.sealer,
            opener: session.opener,
            input: received,
            taken: 0,
            ready: 0..0,
            output: first,
            sent: 0,
        }
    }

    /// Encrypts `plain` to be sent with the next flush (the server's early payload).
    ///
    /// # Errors
    /// The record counter is used up.
    pub fn queue(&mut self, plain: &[u8]) -> Result<(), RecordError> {
        self.sealer.seal(plain, &mut self.output)
    }

    /// The stream beneath.
    pub fn get_ref(&self) -> &S {
        &self.io
    }
}

impl<S: AsyncWrite + Unpin> NoiseStream<S> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.output.len() {
            let rest = self.output.get(self.sent..).unwrap_or_default();
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += n;
        }
        self.output = Vec::new();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for NoiseStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.ready.is_empty() {
                let text = this.input.get(this.ready.clone()).unwrap_or_default();
                let n = text.len().min(buf.remaining());
                buf.put_slice(&text[..n]);
                this.ready.start += n;
                if this.ready.is_empty() && this.taken == this.input.len() {
                    this.input = Vec::new();
                    this.taken = 0;
                    this.ready = 0..0;
                }
                return Poll::Ready(Ok(()));
            }
            let rest = this.input.get_mut(this.taken..).unwrap_or_default();
            match this.opener.open(rest).map_err(broken)? {
                Some((used, text)) => {
                    this.ready = this.taken + text.start..this.taken + text.end;
                    this.taken += used;
                    continue;
                }
                None => {
                    if this.taken == this.input.len() {
                        // Empty records end here: they leave no buffer behind either.
                        this.input = Vec::new();
                    }
                    this.input.drain(..this.taken.min(this.input.len()));
                    this.taken = 0;
                    this.ready = 0..0;
                }
            }
            let mut chunk = [std::mem::MaybeUninit::uninit(); READ_CHUNK];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return match this.input.is_empty() {
                    true => Poll::Ready(Ok(())),
                    false => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                };
            }
            this.input.extend_from_slice(chunk.filled());
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for NoiseStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.output.len() - this.sent >= OUT_MAX {
            ready!(this.poll_drain(cx))?;
        }
        let n = buf.len().min(WRITE_MAX);
        this.sealer.seal(&buf[..n], &mut this.output).map_err(broken)?;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

fn broken(e: RecordError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, e)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_keys::MachinePrivate;
    use hearthgate_noise::{Initiator, respond};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    fn pair(buffer: usize) -> (NoiseStream<tokio::io::DuplexStream>, NoiseStream<tokio::io::DuplexStream>) {
        let (client, server) = (MachinePrivate::from_random([7; 32]), MachinePrivate::from_random([8; 32]));
        let (initiator, initiation) = Initiator::start(&client, &server.public(), 148, None).unwrap();
        let accepted = respond(&server, &initiation).unwrap();
        let session = initiator.finish(&accepted.response).unwrap();
        let (a, b) = duplex(buffer);
        (
            NoiseStream::new(a, session, Vec::new(), Vec::new()),
            NoiseStream::new(b, accepted.session, Vec::new(), Vec::new()),
        )
    }

    #[tokio::test]
    async fn a_long_text_crosses_a_narrow_pipe_whole() {
        let (mut a, mut b) = pair(100);
        let text: Vec<u8> = (0..200_000u32).map(|i| (i * 7) as u8).collect();
        let sent = text.clone();
        let writer = tokio::spawn(async move {
            a.write_all(&sent).await.unwrap();
            a.shutdown().await.unwrap();
            assert_eq!(a.output.capacity(), 0);
        });
        let mut got = Vec::new();
        b.read_to_end(&mut got).await.unwrap();
        writer.await.unwrap();
        assert_eq!(got, text);
        assert_eq!(b.input.capacity(), 0);
    }

    #[tokio::test]
    async fn garbage_ends_the_stream_with_an_error() {
        let (a, mut b) = pair(100);
        let mut raw = a.io;
        raw.write_all(&[4, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]).await.unwrap();
        assert!(b.read_u8().await.is_err());
    }

    #[tokio::test]
    async fn a_stream_cut_within_a_record_is_an_error() {
        let (a, mut b) = pair(100);
        let mut raw = a.io;
        raw.write_all(&[4, 0, 16, 1]).await.unwrap();
        drop(raw);
        assert_eq!(b.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    }
}
