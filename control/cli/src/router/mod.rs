//! `hearthgate router up|down`, `status`, `ping`, `netcheck`: this machine as a member of a network, with the official
//! client's flag names.

mod args;
mod ask;
mod daemon;
#[cfg(feature = "control")]
pub(crate) mod own;
mod show;

use crate::{Failure, args::Output};
use args::Line;
use hearthgate_plane::Mode;
use serde_json::Value;
use std::{ffi::OsString, time::Duration};

const HELP: &str = "\
hearthgate router: this machine as a member of a network, subnet router and exit node

  router up       join a network and stay in it; changes the preferences of a router that runs already
  router down     leave it for now: everything the router made in the system is gone
  status          the router and its peers [--json]
  ping PEER       how a peer is reached [-c COUNT] [--until-direct=false] [--timeout 5s]
  netcheck        our place in the network [--format json]
  router via SITE NET
                  the route to advertise for an IPv4 network that other sites have too (4via6)

  --login-server URL            control server
  --authkey KEY                 pre-auth key, or file:PATH
  --hostname NAME               name in the network
  --advertise-routes NETS       subnets offered to others, with commas between them
  --advertise-exit-node         carry others' Internet traffic
  --advertise-tags TAGS         tags asked for
  --accept-routes               take the subnets that others offer
  --accept-dns                  take the network's DNS settings
  --exit-node PEER              send Internet traffic through a peer; empty is off
  --exit-node-allow-lan-access  keep our own LAN reachable meanwhile
  --snat-subnet-routes          rewrite sources towards advertised subnets (default: true)
  --nat66                       rewrite IPv6 sources too, where the provider gives no prefix
  --taildrop-dir DIR            folder for files that others send; empty: none are taken
  --shields-up                  let nobody in
  --state-dir DIR               keys and the last network map
  --interface NAME              name of the tunnel's interface (default: tailscale0)
  --port PORT                   WireGuard's UDP port (default: 41641; 0 is any)
  --data-plane KIND             kernel, userspace or auto
  --socket PATH                 where a running router is asked

Flags that are not given keep their values, but those from --state-dir on: they hold for one run.
";

/// The data plane of this name.
fn kind(name: &str) -> Result<Mode, Failure> {
    match name {
        "auto" => Ok(Mode::Auto),
        "kernel" => Ok(Mode::Kernel),
        "userspace" => Ok(Mode::Userspace),
        other => Err(Failure::Usage(format!("{other:?} is no data plane: kernel, userspace or auto"))),
    }
}

/// Commands that are the router's.
pub(crate) fn is_ours(word: &str) -> bool {
    matches!(word, "router" | "status" | "ping" | "netcheck")
}

/// Runs one of them.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let line = args::parse(args)?;
    let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
    if line.has("help") {
        print!("{HELP}");
        return Ok(());
    }
    match words.as_slice() {
        ["router", "up"] => daemon::up(&line),
        ["router", "down"] => ask::call(&line, "POST", "/down", None).map(drop),
        ["router", "status"] | ["status"] => status(&line),
        ["ping", peer] => ping(&line, peer),
        ["netcheck"] => netcheck(&line),
        ["router", "via", site, net] => via(site, net),
        _ => {
            print!("{HELP}");
            Err(Failure::Usage("router up, router down, status, ping PEER or netcheck".into()))
        }
    }
}

/// Prints the IPv6 route that stands for an IPv4 network at a site.
fn via(site: &str, net: &str) -> Result<(), Failure> {
    let number: u16 = site.parse().map_err(|_| Failure::Usage(format!("{site:?} is no site: 0 to 65535")))?;
    let wrong = |_| Failure::Usage(format!("{net:?} is no IPv4 network such as 192.168.1.0/24"));
    let net: ipnet::Ipv4Net = net.parse().map_err(wrong)?;
    let first = hearthgate_plane::via_address(number.into(), net.network());
    println!("{first}/{}", 96 + net.prefix_len());
    Ok(())
}

fn status(line: &Line) -> Result<(), Failure> {
    let status = ask::call(line, "GET", "/status", None)?;
    if line.has("json") {
        crate::output::show(&status, Output::Json, &[]);
    } else {
        print!("{}", show::status(&status));
    }
    Ok(())
}

fn netcheck(line: &Line) -> Result<(), Failure> {
    let report = ask::call(line, "POST", "/netcheck", None)?;
    match line.value("format") {
        None | Some("") => print!("{}", show::netcheck(&report)),
        Some("json") => crate::output::show(&report, Output::Json, &[]),
        Some("json-line") => println!("{report}"),
        Some(other) => return Err(Failure::Usage(format!("{other:?} is no form: json or json-line"))),
    }
    Ok(())
}

/// Time between two pings.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Pings sent when no count is given, as with the official client.
const PINGS: u32 = 10;

/// Pings until a direct path answers or the count is reached, as the official client does.
fn ping(line: &Line, peer: &str) -> Result<(), Failure> {
    let count = match line.value("c") {
        None => PINGS,
        Some(text) => text.parse().map_err(|_| Failure::Usage(format!("{text:?} is no count")))?,
    };
    let until_direct = line.switch("until-direct")?.unwrap_or(true);
    let mut path = format!("/ping?target={}", crate::client::encode(peer));
    if let Some(time) = line.duration("timeout")? {
        path.push_str(&format!("&timeout_ms={}", time.as_millis()));
    }
    let (mut heard, mut direct) = (false, false);
    for n in 0.. {
        if count != 0 && n >= count {
            break;
        }
        if n > 0 {
            std::thread::sleep(PING_EVERY);
        }
        match ask::call(line, "POST", &path, None) {
            Ok(pong) => {
                heard = true;
                direct = pong["relay"].as_str().is_none_or(str::is_empty);
                print!("{}", show::pong(&pong));
            }
            Err(Failure::Failed(text)) if text == "no answer" => println!("ping {peer} timed out"),
            Err(failure) => return Err(failure),
        }
        if heard && direct && until_direct {
            return Ok(());
        }
    }
    match (heard, until_direct) {
        (false, _) => Err(Failure::Failed("no reply".into())),
        (true, true) if count != 1 => Err(Failure::Failed("direct connection not established".into())),
        _ => Ok(()),
    }
}

/// The URL a person has to visit, if the router waits for one.
fn login_url(status: &Value) -> Option<&str> {
    status["AuthURL"].as_str().filter(|url| !url.is_empty())
}
