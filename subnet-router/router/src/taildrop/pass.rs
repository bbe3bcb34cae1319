//! The network's end of a transfer: what comes is handed to the disk, within limits of time.

use super::{DISK, DropError};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

/// How long the sender may say nothing.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a transfer may take for nothing at all.
const GRACE: Duration = Duration::from_secs(60);
/// Bytes a second beyond that: less than any line has that a file is sent over, and enough that a place is free again
/// some day.
const LEAST_RATE: u64 = 1024;

/// Hands on all parts of a body, then `None` if it was whole. It is no error here if it breaks off, or if the disk has
/// given up: the disk's end tells.
///
/// # Errors
/// [`DropError::Slow`], [`DropError::Stuck`].
pub(super) async fn on<B>(mut body: B, disk: mpsc::Sender<Option<Bytes>>) -> Result<(), DropError>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let (begin, mut received) = (Instant::now(), 0);
    while let Ok(frame) = timeout(SILENCE, body.frame()).await {
        let part = match frame {
            None => None,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => Some(bytes),
                Err(_) => continue,
            },
            Some(Err(_)) => break,
        };
        received += part.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if part.is_some() && is_too_slow(begin.elapsed(), received) {
            return Err(DropError::Slow);
        }
        let end = part.is_none();
        let handed = timeout(DISK, disk.send(part)).await.map_err(|_| DropError::Stuck)?;
        if end || handed.is_err() {
            break;
        }
    }
    Ok(())
}

fn is_too_slow(elapsed: Duration, received: u64) -> bool {
    elapsed.saturating_sub(GRACE).as_secs() > received / LEAST_RATE
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::{Body, Frame};
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };
    use tokio::time::{Interval, interval};

    /// So many parts of a byte each, one in ten seconds.
    struct Drip(Interval, usize);

    impl Body for Drip {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.1 == 0 {
                return Poll::Ready(None);
            }
            self.0.poll_tick(cx).map(|_| {
                self.1 -= 1;
                Some(Ok(Frame::data(Bytes::from_static(b"x"))))
            })
        }
    }

    fn drip(parts: usize) -> Drip {
        Drip(interval(Duration::from_secs(10)), parts)
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_is_cut_off_and_a_pause_is_not() {
        let (sender, mut parts) = mpsc::channel::<Option<Bytes>>(1);
        let disk = tokio::spawn(async move {
            let mut taken = Vec::new();
            while let Some(part) = parts.recv().await {
                taken.push(part.is_some());
            }
            taken
        });
        let (begin, result) = (Instant::now(), on(drip(100_000), sender).await);
        assert!(matches!(result, Err(DropError::Slow)), "{result:?}");
        assert!(begin.elapsed() < Duration::from_secs(120), "{:?}", begin.elapsed());
        assert!(disk.await.unwrap().iter().all(|more| *more), "it was not whole");

        let (sender, mut parts) = mpsc::channel(9);
        on(drip(5), sender).await.unwrap();
        assert_eq!(std::iter::from_fn(|| parts.try_recv().ok()).filter(Option::is_some).count(), 5);
        // An hour for 4 MB is a slow line, and no drip.
        assert!(!is_too_slow(Duration::from_secs(3600), 4 << 20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_holds_nobody_up() {
        let (sender, _parts) = mpsc::channel(1);
        let result = timeout(2 * DISK, on(drip(5), sender)).await;
        assert!(matches!(result, Ok(Err(DropError::Stuck))), "{result:?}");
    }
}
