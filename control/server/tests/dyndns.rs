//! The dynamic name by API v1 on a running server: set, seen without its secret, kept over a restart, given up.

mod support;

use serde_json::{Value, json};
use support::TestServer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// Asks over the socket of the command line: status and body.
async fn ask(server: &TestServer, method: &str, path: &str, body: Value) -> (u16, String) {
    let mut stream = UnixStream::connect(&server.options.unix_socket).await.unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!("{method} /api/v1/dyndns{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn a_name_is_set_and_its_secret_is_never_told() {
    let server = TestServer::start().await;
    let (status, said) = ask(&server, "GET", "", Value::Null).await;
    assert_eq!((status, said.as_str()), (200, r#"{"state":"none"}"#));
    assert_eq!(ask(&server, "POST", "/update", Value::Null).await.0, 409);
    assert_eq!(ask(&server, "DELETE", "", Value::Null).await.0, 200);
    // Nobody listens there, so that no test asks anybody.
    let new = json!({
        "service": "dyndns2", "name": "Home.Example.org", "user": "me", "secret": "S3CRET", "url": "http://127.0.0.1:1",
    });
    let (status, said) = ask(&server, "POST", "", new.clone()).await;
    assert!(status == 200 && !said.contains("S3CRET"), "{status} {said}");
    let seen: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&seen["name"], &seen["service"]), (&json!("home.example.org"), &json!("dyndns2")));
    // With a public address on this machine it was tried, without one it waits for one.
    assert!(seen["state"] == "failing" || seen["state"] == "waiting", "{seen}");

    // As it was after a restart, with what was not said the second time.
    let more = json!({ "service": "dyndns2", "name": "home.example.org", "ttl": 300, "ipv6": false });
    assert_eq!(ask(&server, "POST", "", more).await.0, 200);
    let server = server.restart().await;
    let seen: Value = serde_json::from_str(&ask(&server, "GET", "", Value::Null).await.1).unwrap();
    let wanted = json!({ "name": "home.example.org", "user": "me", "ttl": 300, "ipv4": true, "ipv6": false });
    for (field, value) in wanted.as_object().unwrap() {
        assert_eq!(&seen[field], value, "{seen}");
    }

    // The form again, without the secret: kept for the same server, and for no other.
    let mut again = new.clone();
    again.as_object_mut().unwrap().remove("secret");
    assert_eq!(ask(&server, "POST", "", again.clone()).await.0, 200);
    again["url"] = "http://127.0.0.2:1".into();
    let (status, said) = ask(&server, "POST", "", again).await;
    assert!(status == 400 && said.contains("Password"), "{said}");

    for (field, value) in [("name", json!("home")), ("service", json!("x")), ("ttl", json!(1)), ("name", json!(7))] {
        let mut bad = new.clone();
        bad[field] = value;
        let (status, said) = ask(&server, "POST", "", bad).await;
        assert!(status == 400 && !said.contains("S3CRET"), "{status} {said}");
    }
    assert_eq!(ask(&server, "PUT", "", new).await.0, 405);
    assert_eq!(ask(&server, "GET", "/update", Value::Null).await.0, 405);
    assert_eq!(ask(&server, "GET", "/nothing", Value::Null).await.0, 404);
    assert!(ask(&server, "GET", "/services", Value::Null).await.1.contains("DuckDNS"));
    let (status, said) = ask(&server, "DELETE", "", Value::Null).await;
    assert_eq!((status, said.as_str()), (200, r#"{"state":"none"}"#));
}
