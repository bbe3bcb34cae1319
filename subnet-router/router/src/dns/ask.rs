//! Asking other resolvers: over UDP, TCP, and a peer over HTTP.

use super::{
    DNS_MESSAGE, MESSAGE_MAX, UDP_MAX,
    machine::{self, Asker},
    zone::{self, Upstream},
};
use bytes::Bytes;
use hearthgate_fetch::Fetch;
use http::{Request, header};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{Instant, timeout},
};

/// How long one resolver may take.
const UPSTREAM: Duration = Duration::from_secs(3);
/// How long one that was silent stands behind the others.
const SILENCE: Duration = Duration::from_secs(30);
/// Silent ones that are remembered.
const SILENT_MAX: usize = 16;

/// Asks other resolvers in turn, those last that were silent a moment ago; says that it failed if none answers.
pub(crate) async fn forward(query: &[u8], to: &[Upstream], tcp: bool, asker: Asker) -> Option<Vec<u8>> {
    let to = if to.is_empty() { machine::resolvers(asker) } else { to.to_vec() };
    let mut refusal = None;
    for upstream in silent_last(to, Instant::now()) {
        let asked = async {
            match upstream {
                Upstream::Peer(at) => ask_peer(query, at, tcp).await,
                Upstream::Plain(at) if tcp => ask_tcp(query, at).await,
                Upstream::Plain(at) => ask_udp(query, at).await,
            }
        };
        match timeout(UPSTREAM, asked).await {
            // Another one may know what this one does not tell.
            Ok(Ok(answer)) if is_refusal(&answer) => refusal = refusal.or(Some(answer)),
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::debug!(?upstream, %error, "resolver"),
            Err(_) => {
                tracing::debug!(?upstream, "resolver is silent");
                note_silence(upstream, Instant::now());
            }
        }
    }
    refusal.or_else(|| zone::failure(query))
}

/// Resolvers that were silent, and when.
static SILENT: Mutex<Vec<(Upstream, Instant)>> = Mutex::new(Vec::new());

fn note_silence(upstream: Upstream, now: Instant) {
    let mut silent = SILENT.lock().unwrap_or_else(PoisonError::into_inner);
    silent.retain(|(other, at)| *other != upstream && now.duration_since(*at) < SILENCE);
    if silent.len() < SILENT_MAX {
        silent.push((upstream, now));
    }
}

/// Those that were silent lately stand behind the others: who is away for long shall not hold up each question.
fn silent_last(to: Vec<Upstream>, now: Instant) -> Vec<Upstream> {
    let silent = SILENT.lock().unwrap_or_else(PoisonError::into_inner);
    let is_silent =
        |upstream: &Upstream| silent.iter().any(|(other, at)| other == upstream && now.duration_since(*at) < SILENCE);
    let (last, mut first): (Vec<_>, Vec<_>) = to.into_iter().partition(is_silent);
    first.extend(last);
    first
}

/// Whether a resolver says that it could not, or would not, find out (RFC 1035 section 4.1.1: codes 2, 4 and 5).
fn is_refusal(answer: &[u8]) -> bool {
    answer.get(3).is_some_and(|flags| matches!(flags & 15, 2 | 4 | 5))
}

/// Asks a peer by DNS over HTTPS. An answer too long for UDP becomes the request to come again over TCP.
async fn ask_peer(query: &[u8], at: SocketAddr, tcp: bool) -> io::Result<Vec<u8>> {
    let request = Request::post(format!("http://{at}/dns-query"))
        .header(header::CONTENT_TYPE, DNS_MESSAGE)
        .header(header::ACCEPT, DNS_MESSAGE)
        .body(Bytes::copy_from_slice(query))
        .map_err(io::Error::other)?;
    let answer = Fetch::new().up_to(MESSAGE_MAX).request(request).await.map_err(io::Error::other)?;
    let same = answer.status().is_success() && answer.body().get(..2) == query.get(..2);
    if !same {
        return Err(io::Error::other(format!("HTTP {}, or another question's answer", answer.status())));
    }
    if !tcp && answer.body().len() > zone::udp_room(query) {
        return zone::truncated(query).ok_or_else(|| io::ErrorKind::InvalidData.into());
    }
    Ok(answer.into_body().to_vec())
}

/// Whether there was more of an answer than UDP had room for (RFC 1035 §4.1.1).
pub(crate) fn is_truncated(answer: &[u8]) -> bool {
    answer.get(2).is_some_and(|flags| flags & 2 != 0)
}

