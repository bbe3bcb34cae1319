//! The official Rust client in the lab: joins, answers HTTP on port 80 of its tailnet address, and asks a peer.
//!
//! `hearthgate-rust-client URL AUTHKEY NAME [PEER:PORT]` prints `address IP` when it is in, `answer TEXT` for what the
//! peer said, and stays until it is ended.

use std::{error::Error, net::SocketAddr, time::Duration};
use tailscale::{Config, Device};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Pause between two tries to reach the peer.
const PAUSE: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let args: Vec<String> = std::env::args().collect();
    let [_, url, key, name, peer @ ..] = args.as_slice() else {
        return Err("usage: URL AUTHKEY NAME [PEER:PORT]".into());
    };
    let config =
        Config { control_server_url: url.parse()?, requested_hostname: Some(name.clone()), ..Config::default() };
    let device = Device::new(&config, Some(key.clone())).await?;
    let address = device.ipv4_addr().await?;
    println!("address {address}");
    let listener = device.tcp_listen((address, 80).into()).await?;
    if let Some(peer) = peer.first() {
        let peer: SocketAddr = peer.parse()?;
        println!("answer {}", ask(&device, peer).await);
    }
    loop {
        let mut connection = listener.accept().await?;
        let mut request = [0; 1024];
        // Whatever was asked: the answer is the same.
        let _ = connection.read(&mut request).await?;
        let text = format!("this is {name}");
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len());
        connection.write_all(answer.as_bytes()).await?;
        connection.shutdown().await?;
    }
}

/// Asks until there is an answer; who started this program limits the time.
async fn ask(device: &Device, peer: SocketAddr) -> String {
    loop {
        match try_ask(device, peer).await {
            Ok(text) => return text,
            Err(e) => eprintln!("{peer}: {e}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn try_ask(device: &Device, peer: SocketAddr) -> Result<String, Box<dyn Error>> {
    let mut connection = tokio::time::timeout(Duration::from_secs(5), device.tcp_connect(peer)).await??;
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    loop {
        match tokio::time::timeout(Duration::from_secs(5), connection.read(&mut piece)).await?? {
            0 => break,
            n => answer.extend_from_slice(&piece[..n]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).lines().last().unwrap_or_default().to_owned())
}
