//! The front as a witness: whether a box is reached from outside without the front.
//!
//! It knocks at one address only, the one that the box's own tunnel comes from, at the ports that the box names, once
//! in a while. So nobody can have it look at somebody else's machine. And only at addresses of the Internet: a box in
//! the front's own network, or one that comes from its NAT, would learn nothing of the outside and much of the inside.

use crate::messages::{Outcome, Reached, Wish};
use hearthgate_addresses::is_public;
use hearthgate_fetch::pinned;
use hearthgate_keys::MachinePublic;
use hearthgate_stun::{TxId, parse_response, request};
use ipnet::IpNet;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Time between two tests of a box.
const PAUSE: Duration = Duration::from_secs(10);
/// Time for TCP.
const CONNECT: Duration = Duration::from_secs(5);
/// Time for TLS and the answer.
const ANSWER: Duration = Duration::from_secs(5);
/// STUN requests, and time for the answer to each.
const STUN_TRIES: [Duration; 3] = [Duration::from_millis(700), Duration::from_millis(1300), Duration::from_secs(2)];
/// Longest answer that is read.
const ANSWER_MAX: u64 = 4096;
/// Longest key that is passed on: `mkey:` and 64 digits are 69.
const KEY_MAX: usize = 80;

/// Tries the ports of `wish` at `address`, if it is one of the Internet or within `internet`. `host` is the name in the
/// box's URL.
pub(crate) async fn look(address: IpAddr, internet: &[IpNet], host: &str, wish: &Wish) -> Reached {
    let Wish { tcp_port, stun_port } = *wish;
    let public = is_public(address) || internet.iter().any(|net| net.contains(&address));
    if !public {
        let (tcp, stun) = (Outcome::Skipped, Outcome::Skipped);
        return Reached { address, public, tcp_port, tcp, key: String::new(), stun_port, stun };
    }
    let stun = async {
        match stun_port {
            0 => Outcome::Skipped,
            port => stun(SocketAddr::new(address, port)).await.unwrap_or_else(|e| of(&e)),
        }
    };
    let ((tcp, key), stun) = tokio::join!(server(SocketAddr::new(address, tcp_port), host), stun);
    Reached { address, public, tcp_port, tcp, key, stun_port, stun }
}

fn of(error: &io::Error) -> Outcome {
    if error.kind() == io::ErrorKind::ConnectionRefused { Outcome::Refused } else { Outcome::Silent }
}

/// What answers on a TCP port, and which key of a control server it shows.
async fn server(at: SocketAddr, host: &str) -> (Outcome, String) {
    let tcp = match timeout(CONNECT, TcpStream::connect(at)).await {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(e)) => return (of(&e), String::new()),
        Err(_) => return (Outcome::Silent, String::new()),
    };
    match timeout(ANSWER, key(tcp, at.ip(), host)).await {
        Ok(Ok(Some(key))) => (Outcome::Answered, key),
        _ => (Outcome::Strange, String::new()),
    }
}

/// Asks for the key of the control server, as clients do (`control/controlclient/direct.go` of tailscale.com v1.102.5).
async fn key(tcp: TcpStream, ip: IpAddr, host: &str) -> io::Result<Option<String>> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "publicKey")]
        public_key: String,
    }
    let name = ServerName::try_from(host.to_owned()).unwrap_or(ServerName::IpAddress(ip.into()));
    // Whoever answers is fine: the key in the answer tells who it is, and that is public.
    let mut tls = TlsConnector::from(pinned(None).map_err(io::Error::other)?).connect(name, tcp).await?;
    // Hosts of boxes are letters, digits, dots, dashes and colons (`boxes.rs`).
    let request = format!("GET /key?v=113 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).await?;
    tls.flush().await?;
    let mut answer = Vec::new();
    // Who leaves out the end of TLS has answered all the same.
    let _ = (&mut tls).take(ANSWER_MAX).read_to_end(&mut answer).await;
    let body = answer.windows(4).position(|w| w == b"\r\n\r\n").and_then(|at| answer.get(at + 4..));
    let key = body.and_then(|b| serde_json::from_slice::<Answer>(b).ok()).map(|a| a.public_key);
    Ok(key.filter(|k| k.len() <= KEY_MAX && k.bytes().all(|b| b.is_ascii_graphic())))
}

async fn stun(at: SocketAddr) -> io::Result<Outcome> {
    let any: IpAddr = if at.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Only what comes from there is seen.
    socket.connect(at).await?;
    let mut txid = TxId::default();
    getrandom::fill(&mut txid).map_err(io::Error::other)?;
    let mut packet = [0; 1500];
    for wait in STUN_TRIES {
        socket.send(&request(&txid)).await?;
        let Ok(received) = timeout(wait, socket.recv(&mut packet)).await else { continue };
        let answer = packet.get(..received?).unwrap_or_default();
        let fits = parse_response(answer).is_ok_and(|(id, _)| id == txid);
        return Ok(if fits { Outcome::Answered } else { Outcome::Strange });
    }
    Ok(Outcome::Silent)
}

/// When each box had its last test, so that one which dials again does not get round the pause.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<MachinePublic, Instant>>);

impl Turns {
    /// How long this box has to wait from now on; the turn is taken.
    pub(crate) fn next(&self, key: MachinePublic) -> Duration {
        let (now, mut turns) = (Instant::now(), self.0.lock().unwrap_or_else(PoisonError::into_inner));
        // Only paired boxes come here, and only those with a turn of late are remembered.
        turns.retain(|_, turn| *turn + PAUSE > now);
        let turn = turns.get(&key).map_or(now, |last| *last + PAUSE);
        turns.insert(key, turn);
        turn.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_in_the_fronts_own_network_is_knocked_at() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let home = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let wish =
            Wish { tcp_port: listener.local_addr().unwrap().port(), stun_port: home.local_addr().unwrap().port() };
        for inside in ["127.0.0.1", "::ffff:127.0.0.1", "192.168.1.1", "10.0.0.1", "100.64.0.9", "fe80::1", "fd00::1"] {
            let seen = look(inside.parse().unwrap(), &[], "a.example", &wish).await;
            assert_eq!((seen.public, seen.tcp, seen.stun), (false, Outcome::Skipped, Outcome::Skipped), "{inside}");
        }
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "somebody knocked");
        assert_eq!(home.try_recv(&mut [0; 64]).unwrap_err().kind(), io::ErrorKind::WouldBlock, "somebody asked");
        // Where a laboratory plays the Internet, it is.
        drop(listener);
        let lab = ["127.0.0.0/8".parse().unwrap()];
        let seen = look("127.0.0.1".parse().unwrap(), &lab, "a.example", &Wish { stun_port: 0, ..wish }).await;
        assert_eq!((seen.public, seen.tcp), (true, Outcome::Refused));
    }

    #[test]
    fn each_box_waits_for_itself() {
        let turns = Turns::default();
        let key = |n| MachinePublic::from_bytes([n; 32]);
        assert_eq!(turns.next(key(1)), Duration::ZERO);
        assert_eq!(turns.next(key(2)), Duration::ZERO);
        let (second, third) = (turns.next(key(1)), turns.next(key(1)));
        assert!(second > PAUSE / 2 && second <= PAUSE && third > PAUSE, "{second:?} {third:?}");
    }
}
