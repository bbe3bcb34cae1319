//! The client's end of a connection: HTTP/2 with whatever the server said before it taken out.
//!
//! A server may put an early payload in front of HTTP/2 (`control/ts2021` of tailscale.com v1.104.5). The client starts
//! HTTP/2 without waiting for it, so it is recognised while reading: its magic cannot begin an HTTP/2 frame.

use crate::NoiseStream;
use hearthgate_noise::{EARLY_MAX, parse_early_head};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Magic and length.
const HEAD: usize = 9;

/// A [`NoiseStream`] to a server, without the early payload.
#[derive(Debug)]
pub struct ClientStream<S> {
    inner: NoiseStream<S>,
    early: Early,
}

#[derive(Debug)]
enum Early {
    /// The first bytes, and how many of them are here.
    Head([u8; HEAD], usize),
    /// They were HTTP/2 already: those of them that have to be given out.
    Return([u8; HEAD], std::ops::Range<usize>),
    /// Bytes of the payload still to come.
    Skip(usize),
    Over,
}

impl<S> ClientStream<S> {
    /// On a stream from which nothing was read yet.
    pub const fn new(inner: NoiseStream<S>) -> Self {
        Self { inner, early: Early::Head([0; HEAD], 0) }
    }

    /// The stream beneath.
    pub const fn get_ref(&self) -> &NoiseStream<S> {
        &self.inner
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            match &mut this.early {
                Early::Over => return Pin::new(&mut this.inner).poll_read(cx, buf),
                Early::Head(head, have) => {
                    let mut rest = ReadBuf::new(head.get_mut(*have..).unwrap_or_default());
                    ready!(Pin::new(&mut this.inner).poll_read(cx, &mut rest))?;
                    let n = rest.filled().len();
                    *have += n;
                    this.early = match parse_early_head(head) {
                        // The end: what came before it was no early payload.
                        _ if n == 0 => Early::Return(*head, 0..*have),
                        _ if *have < HEAD => continue,
                        None => Early::Return(*head, 0..HEAD),
                        Some(len) if len > EARLY_MAX => {
                            return Poll::Ready(Err(io::Error::new(
                                io::ErrorKind::InvalidData,
                                "an early payload of impossible length",
                            )));
                        }
                        Some(len) => Early::Skip(len),
                    };
                }
                Early::Return(head, range) => {
                    let n = range.len().min(buf.remaining());
                    buf.put_slice(head.get(range.start..range.start + n).unwrap_or_default());
                    range.start += n;
                    if range.start == range.end {
                        this.early = Early::Over;
                    }
                    if n > 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Early::Skip(0) => this.early = Early::Over,
                Early::Skip(left) => {
                    let mut waste = [0; EARLY_MAX];
                    let mut waste = ReadBuf::new(waste.get_mut(..*left).unwrap_or_default());
                    ready!(Pin::new(&mut this.inner).poll_read(cx, &mut waste))?;
                    if waste.filled().is_empty() {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                    *left -= waste.filled().len();
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
