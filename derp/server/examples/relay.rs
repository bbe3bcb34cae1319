//! A bare relay that lets everybody in, to measure and to play with.
//!
//! `relay [--listen ADDR] [--tls] [--threads N]`: prints the certificate pin when it has one, then serves. Metrics are
//! at `/metrics`.

use hearthgate_derp::{AllowAll, Origin, Prefixed, Relay, RelayLimits, Sniffed, sniff, tls, tune_tcp};
use hearthgate_keys::NodePrivate;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (mut listen, mut with_tls, mut threads) = ("127.0.0.1:3341".to_owned(), false, 1usize);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--listen" => listen = args.next().ok_or("--listen needs an address")?,
            "--threads" => threads = args.next().ok_or("--threads needs a number")?.parse()?,
            "--tls" => with_tls = true,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let runtime = match threads {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        n => tokio::runtime::Builder::new_multi_thread().worker_threads(n).enable_all().build()?,
    };
    let mut key = [0u8; 32];
    getrandom::fill(&mut key).map_err(|e| e.to_string())?;
    let key = NodePrivate::from_random(key);
    runtime.block_on(serve(listen.parse()?, with_tls, key))
}

async fn serve(listen: SocketAddr, with_tls: bool, key: NodePrivate) -> Result<(), Box<dyn std::error::Error>> {
    let acceptor = if with_tls {
        let pair = tls::self_signed(vec![listen.ip().to_string()])?;
        println!("{}", tls::pin_of(&pair)?);
        Some(TlsAcceptor::from(tls::server_config(&pair, Some(&key.public()))?))
    } else {
        None
    };
    let limits = RelayLimits { connections_max: 1_000_000, ..RelayLimits::default() };
    let relay = Relay::new(key, Box::new(AllowAll), limits);
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
