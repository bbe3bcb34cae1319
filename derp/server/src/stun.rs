//! The STUN responder (`net/stunserver` of tailscale.com v1.104.5).
//!
//! On a host with several addresses an answer has to come from the address that was asked (RFC 8489 section 6.3.1), so
//! every packet is received and sent with its local address (`IP_PKTINFO`, `IPV6_PKTINFO`).

use hearthgate_stun::{parse_request, response};
use nix::{
    cmsg_space,
    errno::Errno,
    libc::{in_pktinfo, in6_pktinfo},
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
    },
};
use portable_atomic::{AtomicU64, Ordering::Relaxed};
use std::{
    fmt::Write as _,
    future::Future,
    io::{self, IoSlice, IoSliceMut},
    net::SocketAddr,
    os::fd::AsRawFd,
    sync::Arc,
    time::Duration,
};
use tokio::{io::Interest, net::UdpSocket, time::sleep};

/// Requests are 40 bytes; whatever does not fit is not one.
const PACKET_MAX: usize = 1500;
/// Packets handled before other tasks get their turn.
const BURST: usize = 64;
/// Wait after an error that is not one of a single packet.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Counters of the responder.
#[derive(Debug, Default)]
pub struct StunMetrics {
    /// Requests answered.
    pub answered: AtomicU64,
    /// Packets that are no request of a Tailscale client.
    pub not_stun: AtomicU64,
    /// Packets that could not be received.
    pub read_errors: AtomicU64,
    /// Answers that could not be sent.
    pub write_errors: AtomicU64,
    /// Packets whose own destination the kernel did not tell; they are answered from the default address.
    pub no_local_addr: AtomicU64,
    /// Requests over IPv4.
    pub ipv4: AtomicU64,
    /// Requests over IPv6.
    pub ipv6: AtomicU64,
}

impl StunMetrics {
    /// The counters in Prometheus' text form.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::from("# TYPE stun_requests counter\n");
        for (disposition, n) in [
            ("success", &self.answered),
            ("not_stun", &self.not_stun),
            ("read_error", &self.read_errors),
            ("write_error", &self.write_errors),
            ("no_local_addr", &self.no_local_addr),
        ] {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "stun_requests{{disposition=\"{disposition}\"}} {}", n.load(Relaxed));
        }
        out.push_str("# TYPE stun_addrfamily counter\n");
        for (family, n) in [("ipv4", &self.ipv4), ("ipv6", &self.ipv6)] {
            let _ = writeln!(out, "stun_addrfamily{{family=\"{family}\"}} {}", n.load(Relaxed));
        }
        out
    }
}

/// Answers requests on `socket` until `stop` is ready. The socket may be bound to all addresses, of one family or
/// both.
pub async fn run_stun(socket: UdpSocket, metrics: Arc<StunMetrics>, stop: impl Future<Output = ()>) {
    // Without it we still answer, from the address the kernel chooses.
    let _ = match socket.local_addr() {
        Ok(SocketAddr::V6(_)) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true),
        _ => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true),
    };
    tokio::pin!(stop);
    loop {
        let answered = tokio::select! {
            () = &mut stop => return,
            answered = socket.async_io(Interest::READABLE, || answer_some(&socket, &metrics)) => answered,
        };
        if answered.is_err() {
            metrics.read_errors.fetch_add(1, Relaxed);
            sleep(ERROR_PAUSE).await;
        }
        tokio::task::yield_now().await;
    }
}

/// Answers what has arrived; `WouldBlock` when nothing has.
fn answer_some(socket: &UdpSocket, metrics: &StunMetrics) -> io::Result<()> {
    let mut buf = [0u8; PACKET_MAX];
    let mut control = cmsg_space!(in_pktinfo, in6_pktinfo);
    for _ in 0..BURST {
        let mut parts = [IoSliceMut::new(&mut buf)];
        let (len, from, to) = match recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        ) {
            Ok(message) => {
                let to = message.cmsgs().ok().and_then(|mut all| all.find_map(LocalAddr::of));
                (message.bytes, message.address, to)
            }
            Err(Errno::EINTR) => continue,
            // ICMP errors of earlier answers: they say nothing about the socket.
            Err(Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH) => continue,
            Err(e) => return Err(e.into()),
        };
        let Some((from, addr)) = from.and_then(|from| Some((from, socket_addr(&from)?))) else { continue };
        let Ok(txid) = parse_request(buf.get(..len).unwrap_or_default()) else {
            metrics.not_stun.fetch_add(1, Relaxed);
            continue;
        };
        let v4 = addr.ip().to_canonical().is_ipv4();
        if v4 { &metrics.ipv4 } else { &metrics.ipv6 }.fetch_add(1, Relaxed);
        if to.is_none() {
            metrics.no_local_addr.fetch_add(1, Relaxed);
        }
        let answer = response(&txid, addr);
        let control: &[ControlMessage<'_>] = match &to {
            Some(LocalAddr::V4(info)) => &[ControlMessage::Ipv4PacketInfo(info)],
            Some(LocalAddr::V6(info)) => &[ControlMessage::Ipv6PacketInfo(info)],
            None => &[],
        };
        // A full send buffer loses the answer, as the network might; the client asks again.
        match sendmsg(socket.as_raw_fd(), &[IoSlice::new(&answer)], control, MsgFlags::MSG_DONTWAIT, Some(&from)) {
            Ok(_) => metrics.answered.fetch_add(1, Relaxed),
            Err(_) => metrics.write_errors.fetch_add(1, Relaxed),
        };
    }
    Ok(())
}

/// The address a packet was sent to, in the form that makes an answer come from it.
enum LocalAddr {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

impl LocalAddr {
    fn of(message: ControlMessageOwned) -> Option<Self> {
        match message {
            // No interface: where the answer leaves is for the routing table to say, which may look at its source.
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(Self::V4(in_pktinfo { ipi_ifindex: 0, ..info })),
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let link_local = info.ipi6_addr.s6_addr[0] == 0xfe && info.ipi6_addr.s6_addr[1] & 0xc0 == 0x80;
                Some(Self::V6(if link_local { info } else { in6_pktinfo { ipi6_ifindex: 0, ..info } }))
            }
            _ => None,
        }
    }
}

fn socket_addr(addr: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = addr.as_sockaddr_in() {
        return Some(std::net::SocketAddrV4::from(*v4).into());
    }
    addr.as_sockaddr_in6().map(|v6| std::net::SocketAddrV6::from(*v6).into())
}
