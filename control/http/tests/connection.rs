//! A client and a server of this crate, over a pipe.

use bytes::Bytes;
use hearthgate_http::{Handler, Http1, begin1, spawn};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use std::time::Duration;

const HTTP: Http1 = Http1 { head_within: Duration::from_millis(50), head_max: 8192, keep_alive: true };

fn handler() -> Handler {
    Handler::new(|request| async move {
        let path = request.uri().path().to_owned();
        Response::new(Full::from(Bytes::from(path)))
    })
}

#[tokio::test]
async fn several_requests_are_answered_over_one_connection() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let server = spawn(HTTP.serve(theirs, handler()));
    let (mut sender, connection) = begin1(ours).await.unwrap();
    let connection = spawn(connection);
    for path in ["/one", "/two"] {
        let answer = sender.send_request(Request::get(path).body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), path);
    }
    drop(sender);
    connection.await.unwrap().unwrap();
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn one_request_where_no_second_is_wanted() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let server = spawn(Http1 { keep_alive: false, ..HTTP }.serve(theirs, handler()));
    let (mut sender, connection) = begin1(ours).await.unwrap();
    let connection = spawn(connection);
    let answer = sender.send_request(Request::get("/").body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(answer.headers()["connection"], "close");
    drop(answer);
    connection.await.unwrap().unwrap();
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let (_silent, theirs) = tokio::io::duplex(4096);
    let ended = tokio::time::timeout(Duration::from_secs(5), HTTP.serve(theirs, handler())).await;
    assert!(ended.expect("it waits for ever").is_err());
}
