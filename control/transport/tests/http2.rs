//! Both roles against each other: upgrade, Noise, HTTP/2, bodies of every shape.

mod support;

use bytes::Bytes;
use hearthgate_transport::{ClientError, ClientStream, connect, dial, fetch_key};
use http::Request;
use http_body_util::{BodyExt, Full};
use support::{Body, EARLY, Pieces, client, client_key, pattern, serve, server_key, soon};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::TcpListener,
};

fn post(path: &str, body: impl Into<Bytes>) -> Request<Body> {
    Request::post(format!("https://unused{path}")).body(Full::new(body.into()).boxed()).unwrap()
}

async fn join(
    buffer: usize,
    early: &'static [u8],
) -> (hyper::client::conn::http2::SendRequest<Body>, tokio::task::JoinHandle<()>, tokio::task::JoinHandle<()>) {
    let (a, b) = duplex(buffer);
    let server = serve(b, early);
    let stream = connect(a, "router.lan", &client_key(), &server_key().public(), 148).await.unwrap();
    let (requests, connection) = client(ClientStream::new(stream)).await;
    (requests, connection, server)
}

#[tokio::test]
async fn a_request_is_answered_with_and_without_an_early_payload() {
    for early in [EARLY, b""] {
        let (mut requests, connection, server) = soon(join(4096, early)).await;
        let answer = soon(requests.send_request(post("/echo", "hello"))).await.unwrap();
        assert_eq!(soon(answer.into_body().collect()).await.unwrap().to_bytes(), "hello");
        drop(requests);
        soon(connection).await.unwrap();
        soon(server).await.unwrap();
    }
}

#[tokio::test]
async fn large_bodies_cross_narrow_pipes_whole() {
    // Narrower than a header, than a record, than a write, and wider than all.
    for buffer in [2, 1000, 5000, 1 << 20] {
        let (mut requests, ..) = soon(join(buffer, EARLY)).await;
        let body = pattern(if buffer == 2 { 20_000 } else { 500_000 });
        let answer = soon(requests.send_request(post("/echo", body.clone()))).await.unwrap();
        assert_eq!(soon(answer.into_body().collect()).await.unwrap().to_bytes(), body, "{buffer}");
    }
}

#[tokio::test]
async fn a_map_stream_delivers_each_message_when_it_is_sent() {
    let (mut requests, connection, server) = soon(join(1 << 16, EARLY)).await;
    let (sender, pieces) = Pieces::new();
    let request = Request::post("https://unused/map").body(pieces.boxed()).unwrap();
    let mut answer = soon(requests.send_request(request)).await.unwrap().into_body();
    for round in 0..200 {
        // Nothing more is sent before this came back, so anything held back by a buffer would hang here.
        let message = pattern(1 + (round * 37) % 5000);
        sender.send(message.clone()).await.unwrap();
        let mut got = Vec::new();
        while got.len() < message.len() {
            got.extend_from_slice(&soon(answer.frame()).await.unwrap().unwrap().into_data().unwrap());
        }
        assert_eq!(got, message, "round {round}");
    }
    let big = pattern(300_000);
    let echoed = soon(requests.send_request(post("/echo", big.clone()))).await.unwrap();
    assert_eq!(soon(echoed.into_body().collect()).await.unwrap().to_bytes(), big, "beside the stream");
    drop((sender, answer, requests));
    soon(connection).await.unwrap();
    soon(server).await.unwrap();
}

#[tokio::test]
async fn the_key_is_told_and_a_url_suffices() {
    let (a, b) = duplex(4096);
    serve(b, EARLY);
    assert_eq!(soon(fetch_key(a, "router.lan", 148)).await.unwrap(), server_key().public());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            serve(io, EARLY);
        }
    });
    let tcp = |host: String, port| async move { tokio::net::TcpStream::connect((host, port)).await };
    let (mut requests, _) = client(soon(dial(&url, &client_key(), 148, tcp)).await.unwrap()).await;
    let answer = soon(requests.send_request(post("/echo", "by url"))).await.unwrap();
    assert_eq!(soon(answer.into_body().collect()).await.unwrap().to_bytes(), "by url");
}

