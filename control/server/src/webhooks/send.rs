//! Sends events to the hooks that want them: gathered for a moment, signed, tried a few times, then given up. One request
//! at a time; what waits is bounded, and the oldest is dropped first.

use super::{Hook, hooks, message};
use crate::state::App;
use bytes::Bytes;
use hearthgate_core::{Event, Fact};
use hearthgate_fetch::{Fetch, FetchError};
use http::{Request, header};
use jiff::Timestamp;
use serde_json::Value;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::broadcast, time::Instant};

/// How long events are gathered into one request.
const GATHER: Duration = Duration::from_millis(500);
/// Most events in one request.
const EVENTS_MAX: usize = 64;
/// Most requests that wait, of all hooks.
const WAITING_MAX: usize = 128;
/// Pauses before the second try and the following ones; after the last one the request is given up.
const PAUSES: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(600)];
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

struct Waiting {
    hook: String,
    body: Bytes,
    tries: usize,
    due: Instant,
}

/// Sends until the server stops. `tests` names hooks that somebody wants to try.
pub async fn run(app: App, mut facts: broadcast::Receiver<Fact>, mut tests: tokio::sync::mpsc::Receiver<String>) {
    let (anywhere, public) = (Fetch::new().up_to(ANSWER_MAX), Fetch::new().up_to(ANSWER_MAX).public_only());
    let mut queue: VecDeque<Waiting> = VecDeque::new();
    loop {
        let due = queue.iter().map(|w| w.due).min();
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            fact = facts.recv() => match fact {
                Ok(Fact::Happened(first)) => {
                    let events = gather(*first, &mut facts).await;
                    enqueue(&app, &events, &mut queue).await;
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(n)) => tracing::warn!(n, "events were not told to webhooks"),
                Err(broadcast::error::RecvError::Closed) => return,
            },
            asked = tests.recv() => match asked {
                Some(hook) => {
                    let tailnet = app.control.current().settings.base_domain.clone();
                    push(&mut queue, hook, body(&[message::test(&tailnet, Timestamp::now())]));
                }
                None => return,
            },
            () = sleep => send_due(&app, &mut queue, &anywhere, &public).await,
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

async fn enqueue(app: &App, events: &[Event], queue: &mut VecDeque<Waiting>) {
    let Ok(all) = app.control.call(|world, _| hooks(world)).await else { return };
    let settings = app.control.current().settings.clone();
    let now = Timestamp::now();
    for hook in all {
        let wanted = events.iter().filter(|e| hook.events.iter().any(|name| name == e.kind.name()));
        let told: Vec<Value> =
            wanted.map(|e| message::event(e, &settings.base_domain, &settings.server_url, now)).collect();
        if !told.is_empty() {
            push(queue, hook.id, body(&told));
        }
    }
}

fn body(events: &[Value]) -> Bytes {
    Value::from(events.to_vec()).to_string().into()
}

fn push(queue: &mut VecDeque<Waiting>, hook: String, body: Bytes) {
    if queue.len() >= WAITING_MAX {
        tracing::warn!("too much waits for webhooks: the oldest is dropped");
        queue.pop_front();
    }
    queue.push_back(Waiting { hook, body, tries: 0, due: Instant::now() });
}

async fn send_due(app: &App, queue: &mut VecDeque<Waiting>, anywhere: &Fetch, public: &Fetch) {
    let now = Instant::now();
    let Some(mut next) = queue.iter().position(|w| w.due <= now).and_then(|i| queue.remove(i)) else { return };
    let Ok(all) = app.control.call(|world, _| hooks(world)).await else { return };
    // Removed meanwhile: nobody waits for it.
    let Some(hook) = all.into_iter().find(|h| h.id == next.hook) else { return };
    let fetch = if hook.local { anywhere } else { public };
    let (words, again) = match post(fetch, &hook, next.body.clone()).await {
        Ok(status) if (200..300).contains(&status) => (format!("delivered, {status}"), false),
        // Its own verdict, or a redirect: trying again changes nothing.
        Ok(status) => (format!("refused with {status}"), status >= 500 || status == 429),
        Err(e) => (e.to_string(), true),
    };
    let pause = PAUSES.get(next.tries).filter(|_| again);
    let end = match (again, pause) {
        (true, Some(_)) => "; tried again soon",
        (true, None) => "; given up",
        (false, _) => "",
    };
    app.hooks.note(&hook.id, format!("{}: {words}{end}", Timestamp::now().strftime("%Y-%m-%d %H:%M UTC")));
    tracing::debug!(hook = hook.id, words, "webhook");
    if let Some(pause) = pause {
        next.tries += 1;
        next.due = Instant::now() + *pause;
        queue.push_back(next);
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
