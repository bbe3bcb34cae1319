//! A program that writes records, as a listener that notes what it is asked.

use super::*;
use crate::options::HttpreqOptions;
use futures_util::FutureExt;
use hearthgate_core::{AllowAll, Now, Settings, Stored, World};
use hearthgate_keys::Secret;
use hearthgate_tailcfg::DerpMap;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

/// Answers every request with `status`, and tells what it was.
async fn program(status: &'static str) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (tell, told) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut seen, mut buffer) = (String::new(), [0; 4096]);
            while !seen.ends_with('}') {
                let count = stream.read(&mut buffer).await.expect("a request");
                seen += &String::from_utf8_lossy(&buffer[..count]);
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.expect("an answer");
            tell.send(seen).await.expect("a test");
        }
    });
    (address, told)
}

fn options(address: SocketAddr) -> CertificateOptions {
    let provider = Provider::Httpreq(HttpreqOptions {
        endpoint: format!("http://{address}/acme/"),
        username: "box".into(),
        password: Secret::new("pass".into()),
    });
    CertificateOptions { provider, wait: Duration::ZERO }
}

/// A server's memory, as it is after a start.
fn memory(folder: &tempfile::TempDir) -> (Control, crate::writer::WriterThread) {
    let store = hearthgate_store::open(&folder.path().join("store"), hearthgate_store::EngineKind::Log).expect("store");
    let mut stored = Stored::default();
    for prefix in Stored::PREFIXES {
        for (key, value) in store.scan(prefix.as_bytes()).expect("records") {
            stored.add(&String::from_utf8_lossy(&key), &value).expect("a record");
        }
    }
    let now = Now { wall: Timestamp::now(), mono_ms: 0 };
    let world = World::load(stored, Settings::default(), Arc::new(AllowAll), DerpMap::default(), now);
    crate::writer::start(world, store, tokio::sync::broadcast::channel(16).0).expect("a writer")
}

fn certificates(control: Control, address: SocketAddr, life: u64) -> Arc<Certificates> {
    let all = Certificates { life: [Duration::from_millis(life); 4], ..Certificates::new(control) };
    all.configure(Some(options(address)));
    Arc::new(all)
}

async fn kept(control: &Control) -> Vec<Pending> {
    control.call(|world, _| pending::all(world)).await.expect("a store")
}

