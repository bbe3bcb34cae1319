//! Bodies of what clients ask inside Noise. Any machine key opens a connection, and each connection carries many
//! requests at once, so what strangers can have held in memory is bounded for all of them together: a short body is read
//! as it comes, a long one needs one of a few places. Those of machines with a node are apart, as strangers could keep
//! all others taken.

use crate::reply::{BODY_WITHIN, Reply, text};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Longest body that needs no place: those of clients without many routes are shorter.
const SHORT: usize = 8 * 1024;
/// Longest body. A client with a thousand routes sends a third of it.
const LONG: usize = 128 * 1024;
/// Long bodies of machines that have a node, read at once.
const MEMBERS: usize = 40;
/// Long bodies of all other machines, read at once. Who joins sends one of these when it has many routes.
const STRANGERS: usize = 8;

/// Places for long bodies.
#[derive(Debug)]
pub struct Places {
    members: Semaphore,
    strangers: Semaphore,
}

impl Default for Places {
    fn default() -> Self {
        Self { members: Semaphore::new(MEMBERS), strangers: Semaphore::new(STRANGERS) }
    }
}

/// Reads a JSON body. `known` says whether the machine that sends it has a node, and is asked when the body is long.
///
/// # Errors
/// The answer to give instead: 400, 408, 413, or 503 when there is no place.
pub(crate) async fn read<T: DeserializeOwned>(
    places: &Places,
    known: impl Fn() -> bool,
    body: impl Body<Data = Bytes> + Unpin,
) -> Result<T, Box<Reply>> {
    let refuse = |status, why: &str| Box::new(text(status, why));
    let (bytes, _place) = timeout(BODY_WITHIN, collect(places, known, body))
        .await
        .unwrap_or(Err((StatusCode::REQUEST_TIMEOUT, "the request body took too long")))
        .map_err(|(status, why)| refuse(status, why))?;
    serde_json::from_slice(&bytes)
        .map_err(|e| refuse(StatusCode::BAD_REQUEST, &format!("the request body is not as expected: {e}")))
}

type Refusal = (StatusCode, &'static str);

async fn collect(
    places: &Places,
    known: impl Fn() -> bool,
    mut body: impl Body<Data = Bytes> + Unpin,
) -> Result<(BytesMut, Option<SemaphorePermit<'_>>), Refusal> {
    let (mut bytes, mut place) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| (StatusCode::BAD_REQUEST, "the request body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len().saturating_add(data.len());
        if length > LONG {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, "the request body is too large"));
        }
        if length > SHORT && place.is_none() {
            let busy = |_| (StatusCode::SERVICE_UNAVAILABLE, "too many large requests at once: try again");
            let of = if known() { &places.members } else { &places.strangers };
            place = Some(of.try_acquire().map_err(busy)?);
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};
    use tokio::sync::mpsc;

    type Never = std::convert::Infallible;

    /// A body that begins with so many bytes and goes on when told to.
    fn begun(length: usize) -> (mpsc::UnboundedSender<Bytes>, impl Body<Data = Bytes, Error = Never> + Unpin) {
        let (tell, mut told) = mpsc::unbounded_channel::<Bytes>();
        // Its receiver is there.
        let _ = tell.send(Bytes::from(vec![b' '; length]));
        let frames = futures_util::stream::poll_fn(move |cx| {
            told.poll_recv(cx).map(|data| data.map(|d| Ok::<_, Never>(http_body::Frame::data(d))))
        });
        (tell, StreamBody::new(frames))
    }

    const MEMBER: bool = true;
    const STRANGER: bool = false;

    async fn status(places: &Places, known: bool, body: impl Body<Data = Bytes> + Unpin) -> u16 {
        match read::<serde_json::Value>(places, || known, body).await {
            Ok(_) => 200,
            Err(reply) => reply.status().as_u16(),
        }
    }

    /// So many long bodies at once that never end; what each was answered.
    async fn hold(places: &Places, known: bool, count: usize) -> Vec<u16> {
        let (tells, bodies): (Vec<_>, Vec<_>) = (0..count).map(|_| begun(SHORT + 1)).unzip();
        let all = futures_util::future::join_all(bodies.into_iter().map(|b| status(places, known, b))).await;
        drop(tells);
        all
    }

    #[tokio::test(start_paused = true)]
    async fn long_bodies_take_turns_and_short_ones_need_not_wait() {
        let places = Places::default();
        let long = || Full::from([vec![b' '; SHORT], b"{}".to_vec()].concat());
        assert_eq!(status(&places, MEMBER, long()).await, 200);
        assert_eq!(status(&places, MEMBER, Full::from(vec![b' '; LONG + 1])).await, 413);
        assert_eq!(status(&places, MEMBER, Full::from("{")).await, 400);
        let (held, others) = tokio::join!(hold(&places, MEMBER, MEMBERS), async {
            tokio::task::yield_now().await;
            (status(&places, MEMBER, long()).await, status(&places, MEMBER, Full::from("{}")).await)
        });
        assert_eq!(others, (503, 200));
        assert!(held.iter().all(|s| *s == 408), "who never ends loses the place: {held:?}");
        assert_eq!(status(&places, MEMBER, long()).await, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_take_no_places_of_members() {
        let places = Places::default();
        let long = || Full::from([vec![b' '; SHORT], b"{}".to_vec()].concat());
        assert_eq!(status(&places, STRANGER, long()).await, 200, "who joins may have many routes");
        let (held, others) = tokio::join!(hold(&places, STRANGER, STRANGERS + MEMBERS), async {
            tokio::task::yield_now().await;
            (status(&places, MEMBER, long()).await, status(&places, STRANGER, long()).await)
        });
        assert_eq!(others, (200, 503));
        assert_eq!(held.iter().filter(|s| **s == 408).count(), STRANGERS, "{held:?}");
        assert_eq!(status(&places, STRANGER, long()).await, 200);
    }
}
