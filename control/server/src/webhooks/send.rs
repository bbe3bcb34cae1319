//! Sends events to the hooks that want them: gathered for a moment, signed, tried a few times, then given up. Each hook has a
//! task and a queue of its own, and gets one request at a time.

use super::{
    Hook, hook, hooks, message,
    queue::{Again, Queue},
};
use crate::state::App;
use bytes::Bytes;
use hearthgate_core::{Event, Fact};
use hearthgate_fetch::{Fetch, FetchError};
use hearthgate_http::spawn;
use hearthgate_web::text::minute;
use http::{Request, header};
use jiff::Timestamp;
use portable_atomic::{AtomicU64, Ordering::Relaxed};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{broadcast, mpsc},
    task::AbortHandle,
    time::Instant,
};

/// How long events are gathered into one request.
const GATHER: Duration = Duration::from_millis(500);
/// Most events in one request.
const EVENTS_MAX: usize = 64;
/// Largest answer that is read; nothing in it matters.
const ANSWER_MAX: usize = 16 * 1024;

/// How it went with one hook since the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// How the last request ended, in words; empty when nothing was sent yet.
    pub(crate) last: String,
    /// Requests that it never got: given up, refused by it, or dropped because too many waited.
    pub(crate) lost: u64,
    /// The last one that ended is among them.
    pub(crate) failing: bool,
}

/// How it goes with the hooks, for the pages. In memory only.
#[derive(Debug, Default)]
pub struct Outcomes {
    hooks: Mutex<HashMap<String, Outcome>>,
    missed: AtomicU64,
}

impl Outcomes {
    /// One hook's.
    pub(crate) fn of(&self, hook: &str) -> Outcome {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner).get(hook).cloned().unwrap_or_default()
    }

    /// Events that no hook was told of, because more happened at once than is kept.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Relaxed)
    }

    fn miss(&self, events: u64) {
        if events > 0 {
            tracing::warn!(events, "more happened at once than webhooks can be told of");
            self.missed.fetch_add(events, Relaxed);
        }
    }

    fn note(&self, hook: &str, change: impl FnOnce(&mut Outcome)) {
        let mut all = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= super::HOOKS_MAX * 2 && !all.contains_key(hook) {
            // Hooks that are gone.
            all.clear();
        }
        change(all.entry(hook.to_owned()).or_default());
    }

    /// A request was dropped before it was sent, or in between two tries.
    fn dropped(&self, hook: &Hook) {
        tracing::warn!(hook = hook.id, host = hook.host(), "too much waits for a webhook: the oldest is dropped");
        self.note(&hook.id, |o| {
            o.lost += 1;
            o.failing = true;
        });
    }
}

