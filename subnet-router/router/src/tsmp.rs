//! TSMP: small messages inside the tunnel, over a raw socket, so that the kernel's WireGuard needs no detour for them.
//! Pings are answered here; disco keys go to the path machine.

use hearthgate_disco::tsmp::{IP_PROTOCOL, PING_LEN, Tsmp};
use hearthgate_http::spawn;
use hearthgate_keys::DiscoPublic;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
    task::AbortHandle,
};

/// Longest message with its IP header.
const MESSAGE_MAX: usize = 1500;
/// Disco keys that wait to be taken.
const QUEUE: usize = 16;

/// A peer's disco key, with the peer's address.
pub type Heard = (IpAddr, DiscoPublic);

/// The sockets; closed when this is dropped.
#[derive(Debug)]
pub struct Listener(Vec<(Domain, Arc<UdpSocket>, AbortHandle)>);

impl Drop for Listener {
    fn drop(&mut self) {
        for (_, _, task) in &self.0 {
            task.abort();
        }
    }
}

impl Listener {
    /// Asks a peer for an answer, which nobody waits for: the packet itself is the purpose. It may be lost.
    pub fn ping(&self, peer: IpAddr) {
        let family = if peer.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let ping = Tsmp::Ping([0; PING_LEN]).encode();
        for (_, socket, _) in self.0.iter().filter(|(domain, ..)| *domain == family) {
            if let Err(error) = socket.try_send_to(&ping, SocketAddr::new(peer, 0)) {
                tracing::debug!(%peer, %error, "TSMP ping");
            }
        }
    }
}

/// Listens on an interface. `port` is the peer API's, told in answers. Without the right to raw sockets nothing is
/// heard, which costs a peer's `ping --tsmp` and nothing else.
#[must_use]
pub fn start(interface: &str, port: watch::Receiver<u16>) -> (Listener, mpsc::Receiver<Heard>) {
    let (sender, heard) = mpsc::channel(QUEUE);
    let mut listener = Listener(Vec::new());
    for domain in [Domain::IPV4, Domain::IPV6] {
        match socket(domain, interface) {
            Ok(socket) => {
                let socket = Arc::new(socket);
                let task = spawn(run(socket.clone(), domain == Domain::IPV4, sender.clone(), port.clone()));
                listener.0.push((domain, socket, task.abort_handle()));
            }
            Err(error) => tracing::info!(%error, "TSMP is not answered"),
        }
    }
    (listener, heard)
}

/// A raw socket; the type for UDP serves, for both send and receive whole messages.
fn socket(domain: Domain, interface: &str) -> io::Result<UdpSocket> {
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(IP_PROTOCOL))))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

async fn run(socket: Arc<UdpSocket>, v4: bool, heard: mpsc::Sender<Heard>, port: watch::Receiver<u16>) {
    let mut buffer = [0; MESSAGE_MAX];
    // The socket fails when its interface goes away: with the data plane.
    while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
        let from = from.ip();
        let packet = buffer.get(..len).unwrap_or_default();
        let payload = if v4 { without_header(packet) } else { packet };
        match Tsmp::parse(payload) {
            Some(Tsmp::Ping(data)) => {
                let pong = Tsmp::Pong { data, peer_api_port: *port.borrow() }.encode();
                // A full buffer loses the answer, as the network might.
                let _ = socket.send_to(&pong, SocketAddr::new(from, 0)).await;
            }
            // Too many at once: the peer tells again.
            Some(Tsmp::DiscoKey(key)) => drop(heard.try_send((from, key))),
            _ => {}
        }
    }
}

/// A raw IPv4 socket gives the IP header too; one for IPv6 does not.
fn without_header(packet: &[u8]) -> &[u8] {
    let words = packet.first().map_or(0, |byte| usize::from(byte & 0x0f));
    packet.get(words * 4..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::without_header;

    #[test]
    fn headers_with_options_are_skipped_too() {
        let mut packet = [0_u8; 25];
        packet[0] = 0x46;
        packet[24] = b'p';
        assert_eq!(without_header(&packet), b"p");
        assert!(without_header(&[0x4f, 0]).is_empty());
        assert!(without_header(&[]).is_empty());
    }
}
