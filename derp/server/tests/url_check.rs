//! Admission by a URL: what is asked, and what the answers mean.

#[path = "common/tls_client.rs"]
mod tls_client;

use hearthgate_derp::{Admission, UrlCheck};
use hearthgate_keys::NodePublic;
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

fn check(url: &str, fail_open: bool) -> UrlCheck {
    UrlCheck::new(url, Some(Arc::new(tls_client::trusting_config())), fail_open).unwrap()
}

/// Asks a server that gives this answer; also what it was asked.
async fn ask(answer: &'static str, fail_open: bool) -> (bool, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/verify?x=1", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let mut n = 0;
        while !asked[..n].ends_with(b"}") {
            n += tcp.read(&mut asked[n..]).await.unwrap();
        }
        tcp.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(asked[..n].to_vec()).unwrap()
    });
    let check = check(&url, fail_open);
    let allowed = check.confirm(&NodePublic::from_bytes([1; 32]), Some([192, 0, 2, 1].into())).unwrap().await;
    (allowed, server.await.unwrap())
}

#[tokio::test]
async fn only_a_clear_yes_is_one() {
    let (allowed, asked) =
        ask("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"Allow\":true}\n", false).await;
    assert!(allowed);
    assert!(asked.starts_with("POST /verify?x=1 HTTP/1.0\r\n"), "{asked}");
    let (_, body) = asked.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, serde_json::json!({"NodePublic": format!("nodekey:{}", "01".repeat(32)), "Source": "192.0.2.1"}));
    for no in [
        "HTTP/1.1 200 OK\r\n\r\n{\"Allow\":false}",
        "HTTP/1.1 200 OK\r\n\r\n{\"Allow\":1}",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 500 Oops\r\n\r\n{\"Allow\":true}",
    ] {
        assert!(!ask(no, true).await.0, "{no}");
    }
}

#[tokio::test]
async fn without_an_answer_it_is_as_configured() {
    for broken in ["", "nonsense"] {
        assert!(ask(broken, true).await.0);
        assert!(!ask(broken, false).await.0);
    }
    let nobody = NodePublic::ZERO;
    assert!(check("https://127.0.0.1:1/verify", true).confirm(&nobody, None).unwrap().await);
    assert!(!check("http://[::1]:1", false).confirm(&nobody, None).unwrap().await);
    for bad in ["", "verify", "ftp://x/", "http:///verify"] {
        assert!(UrlCheck::new(bad, Some(Arc::new(tls_client::trusting_config())), true).is_err(), "{bad}");
    }
}
