//! What RFC 6455 asks of a server.

mod frames;

use frames::{frame, masked};
use hearthgate_websocket::{WebSocket, websocket_accept};
use proptest::prelude::*;
use std::{
    io::{ErrorKind, IoSlice},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::timeout,
};

/// Nothing here waits for anything but a mistake.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work).await.expect("it hangs")
}

#[test]
fn the_example_of_the_rfc() {
    assert_eq!(websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[tokio::test]
async fn frames_that_break_the_rules_end_it_with_a_reason() {
    let long = [0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1, 1, 2, 3, 4].to_vec();
    let endless = [0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4].to_vec();
    for (what, bytes, code) in [
        ("no mask", vec![0x82, 0x01, 0x00], 1002u16),
        ("text", masked(0x81, b"text"), 1003),
        ("an extension", masked(0xc2, b"x"), 1002),
        ("half a ping", masked(0x09, b"x"), 1002),
        ("a long ping", masked(0x89, &[0; 126]), 1002),
        ("opcode 3", masked(0x83, b"x"), 1002),
        ("opcode 11", masked(0x8b, b"x"), 1002),
        ("a continuation of nothing", masked(0x80, b"x"), 1002),
        ("a message in a message", [masked(0x02, b""), masked(0x82, b"x")].concat(), 1002),
        ("a frame beyond the limit", long, 1009),
        ("a frame of 2^64-1", endless, 1009),
    ] {
        let (mut a, b) = duplex(1 << 16);
        let mut socket = WebSocket::new(b, Vec::new());
        a.write_all(&bytes).await.unwrap();
        let e = soon(socket.read(&mut [0; 10])).await.expect_err(what);
        assert_eq!(e.kind(), ErrorKind::InvalidData, "{what}");
        assert_eq!(soon(frame(&mut a)).await.unwrap(), (0x88, code.to_be_bytes().to_vec()), "{what}");
        assert_eq!(soon(socket.write(b"more")).await.unwrap_err().kind(), ErrorKind::BrokenPipe, "{what}");
    }
}

#[tokio::test]
async fn a_close_is_answered_and_nothing_follows_it() {
    let (mut a, b) = duplex(1 << 16);
    let mut socket = WebSocket::new(b, Vec::new());
    a.write_all(
        &[masked(0x82, b"last"), masked(0x88, &[3, 0xe9, b'b', b'y', b'e']), masked(0x82, b"ignored")].concat(),
    )
    .await
    .unwrap();
    let mut got = Vec::new();
    soon(socket.read_to_end(&mut got)).await.unwrap();
    assert_eq!(got, b"last");
    soon(socket.shutdown()).await.unwrap();
    assert_eq!(soon(frame(&mut a)).await.unwrap(), (0x88, vec![3, 0xe9]), "the code comes back, once");
    assert_eq!(soon(a.read(&mut [0; 1])).await.unwrap(), 0);
}

#[tokio::test]
async fn our_own_end_is_said() {
    let (mut a, b) = duplex(1 << 16);
    let mut socket = WebSocket::new(b, Vec::new());
    socket.write_all(&[7; 200]).await.unwrap();
    soon(socket.shutdown()).await.unwrap();
    assert_eq!(soon(frame(&mut a)).await.unwrap(), (0x82, vec![7; 200]));
    assert_eq!(soon(frame(&mut a)).await.unwrap(), (0x88, 1000u16.to_be_bytes().to_vec()));
}

#[tokio::test]
async fn a_connection_that_just_breaks_off_is_an_error() {
    let (mut a, b) = duplex(1 << 16);
    let mut socket = WebSocket::new(b, Vec::new());
    a.write_all(&masked(0x82, b"cut")[..8]).await.unwrap();
    drop(a);
    let mut got = Vec::new();
    assert_eq!(soon(socket.read_to_end(&mut got)).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(got, b"cu");
}

#[tokio::test]
async fn a_flood_of_pings_is_answered_without_a_queue() {
    let (mut a, b) = duplex(64);
    let mut socket = WebSocket::new(b, Vec::new());
    let reader = tokio::spawn(async move {
        let mut got = [0; 5];
        socket.read_exact(&mut got).await.unwrap();
        (got, format!("{socket:?}").len())
    });
    // Nobody reads the pongs for long: at most the latest may wait.
    for n in 0..1000u16 {
        soon(a.write_all(&masked(0x89, &n.to_be_bytes()))).await.unwrap();
    }
    soon(a.write_all(&masked(0x82, b"alive"))).await.unwrap();
    let (got, size) = soon(reader).await.unwrap();
    assert_eq!(&got, b"alive");
    assert!(size < 2000, "{size}");
}

#[tokio::test]
async fn what_is_written_at_once_is_one_message() {
    let (mut a, b) = duplex(1 << 16);
    let mut socket = WebSocket::new(b, Vec::new());
    let parts = [IoSlice::new(b"head "), IoSlice::new(&[7; 200])];
    assert_eq!(socket.write_vectored(&parts).await.unwrap(), 205);
    let (first, payload) = soon(frame(&mut a)).await.unwrap();
    assert_eq!((first, payload.len(), &payload[..5]), (0x82, 205, &b"head "[..]));
    let parts = [IoSlice::new(&[1; 20_000]), IoSlice::new(&[2; 20_000])];
    assert_eq!(socket.write_vectored(&parts).await.unwrap(), 32 * 1024);
    let (_, payload) = soon(frame(&mut a)).await.unwrap();
    assert_eq!((payload.len(), payload.last()), (32 * 1024, Some(&2)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn payloads_are_one_stream_however_they_are_cut(
        messages in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..3000), 1usize..4), 1..6),
        step in 1usize..5000,
        reads in 1usize..3000,
    ) {
        let mut wire = Vec::new();
        for (payload, parts) in &messages {
            let size = payload.len().div_ceil(*parts).max(1);
            let parts: Vec<&[u8]> = if payload.is_empty() { vec![&[]] } else { payload.chunks(size).collect() };
            for (i, part) in parts.iter().enumerate() {
                let opcode = if i == 0 { 0x02 } else { 0x00 };
                wire.extend(masked(opcode | if i + 1 == parts.len() { 0x80 } else { 0 }, part));
            }
        }
        wire.extend(masked(0x88, &[]));
        let expected: Vec<u8> = messages.iter().flat_map(|(payload, _)| payload.clone()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let got = runtime.block_on(async {
            let (mut a, b) = duplex(step);
            // Some came with the upgrade request.
            let later = wire.split_off(step.min(wire.len()));
            tokio::spawn(async move {
                a.write_all(&later).await.unwrap();
                // The answer to the close must find room.
                let mut rest = Vec::new();
                a.read_to_end(&mut rest).await.unwrap();
            });
            let mut socket = WebSocket::new(b, wire);
            let (mut got, mut buf) = (Vec::new(), vec![0; reads]);
            loop {
                match soon(socket.read(&mut buf)).await.unwrap() {
                    0 => return got,
                    n => got.extend_from_slice(&buf[..n]),
                }
            }
        });
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn garbage_only_fails(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut a, b) = duplex(1 << 16);
            a.write_all(&bytes).await.unwrap();
            drop(a);
            let mut got = Vec::new();
            let _ = soon(WebSocket::new(b, Vec::new()).read_to_end(&mut got)).await;
            assert!(got.len() <= bytes.len());
        });
    }
}
