//! Simulated clients with real Noise, HTTP/2 and zstd against `hearthgate serve`, and the figures they see as JSON.
//!
//! `hearthgate-bench --hearthgate PATH [--clients N]` starts the server on a loopback port with a fresh state folder,
//! lets N clients join (32 at a time) and hold a map stream, then measures how long a new node takes until all others
//! know it, how long a change for all takes, and how long all need to come back after a restart. Clients and server
//! share the machine, so every figure includes the clients' own work. `--emulator qemu-mipsel-static` measures a binary
//! for another processor; its memory then has the emulator in it.
//!
//! `hearthgate-bench --join ADDRESS:PORT --key KEY --clients N` is only a crowd: N clients join a running server and hold
//! their streams until the program is ended.
//!
//! `hearthgate-bench --hearthgate PATH --prepare FOLDER --clients N` lets N clients join a server and ends it: what is left
//! is the state folder of a server with so many nodes, for machines that are too slow to let them in themselves.

mod client;
mod server;

use client::{SimClient, Watcher};
use serde_json::json;
use server::{Program, Server};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinSet};

/// Registrations under way at once.
const CONCURRENT: usize = 32;
/// New nodes whose spread is measured.
const NEW_NODES: usize = 20;
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let mut args = std::env::args().skip(1);
    let mut program = Program { binary: PathBuf::from("target/release/hearthgate"), emulator: None };
    let mut clients = 1000;
    let (mut join, mut key, mut folder) = (None, String::new(), None);
    while let Some(arg) = args.next() {
        let value = args.next().unwrap_or_default();
        match arg.as_str() {
            "--hearthgate" => program.binary = value.into(),
            "--emulator" => program.emulator = Some(value),
            "--join" => join = value.parse::<SocketAddr>().ok(),
            "--key" => key = value,
            "--prepare" => folder = Some(PathBuf::from(value)),
            "--clients" => clients = value.parse().unwrap_or(clients),
            other => {
                eprintln!("unknown flag {other}: --hearthgate PATH, --emulator PROGRAM, --clients N");
                std::process::exit(2);
            }
        }
    }
    // Every simulated client is a connection.
    if let Ok((_, hard)) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE) {
        let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, hard, hard);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    if let Some(addr) = join {
        if let Err(e) = runtime.block_on(crowd(addr, &key, clients)) {
            eprintln!("the crowd did not get in: {e}");
            std::process::exit(1);
        }
        return;
    }
    if let Some(folder) = folder {
        if let Err(e) = runtime.block_on(prepare(&program, &folder, clients)) {
            eprintln!("the state was not made: {e}");
            std::process::exit(1);
        }
        return;
    }
    let result = runtime.block_on(measure(program, clients));
    match result {
        Ok(figures) => println!("{figures:#}"),
        Err(e) => {
            eprintln!("the benchmark failed: {e}");
            std::process::exit(1);
        }
    }
}

/// Joins a running server and stays.
async fn crowd(addr: SocketAddr, key: &str, count: usize) -> Result<(), Failure> {
    let clients = join_all(addr, key, count).await?;
    let _watchers = open_all(&clients).await?;
    println!("{count} clients are in");
    std::future::pending().await
}

/// Makes the state of a server that knows so many nodes, with the keys they announce in their streams.
async fn prepare(program: &Program, folder: &Path, count: usize) -> Result<(), Failure> {
    let (server, _) = Server::start(program, folder).await?;
    let key = server.preauth_key()?;
    let clients = join_all(server.addr(), &key, count).await?;
    let mut watchers = open_all(&clients).await?;
    settle(&mut watchers).await;
    server.end()
}

