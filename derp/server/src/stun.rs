//! The STUN responder.

use hearthgate_stun::{parse_request, response};
use portable_atomic::{AtomicU64, Ordering::Relaxed};
use std::{future::Future, sync::Arc};
use tokio::net::UdpSocket;

/// Requests are 40 bytes; whatever does not fit is not one.
const PACKET_MAX: usize = 1500;

/// Counters of the responder.
#[derive(Debug, Default)]
pub struct StunMetrics {
    /// Requests answered.
    pub answered: AtomicU64,
    /// Packets that are no request of a Tailscale client.
    pub not_stun: AtomicU64,
    /// Answers that could not be sent.
    pub write_errors: AtomicU64,
}

/// Answers requests on `socket` until `stop` is ready. On a host with several addresses, bind one socket for each, so
/// that an answer comes from where it was asked.
pub async fn run_stun(socket: UdpSocket, metrics: Arc<StunMetrics>, stop: impl Future<Output = ()>) {
    let mut buf = [0u8; PACKET_MAX];
    tokio::pin!(stop);
    loop {
        let (len, from) = tokio::select! {
            () = &mut stop => return,
            received = socket.recv_from(&mut buf) => match received {
                Ok(received) => received,
                // An ICMP error of an earlier answer: it says nothing about the socket.
                Err(_) => continue,
            },
        };
        match parse_request(buf.get(..len).unwrap_or_default()) {
            Ok(txid) => match socket.send_to(&response(&txid, from), from).await {
                Ok(_) => metrics.answered.fetch_add(1, Relaxed),
                Err(_) => metrics.write_errors.fetch_add(1, Relaxed),
            },
            Err(_) => metrics.not_stun.fetch_add(1, Relaxed),
        };
    }
}
