//! `hearthgate front` itself: the program on a machine with a public address, and its list of boxes.

use crate::{Failure, args::Args, logging, output::show, place};
use hearthgate_addresses::{Scope, scope};
use hearthgate_derp::{StunMetrics, run_stun};
use hearthgate_front::{Boxes, Gateway, GatewayOptions, Line, PairingSecret};
use hearthgate_http::spawn;
use hearthgate_read::json;
use ipnet::IpNet;
use serde_json::Value;
use std::{
    future::pending,
    io::IsTerminal,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::SystemTime,
};
use tokio::{
    net::{TcpListener, UdpSocket},
    signal::unix::{SignalKind, signal},
};

/// Where clients come to when a URL has no port.
const LISTEN: &str = "0.0.0.0:443";
/// The port that clients ask when a map says nothing else.
const STUN: &str = "0.0.0.0:3478";

/// The pages of a box with our image, in its own network.
const BOX: &str = "http://hearthgate.local:8080";
/// Longest host and port of a box's pages, so that the code stays small enough for a terminal.
const HOST_MAX: usize = 100;

const BOX_COLUMNS: [(&str, &str); 3] = [("Host", "host"), ("Key", "key"), ("Paired", "paired")];

/// The front's own commands; the box's are in [`crate::front`].
pub(crate) fn run(args: &Args, words: &[&str]) -> Result<(), Failure> {
    match words {
        [] => serve(args),
        ["line"] => {
            let page = page_of_box(args)?;
            let line = fresh_line(&state_dir(args)?, None)?;
            println!("{line}");
            // Programs want the line alone.
            if std::io::stdout().is_terminal() {
                print!("\n{}", code(&page, &line));
            }
            Ok(())
        }
        ["list"] => list(args),
        ["revoke", which] => revoke(args, which),
        _ => Err(Failure::Usage(format!("front has no command {:?}", words.join(" ")))),
    }
}

/// The state of the front: a folder of its own, so that a box on the same machine does not mix with it.
fn state_dir(args: &Args) -> Result<PathBuf, Failure> {
    let dir = args.value("state-dir").map(PathBuf::from);
    let from_env = || std::env::var_os("HEARTHGATE_STATE_DIR").map(PathBuf::from);
    let dir = dir.or_else(from_env).unwrap_or_else(place::usual_state_dir).join("front");
    place::make_state_dir(&dir)?;
    Ok(dir)
}

fn serve(args: &Args) -> Result<(), Failure> {
    logging::start("info", "text");
    place::raise_file_limit();
    let runtime = place::runtime()?;
    runtime.block_on(front(args))
}

async fn front(args: &Args) -> Result<(), Failure> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let address = |flag: &str, usual: &str| -> Result<SocketAddr, Failure> {
        let text = args.value(flag).unwrap_or(usual);
        let whole = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
        whole.parse().map_err(|_| Failure::Usage(format!("--{flag} {text:?} is no address: write it like {usual}")))
    };
    let page = page_of_box(args)?;
    let (listen, stun_listen) = (address("listen-addr", LISTEN)?, address("stun-listen-addr", STUN)?);
    let state_dir = state_dir(args)?;
    let bind = |e: std::io::Error| Failure::Failed(format!("listening on {listen}: {e}"));
    let listener = TcpListener::bind(listen).await.map_err(bind)?;
    let listen = listener.local_addr()?;
    let public = public_address(args.value("hostname"), listen, &state_dir)?;
    let socket = UdpSocket::bind(stun_listen)
        .await
        .map_err(|e| Failure::Failed(format!("listening for STUN on {stun_listen}: {e}")))?;
    let stun_port = socket.local_addr()?.port();
    let stun = Arc::new(StunMetrics::default());
    let relay = !args.has("without-relay");
    let options = GatewayOptions { state_dir: state_dir.clone(), stun_port, relay, internet: networks(args)? };
    let gateway = Gateway::new(&options, stun.clone())?;
    let (boxes, ()) = Boxes::change(&state_dir, |b| b.address.clone_from(&public))?;
    spawn(run_stun(socket, stun, pending()));
    let accepting = spawn(gateway.serve(listener));
    println!("hearthgate {} front is running.", env!("CARGO_PKG_VERSION"));
    println!();
    println!("  boxes and clients  {public} (listening on {listen})");
    println!("  STUN               {stun_listen}");
    println!("  relay              {}", if options.relay { "for the nodes of its boxes" } else { "none" });
    println!("  state              {}", state_dir.display());
    println!("  boxes              {}", boxes.all().len());
    if boxes.all().is_empty() {
        println!();
        println!("Paste this line on the box, within a day: on its setup page, or after `hearthgate front pair`");
        println!();
        let line = fresh_line(&state_dir, Some(&public))?;
        println!("  {line}");
        println!();
        print!("{}", code(&page, &line));
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    accepting.abort();
    Ok(())
}