async fn until_nothing_is_kept(control: &Control) {
    let gone = async {
        while !kept(control).await.is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.expect("something stays");
}

const NAME: &str = "_acme-challenge.a.net.example.org";

#[tokio::test]
async fn a_record_is_written_and_taken_away_again() {
    let (address, mut told) = program("200 OK").await;
    let folder = tempfile::tempdir().expect("a folder");
    let (control, _writer) = memory(&folder);
    let all = certificates(control.clone(), address, 50);
    all.set(NodeId(1), NAME, "one").await.expect("written");
    let asked = told.recv().await.expect("a request").to_ascii_lowercase();
    assert!(asked.starts_with("post /acme/present http/1.1\r\n"), "{asked}");
    // printf box:pass | base64
    assert!(asked.contains("authorization: basic ym94onbhc3m="), "{asked}");
    assert!(asked.ends_with("{\"fqdn\":\"_acme-challenge.a.net.example.org.\",\"value\":\"one\"}"), "{asked}");
    let asked = told.recv().await.expect("a request");
    assert!(asked.starts_with("POST /acme/cleanup ") && asked.contains("\"one\""), "{asked}");
    until_nothing_is_kept(&control).await;
    assert!(all.state().there.is_empty());
}

#[tokio::test]
async fn a_second_value_replaces_the_first_and_only_it_is_taken_away_at_the_end() {
    let (address, mut told) = program("204 No Content").await;
    let folder = tempfile::tempdir().expect("a folder");
    let (control, _writer) = memory(&folder);
    let all = certificates(control, address, 200);
    all.set(NodeId(1), NAME, "one").await.expect("written");
    all.set(NodeId(1), NAME, "two").await.expect("written");
    for (path, value) in [("present", "one"), ("cleanup", "one"), ("present", "two"), ("cleanup", "two")] {
        let asked = told.recv().await.expect("a request");
        assert!(asked.contains(&format!("/{path} ")) && asked.contains(&format!("\"{value}\"")), "{path}: {asked}");
    }
    assert!(timeout(Duration::from_millis(400), told.recv()).await.is_err(), "nothing is left to do");
}

#[tokio::test]
async fn a_refusal_is_told_and_a_device_in_a_circle_is_stopped() {
    let (address, mut told) = program("403 Forbidden").await;
    let folder = tempfile::tempdir().expect("a folder");
    let (control, _writer) = memory(&folder);
    let all = certificates(control, address, 60_000);
    tokio::spawn(async move { while told.recv().await.is_some() {} });
    let mut last = String::new();
    for _ in 0..6 {
        last = all.set(NodeId(1), NAME, "one").await.expect_err("refused").to_string();
    }
    assert!(last.contains("answers 403") && !last.contains("pass"), "{last}");
    let stopped = all.set(NodeId(1), NAME, "one").await;
    assert!(matches!(stopped, Err(CertificateError::Spent(_))), "{stopped:?}");
    all.configure(None);
    assert!(matches!(all.set(NodeId(2), NAME, "one").await, Err(CertificateError::Off)));
}

#[tokio::test]
async fn a_restart_forgets_no_record() {
    let (address, mut told) = program("200 OK").await;
    let folder = tempfile::tempdir().expect("a folder");
    let (control, writer) = memory(&folder);
    let all = certificates(control.clone(), address, 60_000);
    all.set(NodeId(1), NAME, "one").await.expect("written");
    assert!(told.recv().await.expect("a request").contains("/present "));
    assert_eq!(kept(&control).await.len(), 1);
    drop(all);
    control.stop().await;
    writer.join();

    let (control, _writer) = memory(&folder);
    let again = certificates(control.clone(), address, 100);
    again.resume().await;
    let asked = told.recv().await.expect("a request");
    assert!(asked.contains("/cleanup ") && asked.contains("\"one\""), "{asked}");
    until_nothing_is_kept(&control).await;
}

#[tokio::test]
async fn who_has_a_record_is_asked_to_take_it_away_and_nobody_else() {
    let ((first, mut told), (second, mut other)) = (program("200 OK").await, program("200 OK").await);
    let folder = tempfile::tempdir().expect("a folder");
    let (control, writer) = memory(&folder);
    let all = certificates(control.clone(), first, 300);
    all.set(NodeId(1), NAME, "one").await.expect("written");
    assert!(told.recv().await.expect("a request").contains("/present "));
    // The owner goes elsewhere, and later switches certificates off.
    all.configure(Some(options(second)));
    assert!(told.recv().await.expect("a request").contains("/cleanup "));
    all.set(NodeId(1), NAME, "two").await.expect("written");
    assert!(other.recv().await.expect("a request").contains("\"two\""));
    all.configure(None);
    let asked = other.recv().await.expect("a request");
    assert!(asked.contains("/cleanup ") && asked.contains("\"two\""), "{asked}");
    until_nothing_is_kept(&control).await;

    // After a restart without the provider nobody can be asked: it is given up, not asked of another.
    all.configure(Some(options(first)));
    all.set(NodeId(1), NAME, "three").await.expect("written");
    assert!(told.recv().await.expect("a request").contains("\"three\""));
    drop(all);
    control.stop().await;
    writer.join();
    let (control, _writer) = memory(&folder);
    let again = certificates(control.clone(), second, 20);
    again.resume().await;
    assert_eq!(kept(&control).await.len(), 1);
    until_nothing_is_kept(&control).await;
    assert!(other.try_recv().is_err() && again.state().there.is_empty());
}

#[tokio::test]
async fn a_device_that_goes_away_leaves_nothing_behind() {
    let (address, mut told) = program("200 OK").await;
    let folder = tempfile::tempdir().expect("a folder");
    let (control, _writer) = memory(&folder);
    let all = certificates(control.clone(), address, 50);
    assert!(all.set(NodeId(1), NAME, "one").now_or_never().is_none(), "begun, and dropped");
    for path in ["present", "cleanup"] {
        let asked = timeout(Duration::from_secs(10), told.recv()).await.expect("a request").expect("a program");
        assert!(asked.contains(&format!("/{path} ")), "{path}: {asked}");
    }
    until_nothing_is_kept(&control).await;
    assert!(all.state().there.is_empty());
}

#[tokio::test]
async fn of_two_at_once_the_last_one_is_there_and_noted() {
    let (address, mut told) = program("200 OK").await;
    let folder = tempfile::tempdir().expect("a folder");
    let (control, _writer) = memory(&folder);
    let all = certificates(control.clone(), address, 1500);
    let mut one = Box::pin(all.set(NodeId(1), NAME, "one"));
    let mut two = Box::pin(all.set(NodeId(1), NAME, "two"));
    assert!((&mut one).now_or_never().is_none() && (&mut two).now_or_never().is_none());
    // Both are noted, or about to be; the second goes on first.
    sleep(Duration::from_millis(100)).await;
    let (second, first) = tokio::join!(two, one);
    first.and(second).expect("written");
    let noted = kept(&control).await.into_iter().map(|p| p.value).collect::<Vec<_>>();
    let there = all.state().there.get(NAME).map(|held| held.value.clone());
    assert_eq!((noted, there.as_deref()), (vec!["two".to_owned()], Some("two")));
    for (path, value) in [("present", "one"), ("cleanup", "one"), ("present", "two"), ("cleanup", "two")] {
        let asked = told.recv().await.expect("a request");
        assert!(asked.contains(&format!("/{path} ")) && asked.contains(&format!("\"{value}\"")), "{path}: {asked}");
    }
    until_nothing_is_kept(&control).await;
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let (control, _writer) = memory(&folder);
    let pending = |n: usize| Pending {
        name: format!("_acme-challenge.a{n}.net.example.org"),
        value: "one".into(),
        place: "rfc2136 a b".into(),
        due: Timestamp::UNIX_EPOCH,
    };
    let job = move |world: &mut World, _: &mut crate::writer::Context<'_>| {
        for n in 0..pending::PENDING_MAX {
            pending::note(world, &pending(n)).expect("room");
        }
        assert!(matches!(pending::note(world, &pending(pending::PENDING_MAX)), Err(CoreError::Full(_))));
        assert!(pending::note(world, &pending(7)).is_ok(), "in place of one of the same name");
    };
    control.call(job).await.expect("a store");
}
