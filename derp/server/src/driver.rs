//! One task per connection: reading, writing and timers in one poll, so neither direction waits for the other.
//!
//! Reading goes into a buffer of the thread, so an idle connection holds none; only the beginning of an unfinished frame
//! is kept. Writing gathers what waits into one vectored write.

use crate::{
    metrics::{RelayMetrics, add},
    outbox::{BATCH_FRAMES, Outbox},
    packet::{Kind, Packet},
};
use hearthgate_derp_frame::{FrameError, KEEP_ALIVE_FRAME};
use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// The buffer of a thread: room for the largest frame, and as much again for what follows it.
const SCRATCH: usize = 128 * 1024;
/// Bytes that one connection reads before others get their turn.
const READ_BUDGET: usize = 256 * 1024;
/// Batches that one connection writes before others get their turn.
const WRITE_BUDGET: usize = 8;

thread_local! {
    static THREAD: RefCell<Scratch> = RefCell::new(Scratch { bytes: vec![0; SCRATCH], run: Vec::new() });
}

struct Scratch {
    bytes: Vec<u8>,
    run: Vec<Packet>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// The other side closed it.
    #[error("closed by the other side")]
    Eof,
    /// We closed it: its node was removed, or the relay goes down.
    #[error("closed by the relay")]
    Closed,
    /// Nothing could be written for too long.
    #[error("the client does not read")]
    WriteTimeout,
    /// A frame that cannot be.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that this client may not send, or of a wrong length.
    #[error("{0}")]
    Violation(&'static str),
    /// The client may not use this relay.
    #[error("not admitted")]
    Refused,
    /// No handshake in time.
    #[error("the handshake took too long")]
    HandshakeTimeout,
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Takes the frames that were read.
pub(crate) trait Handler {
    /// Handles the whole frames at the beginning of `bytes` and answers how many bytes they are. `run` is scratch
    /// space, empty before and after.
    fn frames(&mut self, bytes: &[u8], run: &mut Vec<Packet>) -> Result<usize, Ended>;
    /// When to go on reading, if the sender was too fast.
    fn pause(&mut self) -> Option<Instant> {
        None
    }
}

/// How patient a connection is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Between keep-alives; `None` for a side that sends none.
    pub(crate) keep_alive: Option<Duration>,
    /// Longest time without any byte written while there is something to write.
    pub(crate) write_timeout: Duration,
}

/// Runs a connection to its end. `received` are bytes that were read from it before.
pub(crate) async fn drive<S, H>(
    io: S,
    received: Vec<u8>,
    outbox: &Outbox,
    handler: &mut H,
    pace: Pace,
    metrics: &RelayMetrics,
) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    let keep_alive_at = pace.keep_alive.map(|after| Instant::now() + after);
    let mut timer = pin!(sleep_until(keep_alive_at.unwrap_or_else(far)));
    let mut driver = Driver {
        first: !received.is_empty(),
        partial: received,
        io,
        outbox,
        handler,
        pace,
        metrics,
        batch: Batch::default(),
        unflushed: false,
        keep_alive_at,
        write_by: None,
        paused_until: None,
    };
    let end = poll_fn(|cx| driver.poll(cx, timer.as_mut())).await;
    let lost = driver.batch.packets() + outbox.abandon();
    add(&metrics.dropped_gone, lost);
    end
}

