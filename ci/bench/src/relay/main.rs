//! Our relay and the official one side by side: one load generator, one run, figures and ratios.
//!
//! `hearthgate-relay-bench [--hearthgate PATH] [--derper PATH] [--rounds N] [--seconds S] [--pairs N] [--idle N]
//! [--size BYTES]`: JSON on standard output, a table on standard error. `ci/bench/relay` builds what is needed and runs
//! it.
//!
//! Each round loads one relay after the other, plain and with TLS: pairs of clients, one sending to the other as fast as
//! it may with a few packets under way, fewer than a relay queues. The median of the rounds counts. Then idle connections
//! are made to fresh relays, and their memory is compared; then STUN is asked. Relay and generator share the machine, so
//! what a second holds is what is left to the relay; the processor time is its own.

mod figures;
mod load;
mod process;
mod stun;
#[path = "../../../../derp/server/tests/common/tls_client.rs"]
mod tls_client;

use figures::{Compared, Figures, median, table};
use load::Target;
use process::{Kind, Relay};
use serde_json::{Map, Value, json};
use std::{path::PathBuf, time::Duration};

/// What can go wrong here.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

struct Args {
    hearthgate: PathBuf,
    derper: Option<PathBuf>,
    rounds: usize,
    seconds: u64,
    pairs: u32,
    idle: u32,
    size: usize,
}

fn args() -> Result<Args, Fault> {
    let hearthgate = PathBuf::from("target/release/hearthgate");
    let mut out = Args { hearthgate, derper: None, rounds: 3, seconds: 4, pairs: 4, idle: 2000, size: 1200 };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--hearthgate" => out.hearthgate = value.into(),
            "--derper" => out.derper = Some(value.into()),
            "--rounds" => out.rounds = value.parse()?,
            "--seconds" => out.seconds = value.parse()?,
            "--pairs" => out.pairs = value.parse()?,
            "--idle" => out.idle = value.parse()?,
            "--size" => out.size = value.parse()?,
            other => return Err(format!("unknown flag {other}").into()),
        }
    }
    Ok(out)
}

fn main() -> Result<(), Fault> {
    let args = args()?;
    // Every simulated client is a connection, and the relays inherit the limit.
    if let Ok((_, hard)) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE) {
        let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, hard, hard);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut relays = vec![(Kind::Hearthgate, args.hearthgate.clone())];
    relays.extend(args.derper.clone().map(|path| (Kind::Derper, path)));
    let all = runtime.block_on(async {
        let (plain, tls) = (relay(&args, &relays, false).await?, relay(&args, &relays, true).await?);
        Ok::<_, Fault>([plain, tls, stun(&args, &relays).await?])
    })?;
    let loads = all.iter().map(|compared| (compared.load.to_owned(), compared.json()));
    let mut out = loads.collect::<Map<_, _>>();
    let run = json!({ "rounds": args.rounds, "seconds": args.seconds, "pairs": args.pairs, "packet_bytes": args.size, "idle_connections": args.idle });
    out.insert("run".into(), run);
    eprint!("{}", table(&all));
    println!("{:#}", Value::Object(out));
    Ok(())
}

/// Packets, and connections that wait.
async fn relay(args: &Args, relays: &[(Kind, PathBuf)], tls: bool) -> Result<Compared, Fault> {
    let time = Duration::from_secs(args.seconds);
    let mut loads = vec![(Vec::new(), Vec::new()); relays.len()];
    for _ in 0..args.rounds {
        // In turns: whatever else the machine does hits both.
        for ((rates, costs), (kind, path)) in loads.iter_mut().zip(relays) {
            let relay = Relay::start(*kind, path, tls).await?;
            let load = load::run(&Target { addr: relay.addr, tls }, args.pairs, args.size, time, relay.pid()).await?;
            rates.push(load.packets_per_s);
            costs.push(load.cpu_us_per_packet);
        }
    }
    let mut of: Vec<Figures> = Vec::new();
    for ((rates, costs), (kind, path)) in loads.into_iter().zip(relays) {
        let relay = Relay::start(*kind, path, tls).await?;
        let kib = load::idle(&Target { addr: relay.addr, tls }, args.idle, relay.pid()).await?;
        of.push(vec![
            ("packets_per_s", median(rates)),
            ("cpu_us_per_packet", median(costs)),
            ("kib_per_idle_connection", kib),
        ]);
    }
    Ok(Compared { load: if tls { "tls" } else { "plain" }, of })
}

async fn stun(args: &Args, relays: &[(Kind, PathBuf)]) -> Result<Compared, Fault> {
    let mut loads = vec![(Vec::new(), Vec::new()); relays.len()];
    for _ in 0..args.rounds {
        for ((rates, costs), (kind, path)) in loads.iter_mut().zip(relays) {
            let relay = Relay::start(*kind, path, false).await?;
            let load = stun::run(relay.stun, Duration::from_secs(args.seconds), relay.pid()).await?;
            rates.push(load.answers_per_s);
            costs.push(load.cpu_us_per_answer);
        }
    }
    let figures = |(rates, costs)| vec![("answers_per_s", median(rates)), ("cpu_us_per_answer", median(costs))];
    Ok(Compared { load: "stun", of: loads.into_iter().map(figures).collect() })
}
