//! The STUN responder (`net/stunserver` of tailscale.com v1.104.5).
//!
//! On a host with several addresses an answer has to come from the address that was asked (RFC 8489 section 6.3.1), so
//! every packet is received and sent with its local address (`IP_PKTINFO`, `IPV6_PKTINFO`). What waits is received with
//! one system call and answered with another (`recvmmsg`, `sendmmsg`).

use hearthgate_stun::{parse_request, response};
use nix::{
    cmsg_space,
    errno::Errno,
    libc::{in_pktinfo, in6_pktinfo},
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg, setsockopt,
        sockopt,
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
const PACKET_MAX: usize = 256;
/// Packets received with one system call.
const BATCH: usize = 32;
/// Batches handled before other tasks get their turn.
const BURST: usize = 8;
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
    let mut buf = [0u8; PACKET_MAX * BATCH];
    let mut answers = Vec::with_capacity(BATCH);
    for _ in 0..BURST {
        let received = receive(socket, metrics, &mut buf, &mut answers);
        send(socket, metrics, &answers);
        answers.clear();
        // A batch that is not full was all there is.
        if received? < BATCH {
            return Err(io::ErrorKind::WouldBlock.into());
        }
    }
    Ok(())
}

/// An answer: what, to whom, from where.
struct Answer {
    bytes: Vec<u8>,
    to: SockaddrStorage,
    from: Option<LocalAddr>,
}

/// Receives one batch; answers to its requests go to `answers`. How many packets there were.
fn receive(socket: &UdpSocket, metrics: &StunMetrics, buf: &mut [u8], answers: &mut Vec<Answer>) -> io::Result<usize> {
    // Made anew each time: the kernel writes into these what it used of them.
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, Some(cmsg_space!(in_pktinfo, in6_pktinfo)));
    let mut parts: Vec<[IoSliceMut<'_>; 1]> =
        buf.chunks_exact_mut(PACKET_MAX).map(|packet| [IoSliceMut::new(packet)]).collect();
    let got = match recvmmsg(socket.as_raw_fd(), &mut headers, parts.iter_mut(), MsgFlags::MSG_DONTWAIT, None) {
        Ok(got) => got,
        // ICMP errors of earlier answers: they say nothing about the socket. As a full batch: there may be more.
        Err(Errno::EINTR | Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH) => return Ok(BATCH),
        Err(e) => return Err(e.into()),
    };
    let mut count = 0;
    for message in got {
        count += 1;
        let from = message.cmsgs().ok().and_then(|mut all| all.find_map(LocalAddr::of));
        let Some((to, addr)) = message.address.and_then(|to| Some((to, socket_addr(&to)?))) else { continue };
        let Ok(txid) = parse_request(message.iovs().next().unwrap_or_default()) else {
            metrics.not_stun.fetch_add(1, Relaxed);
            continue;
        };
        let v4 = addr.ip().to_canonical().is_ipv4();
        if v4 { &metrics.ipv4 } else { &metrics.ipv6 }.fetch_add(1, Relaxed);
        if from.is_none() {
            metrics.no_local_addr.fetch_add(1, Relaxed);
        }
        answers.push(Answer { bytes: response(&txid, addr), to, from });
    }
    Ok(count)
}

/// Sends answers. A full send buffer loses one, as the network might; the client asks again.
fn send(socket: &UdpSocket, metrics: &StunMetrics, answers: &[Answer]) {
    // The control message is one for a whole call, so answers from one of our addresses go together.
    for group in answers.chunk_by(|a, b| a.from == b.from) {
        let Some(first) = group.first() else { continue };
        let (control, space): (&[ControlMessage<'_>], _) = match &first.from {
            Some(LocalAddr::V4(info)) => (&[ControlMessage::Ipv4PacketInfo(info)], Some(cmsg_space!(in_pktinfo))),
            Some(LocalAddr::V6(info)) => (&[ControlMessage::Ipv6PacketInfo(info)], Some(cmsg_space!(in6_pktinfo))),
            None => (&[], None),
        };
        let mut headers = MultiHeaders::preallocate(group.len(), space);
        let mut rest = group;
        while !rest.is_empty() {
            let parts: Vec<[IoSlice<'_>; 1]> = rest.iter().map(|a| [IoSlice::new(&a.bytes)]).collect();
            let to: Vec<Option<SockaddrStorage>> = rest.iter().map(|a| Some(a.to)).collect();
            let flags = MsgFlags::MSG_DONTWAIT;
            let sent = match sendmmsg(socket.as_raw_fd(), &mut headers, parts.iter(), to, control, flags) {
                Ok(sent) => sent.count(),
                Err(_) => 0,
            };
            metrics.answered.fetch_add(sent as u64, Relaxed);
            // The one it stopped at cannot be sent; those behind it may.
            let stopped = sent < rest.len();
            if stopped {
                metrics.write_errors.fetch_add(1, Relaxed);
            }
            rest = rest.get(sent + usize::from(stopped)..).unwrap_or_default();
        }
    }
}

/// The address a packet was sent to, in the form that makes an answer come from it.
#[derive(PartialEq, Eq)]
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
