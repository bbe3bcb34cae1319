//! The load on a STUN responder: clients that ask again as soon as they are answered.

use crate::{Fault, process::cpu_seconds};
use hearthgate_stun::{TXID_LEN, parse_response, request};
use nix::{
    errno::Errno,
    sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg},
};
use std::{
    io::{ErrorKind, IoSlice, IoSliceMut},
    net::SocketAddr,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};
use tokio::{io::Interest, net::UdpSocket, task::JoinSet, time::timeout};

/// Sockets that ask.
const CLIENTS: u8 = 8;
/// Requests each has under way.
const WINDOW: usize = 32;
/// A request that was not answered by then is lost; the socket begins anew.
const LOST_AFTER: Duration = Duration::from_millis(50);

/// How often a responder that is starting is asked, every [`LOST_AFTER`] or two.
const STARTING_TRIES: u32 = 100;

/// What a responder did under load.
#[derive(Debug, Clone, Copy)]
pub struct StunLoad {
    /// Requests answered, per second.
    pub answers_per_s: f64,
    /// Processor time of the relay for each, in microseconds.
    pub cpu_us_per_answer: f64,
}

/// Loads a responder for so long.
pub async fn run(addr: SocketAddr, time: Duration, pid: u32) -> Result<StunLoad, Fault> {
    answering(addr).await?;
    let start = Instant::now();
    let cpu = cpu_seconds(pid).ok_or("the relay is gone")?;
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        clients.spawn(ask(addr, n, start + time));
    }
    let mut answers = 0;
    while let Some(client) = clients.join_next().await {
        answers += client??;
    }
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds(pid).ok_or("the relay is gone")? - cpu);
    let answers = answers as f64;
    Ok(StunLoad { answers_per_s: answers / seconds, cpu_us_per_answer: cpu * 1e6 / answers.max(1.0) })
}

/// Waits for the first answer: a relay opens its ports one after another.
async fn answering(addr: SocketAddr) -> Result<(), Fault> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(addr).await?;
    let mut buf = [0; 256];
    for _ in 0..STARTING_TRIES {
        // Refused as long as nobody listens.
        if socket.send(&request(&[0xff; TXID_LEN])).await.is_ok()
            && let Ok(Ok(_)) = timeout(LOST_AFTER, socket.recv(&mut buf)).await
        {
            return Ok(());
        }
        tokio::time::sleep(LOST_AFTER).await;
    }
    Err(format!("no answer from {addr}").into())
}

async fn ask(addr: SocketAddr, client: u8, until: Instant) -> Result<u64, Fault> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(addr).await?;
    let txid = [client; TXID_LEN];
    let request = request(&txid);
    let (mut answers, mut under_way) = (0, 0);
    while Instant::now() < until {
        under_way += send(&socket, &request, WINDOW - under_way)?;
        let Ok(got) = timeout(LOST_AFTER, socket.readable()).await else {
            under_way = 0;
            continue;
        };
        got?;
        // Half of them before asking again, so that both sides work in bursts as they would in a reconnect storm.
        while under_way > WINDOW / 2 {
            let count = receive(&socket, &txid)?;
            if count == 0 {
                break;
            }
            answers += count as u64;
            under_way = under_way.saturating_sub(count);
        }
    }
    if answers == 0 { Err("no answers".into()) } else { Ok(answers) }
}

/// Sends so many requests with one system call, so that the generator costs less than what it measures; how many left.
fn send(socket: &UdpSocket, request: &[u8], count: usize) -> Result<usize, Fault> {
    let parts = vec![[IoSlice::new(request)]; count];
    let none: Vec<Option<SockaddrStorage>> = vec![None; count];
    let control: [ControlMessage<'_>; 0] = [];
    let mut headers = MultiHeaders::preallocate(count, None);
    let flags = MsgFlags::MSG_DONTWAIT;
    match sendmmsg(socket.as_raw_fd(), &mut headers, parts.iter(), none, control, flags) {
        Ok(sent) => Ok(sent.count()),
        Err(Errno::EAGAIN) => Ok(0),
        Err(e) => Err(e.into()),
    }
}

/// Receives what is there with one system call and checks that it answers our requests; how many answers.
fn receive(socket: &UdpSocket, txid: &[u8; TXID_LEN]) -> Result<usize, Fault> {
    let mut buf = [0; 256 * WINDOW];
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(WINDOW, None);
    let mut parts: Vec<[IoSliceMut<'_>; 1]> = buf.chunks_exact_mut(256).map(|b| [IoSliceMut::new(b)]).collect();
    let got = socket.try_io(Interest::READABLE, || {
        Ok(recvmmsg(socket.as_raw_fd(), &mut headers, parts.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?)
    });
    let got = match got {
        Ok(got) => got,
        Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(0),
        Err(e) => return Err(e.into()),
    };
    let mut count = 0;
    for message in got {
        let (id, _) = parse_response(message.iovs().next().unwrap_or_default())?;
        if id != *txid {
            return Err("an answer to another request".into());
        }
        count += 1;
    }
    Ok(count)
}
