//! Webhooks by API v2 on a running server: made, changed, signed, rotated, and one that hangs beside one that does not.

mod support;

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::{net::SocketAddr, time::Duration};
use support::TestServer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    sync::mpsc,
    time::timeout,
};

/// Asks over the socket of the command line: status and body.
async fn ask(server: &TestServer, method: &str, path: &str, body: Value) -> (u16, Value) {
    let mut stream = UnixStream::connect(&server.options.unix_socket).await.unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!("{method} /api/v2/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

/// A server that takes requests and tells them; one that hangs never answers.
async fn listener(hangs: bool) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut seen = vec![0; 8192];
            let mut len = 0;
            while !seen[..len].ends_with(b"]") && !seen[..len].ends_with(b"}") {
                len += stream.read(&mut seen[len..]).await.unwrap();
            }
            tell.send(String::from_utf8_lossy(&seen[..len]).into_owned()).await.unwrap();
            if !hangs {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            }
            held.push(stream);
        }
    });
    (address, told)
}

fn new(address: SocketAddr) -> Value {
    json!({ "endpointUrl": format!("http://{address}/x"), "subscriptions": ["nodeCreated"], "local": true })
}

/// Whether the request carries this secret's signature.
fn is_signed_with(request: &str, secret: &str) -> bool {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let line = head.lines().find_map(|l| l.strip_prefix("tailscale-webhook-signature: t=")).expect("a signature");
    let (time, v1) = line.split_once(",v1=").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect::<String>() == v1
}

#[tokio::test]
async fn a_hook_is_made_changed_rotated_and_removed() {
    let server = TestServer::start().await;
    let (address, mut told) = listener(false).await;
    let (status, made) = ask(&server, "POST", "tailnet/-/webhooks", new(address)).await;
    assert_eq!((status, &made["providerType"]), (200, &json!("")), "{made}");
    let (id, secret) = (made["endpointId"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let one = format!("webhooks/{id}");
    let (_, seen) = ask(&server, "GET", &one, Value::Null).await;
    assert!(seen.get("secret").is_none() && seen["subscriptions"] == json!(["nodeCreated"]), "{seen}");
    let (_, all) = ask(&server, "GET", "tailnet/-/webhooks", Value::Null).await;
    assert_eq!(all["webhooks"], json!([seen]));

    assert_eq!(ask(&server, "POST", &format!("{one}/test"), Value::Null).await, (202, json!({})));
    let request = timeout(Duration::from_secs(5), told.recv()).await.unwrap().unwrap();
    assert!(request.contains("\"type\":\"test\"") && is_signed_with(&request, secret), "{request}");
    let (_, rotated) = ask(&server, "POST", &format!("{one}/rotate"), Value::Null).await;
    let fresh = rotated["secret"].as_str().unwrap();
    assert_ne!(fresh, secret);
    ask(&server, "POST", &format!("{one}/test"), Value::Null).await;
    let request = timeout(Duration::from_secs(5), told.recv()).await.unwrap().unwrap();
    assert!(is_signed_with(&request, fresh) && !is_signed_with(&request, secret));

    let change = json!({ "subscriptions": ["policyUpdate", "nodeDeleted"] });
    let (_, changed) = ask(&server, "PATCH", &one, change.clone()).await;
    assert_eq!(changed["subscriptions"], change["subscriptions"]);
    for bad in [json!({ "subscriptions": [] }), json!({ "subscriptions": ["nothing"] }), json!({})] {
        assert_eq!(ask(&server, "PATCH", &one, bad).await.0, 400);
    }
    assert_eq!(ask(&server, "GET", &one, Value::Null).await.1["subscriptions"], change["subscriptions"]);
    let log = server.audit_log().await;
    assert!(log.contains("added webhook") && log.contains("127.0.0.1") && !log.contains("/x"), "{log}");
    assert_eq!(ask(&server, "DELETE", &one, Value::Null).await.0, 200);
    for method in ["GET", "DELETE"] {
        assert_eq!(ask(&server, method, &one, Value::Null).await.0, 404);
    }
    assert_eq!(ask(&server, "POST", &format!("{one}/test"), Value::Null).await.0, 404);
    assert_eq!(ask(&server, "POST", &one, Value::Null).await.0, 405);
    assert_eq!(ask(&server, "GET", "webhooks/..%2Fx", Value::Null).await.0, 404);
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_a_good_hook_is_refused() {
    let server = TestServer::start().await;
    let good = json!({ "endpointUrl": "https://example.com/", "subscriptions": ["nodeCreated"], "providerType": null });
    for (key, value) in [
        ("endpointUrl", json!("http://example.com/")),
        ("endpointUrl", json!("https://192.168.1.1/")),
        ("subscriptions", json!(["nodeCreated", "nodeCreated"])),
        ("subscriptions", Value::Null),
        ("providerType", json!("irc")),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        assert_eq!(ask(&server, "POST", "tailnet/-/webhooks", bad.clone()).await.0, 400, "{bad}");
    }
    assert_eq!(ask(&server, "POST", "tailnet/-/webhooks", good).await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_hook_that_hangs_holds_up_no_other() {
    let server = TestServer::start().await;
    let ((dead, mut stuck), (alive, mut told)) = (listener(true).await, listener(false).await);
    let mut ids = Vec::new();
    for address in [dead, alive] {
        let mut body = new(address);
        body["providerType"] = "slack".into();
        let (_, made) = ask(&server, "POST", "tailnet/-/webhooks", body).await;
        ids.push(made["endpointId"].as_str().unwrap().to_owned());
    }
    ask(&server, "POST", &format!("webhooks/{}/test", ids[0]), Value::Null).await;
    // Now it is being asked, and does not answer.
    timeout(Duration::from_secs(5), stuck.recv()).await.unwrap().unwrap();
    for _ in 0..3 {
        ask(&server, "POST", &format!("webhooks/{}/test", ids[1]), Value::Null).await;
        let request = timeout(Duration::from_secs(5), told.recv()).await.expect("held up").unwrap();
        assert!(request.ends_with("{\"text\":\"This is a test event (hearthgate.internal)\"}"), "{request}");
    }
    server.stop().await;
}
