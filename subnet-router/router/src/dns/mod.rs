//! MagicDNS: a resolver at 100.100.100.100 and fd7a:115c:a1e0::53 for this machine, and through its forwarder (dnsmasq)
//! for devices of the LAN. Names of the network are answered from the map; others go to the resolvers that the network
//! names, to the exit node in use, or to the machine's own.

mod ask;
mod machine;
mod wire;
mod zone;

pub use zone::{Upstream, Verdict, Zone};

pub(crate) use ask::{forward, is_truncated};
pub(crate) use machine::Asker;

use ask::{read_message, write_message};
use hearthgate_http::spawn;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, UdpSocket},
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
/// How long a connection over TCP may be silent.
const IDLE: Duration = Duration::from_secs(10);
/// How long nobody is let in after that failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Media type of DNS messages over HTTP (RFC 8484).
pub(crate) const DNS_MESSAGE: &str = "application/dns-message";
/// Longest DNS message.
const MESSAGE_MAX: usize = 65_535;
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
    let waiting = Arc::new(Semaphore::new(WAITING));
    tasks.push(spawn(serve_udp(Arc::new(udp), zone.clone(), waiting)).abort_handle());
    match listen_tcp(addr) {
        Ok(tcp) => tasks.push(spawn(serve_tcp(tcp, zone.clone())).abort_handle()),
        // A forwarder that listens at all addresses at once has this port: long answers are cut short then.
        Err(error) => tracing::warn!(%addr, %error, "the resolver answers over UDP alone"),
    }
    Ok(())
}

fn listen_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let tcp = socket(addr, Type::STREAM, Protocol::TCP)?;
    tcp.listen(CONNECTIONS as i32)?;
    TcpListener::from_std(tcp.into())
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
                    if let Some(answer) = forward(&query, &to, false, Asker::Here).await {
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
                    Verdict::Forward(to) => forward(&query, &to, true, Asker::Here).await,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_forwarder_that_has_the_port_over_tcp_leaves_udp() {
        let forwarder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = forwarder.local_addr().unwrap();
        let mut resolver = Resolver(Vec::new());
        let (_zone, zone) = watch::channel(Arc::default());
        listen(addr, &zone, &mut resolver.0).unwrap();
        assert_eq!(resolver.0.len(), 1);
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        // A name of sites with the same network is answered without asking anybody.
        let name = b"\x0e10-0-0-5-via-7\0";
        client
            .send_to(&[b"id\x01\0\0\x01\0\0\0\0\0\0".as_slice(), name, b"\0\x1c\0\x01"].concat(), addr)
            .await
            .unwrap();
        let mut answer = [0; 512];
        let (length, _) = timeout(IDLE, client.recv_from(&mut answer)).await.unwrap().unwrap();
        assert!(length > 40 && answer.starts_with(b"id\x85\x80"), "{:?}", &answer[..length]);
    }
}
