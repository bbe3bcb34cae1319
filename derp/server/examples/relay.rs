//! A bare relay that lets everybody in, to measure and to play with.
//!
//! `relay [--listen ADDR] [--tls] [--threads N] [--certificate-to FILE] [--mesh-key HEX [--mesh-with HOST:PORT]]`: prints
//! the certificate pin when it has one, then serves. Metrics are at `/metrics`. The other relay of the mesh is spoken to
//! without TLS.

use hearthgate_derp::{AllowAll, MeshPeer, Origin, Prefixed, Relay, RelayLimits, RelayOptions, Sniffed, run_mesh, sniff, tls, tune_tcp};
use hearthgate_keys::{NodePrivate, Secret};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

type Fault = Box<dyn std::error::Error>;

#[derive(Default)]
struct Args {
    listen: Option<String>,
    tls: bool,
    threads: usize,
    certificate_to: Option<String>,
    mesh_key: Option<String>,
    mesh_with: Option<String>,
}

fn args() -> Result<Args, Fault> {
    let mut out = Args::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--tls" {
            out.tls = true;
            continue;
        }
        let value = args.next().ok_or("an argument needs a value")?;
        match arg.as_str() {
            "--listen" => out.listen = Some(value),
            "--threads" => out.threads = value.parse()?,
            "--certificate-to" => out.certificate_to = Some(value),
            "--mesh-key" => out.mesh_key = Some(value),
            "--mesh-with" => out.mesh_with = Some(value),
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    Ok(out)
}

fn main() -> Result<(), Fault> {
    let args = args()?;
    let runtime = match args.threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        n => tokio::runtime::Builder::new_multi_thread().worker_threads(n).enable_all().build()?,
    };
    let mut key = [0u8; 32];
    getrandom::fill(&mut key).map_err(|e| e.to_string())?;
    runtime.block_on(serve(args, NodePrivate::from_random(key)))
}

async fn serve(args: Args, key: NodePrivate) -> Result<(), Fault> {
    let listen: SocketAddr = args.listen.as_deref().unwrap_or("127.0.0.1:3341").parse()?;
    let acceptor = if args.tls {
        let pair = tls::self_signed(vec![listen.ip().to_string()])?;
        println!("{}", tls::pin_of(&pair)?);
        if let Some(path) = args.certificate_to {
            std::fs::write(path, &pair.certificate)?;
        }
        Some(TlsAcceptor::from(tls::server_config(&pair, Some(&key.public()))?))
    } else {
        None
    };
    let limits = RelayLimits { connections_max: 1_000_000, ..RelayLimits::default() };
    let options = RelayOptions { mesh_key: args.mesh_key.map(Secret::new), ..RelayOptions::default() };
    let relay = Relay::with_options(key, Box::new(AllowAll), limits, options);
    if let Some(dial) = args.mesh_with {
        let peer = MeshPeer { host: "relay.invalid".into(), dial, tls: None, index: 0 };
        tokio::spawn(run_mesh(relay.clone(), peer, |e| eprintln!("mesh: {e}"), std::future::pending()));
    }
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, remote) = listener.accept().await?;
        tune_tcp(&stream);
        let (relay, acceptor) = (relay.clone(), acceptor.clone());
        tokio::spawn(async move {
            match acceptor {
                Some(acceptor) => begin(relay, Box::pin(acceptor.accept(stream)).await?, remote.into()).await,
                None => begin(relay, stream, remote.into()).await,
            }
        });
    }
}

async fn begin<S>(relay: Arc<Relay>, stream: S, origin: Origin) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match Box::pin(sniff(stream)).await? {
        Sniffed::Derp(request, stream, received) => {
            // A task of its own: this one goes away, and with it all that accepting needed.
            tokio::spawn(relay.serve_request(request, stream, received, origin));
            Ok(())
        }
        Sniffed::Other(stream) => answer(relay, stream).await,
    }
}

/// Everything but DERP gets the metrics.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(relay: Arc<Relay>, mut stream: Prefixed<S>) -> io::Result<()> {
    let mut request = [0u8; 4096];
    let _ = stream.read(&mut request).await?;
    let body = relay.metrics_text();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
