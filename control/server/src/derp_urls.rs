//! Relay regions from URLs: asked for now and then, kept for the next start, never given up for something worse.
//!
//! An answer counts only if it is a map with a region in it. Until then, and when a URL cannot be reached, what it said
//! last stays in force; a copy in the state folder is what the server starts with.

use crate::{
    Options,
    derp_map::{self, File, FrontRegion},
};
use hearthgate_fetch::Fetch;
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::DerpMap;
use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// File of the copy in the state folder.
const KEPT: &str = "derp_urls.json";
/// Wait after a URL that did not answer as it should; doubled up to the usual interval.
const AGAIN: Duration = Duration::from_secs(60);

/// What URLs said last, and what maps are made from.
#[derive(Default)]
pub(crate) struct DerpMaps(Mutex<State>);

#[derive(Default)]
struct State {
    /// Answers by URL, as they came.
    answers: SortedMap<String, String>,
    /// Settings in force, with the pin of our certificate.
    options: Option<(Options, Option<String>)>,
    /// What the front that serves us has.
    front: Option<FrontRegion>,
}

impl DerpMaps {
    /// Begins with the copy.
    pub(crate) fn new(state_dir: &Path) -> Self {
        let kept = fs::read(state_dir.join(KEPT)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self(Mutex::new(State { answers: kept.unwrap_or_default(), ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The map of these settings, and of what the URLs said last.
    ///
    /// # Errors
    /// A file cannot be read, or is no DERP map.
    pub(crate) fn build(&self, options: &Options, pin: Option<String>) -> Result<DerpMap, crate::StartError> {
        let (files, front): (Vec<File>, _) = {
            let state = self.state();
            let answers = options.derp.urls.iter().filter_map(|url| state.answers.get(url));
            (answers.filter_map(|text| parse(text).ok()).collect(), state.front.clone())
        };
        let map = derp_map::build(options, pin.as_deref(), front.as_ref(), files)?;
        self.state().options = Some((options.clone(), pin));
        Ok(map)
    }

    /// Asks all URLs once.
    async fn refresh(&self, fetch: &Fetch) -> Refreshed {
        let Some((options, _)) = self.state().options.clone() else { return Refreshed::default() };
        let mut done = Refreshed::default();
        for url in &options.derp.urls {
            let text = match ask(fetch, url).await {
                Ok(text) => text,
                Err(e) => {
                    tracing::warn!(url, error = e, "no relays from this URL; what it said last stays in force");
                    done.failed = true;
                    continue;
                }
            };
            done.news |= self.state().answers.insert(url.clone(), text.clone()).is_none_or(|old| old != text);
        }
        if done.news {
            let text = {
                let mut state = self.state();
                state.answers.retain(|url, _| options.derp.urls.contains(url));
                serde_json::to_string(&state.answers).unwrap_or_default()
            };
            if let Err(e) = hearthgate_derp::identity::write_private(&options.state_dir.join(KEPT), &text) {
                tracing::warn!(error = %e, "relays from URLs are not kept for the next start");
            }
        }
        done
    }

    /// The map with what a front has, or without; `None` when that changes nothing.
    #[cfg(feature = "front")]
    pub(crate) fn with_front(&self, front: Option<FrontRegion>) -> Option<DerpMap> {
        if self.state().front == front {
            return None;
        }
        self.state().front = front;
        self.rebuilt()
    }

    /// The map of the settings in force.
    fn rebuilt(&self) -> Option<DerpMap> {
        let (options, pin) = self.state().options.clone()?;
        self.build(&options, pin).inspect_err(|e| tracing::warn!(error = %e, "the map of relays stays as it was")).ok()
    }
}

/// How asking went.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Refreshed {
    /// One of them said something new.
    news: bool,
    /// One of them said nothing of use.
    failed: bool,
}

fn parse(text: &str) -> Result<File, String> {
    let file: File =
        serde_json::from_slice(text.as_bytes()).map_err(|e| format!("this is no DERP map in JSON: {e}"))?;
    if file.is_empty() { Err("a DERP map without relays".into()) } else { Ok(file) }
}

async fn ask(fetch: &Fetch, url: &str) -> Result<String, String> {
    let answer = fetch.get(url).await.map_err(|e| e.to_string())?;
    if answer.status != 200 {
        return Err(format!("status {}", answer.status));
    }
    let text = String::from_utf8(answer.body.to_vec()).map_err(|_| "this is no text")?;
    parse(&text).map(|_| text)
}

/// Asks the URLs now, and then every `every`; zero for once only. New maps are handed to `publish`.
pub(crate) async fn keep_fresh(maps: Arc<DerpMaps>, every: Duration, publish: impl Fn(DerpMap)) {
    let fetch = Fetch::new();
    let mut again = AGAIN;
    loop {
        let done = maps.refresh(&fetch).await;
        if done.news
            && let Some(map) = maps.rebuilt()
        {
            publish(map);
        }
        let wait = if done.failed {
            again = (again * 2).min(every.max(AGAIN));
            again
        } else if every.is_zero() {
            return;
        } else {
            again = AGAIN;
            every
        };
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    const GOOD: &str = r#"{"Regions":{"7":{"RegionID":7,"RegionCode":"x","RegionName":"X","Nodes":[{"Name":"7a","RegionID":7,"HostName":"relay.example"}]}}}"#;

    /// Answers these bodies in turn, each with its status.
    async fn server(answers: Vec<(u16, &'static str)>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for (status, body) in answers {
                let (mut tcp, _) = listener.accept().await.unwrap();
                let _ = tcp.read(&mut [0; 2048]).await.unwrap();
                let head =
                    format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                tcp.write_all(head.as_bytes()).await.unwrap();
            }
        });
        format!("http://{addr}/derp.json")
    }

    #[tokio::test]
    async fn what_a_url_said_last_outlives_bad_answers_and_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let empty = r#"{"Regions":{}}"#;
        let url = server(vec![(200, GOOD), (500, "no"), (200, empty), (200, "<html>"), (200, GOOD)]).await;
        let mut options = Options::new(dir.path(), "127.0.0.1:0".parse().unwrap());
        options.derp.urls = vec![url];
        let maps = DerpMaps::new(dir.path());
        assert!(!maps.build(&options, None).unwrap().regions.contains_key(&7));
        let fetch = Fetch::new();
        assert_eq!(maps.refresh(&fetch).await, Refreshed { news: true, failed: false });
        for _ in 0..3 {
            assert_eq!(maps.refresh(&fetch).await, Refreshed { news: false, failed: true });
            assert!(maps.rebuilt().unwrap().regions.contains_key(&7));
        }
        assert_eq!(maps.refresh(&fetch).await, Refreshed::default(), "the same again is no news");
        let next = DerpMaps::new(dir.path());
        assert!(next.build(&options, None).unwrap().regions.contains_key(&7), "kept for the next start");
        options.derp.urls.clear();
        assert!(!next.build(&options, None).unwrap().regions.contains_key(&7), "a URL that is no longer configured");
    }
}