#[tokio::test]
async fn another_servers_key_is_noticed() {
    let (a, b) = duplex(4096);
    serve(b, EARLY);
    match soon(connect(a, "router.lan", &client_key(), &client_key().public(), 148)).await {
        Err(ClientError::Http(why)) => assert!(why.contains("400"), "{why}"),
        other => panic!("{other:?}"),
    }
}

/// What a raw request gets: everything until the server closes.
async fn raw(request: String, then: &[u8]) -> String {
    let (mut a, b) = duplex(1 << 16);
    let server = serve(b, EARLY);
    a.write_all(request.as_bytes()).await.unwrap();
    a.write_all(then).await.unwrap();
    a.shutdown().await.unwrap();
    let mut got = Vec::new();
    soon(a.read_to_end(&mut got)).await.unwrap();
    soon(server).await.unwrap();
    String::from_utf8_lossy(&got).into_owned()
}

fn upgrade(headers: &str) -> String {
    format!("POST /ts2021 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n{headers}Content-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn requests_that_are_no_upgrade_are_told_why() {
    let handshake = "X-Tailscale-Handshake: AAAA\r\n";
    let ours = "Upgrade: tailscale-control-protocol\r\n";
    for (request, status, word) in [
        (upgrade(""), "400", "proxy"),
        (upgrade("Upgrade: websocket\r\n"), "400", "proxy"),
        (upgrade(ours), "400", "X-Tailscale-Handshake"),
        (upgrade(&format!("{ours}X-Tailscale-Handshake: !!!\r\n")), "400", "malformed"),
        (upgrade(&format!("{ours}X-Tailscale-Handshake: {}\r\n", "A".repeat(257))), "400", "malformed"),
        (upgrade(&format!("{ours}{handshake}")), "400", "not a handshake"),
        (upgrade(&format!("{ours}X-Tailscale-Handshake: {}\r\n", "A".repeat(136))), "400", "not a handshake"),
        (upgrade(&format!("{ours}{handshake}")).replace("POST", "GET"), "405", "POST"),
    ] {
        let got = raw(request.clone(), &[]).await;
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")) && got.contains(word), "{request}\n{got}");
    }
}

#[tokio::test]
async fn garbage_after_the_handshake_ends_the_connection() {
    let (_, initiation) = hearthgate_noise::Initiator::start(&client_key(), &server_key().public(), 148, None).unwrap();
    let header = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, initiation);
    let request = upgrade(&format!("Upgrade: Tailscale-Control-Protocol\r\nX-Tailscale-Handshake: {header}\r\n"));
    for garbage in
        [&b""[..], b"\x04", b"\x04\x00\x10aaaaaaaaaaaaaaaa", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0xff; 9000]]
    {
        let got = raw(request.clone(), garbage).await;
        assert!(got.starts_with("HTTP/1.1 101 "), "{got}");
    }
}

#[tokio::test]
async fn servers_that_talk_nonsense_are_errors() {
    for answer in [
        "",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\n\r\nshort",
        &format!("HTTP/1.1 101 Switching Protocols\r\n\r\n{}", "x".repeat(51)),
        &format!("HTTP/1.1 101 Switching Protocols\r\nX: {}", "x".repeat(20_000)),
    ] {
        let (a, mut b) = duplex(1 << 16);
        b.write_all(answer.as_bytes()).await.unwrap();
        b.shutdown().await.unwrap();
        assert!(soon(connect(a, "x", &client_key(), &server_key().public(), 148)).await.is_err(), "{answer}");
        let (a, mut b) = duplex(1 << 16);
        b.write_all(answer.as_bytes()).await.unwrap();
        b.shutdown().await.unwrap();
        assert!(soon(fetch_key(a, "x", 148)).await.is_err(), "{answer}");
    }
}
