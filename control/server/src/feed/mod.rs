//! A feed of upgrades: a URL of the owner's choice that is asked once a day, says which version is the newest
//! (`image/slots/src/feed.rs`), and where a box with one of our images gets it. Nothing that comes is believed without the
//! signature; a file goes the way of one that somebody sent, so init checks it once more before it writes a slot.
//!
//! Asking and fetching take longer than a request may: they run by themselves, and whoever wants to know looks again.

mod host;
mod kept;

use crate::{
    image::{Expected, Image, ReceiveError},
    options::FeedOptions,
    state::App,
    writer::fill_random,
};
use bytes::Bytes;
use hearthgate_fetch::{Fetch, FetchError};
use hearthgate_http::spawn;
use hearthgate_slots::{Feed, FeedError, FeedFile, feed};
use hearthgate_usign::{PublicKey, UsignError};
use hearthgate_web::page::feed::News;
use host::Host;
use kept::Kept;
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Keys that come with an image or a package, the first that is there.
const KEYS: [&str; 2] = ["/etc/upgrade.pub", "/usr/share/hearthgate/feed.pub"];
/// First look after the start: time servers and DHCP have answered by then.
const FIRST: Duration = Duration::from_secs(180);
/// Between two looks.
const EVERY: Duration = Duration::from_secs(24 * 3600);
/// After a failed one.
const AGAIN: Duration = Duration::from_secs(2 * 3600);
/// Failures to fetch a version after which it is tried only as often as the feed is asked.
const FAILURES_SOON: u32 = 2;
/// Of the sum that tells feeds apart.
const IDENTITY_BYTES: usize = 8;
/// Boxes that start together do not ask together.
const SPREAD_S: u64 = 1800;
/// This version, for people and for hosts that compare versions.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why nothing is known, or nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FeedFailure {
    #[error("no feed is set: upgrade.feed_url names one")]
    NoFeed,
    #[error("{0} is under way")]
    Busy(&'static str),
    #[error("there is no key to check the feed with: upgrade.feed_key names its file ({0})")]
    NoKey(io::Error),
    #[error("{0}: {1}")]
    Key(PathBuf, UsignError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the server of the feed answered {0}")]
    Status(u16),
    #[error("the feed is not believed: {0}")]
    Feed(#[from] FeedError),
    #[error("the feed is older than one that was seen before: it is not believed")]
    WentBack,
    #[error("the feed has nothing newer for this box")]
    Nothing,
    #[error("this box does not run one of our images: its owner runs {0}")]
    NoImage(String),
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    #[error("what was seen cannot be written down: {0}")]
    Disk(#[from] io::Error),
}

/// What was seen last, and what is going on.
#[derive(Debug, Default)]
struct Seen {
    kept: Kept,
    feed: Option<Feed>,
    error: String,
    doing: &'static str,
}

/// The feed of this server.
pub struct Feeds {
    options: FeedOptions,
    host: Host,
    folder: PathBuf,
    fetch: Fetch,
    seen: Mutex<Seen>,
}

impl Feeds {
    /// With what the folder of the state remembers.
    #[must_use]
    pub fn new(options: FeedOptions, image: bool, folder: &Path) -> Self {
        let seen = Seen { kept: Kept::read(folder), ..Seen::default() };
        Self {
            options,
            host: Host::find(Path::new("/"), image),
            folder: folder.into(),
            fetch: Fetch::new().up_to(feed::MAX),
            seen: Mutex::new(seen),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Each change is one step: a panic in between leaves nothing half done.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What pages and command line say; `None` without a feed. `built`: when the running image's sources were made.
    pub(crate) fn news(&self, built: u64) -> Option<News> {
        let url = self.options.url.clone()?;
        let seen = self.seen();
        let file = seen.feed.as_ref().and_then(|f| self.file(f));
        let newer = seen.feed.as_ref().is_some_and(|f| self.is_newer(f, built));
        Some(News {
            running: VERSION.into(),
            version: seen.feed.as_ref().map(|f| f.version.clone()).unwrap_or_default(),
            newer,
            command: newer.then(|| self.host.command(&url, file)).flatten().unwrap_or_default(),
            by_itself: self.host == Host::Image,
            error: seen.error.clone(),
            doing: seen.doing.into(),
            url,
        })
    }

    fn file<'a>(&self, feed: &'a Feed) -> Option<&'a FeedFile> {
        feed.file(&self.host.kind()?)
    }

    /// Images are as old as their sources, as with files; elsewhere versions are compared. What is not for this kind of
    /// machine is not newer.
    fn is_newer(&self, feed: &Feed, built: u64) -> bool {
        match self.host {
            Host::Image => feed.made > built && self.file(feed).is_some(),
            Host::Apk | Host::Opkg => feed::is_newer(&feed.version, VERSION),
            Host::Debian | Host::Program => feed::is_newer(&feed.version, VERSION) && self.file(feed).is_some(),
        }
    }

    fn key(&self) -> Result<PublicKey, FeedFailure> {
        let named = self.options.key.clone();
        let path = named.unwrap_or_else(|| {
            KEYS.iter().map(PathBuf::from).find(|path| path.exists()).unwrap_or_else(|| KEYS[1].into())
        });
        let mut text = String::new();
        let file = File::open(&path).map_err(FeedFailure::NoKey)?;
        file.take(hearthgate_usign::MAX_FILE as u64).read_to_string(&mut text).map_err(FeedFailure::NoKey)?;
        PublicKey::parse(&text).map_err(|e| FeedFailure::Key(path, e))
    }

    /// Asks the feed.
    async fn ask(&self, url: &str) -> Result<(), FeedFailure> {
        let key = self.key()?;
        let answer = self.fetch.get(url).await?;
        if answer.status != 200 {
            return Err(FeedFailure::Status(answer.status));
        }
        let feed = Feed::check(&answer.body, &key)?;
        let mut seen = self.seen();
        let of = identity(url, &key);
        let same = of == seen.kept.of;
        if same && feed.made < seen.kept.made {
            return Err(FeedFailure::WentBack);
        }
        if !same || feed.made > seen.kept.made {
            let kept = Kept { made: feed.made, of, ..seen.kept.clone() };
            kept.write(&self.folder)?;
            seen.kept = kept;
        }
        seen.feed = Some(feed);
        Ok(())
    }

    /// Fetches the image's file and hands it to init, which restarts the box if the file is good.
    async fn take(&self, url: &str, image: &Image, built: u64) -> Result<u64, FeedFailure> {
        let feed = self.seen().feed.clone().filter(|f| self.is_newer(f, built)).ok_or(FeedFailure::Nothing)?;
        let file = self.file(&feed).ok_or(FeedFailure::Nothing)?;
        if let Some(command) = self.host.command(url, Some(file)) {
            return Err(FeedFailure::NoImage(command));
        }
        let download_url = feed::beside(url, &file.name);
        let download = self.fetch.download(&download_url).await?;
        if download.status != 200 {
            return Err(FeedFailure::Status(download.status));
        }
        let tried = feed::hex(&file.sha256);
        let ready = || {
            let mut seen = self.seen();
            let kept = Kept { tried, ..seen.kept.clone() };
            kept.write(&self.folder)?;
            seen.kept = kept;
            Ok(())
        };
        let expected = Expected { length: file.length, sha256: file.sha256, ready: Box::new(ready) };
        let before = self.seen().kept.tried.clone();
        let received = image.receive(Bytes::new(), download.body, Some(expected)).await;
        if received.is_err() {
            self.not_tried(&before);
        }
        Ok(received?)
    }

    /// What was noted as tried was not handed over: a full disk or the like is no reason to leave that version out.
    fn not_tried(&self, before: &str) {
        let mut seen = self.seen();
        if seen.kept.tried != before {
            seen.kept.tried = before.to_owned();
            if let Err(error) = seen.kept.write(&self.folder) {
                tracing::warn!(%error, "that a version was not tried cannot be written down");
            }
        }
    }

    /// One thing at a time.
    fn begin(&self, what: &'static str) -> Result<String, FeedFailure> {
        let url = self.options.url.clone().ok_or(FeedFailure::NoFeed)?;
        let mut seen = self.seen();
        if !seen.doing.is_empty() {
            return Err(FeedFailure::Busy(seen.doing));
        }
        seen.doing = what;
        Ok(url)
    }

    fn end(&self, done: Result<(), &FeedFailure>) {
        let mut seen = self.seen();
        seen.doing = "";
        seen.error = done.err().map(ToString::to_string).unwrap_or_default();
    }

    async fn look(&self, url: &str) -> Result<(), FeedFailure> {
        let done = self.ask(url).await;
        self.end(done.as_ref().map(|()| ()));
        done
    }

    async fn get(&self, url: &str, image: &Image, built: u64) -> Result<u64, FeedFailure> {
        let done = self.take(url, image, built).await;
        self.end(done.as_ref().map(|_| ()));
        done
    }

    /// Whether a version is there that the box fetches without being asked: newer, and not tried before.
    fn wants_it(&self, built: u64) -> bool {
        let seen = self.seen();
        let Some(feed) = seen.feed.as_ref().filter(|f| self.is_newer(f, built)) else { return false };
        let tried = |file: &FeedFile| feed::hex(&file.sha256) == seen.kept.tried;
        self.options.automatic && self.host == Host::Image && self.file(feed).is_some_and(|f| !tried(f))
    }
}

/// Begins to ask the feed.
pub(crate) fn start_looking(app: &App) -> Result<(), FeedFailure> {
    let (url, app) = (app.feeds.begin("looking")?, app.clone());
    spawn(async move {
        let _ = app.feeds.look(&url).await;
    });
    Ok(())
}

/// Begins to fetch the version that the feed has.
pub(crate) async fn start_fetching(app: &App, actor: String) -> Result<(), FeedFailure> {
    let built = built(app).await;
    let (url, app) = (app.feeds.begin("fetching")?, app.clone());
    spawn(async move {
        fetch(&app, &url, built, actor).await;
    });
    Ok(())
}

/// Fetches it; whether that went well.
async fn fetch(app: &App, url: &str, built: u64, actor: String) -> bool {
    match app.feeds.get(url, &app.image, built).await {
        Ok(_) => app.control.cast(move |world, c| world.audit(&actor, "fetched an upgrade", "", c.now)),
        Err(error) => {
            tracing::warn!(%error, "the upgrade is not fetched");
            return false;
        }
    }
    true
}

/// What is known now.
pub(crate) async fn news(app: &App) -> Option<News> {
    app.feeds.news(built(app).await)
}

/// When the sources of the running image were made; 0 where that is not known, which is everywhere else.
async fn built(app: &App) -> u64 {
    app.image.status().await.map_or(0, |s| s.built)
}

/// Looks every day, and fetches where that is switched on. Ends at once without a feed.
pub(crate) async fn run(app: App) {
    if app.feeds.options.url.is_none() {
        return;
    }
    let (mut wait, mut failures) = (FIRST, 0);
    loop {
        tokio::time::sleep(wait + spread()).await;
        let Ok(url) = app.feeds.begin("looking") else { continue };
        let done = app.feeds.look(&url).await;
        wait = if done.is_ok() { EVERY } else { AGAIN };
        if let Err(error) = done {
            tracing::warn!(%error, "the feed of upgrades");
        }
        let built = built(&app).await;
        if app.feeds.wants_it(built)
            && let Ok(url) = app.feeds.begin("fetching")
        {
            let fetched = fetch(&app, &url, built, "the feed".into()).await;
            failures = if fetched { 0 } else { failures + 1 };
            // Each may have been written to the card as a whole before it was found to be wrong.
            if (1..FAILURES_SOON).contains(&failures) {
                wait = AGAIN;
            }
        }
    }
}

/// What tells one feed from another.
fn identity(url: &str, key: &PublicKey) -> String {
    let sum = Sha256::new().chain_update(url).chain_update([0]).chain_update(key.to_text()).finalize();
    sum.iter().take(IDENTITY_BYTES).map(|b| format!("{b:02x}")).collect()
}

fn spread() -> Duration {
    let mut random = [0; 8];
    fill_random(&mut random);
    Duration::from_secs(u64::from_le_bytes(random) % SPREAD_S)
}

#[cfg(test)]
mod tests;