async fn measure(
    program: Program,
    count: usize,
) -> Result<serde_json::Value, Box<dyn std::error::Error + Send + Sync>> {
    let dir = std::env::temp_dir().join(format!("hearthgate-bench-{}", std::process::id()));
    let (mut server, first_answer) = Server::start(&program, &dir).await?;
    let idle_kib = server.rss_kib();
    let key = server.preauth_key()?;
    // Joining, without streams: what the server can take.
    let started = Instant::now();
    let clients = join_all(server.addr(), &key, count).await?;
    let joining = started.elapsed();
    // Everybody opens a stream.
    let started = Instant::now();
    let mut watchers = open_all(&clients).await?;
    let opening = started.elapsed();
    settle(&mut watchers).await;
    let streaming_kib = server.rss_kib();
    // New nodes, one after the other, seen by all.
    let mut spread = Vec::new();
    let mut joins = Vec::new();
    for _ in 0..NEW_NODES {
        let started = Instant::now();
        let newcomer = SimClient::connect(server.addr()).await?;
        newcomer.register(&key).await?;
        joins.push(started.elapsed());
        let name = newcomer.name();
        let seen = wait_all(&mut watchers, &name).await?;
        spread.extend(seen.into_iter().map(|at| at.saturating_duration_since(started)));
    }
    // A change for all: one node gets another name.
    let mut changes = Vec::new();
    for n in 0..5 {
        let name = format!("renamed-{n}");
        let started = Instant::now();
        server.run(&["nodes", "rename", "-i", &server.a_node()?, &name])?;
        let seen = wait_all(&mut watchers, &name).await?;
        changes.extend(seen.into_iter().map(|at| at.saturating_duration_since(started)));
    }
    let cpu = server.cpu_seconds();
    let peak_kib = server.peak_kib();
    // Restart: everybody is cut off and comes back.
    drop(watchers);
    server.restart().await?;
    let started = Instant::now();
    let back = reconnect_all(&server, &clients).await?;
    let reconnecting = started.elapsed();
    let after_kib = server.rss_kib();
    drop(back);
    server.stop();
    let _ = std::fs::remove_dir_all(&dir);
    Ok(json!({
        "clients": count,
        "start_to_first_answer_ms": first_answer.as_millis() as u64,
        "idle_rss_kib": idle_kib,
        "registrations_per_s": (count as f64 / joining.as_secs_f64()).round(),
        "all_streams_open_s": round(opening),
        "rss_with_streams_kib": streaming_kib,
        "peak_rss_kib": peak_kib,
        "one_join_ms": percentiles(joins),
        "new_node_visible_to_all_ms": percentiles(spread),
        "change_for_all_ms": percentiles(changes),
        "server_cpu_s": cpu,
        "all_reconnected_after_restart_s": round(reconnecting),
        "rss_after_restart_kib": after_kib,
    }))
}

fn round(d: Duration) -> f64 {
    (d.as_secs_f64() * 100.0).round() / 100.0
}

fn percentiles(mut samples: Vec<Duration>) -> serde_json::Value {
    samples.sort_unstable();
    let at = |p: f64| {
        samples
            .get(((samples.len() as f64 - 1.0) * p) as usize)
            .map_or(0.0, |d| (d.as_secs_f64() * 10_000.0).round() / 10.0)
    };
    json!({ "p50": at(0.5), "p99": at(0.99), "max": at(1.0), "samples": samples.len() })
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn join_all(addr: SocketAddr, key: &str, count: usize) -> Result<Vec<Arc<SimClient>>, Failure> {
    let gate = Arc::new(Semaphore::new(CONCURRENT));
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        let (gate, key) = (gate.clone(), key.to_owned());
        tasks.spawn(async move {
            let _permit = gate.acquire().await?;
            let client = SimClient::connect(addr).await?;
            client.register(&key).await?;
            Ok::<_, Failure>(Arc::new(client))
        });
    }
    collect(tasks).await
}

async fn open_all(clients: &[Arc<SimClient>]) -> Result<Vec<Watcher>, Failure> {
    let mut tasks = JoinSet::new();
    for client in clients {
        let client = client.clone();
        tasks.spawn(async move { client.stream().await });
    }
    collect(tasks).await
}

async fn reconnect_all(server: &Server, clients: &[Arc<SimClient>]) -> Result<Vec<Watcher>, Failure> {
    let mut tasks = JoinSet::new();
    for client in clients {
        let (client, addr) = (client.clone(), server.addr());
        tasks.spawn(async move { client.reconnected(addr).await?.stream().await });
    }
    collect(tasks).await
}

async fn collect<T: 'static>(mut tasks: JoinSet<Result<T, Failure>>) -> Result<Vec<T>, Failure> {
    let mut done = Vec::new();
    let all = async {
        while let Some(result) = tasks.join_next().await {
            done.push(result??);
        }
        Ok::<_, Failure>(())
    };
    tokio::time::timeout(PATIENCE, all).await.map_err(|_| "not everybody was done in time")??;
    Ok(done)
}

/// Waits until nothing was received for a second.
async fn settle(watchers: &mut [Watcher]) {
    loop {
        let before: usize = watchers.iter().map(Watcher::received).sum();
        tokio::time::sleep(Duration::from_secs(1)).await;
        if watchers.iter().map(Watcher::received).sum::<usize>() == before {
            return;
        }
    }
}

/// When each stream first carried `word`.
async fn wait_all(watchers: &mut [Watcher], word: &str) -> Result<Vec<Instant>, Failure> {
    let mut seen = Vec::with_capacity(watchers.len());
    for watcher in watchers {
        seen.push(
            tokio::time::timeout(PATIENCE, watcher.wait_for(word))
                .await
                .map_err(|_| format!("{word} was not seen by all"))??,
        );
    }
    Ok(seen)
}
