//! The way in for browsers.

#[path = "../../websocket/tests/frames/mod.rs"]
mod frames;
mod support;

use base64::{Engine, engine::general_purpose::STANDARD};
use frames::{frame, masked};
use hearthgate_noise::{Initiator, RESPONSE_LEN};
use hearthgate_transport::{ClientStream, NoiseStream};
use http::Request;
use http_body_util::{BodyExt, Full};
use support::{EARLY, client, client_key, pattern, serve, server_key, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};

/// The browser's side: bytes become masked messages, messages become bytes.
async fn browser(mut net_read: ReadHalf<DuplexStream>, mut net_write: WriteHalf<DuplexStream>, app: DuplexStream) {
    let (mut app_read, mut app_write) = split(app);
    let up = async move {
        let mut buf = vec![0; 700];
        loop {
            let n = app_read.read(&mut buf).await.unwrap();
            if n == 0 {
                net_write.write_all(&masked(0x88, &1000u16.to_be_bytes())).await.unwrap();
                return;
            }
            // Two fragments with a ping between them.
            let (a, b) = buf[..n].split_at(n / 2);
            net_write.write_all(&[masked(0x02, a), masked(0x89, b"?"), masked(0x80, b)].concat()).await.unwrap();
        }
    };
    let down = async move {
        while let Ok((first, payload)) = frame(&mut net_read).await {
            match first {
                0x82 => app_write.write_all(&payload).await.unwrap(),
                0x8a => assert_eq!(payload, b"?"),
                0x88 => break,
                other => panic!("a frame {other:#x}"),
            }
        }
        app_write.shutdown().await.unwrap();
    };
    tokio::join!(up, down);
}

fn request(query: &str, headers: &str) -> String {
    format!("GET /ts2021{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n{headers}\r\n")
}

const HEADERS: &str = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tailscale-control-protocol\r\n";

async fn read_head<R: AsyncReadExt + Unpin>(io: &mut R) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(io.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

#[tokio::test]
async fn a_browser_speaks_http2_through_it() {
    let (mut a, b) = duplex(1 << 16);
    let server = serve(b, EARLY);
    let (initiator, initiation) = Initiator::start(&client_key(), &server_key().public(), 148, None).unwrap();
    let escaped = STANDARD.encode(initiation).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    a.write_all(request(&format!("?X-Tailscale-Handshake={escaped}"), HEADERS).as_bytes()).await.unwrap();
    let head = read_head(&mut a).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    assert!(head.contains("sec-websocket-protocol: tailscale-control-protocol"), "{head}");
    let (app, near) = duplex(1 << 16);
    let (net_read, net_write) = split(a);
    let bridge = tokio::spawn(browser(net_read, net_write, near));
    let mut app = app;
    let mut response = [0; RESPONSE_LEN];
    soon(app.read_exact(&mut response)).await.unwrap();
    // Not a ClientStream: no early payload may come this way, though the server was given one.
    let mut stream = NoiseStream::new(app, initiator.finish(&response).unwrap(), Vec::new(), Vec::new());
    let mut settings = [0; 9];
    soon(async {
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
        stream.flush().await.unwrap();
        stream.read_exact(&mut settings).await.unwrap();
    })
    .await;
    assert_eq!(settings[3], 4, "HTTP/2 begins with SETTINGS");
    drop(stream);
    soon(bridge).await.unwrap();
    soon(server).await.unwrap();
}

#[tokio::test]
async fn bodies_cross_it_whole() {
    let (mut a, b) = duplex(5000);
    serve(b, EARLY);
    let (initiator, initiation) = Initiator::start(&client_key(), &server_key().public(), 148, None).unwrap();
    let escaped = STANDARD.encode(initiation).replace('+', "%2b");
    a.write_all(request(&format!("?x=y&x-tailscale-handshake={escaped}"), HEADERS).as_bytes()).await.unwrap();
    read_head(&mut a).await;
    let (mut app, near) = duplex(5000);
    let (net_read, net_write) = split(a);
    tokio::spawn(browser(net_read, net_write, near));
    let mut response = [0; RESPONSE_LEN];
    soon(app.read_exact(&mut response)).await.unwrap();
    let stream = NoiseStream::new(app, initiator.finish(&response).unwrap(), Vec::new(), Vec::new());
    let (mut requests, _connection) = client(ClientStream::new(stream)).await;
    let body = pattern(200_000);
    let answer = soon(
        requests.send_request(Request::post("https://unused/echo").body(Full::new(body.clone()).boxed()).unwrap()),
    )
    .await
    .unwrap();
    assert_eq!(soon(answer.into_body().collect()).await.unwrap().to_bytes(), body);
}

#[tokio::test]
async fn requests_that_break_the_rules_are_told_why() {
    let good = "?X-Tailscale-Handshake=AAAA";
    for (query, headers, status, word) in [
        (good, HEADERS.to_owned(), "400", "not a handshake"),
        ("", HEADERS.to_owned(), "400", "X-Tailscale-Handshake"),
        ("?X-Tailscale-Handshake=%4", HEADERS.to_owned(), "400", "malformed"),
        ("?X-Tailscale-Handshake=%zz", HEADERS.to_owned(), "400", "malformed"),
        (good, HEADERS.replace(": 13", ": 8"), "426", "13"),
        (good, HEADERS.replace("Sec-WebSocket-Key", "X"), "400", "key"),
        (good, HEADERS.replace("dGhlIHNhbXBsZSBub25jZQ==", "AAAA"), "400", "key"),
        (good, HEADERS.replace("tailscale-control-protocol", "chat, superchat"), "400", "sub-protocol"),
        (good, HEADERS.replace("websocket\r\n", "h2c\r\n"), "405", "POST"),
    ] {
        let (mut a, b) = duplex(1 << 16);
        serve(b, EARLY);
        a.write_all(request(query, &headers).as_bytes()).await.unwrap();
        a.shutdown().await.unwrap();
        let mut got = String::new();
        soon(a.read_to_string(&mut got)).await.unwrap();
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")) && got.contains(word), "{query} {headers}\n{got}");
    }
}