/// Networks that count as the Internet, where a laboratory plays it.
fn networks(args: &Args) -> Result<Vec<IpNet>, Failure> {
    let wrong = |text: &str| Failure::Usage(format!("--public-networks {text:?}: write it like 10.77.0.0/24"));
    args.list("public-networks").iter().map(|text| text.parse().map_err(|_| wrong(text))).collect()
}

/// Host and port that boxes dial: as given, or this machine's address if the world reaches that.
fn public_address(given: Option<&str>, listen: SocketAddr, state_dir: &std::path::Path) -> Result<String, Failure> {
    let known = Boxes::load(state_dir)?.address;
    let port = listen.port();
    let Some(host) = given else {
        if !known.is_empty() {
            return Ok(known);
        }
        let own = if listen.ip().is_unspecified() { hearthgate_server::guess_lan_address() } else { listen.ip() };
        if scope(own) != Scope::Global {
            let hint = "say where the world reaches it: --hostname NAME-OR-ADDRESS[:PORT]";
            return Err(Failure::Failed(format!("this machine's address is {own}, which is not public; {hint}")));
        }
        return Ok(SocketAddr::new(own, port).to_string());
    };
    let whole = match host.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) if host.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok()) => host.to_owned(),
        Err(_) => format!("{host}:{port}"),
    };
    Ok(whole)
}

/// Opens a new line.
fn fresh_line(state_dir: &std::path::Path, address: Option<&str>) -> Result<String, Failure> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(|e| Failure::Failed(e.to_string()))?;
    let secret = PairingSecret::from_random(random);
    let address = address.map_or_else(|| Boxes::load(state_dir).map(|b| b.address), |a| Ok(a.to_owned()))?;
    if address.is_empty() {
        return Err(Failure::Failed("no front has run here yet: start it with `hearthgate front`".into()));
    }
    let line = Line::new(&address, Gateway::key(state_dir)?.public(), secret)?;
    Boxes::change(state_dir, |b| b.invite(&secret, now()))?;
    Ok(line.reveal())
}

/// The pages of the box, where a scanned code leads: `--box-url`, or where our images have them.
fn page_of_box(args: &Args) -> Result<String, Failure> {
    let url = args.value("box-url").unwrap_or(BOX).trim_end_matches('/');
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
    if host.is_empty() || host.len() > HOST_MAX || !host.chars().all(plain) {
        return Err(Failure::Usage(format!("--box-url {url:?}: write it like {BOX}")));
    }
    Ok(url.to_owned())
}

/// A code to scan that opens the box's page with the line filled in. The line stands behind `#`, which browsers keep to
/// themselves: it is in no request and no log.
fn code(page: &str, line: &str) -> String {
    let url = format!("{page}/admin/setup#front={line}");
    format!(
        "Or scan this with a phone in the box's network. It opens {page} with the line filled in;\nif the box has \
        another address, say it: --box-url\n\n{}",
        hearthgate_web::qr::console(&url)
    )
}

fn list(args: &Args) -> Result<(), Failure> {
    let boxes = Boxes::load(&state_dir(args)?)?;
    let when = |s: u64| jiff::Timestamp::from_second(i64::try_from(s).unwrap_or(0)).unwrap_or_default().to_string();
    let row =
        |b: &hearthgate_front::Paired| json!({ "host": b.host, "key": b.key.to_string(), "paired": when(b.since) });
    show(&Value::Array(boxes.all().iter().map(row).collect()), args.output, &BOX_COLUMNS);
    Ok(())
}

fn revoke(args: &Args, which: &str) -> Result<(), Failure> {
    let (_, gone) = Boxes::change(&state_dir(args)?, |b| b.revoke(which))?;
    let gone = gone.ok_or_else(|| Failure::Failed(format!("no box with this host or key: {which}")))?;
    println!("{} is no longer served", gone.host);
    Ok(())
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
