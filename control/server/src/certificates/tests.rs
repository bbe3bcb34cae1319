//! A program that writes records, as a listener that notes what it is asked.

use super::*;
use crate::options::HttpreqOptions;
use hearthgate_keys::Secret;
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

fn certificates(address: SocketAddr, life: u64) -> Arc<Certificates> {
    let all = Certificates { life: [Duration::from_millis(life); 4], ..Certificates::default() };
    let provider = Provider::Httpreq(HttpreqOptions {
        endpoint: format!("http://{address}/acme/"),
        username: "box".into(),
        password: Secret::new("pass".into()),
    });
    all.configure(Some(CertificateOptions { provider, wait: Duration::ZERO }));
    Arc::new(all)
}

const NAME: &str = "_acme-challenge.a.net.example.org";

#[tokio::test]
async fn a_record_is_written_and_taken_away_again() {
    let (address, mut told) = program("200 OK").await;
    let all = certificates(address, 50);
    all.set(NodeId(1), NAME, "one").await.expect("written");
    let asked = told.recv().await.expect("a request").to_ascii_lowercase();
    assert!(asked.starts_with("post /acme/present http/1.1\r\n"), "{asked}");
    // printf box:pass | base64
    assert!(asked.contains("authorization: basic ym94onbhc3m="), "{asked}");
    assert!(asked.ends_with("{\"fqdn\":\"_acme-challenge.a.net.example.org.\",\"value\":\"one\"}"), "{asked}");
    let asked = told.recv().await.expect("a request");
    assert!(asked.starts_with("POST /acme/cleanup ") && asked.contains("\"one\""), "{asked}");
    while !all.state().there.is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_second_value_replaces_the_first_and_only_it_is_taken_away_at_the_end() {
    let (address, mut told) = program("204 No Content").await;
    let all = certificates(address, 200);
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
    let all = certificates(address, 60_000);
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