/// Who sends to one hook; it stops when this is dropped.
struct Target {
    queue: Arc<Queue>,
    task: AbortHandle,
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks hooks anywhere, and those that may be on the public internet only.
struct Asks {
    anywhere: Fetch,
    public: Fetch,
}

/// Sends until the server stops. `tests` names hooks that somebody wants to try.
pub async fn run(app: App, mut facts: broadcast::Receiver<Fact>, mut tests: mpsc::Receiver<String>) {
    let fetch = || Fetch::new().up_to(ANSWER_MAX);
    let asks = Arc::new(Asks { anywhere: fetch(), public: fetch().public_only() });
    let mut targets = HashMap::new();
    loop {
        tokio::select! {
            fact = facts.recv() => match fact {
                Ok(Fact::Happened(first)) => {
                    let (events, missed) = gather(*first, &mut facts).await;
                    app.hooks.miss(missed);
                    enqueue(&app, &events, None, &mut targets, &asks).await;
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(n)) => app.hooks.miss(n),
                Err(broadcast::error::RecvError::Closed) => return,
            },
            asked = tests.recv() => match asked {
                Some(hook) => enqueue(&app, &[], Some(&hook), &mut targets, &asks).await,
                None => return,
            },
        }
    }
}

/// The event, and those that come right after it; and how many facts, events perhaps, came too fast in between.
async fn gather(first: Event, facts: &mut broadcast::Receiver<Fact>) -> (Vec<Event>, u64) {
    let (mut events, mut missed) = (vec![first], 0);
    let end = Instant::now() + GATHER;
    while events.len() < EVENTS_MAX {
        match tokio::time::timeout_at(end, facts.recv()).await {
            Ok(Ok(Fact::Happened(next))) => events.push(*next),
            Ok(Ok(_)) => {}
            Ok(Err(broadcast::error::RecvError::Lagged(n))) => missed += n,
            // The next turn finds out as well.
            Ok(Err(broadcast::error::RecvError::Closed)) | Err(_) => break,
        }
    }
    (events, missed)
}

/// Puts events into the queues of the hooks that want them, and a test into that of the hook which is tried.
async fn enqueue(
    app: &App,
    events: &[Event],
    tried: Option<&str>,
    targets: &mut HashMap<String, Target>,
    asks: &Arc<Asks>,
) {
    let Ok(all) = app.control.call(|world, _| hooks(world)).await else { return };
    let settings = app.control.current().settings.clone();
    let now = Timestamp::now();
    // Hooks that are gone take what waits for them along, so there are never more targets than hooks.
    targets.retain(|id, _| all.iter().any(|hook| hook.id == *id));
    for hook in all {
        let wanted = events.iter().filter(|e| hook.events.iter().any(|name| name == e.kind.name()));
        let mut told: Vec<Value> =
            wanted.map(|e| message::event(e, &settings.base_domain, &settings.server_url, now)).collect();
        if tried == Some(hook.id.as_str()) {
            told.push(message::test(&settings.base_domain, now));
        }
        if told.is_empty() {
            continue;
        }
        let target = targets.entry(hook.id.clone()).or_insert_with(|| {
            let queue = Arc::<Queue>::default();
            let task = spawn(serve(app.clone(), hook.id.clone(), queue.clone(), asks.clone())).abort_handle();
            Target { queue, task }
        });
        if !target.queue.push(message::body(hook.provider, &told).to_string().into()) {
            app.hooks.dropped(&hook);
        }
    }
}

/// Sends what waits for one hook, one request after the other.
async fn serve(app: App, id: String, queue: Arc<Queue>, asks: Arc<Asks>) {
    loop {
        let next = queue.next().await;
        let wanted = id.clone();
        // Removed meanwhile: nobody waits for it. Address and secret are those of now.
        let Ok(Ok(hook)) = app.control.call(move |world, _| hook(world, &wanted)).await else { continue };
        let fetch = if hook.local { &asks.anywhere } else { &asks.public };
        let (words, end) = match post(fetch, &hook, next.body.clone()).await {
            Ok(status) if (200..300).contains(&status) => (format!("delivered, {status}"), End::Delivered),
            // Its own verdict, or a redirect: trying again changes nothing.
            Ok(status) if status < 500 && status != 429 => (format!("refused with {status}"), End::Lost),
            Ok(status) => (format!("refused with {status}"), End::of(queue.again(next))),
            // The URL is not for everybody's eyes.
            Err(FetchError::Url(_)) => ("its address is no URL".to_owned(), End::Lost),
            Err(e) => (e.to_string(), End::of(queue.again(next))),
        };
        let host = hook.host();
        let after = match end {
            End::Delivered => "",
            End::Later | End::Crowded => "; tried again soon",
            End::Lost => "; given up",
        };
        match end {
            End::Lost => tracing::warn!(hook = hook.id, host, words, "a webhook was not told: given up"),
            _ => tracing::debug!(hook = hook.id, host, words, "webhook"),
        }
        app.hooks.note(&hook.id, |o| {
            o.last = format!("{}: {words}{after}", minute(Timestamp::now()));
            match end {
                End::Delivered => o.failing = false,
                End::Lost => (o.failing, o.lost) = (true, o.lost + 1),
                End::Later | End::Crowded => {}
            }
        });
        if end == End::Crowded {
            app.hooks.dropped(&hook);
        }
    }
}

/// How one try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Delivered,
    Later,
    Crowded,
    Lost,
}

impl End {
    fn of(again: Again) -> Self {
        match again {
            Again::Waits => Self::Later,
            Again::Crowded => Self::Crowded,
            Again::GivenUp => Self::Lost,
        }
    }
}

async fn post(fetch: &Fetch, hook: &Hook, body: Bytes) -> Result<u16, FetchError> {
    let signature = message::signature(&hook.secret, Timestamp::now(), &body);
    let request = Request::post(&hook.url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("hearthgate/", env!("CARGO_PKG_VERSION")))
        .header(message::HEADER, signature)
        .body(body)
        .map_err(|_| FetchError::Url(hook.url.clone()))?;
    Ok(fetch.request(request).await?.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_core::EventKind;

    #[tokio::test(start_paused = true)]
    async fn what_comes_too_fast_is_counted_and_does_not_end_the_gathering() {
        let (tell, mut facts) = broadcast::channel(2);
        let event = || Event { kind: EventKind::PolicyUpdate, node: None };
        for _ in 0..5 {
            tell.send(Fact::Happened(Box::new(event()))).expect("a listener");
        }
        let (events, missed) = gather(event(), &mut facts).await;
        assert_eq!((events.len(), missed), (3, 3));
    }

    #[test]
    fn what_a_hook_never_got_is_remembered_until_it_gets_something() {
        let outcomes = Outcomes::default();
        outcomes.note("a", |o| (o.failing, o.lost) = (true, o.lost + 1));
        outcomes.note("a", |o| o.failing = false);
        assert!(!outcomes.of("a").failing && outcomes.of("a").lost == 1 && outcomes.of("b").lost == 0);
        outcomes.miss(0);
        outcomes.miss(2);
        assert_eq!(outcomes.missed(), 2);
        for n in 0..100 {
            outcomes.note(&n.to_string(), |o| o.lost += 1);
        }
        assert!(outcomes.hooks.lock().expect("a lock").len() <= super::super::HOOKS_MAX * 2);
    }
}
