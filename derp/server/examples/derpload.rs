//! Load generator for DERP relays, ours or the official one.
//!
//! `derpload --addr HOST:PORT [--tls] [--pairs N] [--size BYTES] [--seconds S] [--rate PACKETS] [--window PACKETS]
//! [--idle N] [--pid PID]`
//!
//! Every pair is a sender and a receiver. At most `--window` packets of a pair are under way (24 unless told: fewer than
//! a relay queues, so that none is lost); with `--window 0` each sender sends as fast as the relay reads, or `--rate`
//! packets a second.
//! With `--idle` that many connections are made and held instead. Prints one JSON object; with `--pid` it has the
//! relay's CPU time and memory too.

use hearthgate_derp_frame::{
    ClientInfo, FRAME_HEADER, FrameType, MAGIC, frame, parse_header, seal_client_info, send_packet_frame,
};
use hearthgate_keys::{NodePrivate, NodePublic};
use portable_atomic::{AtomicU64, Ordering::Relaxed};
use std::{sync::Arc, time::{Duration, Instant}};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    time::timeout,
};

#[path = "../tests/common/tls_client.rs"]
mod tls;
#[path = "load/proc.rs"]
mod process;

type Fault = Box<dyn std::error::Error + Send + Sync>;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

struct Args {
    addr: String,
    tls: bool,
    pairs: u32,
    size: usize,
    seconds: u64,
    rate: u64,
    window: u64,
    idle: u32,
    pid: Option<u32>,
}

fn args() -> Result<Args, Fault> {
    let mut out = Args { addr: "127.0.0.1:3341".into(), tls: false, pairs: 4, size: 1200, seconds: 5, rate: 0, window: 24, idle: 0, pid: None };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--tls" {
            out.tls = true;
            continue;
        }
        let value = args.next().ok_or("an argument needs a value")?;
        match arg.as_str() {
            "--addr" => out.addr = value,
            "--pairs" => out.pairs = value.parse()?,
            "--size" => out.size = value.parse()?,
            "--seconds" => out.seconds = value.parse()?,
            "--rate" => out.rate = value.parse()?,
            "--window" => out.window = value.parse()?,
            "--idle" => out.idle = value.parse()?,
            "--pid" => out.pid = Some(value.parse()?),
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    Ok(out)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let args = args()?;
    if args.idle > 0 { idle(&args).await } else { load(&args).await }
}

async fn connect(args: &Args, key: &NodePrivate) -> Result<Box<dyn Stream>, Fault> {
    let tcp = TcpStream::connect(&args.addr).await?;
    tcp.set_nodelay(true)?;
    let mut io: Box<dyn Stream> = if args.tls { Box::new(tls::connect(tcp).await?) } else { Box::new(tcp) };
    io.write_all(format!("GET /derp HTTP/1.1\r\nHost: {}\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n", args.addr).as_bytes()).await?;
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

async fn load(args: &Args) -> Result<(), Fault> {
    let (sent, received) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = Vec::new();
    for n in 0..args.pairs {
        let receiver = connect(args, &key(n, 1)).await?;
        let sender = connect(args, &key(n, 2)).await?;
        let packet = send_packet_frame(&key(n, 1).public(), &vec![4; args.size]);
        let pair = Arc::new(Pair::default());
        tasks.push(tokio::spawn(receive(receiver, received.clone(), pair.clone())));
        tasks.push(tokio::spawn(send(sender, packet, args.rate, args.window, sent.clone(), pair)));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let cpu = args.pid.and_then(process::cpu_seconds);
    let (sent0, received0, start) = (sent.load(Relaxed), received.load(Relaxed), Instant::now());
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let (sent, received, seconds) = (sent.load(Relaxed) - sent0, received.load(Relaxed) - received0, start.elapsed().as_secs_f64());
    let cpu = args.pid.and_then(process::cpu_seconds).zip(cpu).map(|(after, before)| after - before);
    let per_packet = cpu.map_or(0.0, |cpu| cpu * 1e6 / received.max(1) as f64);
    println!(
        "{{\"packets_per_s\": {:.0}, \"sent\": {sent}, \"received\": {received}, \"relay_cpu_s\": {:.2}, \"relay_cpu_us_per_packet\": {per_packet:.3}}}",
        received as f64 / seconds,
        cpu.unwrap_or(0.0)
    );
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

/// What a sender knows of its receiver.
#[derive(Default)]
struct Pair {
    received: AtomicU64,
    news: Notify,
}

async fn send(mut io: Box<dyn Stream>, packet: Vec<u8>, rate: u64, window: u64, sent: Arc<AtomicU64>, pair: Arc<Pair>) {
    const BURST: usize = 8;
    /// Packets that have not come by then were lost.
    const LOST_AFTER: Duration = Duration::from_millis(100);
    let burst = packet.repeat(BURST);
    let mut mine = 0;
    let mut tick = (rate > 0).then(|| tokio::time::interval(Duration::from_secs_f64(BURST as f64 / rate as f64)));
    loop {
        if let Some(tick) = &mut tick {
            tick.tick().await;
        }
        while window > 0 && mine + BURST as u64 > pair.received.load(Relaxed) + window {
            if timeout(LOST_AFTER, pair.news.notified()).await.is_err() {
                mine = pair.received.load(Relaxed);
            }
        }
        if io.write_all(&burst).await.is_err() || io.flush().await.is_err() {
            return;
        }
        mine += BURST as u64;
        sent.fetch_add(BURST as u64, Relaxed);
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

async fn idle(args: &Args) -> Result<(), Fault> {
    let before = args.pid.and_then(process::memory_kib);
    let mut held = Vec::new();
    for n in 0..args.idle {
        held.push(connect(args, &key(n, 3)).await?);
    }
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let after = args.pid.and_then(process::memory_kib);
    let per = after.zip(before).map_or(0.0, |(after, before)| (after as f64 - before as f64) / f64::from(args.idle));
    println!("{{\"connections\": {}, \"relay_kib_before\": {}, \"relay_kib_after\": {}, \"kib_per_connection\": {per:.2}}}", held.len(), before.unwrap_or(0), after.unwrap_or(0));
    Ok(())
}
