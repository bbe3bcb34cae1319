//! A service on this machine: what it gets, and what its words lead to.

use super::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

const TOKEN: &str = "t0ken+&=";

/// Answers every request with `answer`, and tells its head.
async fn service(answer: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = format!("http://{}", listener.local_addr().expect("an address"));
    let (tell, told) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut seen, mut buffer) = (String::new(), [0; 4096]);
            while !seen.ends_with("\r\n\r\n") {
                let count = stream.read(&mut buffer).await.expect("a request");
                seen += &String::from_utf8_lossy(&buffer[..count]);
            }
            stream.write_all(answer.as_bytes()).await.expect("an answer");
            tell.send(seen).await.expect("a test");
        }
    });
    (at, told)
}

fn settings(service: &str, url: String) -> Settings {
    let (name, user) = ("home.example.org".into(), "me".into());
    Settings { service: service.into(), name, user, secret: TOKEN.into(), url, ..Settings::default() }
}

fn here() -> Addresses {
    Addresses { v4: Some([203, 0, 113, 7].into()), v6: None }
}

#[tokio::test]
async fn dyndns2_is_asked_with_a_login_and_its_words_count() {
    let (at, mut told) = service("HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\ngood 203.0.113.7").await;
    let fetch = Fetch::new();
    assert_eq!(send::tell(&fetch, &settings("dyndns2", at), here()).await, Verdict::Done);
    let asked = told.recv().await.expect("a request");
    let wanted = "GET /nic/update?hostname=home.example.org&myip=203.0.113.7 HTTP/1.1\r\n";
    assert!(asked.starts_with(wanted), "{asked}");
    // printf 'me:t0ken+&=' | base64
    assert!(asked.to_ascii_lowercase().contains("authorization: basic bwu6ddbrzw4rjj0="), "{asked}");
    assert!(asked.to_ascii_lowercase().contains("user-agent: hearthgate/"), "{asked}");

    let (at, _told) = service("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nbadauth").await;
    assert!(matches!(send::tell(&fetch, &settings("dyndns2", at), here()).await, Verdict::Stop(_)));
    let (at, _told) = service("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n911").await;
    assert!(matches!(send::tell(&fetch, &settings("dyndns2", at), here()).await, Verdict::Later(_, 1800)));
    // Nobody follows a service elsewhere with a password.
    let (at, _told) = service("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    assert!(matches!(send::tell(&fetch, &settings("dyndns2", at), here()).await, Verdict::Later(..)));
}

#[tokio::test]
async fn a_url_has_the_token_and_no_failure_shows_it() {
    let (at, mut told) = service("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK").await;
    let own = settings("url", format!("{at}/up/{{secret}}?n={{name}}&a={{ip4}}&b={{ip6}}"));
    assert_eq!(send::tell(&Fetch::new(), &own, here()).await, Verdict::Done);
    let asked = told.recv().await.expect("a request");
    assert!(asked.starts_with("GET /up/t0ken%2B%26%3D?n=home.example.org&a=203.0.113.7 HTTP/1.1"), "{asked}");
    // Nobody listens there; and what is no URL at all.
    for url in [
        "http://127.0.0.1:1/{secret}/{ip4}",
        "http://[::1/{secret}/{ip4}",
        "gopher://x/{secret}/{ip4}",
        "http://t0ken.invalid/{ip4}",
    ] {
        let own = Settings { secret: "t0ken".into(), ..settings("url", url.into()) };
        let verdict = send::tell(&Fetch::new(), &own, here()).await;
        assert_ne!(verdict, Verdict::Done);
        let said = format!("{verdict:?}");
        assert!(!said.contains("t0ken"), "{said}");
    }
    let no_key = settings("rfc2136", "127.0.0.1:1".into());
    let said = format!("{:?}", send::tell(&Fetch::new(), &no_key, here()).await);
    assert!(said.starts_with("Stop") && !said.contains("t0ken"), "{said}");
}

#[tokio::test]
async fn failures_are_in_words_of_ours_and_a_long_answer_counts_by_its_status() {
    let said = send::tell(&Fetch::new(), &settings("dyndns2", "http://127.0.0.1:1".into()), here()).await;
    let wanted = "the service cannot be reached, or its certificate is not one to trust";
    assert_eq!(said, Verdict::Later(wanted.into(), 0));
    let page = |status: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{}", 2 * ANSWER_MAX, "x".repeat(2 * ANSWER_MAX))
    };
    for (status, done) in [("200 OK", true), ("503 Unavailable", false)] {
        let (at, _told) = service(page(status).leak()).await;
        let own = settings("url", format!("{at}/?a={{ip4}}"));
        let verdict = send::tell(&Fetch::new().up_to(ANSWER_MAX), &own, here()).await;
        assert_eq!(verdict == Verdict::Done, done, "{verdict:?}");
    }
}