async fn ask_udp(query: &[u8], to: SocketAddr) -> io::Result<Vec<u8>> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // A fresh port and a fresh number: an answer can hardly be forged.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    let mut number = [0; 2];
    getrandom::fill(&mut number).map_err(io::Error::other)?;
    let mut sent = query.to_vec();
    let original = swap_number(&mut sent, number)?;
    socket.send(&sent).await?;
    let mut answer = vec![0; UDP_MAX];
    loop {
        let len = socket.recv(&mut answer).await?;
        if len > number.len() && answer.starts_with(&number) {
            answer.truncate(len);
            swap_number(&mut answer, original)?;
            return Ok(answer);
        }
    }
}

/// Puts another number into a message; answers the one it had.
fn swap_number(message: &mut [u8], number: [u8; 2]) -> io::Result<[u8; 2]> {
    let place = message.first_chunk_mut::<2>().ok_or(io::ErrorKind::InvalidData)?;
    Ok(std::mem::replace(place, number))
}

async fn ask_tcp(query: &[u8], to: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to).await?;
    write_message(&mut stream, query).await?;
    read_message(&mut stream).await
}

pub(super) async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let len = stream.read_u16().await?;
    let mut message = vec![0; len.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

pub(super) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let len = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), message].concat()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_answer_with_another_number_is_not_taken() {
        let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = upstream.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let mut buffer = [0; 64];
            let (len, from) = upstream.recv_from(&mut buffer).await.unwrap();
            assert_ne!(&buffer[..2], b"id", "the number is ours alone");
            let mut forged = buffer[..len].to_vec();
            forged[0] ^= 1;
            upstream.send_to(&forged, from).await.unwrap();
            upstream.send_to(&buffer[..len], from).await.unwrap();
        });
        assert_eq!(ask_udp(b"id and a question", to).await.unwrap(), b"id and a question");
        server.await.unwrap();
    }

    /// Answers each question with this code, so often.
    async fn resolver(code: u8) -> Upstream {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 64];
            while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
                buffer[2..4].copy_from_slice(&[0x81, 0x80 | code]);
                socket.send_to(&buffer[..len], from).await.unwrap();
            }
        });
        Upstream::Plain(at)
    }

    #[tokio::test]
    async fn who_refuses_is_not_the_last_word_of_all() {
        let (refuses, knows, has_none) = (resolver(5).await, resolver(0).await, resolver(3).await);
        let ask =
            async |to: &[Upstream]| forward(b"id\x01\0 and a question", to, false, Asker::Here).await.unwrap()[3] & 15;
        assert_eq!(ask(&[refuses, knows]).await, 0);
        assert_eq!(ask(&[refuses, has_none]).await, 3, "that there is no such name is an answer");
        assert_eq!(ask(&[refuses]).await, 5);
    }

    #[tokio::test]
    async fn who_was_silent_is_asked_last_for_a_while() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (silent_at, knows) = (Upstream::Plain(silent.local_addr().unwrap()), resolver(0).await);
        let ask = async || {
            let begin = Instant::now();
            forward(b"id\x01\0 and a question", &[silent_at, knows], false, Asker::Here).await.unwrap();
            begin.elapsed()
        };
        assert!(ask().await >= UPSTREAM);
        assert!(ask().await < UPSTREAM, "the next question does not wait for it");
        let later = Instant::now() + SILENCE;
        assert_eq!(silent_last(vec![silent_at, knows], later), [silent_at, knows]);
    }

    #[test]
    fn truncated_answers_are_known() {
        assert!(is_truncated(b"id\x82\x80") && !is_truncated(b"id\x81\x80") && !is_truncated(b"id"));
    }

    #[tokio::test]
    async fn a_peer_is_asked_over_http_and_only_its_answer_to_this_question_is_taken() {
        let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = peer.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let long = [b"id".as_slice(), &[b'x'; 600]].concat();
            for answer in [b"id and more".as_slice(), b"no and more", &long, &long] {
                let (mut stream, _) = peer.accept().await.unwrap();
                let mut head = [0; 2048];
                let mut len = 0;
                while !head[..len].ends_with(b"id and a question") {
                    len += stream.read(&mut head[len..]).await.unwrap();
                }
                assert!(head.starts_with(b"POST /dns-query HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&head));
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
                stream.write_all(&[head.as_bytes(), answer].concat()).await.unwrap();
            }
        });
        let query = b"id and a question";
        assert_eq!(ask_peer(query, at, false).await.unwrap(), b"id and more");
        assert!(ask_peer(query, at, false).await.is_err());
        assert_eq!(ask_peer(query, at, true).await.unwrap().len(), 602);
        // No question that could be answered with "truncated" either.
        assert!(ask_peer(query, at, false).await.is_err());
        server.await.unwrap();
    }
}
