//! A feed and its file from a server of the test's own, good and hostile.

use super::*;
use crate::options::ImageOptions;
use hearthgate_usign::SecretKey;
use sha2::Sha256;
use std::{collections::HashMap, sync::Arc};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const FILE: &[u8] = b"HGUPGRD1 and the rest of it";

fn signer() -> SecretKey {
    SecretKey::from_seed([5; 32], [6; 8]).unwrap()
}

fn file_of(bytes: &[u8]) -> FeedFile {
    let kind = Host::Image.kind().unwrap();
    FeedFile { kind, name: "images/new.hgu".into(), length: bytes.len() as u64, sha256: Sha256::digest(bytes).into() }
}

fn feed(made: u64, files: Vec<FeedFile>) -> Vec<u8> {
    Feed { version: "9.0.0".into(), made, files }.sign(&signer()).unwrap().into_bytes()
}

/// A web server whose answers (everything after the request) the test sets by path.
struct Web {
    answers: Arc<Mutex<HashMap<&'static str, Vec<u8>>>>,
    url: String,
}

impl Web {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hearthgate.feed", listener.local_addr().unwrap());
        let answers: Arc<Mutex<HashMap<&'static str, Vec<u8>>>> = Arc::default();
        let shared = answers.clone();
        tokio::spawn(async move {
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                let mut head = [0; 1024];
                let n = tcp.read(&mut head).await.unwrap();
                let path = String::from_utf8_lossy(&head[..n]).split(' ').nth(1).unwrap_or("").to_owned();
                let answer = shared.lock().unwrap().get(path.as_str()).cloned();
                let _ = tcp.write_all(&answer.unwrap_or_else(|| with_head(404, b""))).await;
            }
        });
        Self { answers, url }
    }

    fn raw(&self, path: &'static str, answer: Vec<u8>) {
        self.answers.lock().unwrap().insert(path, answer);
    }

    fn set(&self, path: &'static str, body: &[u8]) {
        self.raw(path, with_head(200, body));
    }
}

fn with_head(status: u16, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

struct Box1 {
    dir: tempfile::TempDir,
    web: Web,
    image: Image,
}

impl Box1 {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), signer().public().to_text()).unwrap();
        let upgrade_dir = Some(dir.path().join("upgrade"));
        Self { web: Web::start().await, image: Image::new(ImageOptions { upgrade_dir, status_file: None }), dir }
    }

    /// The feed's part as after a start.
    fn feeds(&self, automatic: bool) -> Feeds {
        let key = Some(self.dir.path().join("key"));
        Feeds::new(FeedOptions { url: Some(self.web.url.clone()), key, automatic }, true, self.dir.path())
    }

    async fn look(&self, feeds: &Feeds) -> Result<(), FeedFailure> {
        let url = feeds.begin("looking")?;
        feeds.look(&url).await
    }

    async fn get(&self, feeds: &Feeds) -> Result<u64, FeedFailure> {
        let url = feeds.begin("fetching")?;
        feeds.get(&url, &self.image, 100).await
    }

    /// What lies in the folder that init looks into.
    fn arrived(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.dir.path().join("upgrade")).into_iter().flatten();
        files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[tokio::test]
async fn a_newer_version_is_told_fetched_once_and_handed_over() {
    let b = Box1::new().await;
    b.web.set("/hearthgate.feed", &feed(200, vec![file_of(FILE)]));
    b.web.set("/images/new.hgu", FILE);
    let feeds = b.feeds(true);
    assert!(!feeds.wants_it(100) && !feeds.news(100).unwrap().newer, "nothing is known yet");
    b.look(&feeds).await.unwrap();
    let news = feeds.news(100).unwrap();
    assert_eq!((news.version.as_str(), news.newer, news.command.as_str()), ("9.0.0", true, ""));
    assert!(!feeds.news(200).unwrap().newer, "it runs already");
    assert!(feeds.wants_it(100) && !feeds.wants_it(200));
    assert_eq!(b.get(&feeds).await.unwrap(), FILE.len() as u64);
    assert_eq!(b.arrived(), ["upgrade.hgu"]);
    assert_eq!(std::fs::read(b.dir.path().join("upgrade/upgrade.hgu")).unwrap(), FILE);
    // It went back from it: it is not fetched again by itself, but its owner may.
    let again = b.feeds(true);
    b.look(&again).await.unwrap();
    assert!(!again.wants_it(100) && again.news(100).unwrap().newer);
    assert!(b.get(&again).await.is_ok());
    // Switched off, it is only told.
    std::fs::remove_file(b.dir.path().join("upgrade-feed")).unwrap();
    let off = b.feeds(false);
    b.look(&off).await.unwrap();
    assert!(!off.wants_it(100) && off.news(100).unwrap().newer);
}

#[tokio::test]
async fn a_version_that_could_not_be_handed_over_was_not_tried() {
    let b = Box1::new().await;
    b.web.set("/hearthgate.feed", &feed(200, vec![file_of(FILE)]));
    b.web.set("/images/new.hgu", FILE);
    let in_the_way = b.dir.path().join("upgrade/upgrade.hgu/x");
    std::fs::create_dir_all(&in_the_way).unwrap();
    let feeds = b.feeds(true);
    b.look(&feeds).await.unwrap();
    assert!(matches!(b.get(&feeds).await, Err(FeedFailure::Receive(ReceiveError::Disk(_)))));
    assert!(feeds.wants_it(100), "it is left out, although nobody tried it");
    let again = b.feeds(true);
    b.look(&again).await.unwrap();
    assert!(again.wants_it(100), "after a restart");
    std::fs::remove_dir_all(in_the_way.parent().unwrap()).unwrap();
    b.get(&again).await.unwrap();
    assert!(!again.wants_it(100));
}

