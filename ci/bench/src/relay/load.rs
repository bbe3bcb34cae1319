//! The load: clients of a relay that send to each other, or just hold their connections.

use crate::{
    Fault,
    process::{cpu_seconds, memory_kib},
    tls_client,
};
use hearthgate_derp_frame::{
    ClientInfo, FRAME_HEADER, FrameType, MAGIC, frame, parse_header, seal_client_info, send_packet_frame,
};
use hearthgate_keys::{NodePrivate, NodePublic};
use portable_atomic::{AtomicU64, Ordering::Relaxed};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};

/// Time for connections and buffers to settle before anything is counted.
const SETTLE: Duration = Duration::from_millis(500);
/// Time for a relay to give back what making connections needed.
const SETTLE_IDLE: Duration = Duration::from_secs(5);
/// Packets of a pair that may be under way: fewer than a relay queues, so that none is lost.
const WINDOW: u64 = 24;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A relay to load.
pub struct Target {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Whether TLS is spoken.
    pub tls: bool,
}

/// What a relay did under load.
#[derive(Debug, Clone)]
pub struct Load {
    /// Packets that arrived, per second.
    pub packets_per_s: f64,
    /// Processor time of the relay for each, in microseconds.
    pub cpu_us_per_packet: f64,
}

async fn connect(target: &Target, key: &NodePrivate) -> Result<Box<dyn Stream>, Fault> {
    let tcp = TcpStream::connect(target.addr).await?;
    tcp.set_nodelay(true)?;
    let mut io: Box<dyn Stream> = if target.tls { Box::new(tls_client::connect(tcp).await?) } else { Box::new(tcp) };
    let request =
        format!("GET /derp HTTP/1.1\r\nHost: {}\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n", target.addr);
    io.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(String::from_utf8_lossy(&head).into_owned().into());
    }
    let (_, hello) = read_frame(&mut io).await?;
    let server = hello.strip_prefix(&MAGIC).and_then(|k| k.first_chunk::<32>()).ok_or("no server key")?;
    let info = ClientInfo { version: 2, can_ack_pings: true, ..ClientInfo::default() };
    let info = seal_client_info(key, &NodePublic::from_bytes(*server), &info, [9; 24]);
    io.write_all(&frame(FrameType::ClientInfo, &info)).await?;
    let (kind, _) = read_frame(&mut io).await?;
    if kind != FrameType::ServerInfo as u8 { Err("no server info".into()) } else { Ok(io) }
}

async fn read_frame(io: &mut Box<dyn Stream>) -> Result<(u8, Vec<u8>), Fault> {
    let mut head = [0; FRAME_HEADER];
    io.read_exact(&mut head).await?;
    let (kind, len) = parse_header(&head)?.ok_or("no header")?;
    let mut payload = vec![0; len];
    io.read_exact(&mut payload).await?;
    Ok((kind, payload))
}

fn key(n: u32, role: u8) -> NodePrivate {
    let mut bytes = [role; 32];
    bytes[1..5].copy_from_slice(&n.to_be_bytes());
    bytes[5..9].copy_from_slice(&std::process::id().to_be_bytes());
    NodePrivate::from_random(bytes)
}

/// Loads a relay with so many pairs for so long.
pub async fn run(target: &Target, pairs: u32, size: usize, time: Duration, pid: u32) -> Result<Load, Fault> {
    let received = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for n in 0..pairs {
        let receiver = connect(target, &key(n, 1)).await?;
        let sender = connect(target, &key(n, 2)).await?;
        let packet = send_packet_frame(&key(n, 1).public(), &vec![4; size]);
        let pair = Arc::new(Pair::default());
        tasks.spawn(receive(receiver, received.clone(), pair.clone()));
        tasks.spawn(send(sender, packet, pair));
    }
    sleep(SETTLE).await;
    let (cpu, before, start) = (cpu_seconds(pid).ok_or("the relay is gone")?, received.load(Relaxed), Instant::now());
    sleep(time).await;
    let (packets, seconds) = ((received.load(Relaxed) - before) as f64, start.elapsed().as_secs_f64());
    let cpu = cpu_seconds(pid).ok_or("the relay is gone")? - cpu;
    Ok(Load { packets_per_s: packets / seconds, cpu_us_per_packet: cpu * 1e6 / packets.max(1.0) })
}

/// Holds so many connections and answers what each takes of the relay's memory, in KiB.
pub async fn idle(target: &Target, connections: u32, pid: u32) -> Result<f64, Fault> {
    let before = memory_kib(pid).ok_or("the relay is gone")?;
    let mut held = Vec::new();
    for n in 0..connections {
        held.push(connect(target, &key(n, 3)).await?);
    }
    sleep(SETTLE_IDLE).await;
    let after = memory_kib(pid).ok_or("the relay is gone")?;
    Ok((after - before) / held.len().max(1) as f64)
}

/// What a sender knows of its receiver.
#[derive(Default)]
struct Pair {
    received: AtomicU64,
    news: Notify,
}

async fn send(mut io: Box<dyn Stream>, packet: Vec<u8>, pair: Arc<Pair>) {
    const BURST: usize = 8;
    /// Packets that have not come by then were lost.
    const LOST_AFTER: Duration = Duration::from_millis(100);
    let burst = packet.repeat(BURST);
    let mut mine = 0;
    loop {
        while mine + BURST as u64 > pair.received.load(Relaxed) + WINDOW {
            if timeout(LOST_AFTER, pair.news.notified()).await.is_err() {
                mine = pair.received.load(Relaxed);
            }
        }
        if io.write_all(&burst).await.is_err() || io.flush().await.is_err() {
            return;
        }
        mine += BURST as u64;
    }
}

async fn receive(mut io: Box<dyn Stream>, received: Arc<AtomicU64>, pair: Arc<Pair>) {
    let mut buf = vec![0u8; 128 * 1024];
    let mut have = 0;
    loop {
        match io.read(&mut buf[have..]).await {
            Ok(n) if n > 0 => have += n,
            _ => return,
        }
        let (mut at, mut packets) = (0, 0);
        while let Ok(Some((kind, len))) = parse_header(&buf[at..have]) {
            if have - at < FRAME_HEADER + len {
                break;
            }
            packets += u64::from(kind == FrameType::RecvPacket as u8);
            at += FRAME_HEADER + len;
        }
        buf.copy_within(at..have, 0);
        have -= at;
        received.fetch_add(packets, Relaxed);
        pair.received.fetch_add(packets, Relaxed);
        pair.news.notify_one();
    }
}
