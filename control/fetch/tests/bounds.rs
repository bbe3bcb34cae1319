//! Answers, and servers that misbehave.

use hearthgate_fetch::{ANSWER_MAX, Fetch, FetchError, Send};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A server that answers the first request with these bytes; its URL, and what it was asked.
async fn answering(bytes: Vec<u8>) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/path?q=1", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let n = stream.read(&mut request).await.unwrap();
        // The client may hang up in the middle: that is what is tested.
        let _ = stream.write_all(&bytes).await;
        String::from_utf8_lossy(&request[..n]).into_owned()
    });
    (url, asked)
}

#[tokio::test]
async fn an_answer_comes_whole() {
    let (url, asked) = answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno".to_vec()).await;
    let send =
        Send { body: Some(("a=1".into(), "application/x-www-form-urlencoded")), authorization: Some("Basic eDp5") };
    let answer = Fetch::new().send(&url, send).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (404, &b"no"[..]));
    let asked = asked.await.unwrap().to_ascii_lowercase();
    assert!(asked.starts_with("post /path?q=1 http/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: basic edp5") && asked.ends_with("a=1"), "{asked}");
}

#[tokio::test]
async fn what_asks_public_servers_only_does_not_ask_this_machine() {
    let (url, asked) = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()).await;
    let refused = Fetch::new().public_only().get(&url).await.unwrap_err();
    assert!(matches!(&refused, FetchError::NotPublic(host) if host == "127.0.0.1"), "{refused}");
    // A name is looked at as well as an address.
    let named = url.replace("127.0.0.1", "localhost");
    assert!(matches!(Fetch::new().public_only().get(&named).await.unwrap_err(), FetchError::NotPublic(_)));
    asked.abort();
}

#[tokio::test]
async fn an_answer_that_ends_with_the_connection_is_whole_too() {
    let (url, _) = answering(b"HTTP/1.0 200 OK\r\n\r\neverything".to_vec()).await;
    assert_eq!(&Fetch::new().get(&url).await.unwrap().body[..], b"everything");
}

#[tokio::test]
async fn too_much_is_refused() {
    let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    bytes.resize(bytes.len() + ANSWER_MAX + 1, b'x');
    let (url, _) = answering(bytes).await;
    assert!(matches!(Fetch::new().get(&url).await, Err(FetchError::TooLong { status: 200, .. })));
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let (url, _) = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec()).await;
    assert!(matches!(Fetch::new().get(&url).await, Err(FetchError::Unreachable { .. })));
    let (url, _) = answering(b"nonsense".to_vec()).await;
    assert!(matches!(Fetch::new().get(&url).await, Err(FetchError::Unreachable { .. })));
}

#[tokio::test(start_paused = true)]
async fn silence_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let connection = listener.accept().await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        drop(connection);
    });
    assert!(matches!(Fetch::new().get(&url).await, Err(FetchError::Slow(_))));
    silent.abort();
}

#[tokio::test]
async fn only_urls_of_the_web_are_asked() {
    for url in ["file:///etc/passwd", "ftp://a/", "nothing", "/only/a/path"] {
        assert!(matches!(Fetch::new().get(url).await, Err(FetchError::Url(_))), "{url}");
    }
}
