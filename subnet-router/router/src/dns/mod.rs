//! MagicDNS: a resolver at 100.100.100.100 and fd7a:115c:a1e0::53 for this machine, and through its forwarder (dnsmasq)
//! for devices of the LAN. Names of the network are answered from the map; others go to the resolvers that the network
//! names, to the exit node in use, or to the machine's own.

mod wire;
mod zone;

pub use zone::{Upstream, Verdict, Zone};

use bytes::Bytes;
use hearthgate_fetch::Fetch;
use http::{Request, header};

use hearthgate_http::spawn;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{Semaphore, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};

/// The resolver's IPv4 address.
pub const RESOLVER_V4: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 100);
/// The resolver's IPv6 address.
pub const RESOLVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 0x53);
/// Largest query or answer over UDP.
const UDP_MAX: usize = 4096;
/// Questions that wait for other resolvers at one time.
const WAITING: usize = 64;
/// Connections over TCP at one time.
const CONNECTIONS: usize = 16;
/// How long one resolver may take.
const UPSTREAM: Duration = Duration::from_secs(3);
/// How long a connection over TCP may be silent.
const IDLE: Duration = Duration::from_secs(10);
/// How long nobody is let in after that failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Media type of DNS messages over HTTP (RFC 8484).
pub(crate) const DNS_MESSAGE: &str = "application/dns-message";
/// Longest DNS message.
const MESSAGE_MAX: usize = 65_535;
/// Files that name the machine's resolvers: OpenWrt's, written by its WAN, then everybody's.
const RESOLV_CONF: [&str; 2] = ["/tmp/resolv.conf.d/resolv.conf.auto", "/etc/resolv.conf"];

/// A running resolver; it stops when this is dropped.
#[derive(Debug)]
pub struct Resolver(Vec<AbortHandle>);

impl Drop for Resolver {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Listens on both addresses, whether the interface has them yet or not.
///
/// # Errors
/// The IPv4 sockets cannot be had; without IPv6 the resolver works for IPv4 alone.
pub fn start(zone: &watch::Receiver<Arc<Zone>>) -> io::Result<Resolver> {
    let mut resolver = Resolver(Vec::new());
    listen(SocketAddr::from((RESOLVER_V4, 53)), zone, &mut resolver.0)?;
    if let Err(error) = listen(SocketAddr::from((RESOLVER_V6, 53)), zone, &mut resolver.0) {
        tracing::info!(%error, "no resolver over IPv6");
    }
    Ok(resolver)
}

fn listen(addr: SocketAddr, zone: &watch::Receiver<Arc<Zone>>, tasks: &mut Vec<AbortHandle>) -> io::Result<()> {
    let udp = UdpSocket::from_std(socket(addr, Type::DGRAM, Protocol::UDP)?.into())?;
    let tcp = socket(addr, Type::STREAM, Protocol::TCP)?;
    tcp.listen(CONNECTIONS as i32)?;
    let tcp = TcpListener::from_std(tcp.into())?;
    let waiting = Arc::new(Semaphore::new(WAITING));
    tasks.push(spawn(serve_udp(Arc::new(udp), zone.clone(), waiting)).abort_handle());
    tasks.push(spawn(serve_tcp(tcp, zone.clone())).abort_handle());
    Ok(())
}

/// A socket at an address that the interface may get later.
pub(crate) fn socket(addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    // The address comes to the interface with the network map, which may be later.
    if addr.is_ipv4() {
        socket.set_freebind_v4(true)?;
    } else {
        socket.set_freebind_v6(true)?;
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(addr))?;
    Ok(socket)
}

async fn serve_udp(socket: Arc<UdpSocket>, zone: watch::Receiver<Arc<Zone>>, waiting: Arc<Semaphore>) {
    let mut buffer = [0; UDP_MAX];
    loop {
        // An error is about one earlier answer that could not be delivered.
        let Ok((len, from)) = socket.recv_from(&mut buffer).await else { continue };
        let query = buffer.get(..len).unwrap_or_default();
        let decision = zone.borrow().decide(query);
        match decision {
            // Here and below: who does not take the answer asks again.
            Verdict::Answer(bytes) => drop(socket.send_to(&bytes, from).await),
            Verdict::Ignore => {}
            Verdict::Forward(to) => {
                // Too many at once: dropped, as a full queue would.
                let Ok(permit) = waiting.clone().try_acquire_owned() else { continue };
                let (socket, query) = (socket.clone(), query.to_vec());
                spawn(async move {
                    if let Some(answer) = forward(&query, &to, false).await {
                        drop(socket.send_to(&answer, from).await);
                    }
                    drop(permit);
                });
            }
        }
    }
}

async fn serve_tcp(listener: TcpListener, zone: watch::Receiver<Arc<Zone>>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(permit) = room.clone().acquire_owned().await {
        let Ok((mut stream, _)) = listener.accept().await else {
            // There are no more files to be had, say: asking at once again would not help.
            sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let zone = zone.clone();
        spawn(async move {
            while let Ok(Ok(query)) = timeout(IDLE, read_message(&mut stream)).await {
                let decision = zone.borrow().decide(&query);
                let answer = match decision {
                    Verdict::Answer(bytes) => Some(bytes),
                    Verdict::Ignore => None,
                    Verdict::Forward(to) => forward(&query, &to, true).await,
                };
                match answer {
                    // Who does not read it makes room for others.
                    Some(answer) if matches!(timeout(IDLE, write_message(&mut stream, &answer)).await, Ok(Ok(()))) => {}
                    _ => break,
                }
            }
            drop(permit);
        });
    }
}

/// Asks other resolvers in turn; says that it failed if none answers.
pub(crate) async fn forward(query: &[u8], to: &[Upstream], tcp: bool) -> Option<Vec<u8>> {
    let own;
    let to = if to.is_empty() {
        own = machine_resolvers();
        &own
    } else {
        to
    };
    for upstream in to {
        let asked = async {
            match *upstream {
                Upstream::Peer(at) => ask_peer(query, at, tcp).await,
                Upstream::Plain(at) if tcp => ask_tcp(query, at).await,
                Upstream::Plain(at) => ask_udp(query, at).await,
            }
        };
        match timeout(UPSTREAM, asked).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::debug!(?upstream, %error, "resolver"),
            Err(_) => tracing::debug!(?upstream, "resolver is silent"),
        }
    }
    zone::failure(query)
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

async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let len = stream.read_u16().await?;
    let mut message = vec![0; len.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let len = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), message].concat()).await
}

/// The machine's resolvers, without loopback ones, which may be a forwarder that asks us, and without ourselves.
fn machine_resolvers() -> Vec<Upstream> {
    let mut found = Vec::new();
    for file in RESOLV_CONF {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let servers =
            text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok());
        found.extend(
            servers
                .filter(|ip| !ip.is_loopback() && *ip != RESOLVER_V4 && *ip != RESOLVER_V6)
                .map(|ip| Upstream::Plain(SocketAddr::new(ip, 53))),
        );
        if !found.is_empty() {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

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