#[tokio::test]
async fn a_feed_that_goes_back_is_not_believed_even_after_a_restart() {
    let b = Box1::new().await;
    let feeds = b.feeds(true);
    b.web.set("/hearthgate.feed", &feed(300, vec![file_of(FILE)]));
    b.look(&feeds).await.unwrap();
    b.web.set("/hearthgate.feed", &feed(200, vec![file_of(FILE)]));
    assert!(matches!(b.look(&feeds).await, Err(FeedFailure::WentBack)));
    let after = b.feeds(true);
    assert!(matches!(b.look(&after).await, Err(FeedFailure::WentBack)));
    // Another feed has a past of its own, and so has this one then.
    b.web.set("/other.feed", &feed(150, vec![file_of(FILE)]));
    let url = b.web.url.replace("hearthgate.feed", "other.feed");
    let other = Feeds::new(FeedOptions { url: Some(url), ..after.options.clone() }, true, b.dir.path());
    b.look(&other).await.unwrap();
    assert_eq!(Kept::read(b.dir.path()).made, 150);
    assert!(!after.wants_it(100) && after.news(100).unwrap().error.contains("older"));
    // Older than what runs, or for other machines: nothing newer.
    let other = FeedFile { kind: "riscv64.hgu".into(), ..file_of(FILE) };
    b.web.set("/hearthgate.feed", &feed(400, vec![other]));
    b.look(&after).await.unwrap();
    assert!(!after.news(100).unwrap().newer && after.news(100).unwrap().error.is_empty());
    assert!(matches!(b.get(&after).await, Err(FeedFailure::Nothing)));
}

#[tokio::test]
async fn feeds_that_are_no_feeds_change_nothing() {
    let b = Box1::new().await;
    let feeds = b.feeds(true);
    let other = SecretKey::from_seed([7; 32], [6; 8]).unwrap();
    let foreign = Feed { version: "9".into(), made: 900, files: vec![file_of(FILE)] }.sign(&other).unwrap();
    let endless = [&b"HTTP/1.1 200 x\r\n\r\n"[..], &[b'x'; 1 << 20]].concat();
    let cut = with_head(200, &feed(200, vec![file_of(FILE)]));
    for answer in [
        with_head(200, foreign.as_bytes()),
        with_head(200, b"<html>"),
        with_head(500, b""),
        with_head(301, b""),
        endless,
        cut[..cut.len() - 9].to_vec(),
        b"\0\0\0".to_vec(),
    ] {
        b.web.raw("/hearthgate.feed", answer);
        assert!(b.look(&feeds).await.is_err());
        assert!(!feeds.wants_it(100) && !feeds.news(100).unwrap().error.is_empty());
    }
    assert!(!b.dir.path().join("upgrade-feed").exists(), "nothing was written");
    std::fs::write(b.dir.path().join("key"), "nonsense").unwrap();
    assert!(matches!(b.look(&feeds).await, Err(FeedFailure::Key(..))));
    let none = Feeds::new(FeedOptions::default(), true, b.dir.path());
    assert!(matches!(none.begin("looking"), Err(FeedFailure::NoFeed)) && none.news(0).is_none());
}

#[tokio::test]
async fn a_file_that_is_not_the_one_named_leaves_nothing_behind() {
    let b = Box1::new().await;
    let feeds = b.feeds(true);
    b.web.set("/hearthgate.feed", &feed(200, vec![file_of(FILE)]));
    b.look(&feeds).await.unwrap();
    let mut changed = FILE.to_vec();
    changed[20] ^= 1;
    let longer = [FILE, b"x"].concat();
    let endless = [&b"HTTP/1.1 200 x\r\n\r\nHGUPGRD1"[..], &[b'x'; 1 << 20]].concat();
    let cut = with_head(200, FILE);
    for answer in [
        with_head(200, &changed),
        with_head(200, &longer),
        with_head(200, &FILE[..12]),
        with_head(200, b""),
        with_head(404, b""),
        endless,
        cut[..cut.len() - 5].to_vec(),
    ] {
        b.web.raw("/images/new.hgu", answer);
        assert!(b.get(&feeds).await.is_err());
        assert_eq!(b.arrived(), [""; 0]);
        assert!(feeds.wants_it(100), "a fetch that failed is no try");
        assert!(!feeds.news(100).unwrap().error.is_empty());
    }
    b.web.set("/images/new.hgu", FILE);
    assert!(b.get(&feeds).await.is_ok());
    assert!(feeds.news(100).unwrap().error.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_file_that_never_ends_to_come_is_given_up() {
    let b = Box1::new().await;
    let feeds = b.feeds(true);
    b.web.set("/hearthgate.feed", &feed(200, vec![file_of(FILE)]));
    b.look(&feeds).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/f", listener.local_addr().unwrap());
    let slow = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let _ = tcp.write_all(b"HTTP/1.1 200 x\r\nContent-Length: 27\r\n\r\nHGUPGRD1").await;
        tokio::time::sleep(Duration::from_secs(100_000)).await;
    });
    let done = feeds.get(&url, &b.image, 100).await;
    assert!(matches!(done, Err(FeedFailure::Receive(ReceiveError::Slow))), "{done:?}");
    assert_eq!(b.arrived(), [""; 0]);
    slow.abort();
}

#[test]
fn one_thing_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let options = FeedOptions { url: Some("http://x/".into()), ..FeedOptions::default() };
    let feeds = Feeds::new(options, true, dir.path());
    feeds.begin("looking").unwrap();
    assert!(matches!(feeds.begin("fetching"), Err(FeedFailure::Busy("looking"))));
    assert_eq!(feeds.news(0).unwrap().doing, "looking");
    feeds.end(Err(&FeedFailure::Nothing));
    assert!(feeds.begin("fetching").is_ok());
}