const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ngood";
const BADAUTH: &str = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nbadauth";

/// A server with this in its configuration, and a public address by STUN.
async fn server(dir: &std::path::Path, dyndns: Option<Settings>) -> crate::Running {
    let options = crate::Options { dyndns, ..crate::Options::new(dir, ([127, 0, 0, 1], 0).into()) };
    let running = crate::start(options).await.expect("a server");
    running.app.dyndns.learner.say([203, 0, 113, 7].into());
    running
}

async fn state(app: &App) -> State {
    known(app).await.expect("a writer").expect("a name").1
}

/// Holds the writer; what is asked of it until this is let go is in one batch with a change that cannot be stored.
async fn spoil(app: &App) -> std::sync::mpsc::Sender<()> {
    let (tell, ran) = tokio::sync::oneshot::channel();
    let (release, released) = std::sync::mpsc::channel();
    app.control.cast(move |_, _| {
        let _ = tell.send(());
        let _ = released.recv_timeout(Duration::from_secs(20));
    });
    ran.await.expect("a writer");
    // Longer than a key may be.
    app.control.cast(|world, _| world.put_record(&"k".repeat(2000), &1).expect("a record"));
    release
}

/// Long enough for a task to ask the writer.
const SHORTLY: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_and_could_not_be_stored_is_not_told_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = server(dir.path(), None).await;
    let app = &running.app;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let own = settings("dyndns2", format!("http://{}", listener.local_addr().expect("an address")));
    configure(app, Some(own.clone()));
    let spoiled = app.clone();
    let answering = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a request");
        let mut buffer = [0; 4096];
        assert!(stream.read(&mut buffer).await.expect("a request") > 0);
        let release = spoil(&spoiled).await;
        stream.write_all(BADAUTH.as_bytes()).await.expect("an answer");
        tokio::time::sleep(SHORTLY).await;
        release.send(()).expect("a writer");
        listener
    });
    assert!(
        matches!(attempt(app, &own, here(), false).await, Err(DyndnsError::Failed(why)) if why.contains("badauth"))
    );
    let listener = answering.await.expect("an answer");
    let stored = app.control.call(|world, _| world.record::<Kept>(STATE).is_some()).await;
    assert_eq!(stored, Ok(false), "it was to fail");
    attempt(app, &own, here(), false).await.expect("nothing to do");
    assert!(timeout(SHORTLY, listener.accept()).await.is_err(), "asked again after badauth");
    assert!(state(app).await.stopped);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_while_a_service_is_asked_loses_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = server(dir.path(), None).await;
    let app = &running.app;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let own = settings("dyndns2", format!("http://{}", listener.local_addr().expect("an address")));
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let answering = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a request");
        let mut buffer = [0; 4096];
        assert!(stream.read(&mut buffer).await.expect("a request") > 0);
        released.await.expect("a test");
        // Whoever hung up is not there to take it.
        let _ = stream.write_all(GOOD.as_bytes()).await;
    });
    let left = timeout(SHORTLY, set_and_try(app, "me".into(), Some(own))).await;
    assert!(left.is_err(), "it was to wait for the service");
    release.send(()).expect("a service");
    answering.await.expect("an answer");
    let noted = async {
        while state(app).await.told.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(5), noted).await.expect("what was told is not noted");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_failing_change_does_not_end_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = server(dir.path(), None).await;
    let app = &running.app;
    tokio::time::sleep(SHORTLY).await;
    let release = spoil(app).await;
    let (at, _told) = service(GOOD).await;
    configure(app, Some(settings("dyndns2", at)));
    tokio::time::sleep(SHORTLY).await;
    release.send(()).expect("a writer");
    tokio::time::sleep(SHORTLY).await;
    assert_eq!(seen_addresses(app).count(), 0, "it was to fail");
    app.dyndns.wake.notify_one();
    let looked = async {
        while seen_addresses(app).count() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), looked).await.expect("nobody looks any more");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_holds_over_reloads_and_restarts_until_something_is_changed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (at, _told) = service(BADAUTH).await;
    let own = settings("dyndns2", at);
    let running = server(dir.path(), Some(own.clone())).await;
    let app = &running.app;
    assert!(attempt(app, &own, here(), true).await.is_err());
    configure(app, Some(own.clone()));
    assert!(state(app).await.stopped);
    let other = Settings { secret: "right".into(), ..own.clone() };
    configure(app, Some(other.clone()));
    let now = state(app).await;
    assert_eq!((now.stopped, now.why.as_str(), now.tried_at > 0), (false, "", true));
    running.stop().await;
    for (set, stopped, known) in [
        (own.clone(), true, true),
        (other, false, true),
        (Settings { url: "http://127.0.0.1:1".into(), ..own.clone() }, false, false),
        (Settings { user: "you".into(), ..own.clone() }, false, false),
    ] {
        let running = server(dir.path(), Some(set)).await;
        let now = state(&running.app).await;
        assert_eq!((now.stopped, now.tried_at > 0), (stopped, known));
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_a_name_up_and_sets_it_again_waits_all_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = server(dir.path(), None).await;
    let app = &running.app;
    let (at, mut told) = service("HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\n911").await;
    let own = settings("dyndns2", at);
    let set = |settings: Option<Settings>| set_and_try(app, "me".into(), settings);
    assert!(set(Some(own.clone())).await.is_err() && told.recv().await.is_some());
    let before = state(app).await;
    assert_eq!((before.wait_s, before.failures), (1800, 1));
    for again in [own.clone(), Settings { secret: "other".into(), ..own.clone() }] {
        set(None).await.expect("given up");
        assert_eq!(known(app).await.map(|k| k.is_some()), Ok(false));
        let said = set(Some(again)).await.expect_err("too soon").to_string();
        assert!(said.starts_with("it is set, but not tried yet: wait "), "{said}");
        let now = state(app).await;
        assert_eq!((now.wait_s, now.tried_at, now.failures), (1800, before.tried_at, 0));
    }
    assert!(told.try_recv().is_err(), "asked although it said to wait");
    // Another name is another matter.
    set(None).await.expect("given up");
    let other = Settings { name: "other.example.org".into(), ..own };
    assert!(set(Some(other)).await.is_err() && told.recv().await.is_some());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_address_that_is_gone_is_taken_away_from_the_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = server(dir.path(), None).await;
    let app = &running.app;
    let (at, mut told) = service(GOOD).await;
    let own = settings("url", format!("{at}/?a={{ip4}}&b={{ip6|none}}"));
    configure(app, Some(own.clone()));
    let both = Addresses { v6: Some("2001:db8::7".parse().expect("an address")), ..here() };
    attempt(app, &own, both, false).await.expect("told");
    let head = told.recv().await.expect("a request");
    assert!(head.starts_with("GET /?a=203.0.113.7&b=2001%3Adb8%3A%3A7 "), "{head}");
    // Not there for a moment only.
    attempt(app, &own, here(), false).await.expect("nothing to do");
    assert!(told.try_recv().is_err());
    app.dyndns.lost_v6.store(true, Relaxed);
    // As after the shortest pause between two updates.
    let (shown, set) = (app.clone(), own.clone());
    let aged = app.control.call(move |world, _| {
        let mut state = shown.dyndns.state(world, &set);
        (state.told_at, state.tried_at) = (state.told_at - 100, state.tried_at - 100);
        shown.dyndns.keep(world, &set, state);
    });
    aged.await.expect("a writer");
    attempt(app, &own, here(), false).await.expect("told");
    let head = told.recv().await.expect("a request");
    assert!(head.starts_with("GET /?a=203.0.113.7&b=none "), "{head}");
    assert_eq!(state(app).await.told, here());
    attempt(app, &own, here(), false).await.expect("nothing to do");
    assert!(told.try_recv().is_err(), "once");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_at_the_same_time_or_sets_the_same_again_asks_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = server(dir.path(), None).await;
    let app = &running.app;
    let (at, mut told) = service(GOOD).await;
    let own = settings("dyndns2", at);
    let set = |settings: &Settings| set_and_try(app, "me".into(), Some(settings.clone()));
    set(&own).await.expect("told");
    let before = state(app).await;
    assert!(!before.told.is_empty() && told.recv().await.is_some());
    for again in [own.clone(), Settings { secret: "other".into(), ..own.clone() }] {
        let said = set(&again).await.expect_err("too soon").to_string();
        assert!(said.starts_with("it is set, but not tried yet: wait "), "{said}");
        let now = state(app).await;
        assert_eq!((now.told, now.tried_at), (before.told, before.tried_at));
    }
    let you = Settings { user: "you".into(), ..own.clone() };
    assert!(set(&you).await.is_err());
    assert_eq!(state(app).await.told, Addresses::default(), "another account");
    assert!(told.try_recv().is_err(), "told twice");
    // Nothing is known of this one: the first asks, and the others wait for it.
    let (at, mut told) = service(GOOD).await;
    configure(app, Some(settings("dyndns2", at)));
    let (one, two, three) = tokio::join!(update(app), update(app), update(app));
    assert_eq!([one, two, three].iter().filter(|r| r.is_ok()).count(), 1);
    assert!(told.recv().await.is_some() && told.try_recv().is_err());
    running.stop().await;
}