struct Driver<'a, S, H> {
    io: S,
    outbox: &'a Outbox,
    handler: &'a mut H,
    pace: Pace,
    metrics: &'a RelayMetrics,
    /// The beginning of a frame whose end has not come yet.
    partial: Vec<u8>,
    /// `partial` may hold whole frames, read before this began.
    first: bool,
    batch: Batch,
    unflushed: bool,
    keep_alive_at: Option<Instant>,
    write_by: Option<Instant>,
    paused_until: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin, H: Handler> Driver<'_, S, H> {
    fn poll(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<Ended> {
        if !self.outbox.register(cx.waker()) {
            // What was said before the end, such as that the relay restarts, goes out if it can at once.
            let _ = self.write(cx);
            return Poll::Ready(Ended::Closed);
        }
        loop {
            let again = match self.write(cx).and_then(|write| self.read(cx).map(|read| write || read)) {
                Ok(again) => again,
                Err(end) => return Poll::Ready(end),
            };
            let next =
                [self.keep_alive_at, self.write_by, self.paused_until].into_iter().flatten().min().unwrap_or_else(far);
            // A timer that fires too early is only a look too many; moving it at every write would cost more.
            if next < timer.deadline() {
                timer.as_mut().reset(next);
            }
            if timer.as_mut().poll(cx).is_ready() {
                if let Err(end) = self.tick(timer.as_mut()) {
                    return Poll::Ready(end);
                }
                continue;
            }
            if again {
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
    }

    fn tick(&mut self, timer: Pin<&mut Sleep>) -> Result<(), Ended> {
        let now = Instant::now();
        if self.write_by.is_some_and(|by| by <= now) {
            add(&self.metrics.write_timeouts, 1);
            return Err(Ended::WriteTimeout);
        }
        if let (Some(at), Some(after)) = (self.keep_alive_at, self.pace.keep_alive)
            && at <= now
        {
            self.outbox.tell(KEEP_ALIVE_FRAME.to_vec());
            self.keep_alive_at = Some(now + after);
        }
        self.paused_until = self.paused_until.filter(|until| *until > now);
        let next = [self.keep_alive_at, self.write_by, self.paused_until].into_iter().flatten().min();
        timer.reset(next.unwrap_or_else(far));
        Ok(())
    }

    /// Writes until the stream takes no more or nothing waits; true when only the budget ended it.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        for _ in 0..WRITE_BUDGET {
            if self.batch.is_empty() {
                if let Some(waited) = self.outbox.fill(&mut self.batch.frames) {
                    self.metrics.queued_for(waited);
                }
                if self.batch.is_empty() {
                    self.batch.frames = Vec::new();
                    self.flush(cx)?;
                    return Ok(false);
                }
            }
            while !self.batch.is_empty() {
                match self.batch.poll_write(&mut self.io, cx) {
                    Poll::Ready(Ok(0)) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                    Poll::Ready(Ok(n)) => {
                        self.batch.advance(n);
                        self.unflushed = true;
                        self.write_by = None;
                    }
                    Poll::Ready(Err(e)) => return Err(e.into()),
                    Poll::Pending => {
                        self.write_within();
                        return Ok(false);
                    }
                }
            }
            let (packets, bytes) = self.batch.finish();
            add(&self.metrics.packets_sent, packets);
            add(&self.metrics.bytes_sent, bytes);
            add(&self.metrics.write_batches, 1);
        }
        Ok(true)
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        if self.unflushed {
            match Pin::new(&mut self.io).poll_flush(cx) {
                Poll::Ready(done) => {
                    done?;
                    self.unflushed = false;
                    self.write_by = None;
                }
                Poll::Pending => self.write_within(),
            }
        }
        Ok(())
    }

    fn write_within(&mut self) {
        if self.write_by.is_none() && !self.pace.write_timeout.is_zero() {
            self.write_by = Some(Instant::now() + self.pace.write_timeout);
        }
    }

    /// Reads until nothing more is there; true when only the budget ended it.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        if self.paused_until.is_some() {
            return Ok(false);
        }
        THREAD.with_borrow_mut(|thread| {
            let Scratch { bytes, run } = thread;
            if std::mem::take(&mut self.first) {
                let received = std::mem::take(&mut self.partial);
                let used = self.handler.frames(&received, run)?;
                self.partial = received.get(used..).unwrap_or_default().to_vec();
            }
            let mut budget = READ_BUDGET;
            loop {
                // Never longer than one frame, so there is always room behind it.
                let have = self.partial.len();
                let Some((kept, room)) = bytes.split_at_mut_checked(have).filter(|(_, room)| !room.is_empty()) else {
                    return Err(Ended::Violation("a frame longer than any"));
                };
                kept.copy_from_slice(&self.partial);
                let mut room = ReadBuf::new(room);
                let got = match Pin::new(&mut self.io).poll_read(cx, &mut room) {
                    Poll::Ready(done) => done.map(|()| room.filled().len()).map_err(closed_early)?,
                    Poll::Pending => {
                        if have == 0 {
                            self.partial = Vec::new();
                        }
                        return Ok(false);
                    }
                };
                if got == 0 {
                    return Err(Ended::Eof);
                }
                let whole = bytes.get(..have + got).unwrap_or_default();
                let used = self.handler.frames(whole, run)?;
                self.partial.clear();
                self.partial.extend_from_slice(whole.get(used..).unwrap_or_default());
                self.paused_until = self.handler.pause();
                if self.paused_until.is_some() {
                    return Ok(false);
                }
                budget = budget.saturating_sub(got);
                if budget == 0 {
                    return Ok(true);
                }
            }
        })
    }
}

/// TLS clients that just go away are as normal as TCP clients that do.
fn closed_early(e: io::Error) -> Ended {
    if e.kind() == io::ErrorKind::UnexpectedEof { Ended::Eof } else { e.into() }
}

fn far() -> Instant {
    // As far as tokio's timer reaches without trouble.
    Instant::now() + Duration::from_secs(86_400 * 365)
}

/// Frames that are being written.
#[derive(Debug, Default)]
struct Batch {
    frames: Vec<Packet>,
    /// The frame that is written next, and how many of its bytes were.
    at: usize,
    offset: usize,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.at >= self.frames.len()
    }

    /// Packets that have not been written whole.
    fn packets(&self) -> u64 {
        self.frames.iter().skip(self.at).filter(|f| f.kind != Kind::Control).count() as u64
    }

    fn poll_write<S: AsyncWrite + Unpin>(&self, io: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); BATCH_FRAMES];
        let mut used = 0;
        let mut offset = self.offset;
        for (slice, frame) in slices.iter_mut().zip(self.frames.iter().skip(self.at)) {
            *slice = IoSlice::new(frame.bytes().get(offset..).unwrap_or_default());
            offset = 0;
            used += 1;
        }
        Pin::new(io).poll_write_vectored(cx, slices.get(..used).unwrap_or_default())
    }

    fn advance(&mut self, mut n: usize) {
        while n > 0 {
            let Some(frame) = self.frames.get(self.at) else { return };
            let left = frame.bytes().len().saturating_sub(self.offset);
            if n < left {
                self.offset += n;
                return;
            }
            n -= left;
            self.at += 1;
            self.offset = 0;
        }
    }

    /// Empties the batch; answers how many packets it had, and how many bytes of them.
    fn finish(&mut self) -> (u64, u64) {
        let sent = self
            .frames
            .iter()
            .filter(|f| f.kind != Kind::Control)
            .fold((0, 0), |(n, bytes), f| (n + 1, bytes + f.bytes().len() as u64));
        self.frames.clear();
        self.at = 0;
        self.offset = 0;
        sent
    }
}
