//! Sends events to the hooks that want them: gathered for a moment, signed, tried a few times, then given up. Each hook has a
//! task and a queue of its own, and gets one request at a time.

use super::{Hook, hook, hooks, message, queue::Queue};
use crate::state::App;
use bytes::Bytes;
use hearthgate_core::{Event, Fact};
use hearthgate_fetch::{Fetch, FetchError};
use hearthgate_http::spawn;
use http::{Request, header};
use jiff::Timestamp;
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

/// How the last request to each hook ended, for the pages. In memory only.
#[derive(Debug, Default)]
pub struct Outcomes(Mutex<HashMap<String, String>>);

impl Outcomes {
    /// In words; `None` when nothing was sent yet.
    pub(crate) fn of(&self, hook: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(hook).cloned()
    }

    fn note(&self, hook: &str, words: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= super::HOOKS_MAX * 2 && !all.contains_key(hook) {
            // Hooks that are gone.
            all.clear();
        }
        all.insert(hook.to_owned(), words);
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
                    let events = gather(*first, &mut facts).await;
                    enqueue(&app, &events, None, &mut targets, &asks).await;
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(n)) => tracing::warn!(n, "events were not told to webhooks"),
                Err(broadcast::error::RecvError::Closed) => return,
            },
            asked = tests.recv() => match asked {
                Some(hook) => enqueue(&app, &[], Some(&hook), &mut targets, &asks).await,
                None => return,
            },
        }
    }
}

/// The event, and those that come right after it.
async fn gather(first: Event, facts: &mut broadcast::Receiver<Fact>) -> Vec<Event> {
    let mut events = vec![first];
    let end = Instant::now() + GATHER;
    while events.len() < EVENTS_MAX {
        match tokio::time::timeout_at(end, facts.recv()).await {
            Ok(Ok(Fact::Happened(next))) => events.push(*next),
            Ok(Ok(_)) => {}
            // The time is over, or the next turn finds out what is wrong.
            Ok(Err(_)) | Err(_) => break,
        }
    }
    events
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
            tracing::warn!(hook = hook.id, "too much waits for a webhook: the oldest is dropped");
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
        let (words, again) = match post(fetch, &hook, next.body.clone()).await {
            Ok(status) if (200..300).contains(&status) => (format!("delivered, {status}"), false),
            // Its own verdict, or a redirect: trying again changes nothing.
            Ok(status) => (format!("refused with {status}"), status >= 500 || status == 429),
            Err(e) => (e.to_string(), true),
        };
        let end = match again {
            false => "",
            true if queue.again(next) => "; tried again soon",
            true => "; given up",
        };
        app.hooks.note(&hook.id, format!("{}: {words}{end}", Timestamp::now().strftime("%Y-%m-%d %H:%M UTC")));
        tracing::debug!(hook = hook.id, words, "webhook");
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
