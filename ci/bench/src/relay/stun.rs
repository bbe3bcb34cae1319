//! The load on a STUN responder: clients that ask again as soon as they are answered.

use crate::{Fault, process::cpu_seconds};
use hearthgate_stun::{TXID_LEN, parse_response, request};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{net::UdpSocket, task::JoinSet, time::timeout};

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
    let mut buf = [0; 256];
    while Instant::now() < until {
        while under_way < WINDOW {
            socket.send(&request).await?;
            under_way += 1;
        }
        let Ok(got) = timeout(LOST_AFTER, socket.readable()).await else {
            under_way = 0;
            continue;
        };
        got?;
        // Half of them before asking again, so that both sides work in bursts as they would in a reconnect storm.
        while under_way > WINDOW / 2
            && let Ok(len) = socket.try_recv(&mut buf)
        {
            let (id, _) = parse_response(buf.get(..len).unwrap_or_default())?;
            if id != txid {
                return Err("an answer to another request".into());
            }
            answers += 1;
            under_way -= 1;
        }
    }
    if answers == 0 { Err("no answers".into()) } else { Ok(answers) }
}
