//! The ways in of the control protocol: keys as text, the upgrade, the handshake, records, WebSocket frames.

use crate::Target;
use base64::{Engine, engine::general_purpose::STANDARD};
use hearthgate_keys::{DiscoPublic, MachinePrivate, MachinePublic, NodePublic};
use hearthgate_noise::{Initiator, respond, respond_with_ephemeral};
use hearthgate_transport::accept;
use hearthgate_websocket::WebSocket;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use std::io::Cursor;
use tokio::io::AsyncReadExt;

/// Headers that are handed on, as in the server.
const HEADERS_MAX: usize = 32;

fn server() -> MachinePrivate {
    MachinePrivate::from_random([7; 32])
}

fn client() -> MachinePrivate {
    MachinePrivate::from_random([9; 32])
}

/// A first message that the server accepts, always the same.
fn initiation() -> Vec<u8> {
    let started = Initiator::start(&client(), &server().public(), 140, Some(&[11; 32])).expect("fixed keys are good");
    started.1.to_vec()
}

pub(crate) const KEY_TEXT: Target = Target {
    name: "key-text",
    run: |data| {
        let Ok(text) = std::str::from_utf8(data) else { return };
        if let Ok(key) = text.parse::<NodePublic>() {
            assert_eq!(key.to_string().parse::<NodePublic>(), Ok(key));
        }
        if let Ok(key) = text.parse::<MachinePublic>() {
            assert_eq!(key.to_string().parse::<MachinePublic>(), Ok(key));
        }
        if let Ok(key) = text.parse::<DiscoPublic>() {
            assert_eq!(key.to_string().parse::<DiscoPublic>(), Ok(key));
        }
        let _ = MachinePrivate::parse(text);
    },
    seeds: || {
        let mut key = server().public().to_string().into_bytes();
        let whole = key.clone();
        key.truncate(40);
        vec![whole, key, b"nodekey:00".to_vec(), server().reveal().into_bytes()]
    },
};

pub(crate) const NOISE_INITIATION: Target = Target {
    name: "noise-initiation",
    run: |data| {
        if let Ok(accepted) = respond(&server(), data) {
            assert_eq!(accepted.machine, client().public(), "accepted somebody else's handshake");
        }
    },
    seeds: || {
        let good = initiation();
        let mut short = good.clone();
        short.truncate(60);
        vec![good, short, vec![0, 140, 1, 0, 96]]
    },
};

pub(crate) const NOISE_RECORDS: Target = Target {
    name: "noise-records",
    run: |data| {
        let accept =
            |ephemeral| respond_with_ephemeral(&server(), &initiation(), &[ephemeral; 32]).expect("it is a good one");
        // As they come: the length is looked at before anything authenticates.
        let mut raw = data.to_vec();
        let _ = accept(13).session.opener.open(&mut raw);
        // Sealed by the peer, cut into pieces by the first byte: everything arrives, in order.
        let Some((piece, data)) = data.split_first() else { return };
        let (initiator, message) =
            Initiator::start(&client(), &server().public(), 140, Some(&[11; 32])).expect("fixed keys are good");
        let accepted = respond_with_ephemeral(&server(), &message, &[13; 32]).expect("it is a good one");
        let mut peer = initiator.finish(&accepted.response).expect("it answers the message");
        let mut opener = accepted.session.opener;
        let (mut wire, mut got) = (Vec::new(), Vec::new());
        for part in data.chunks(usize::from(*piece) + 1) {
            peer.sealer.seal(part, &mut wire).expect("few records");
        }
        while let Some((taken, plain)) = opener.open(&mut wire).expect("the peer sealed it") {
            got.extend_from_slice(&wire[plain]);
            wire.drain(..taken);
        }
        assert_eq!(got, data);
    },
    seeds: || vec![vec![4, 0, 16], vec![4, 255, 255, 1, 2, 3], b"\x05some text in small records".to_vec()],
};

pub(crate) const TS2021_UPGRADE: Target = Target {
    name: "ts2021-upgrade",
    run: |data| {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        if !matches!(request.parse(data), Ok(httparse::Status::Complete(_))) {
            return;
        }
        let Ok(method) = request.method.unwrap_or_default().parse::<Method>() else { return };
        let Ok(uri) = request.path.unwrap_or_default().parse::<Uri>() else { return };
        let mut map = HeaderMap::new();
        for header in request.headers.iter() {
            let name = HeaderName::from_bytes(header.name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(header.value)) {
                map.append(name, value);
            }
        }
        match accept(&server(), &method, &uri, &map) {
            Ok(upgrade) => assert!(!upgrade.headers().is_empty()),
            Err(e) => assert!(!e.to_string().is_empty()),
        }
    },
    seeds: || {
        let handshake = STANDARD.encode(initiation());
        let post = format!(
            "POST /ts2021 HTTP/1.1\r\nUpgrade: tailscale-control-protocol\r\nX-Tailscale-Handshake: {handshake}\r\n\r\n"
        );
        let query: String = handshake.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let get = format!(
            "GET /ts2021?X-Tailscale-Handshake={query} HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: tailscale-control-protocol\r\n\r\n"
        );
        vec![post.into_bytes(), get.into_bytes(), b"POST /ts2021 HTTP/1.1\r\n\r\n".to_vec()]
    },
};

pub(crate) const WEBSOCKET: Target = Target {
    name: "websocket",
    run: |data| {
        let (received, rest) = data.split_at(data.len().min(7));
        read_all(WebSocket::new(Cursor::new(rest.to_vec()), received.to_vec()), data.len());
    },
    seeds: websocket_seeds,
};

/// Masked frames as a client sends them: two of data, a ping between, a close; a long one; an unmasked one.
fn websocket_seeds() -> Vec<Vec<u8>> {
    let frames = b"\x82\x83\x01\x02\x03\x04\x60\x60\x60\x89\x81\x01\x02\x03\x04\x40\x80\x82\x01\x02\x03\x04\x60\x60\x88\x80\x00\x00\x00\x00";
    let mut long = b"\x82\xfe\x01\x00\x00\x00\x00\x00".to_vec();
    long.resize(8 + 256, b'x');
    let lies = b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00abc".to_vec();
    vec![frames.to_vec(), long, lies, b"\x82\x03abc".to_vec()]
}

/// Reads a stream that never waits to its end: it gives no more than it was given, and ends.
fn read_all(mut stream: impl tokio::io::AsyncRead + Unpin, limit: usize) {
    let mut out = Vec::new();
    let mut buf = [0; 512];
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        let mut read = std::pin::pin!(stream.read(&mut buf));
        match read.as_mut().poll(&mut context) {
            std::task::Poll::Ready(Ok(n)) if n > 0 => out.extend_from_slice(&buf[..n]),
            _ => break,
        }
        assert!(out.len() <= limit, "more came out than went in");
    }
}
