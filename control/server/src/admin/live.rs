//! `/admin/live`: tells a page that something changed, as server-sent events (WHATWG HTML §9.2). What changed is not
//! told; the script fetches its page again, and the page decides what its viewer may see.

use super::request::{Page, look, unavailable, viewer};
use crate::{
    reply::{self, Reply, text},
    state::App,
};
use bytes::Bytes;
use hearthgate_core::World;
use hearthgate_http::spawn;
use http::{HeaderValue, StatusCode, header};
use std::time::Duration;
use tokio::{sync::mpsc, time::Instant};

/// How often is looked for what map streams are not woken for: waiting logins, keys, events.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Shortest time between two events.
const GAP: Duration = Duration::from_millis(500);
/// Life of a stream; the browser opens the next one, and shows its cookie again.
const LIFE: Duration = Duration::from_secs(600);
/// A comment after this much silence finds out whether somebody still listens.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// The stream.
pub(super) async fn stream(app: &App, request: &Page) -> Reply {
    let (world, _) = match look(app).await {
        Ok(seen) => seen,
        Err(e) => return unavailable(e),
    };
    if viewer(&app.admin, &world, request.cookie.as_deref(), false).is_none() {
        return text(StatusCode::UNAUTHORIZED, "log in first");
    }
    if app.admin.streams.available_permits() == 0 {
        return text(StatusCode::SERVICE_UNAVAILABLE, "too many pages are open");
    }
    let (tx, rx) = mpsc::channel(4);
    spawn(tell(app.clone(), signature(app, &world), tx));
    let mut reply = reply::stream(rx);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    reply
}

async fn tell(app: App, mut seen: Signature, tx: mpsc::Sender<Bytes>) {
    let Ok(_permit) = app.admin.streams.try_acquire() else { return };
    let mut published = app.control.published();
    published.mark_unchanged();
    let end = Instant::now() + LIFE;
    let mut spoke = Instant::now();
    if tx.send(Bytes::from_static(b": hello\n\n")).await.is_err() {
        return;
    }
    while Instant::now() < end {
        let changed = tokio::select! {
            woken = published.changed() => {
                if woken.is_err() {
                    return;
                }
                true
            }
            () = tokio::time::sleep(LOOK_EVERY) => false,
            () = tx.closed() => return,
        };
        let Ok((world, _)) = look(&app).await else { return };
        let now = signature(&app, &world);
        let message: &'static [u8] = if changed || now != seen {
            b"event: change\ndata:\n\n"
        } else if spoke.elapsed() >= KEEP_ALIVE {
            b":\n\n"
        } else {
            continue;
        };
        seen = now;
        spoke = Instant::now();
        if tx.send(Bytes::from_static(message)).await.is_err() {
            return;
        }
        tokio::time::sleep(GAP).await;
    }
}

/// Last event, waiting logins, newest key, users, changes of the box's own router.
type Signature = (u64, usize, u64, usize, u64);

/// Differs when a page may differ and no map stream is woken.
fn signature(app: &App, world: &World) -> Signature {
    let last_event = world.audit_log().last().map_or(0, |e| e.id);
    (
        last_event,
        world.pending_logins().count(),
        world.preauth_keys().map(|k| k.id).max().unwrap_or(0),
        world.users().count(),
        app.own_router.changes(),
    )
}
