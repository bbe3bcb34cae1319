//! The first bytes of a stranger: TLS with a name, a box's tunnel, or something that a front does not pass on.
//!
//! The TLS hello (RFC 8446 section 4.1.2) is parsed by rustls and goes on to the box as it came.

use crate::caller::TUNNEL_FIRST_BYTE;
use bytes::BytesMut;
use rustls::server::Acceptor;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What the first byte of TLS is: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// Longest TLS hello: what fits into one record (RFC 8446 section 5.1), with its header.
const HELLO_MAX: usize = 16 * 1024 + 5;
/// Bytes read at once.
const CHUNK: usize = 2048;

/// What a stranger wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wants {
    /// TLS with this name, in small letters; none when the URL has an address.
    Tls(Option<String>),
    /// A box, with its tunnel.
    Tunnel,
    /// No TLS.
    Plain,
}

/// Reads into `head` until it is clear what a stranger wants. All that was read stays in `head`.
///
/// # Errors
/// The stream broke or ended, or the hello is none.
pub(crate) async fn look<S: AsyncRead + Unpin>(stream: &mut S, head: &mut BytesMut) -> io::Result<Wants> {
    let mut acceptor = Acceptor::default();
    loop {
        let before = head.len();
        head.reserve(CHUNK);
        if stream.read_buf(head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match head.first() {
            Some(&TLS_HANDSHAKE) => {}
            Some(&TUNNEL_FIRST_BYTE) => return Ok(Wants::Tunnel),
            _ => return Ok(Wants::Plain),
        }
        let mut fresh = head.get(before..).unwrap_or_default();
        while !fresh.is_empty() {
            if acceptor.read_tls(&mut fresh)? == 0 {
                break;
            }
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let name = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                return Ok(Wants::Tls(name));
            }
            Ok(None) if head.len() < HELLO_MAX => {}
            Ok(None) => return Err(io::Error::new(io::ErrorKind::InvalidData, "the TLS hello is too long")),
            Err((e, _alert)) => return Err(io::Error::new(io::ErrorKind::InvalidData, e)),
        }
    }
}

#[cfg(test)]
#[path = "../tests/common/client_hello.rs"]
mod client_hello;

#[cfg(test)]
mod tests {
    use super::{client_hello::client_hello, *};
    use proptest::prelude::*;

    async fn looked(bytes: &[u8], step: usize) -> (io::Result<Wants>, usize) {
        let mut builder = tokio::io::duplex(step);
        let sent = bytes.to_vec();
        let writer = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            let _ = builder.0.write_all(&sent).await;
        });
        let mut head = BytesMut::new();
        let wants = look(&mut builder.1, &mut head).await;
        assert_eq!(bytes.get(..head.len()), Some(&head[..]), "what was read is passed on as it came");
        drop(builder.1);
        writer.await.unwrap();
        (wants, head.len())
    }

    #[tokio::test]
    async fn the_name_is_read_and_the_bytes_are_kept() {
        for step in [1, 7, 100, 4096] {
            let hello = client_hello("VPN.example.org");
            let (wants, read) = looked(&hello, step).await;
            assert_eq!(wants.unwrap(), Wants::Tls(Some("vpn.example.org".into())));
            assert_eq!(read, hello.len());
            let (wants, _) = looked(&client_hello("203.0.113.7"), step).await;
            assert_eq!(wants.unwrap(), Wants::Tls(None));
        }
    }

    #[tokio::test]
    async fn other_things_are_told_apart() {
        assert_eq!(looked(b"GET / HTTP/1.1\r\n", 64).await.0.unwrap(), Wants::Plain);
        assert_eq!(looked(&[TUNNEL_FIRST_BYTE, 1], 64).await.0.unwrap(), Wants::Tunnel);
        assert!(looked(b"", 64).await.0.is_err());
        let hello = client_hello("vpn.example.org");
        assert!(looked(&hello[..hello.len() - 1], 64).await.0.is_err(), "half a hello is none");
        // One that goes on for ever: full records of one endless handshake message.
        let mut endless = vec![0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
        endless.resize(5 + 0x4000, 0);
        let endless = endless.repeat(4);
        assert!(looked(&endless, 4096).await.0.is_err());
    }

    proptest! {
        #[test]
        fn nothing_a_stranger_says_panics(bytes in prop::collection::vec(any::<u8>(), 0..600), tls in any::<bool>()) {
            let mut bytes = bytes;
            if tls {
                bytes.splice(0..0, [0x16, 3, 1]);
            }
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(looked(&bytes, 4096));
        }
    }
}
