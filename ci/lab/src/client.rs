//! An official Tailscale client on a machine of its own.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::command::Output;
use crate::context::Context;
use crate::daemon::{Daemon, Supervised};
use crate::ensure;
use crate::internet::Host;
use crate::outcome::{Failure, Outcome};
use crate::status::Status;

/// Limit for a command that only asks the local daemon.
const ASK: Duration = Duration::from_secs(15);
/// Limit for logging in.
pub const LOGIN: Duration = Duration::from_secs(45);
/// Limit for two clients to see each other, once both are in.
pub const MEET: Duration = Duration::from_secs(30);
/// Limit for reaching a router of ours that was restarted. By itself, an official client needs 15 s to see that its
/// WireGuard session is gone.
pub const BACK: Duration = Duration::from_secs(8);

/// How relay traffic of a client is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relay {
    /// As released: over TLS.
    Tls,
    /// Over plain HTTP, by the client's debug switch.
    Http,
}

/// A client, its daemon running or not.
pub struct Client {
    /// Its machine.
    pub host: Host,
    /// Host name it asks for.
    pub name: String,
    /// Extra environment of its daemon, set before [`Client::launch`].
    pub environment: Vec<(String, String)>,
    /// Minor number of its version.
    pub minor: u32,
    binaries: PathBuf,
    dir: PathBuf,
    daemon: Supervised,
    context: Rc<Context>,
}

impl Client {
    /// A client that is installed but not started.
    pub fn install(host: Host, name: &str, relay: Relay) -> Outcome<Self> {
        let context = host.ns.context().clone();
        let version = context.next_version();
        let binaries = binaries(&context, &version)?;
        let dir = context.folder(&format!("{name}/tailscale"))?;
        let mut environment = vec![];
        if relay == Relay::Http {
            environment.push(("TS_DEBUG_USE_DERP_HTTP".to_owned(), "true".to_owned()));
        }
        let name = name.to_owned();
        let minor = crate::scenario::minor(&version);
        let daemon = Supervised::new(&name);
        Ok(Self { host, name, environment, minor, binaries, dir, daemon, context })
    }

    /// Puts another version in place of a stopped daemon's; its state stays.
    pub fn replace(&mut self, version: &str) -> Outcome {
        self.binaries = binaries(&self.context, version)?;
        self.minor = crate::scenario::minor(version);
        Ok(())
    }

    /// Starts the daemon, with a real TUN device, and waits for its socket.
    pub fn launch(&mut self) -> Outcome {
        let mut command = self.host.ns.command(self.binaries.join("tailscaled"));
        command
            .arg("--tun=tailscale0")
            .arg("--no-logs-no-support")
            .arg(format!("--statedir={}", self.dir.display()))
            .arg(format!("--state={}", self.dir.join("tailscaled.state").display()))
            .arg(format!("--socket={}", self.socket()))
            .env("HOME", &self.dir)
            .env("TS_LOGS_DIR", &self.dir)
            .env("TS_NO_LOGS_NO_SUPPORT", "true")
            // A client that turns to the official server has lost ours: let it be seen at once.
            .env("TS_PANIC_IF_HIT_MAIN_CONTROL", "true")
            .env("TS_DEBUG_FIREWALL_MODE", "nftables")
            .envs(self.environment.iter().map(|(k, v)| (k, v)));
        let daemon = self.host.ns.spawn(&self.name, &mut command)?;
        self.daemon.runs(daemon.answers(&self.context, ASK, || self.status().map(drop))?);
        Ok(())
    }

    /// Ends the daemon as a shutdown would.
    pub fn stop(&mut self) -> Outcome {
        self.daemon.stop()
    }

    /// Ends the daemon without a word, as a power cut would.
    pub fn kill(&mut self) -> Outcome {
        self.daemon.kill()
    }

    /// Runs the client's command line.
    pub fn tailscale(&self, words: &[&str], limit: Duration) -> Outcome<Output> {
        self.context.run(&mut self.command(words), limit)
    }

    /// The same in the background; output goes to `NAME.log`.
    pub fn tailscale_background(&self, name: &str, words: &[&str]) -> Outcome<Daemon> {
        self.host.ns.spawn(name, &mut self.command(words))
    }

    /// Asks the client's daemon itself, as its command line would, for what that has no words for.
    pub fn local_api(&self, path: &str) -> Outcome<Output> {
        let url = format!("http://local-tailscaled.sock/localapi/v0/{path}");
        let socket = self.socket();
        let words = ["curl", "-sS", "-m", "60", "-X", "POST", "-w", "\n%{http_code}", "--unix-socket", &socket, &url];
        self.run(&words, Duration::from_secs(70))
    }

    /// Number of the running process.
    pub fn pid(&self) -> Outcome<u32> {
        self.daemon.pid()
    }

    /// Runs a program on the client's machine.
    pub fn run(&self, words: &[&str], limit: Duration) -> Outcome<Output> {
        self.host.ns.run(words, limit)
    }

    /// `tailscale up` with a key, and waits until it is through.
    pub fn up(&self, url: &str, key: &str, flags: &[&str]) -> Outcome {
        let mut words = vec!["up", "--login-server", url, "--authkey", key];
        words.extend(["--hostname", self.name.as_str(), "--timeout", "40s"]);
        words.extend_from_slice(flags);
        self.tailscale(&words, LOGIN)?.ok()?;
        self.wait_state("Running", LOGIN)
    }

    /// `tailscale up` with a key for a client whose login no longer counts, or that is to get another key.
    pub fn log_in_again(&self, url: &str, key: &str) -> Outcome {
        let words = ["up", "--force-reauth", "--login-server", url, "--authkey", key, "--hostname", &self.name];
        self.tailscale(&words, LOGIN)?.ok().map(drop)
    }

    /// What the client says of itself and its peers.
    pub fn status(&self) -> Outcome<Status> {
        let mut command = self.command(&["status", "--json"]);
        let file = format!("{}.status.json", self.name);
        let output = self.context.run_quietly(&mut command, ASK, &file)?;
        Status::read(&output.stdout).map_err(|e| Failure(format!("{e}; {}", output.complaint())))
    }

    /// Waits for a backend state such as `Running` or `NeedsLogin`.
    pub fn wait_state(&self, state: &str, limit: Duration) -> Outcome {
        self.context.eventually(&format!("{} is {state}", self.name), limit, || {
            let now = self.status()?.backend();
            ensure!(now == state, "{now}");
            Ok(())
        })
    }

    /// The client's own IPv4 address in the tailnet.
    pub fn ip(&self) -> Outcome<String> {
        self.ip_of_family(false)
    }

    /// The client's own IPv6 address in the tailnet.
    pub fn ip6(&self) -> Outcome<String> {
        self.ip_of_family(true)
    }

    fn ip_of_family(&self, v6: bool) -> Outcome<String> {
        self.status()?
            .own_addresses()
            .into_iter()
            .find(|address| address.contains(':') == v6)
            .ok_or_else(|| Failure(format!("{} has no such address", self.name)))
    }

    /// Pings with the machine's own `ping` until one answer comes: real packets through TUN.
    pub fn reaches(&self, target: &str, limit: Duration) -> Outcome {
        self.context.eventually(&format!("{} reaches {target}", self.name), limit, || {
            self.run(&["ping", "-c", "1", "-W", "2", target], ASK)?.ok().map(drop)
        })
    }

    /// Fails if the machine's `ping` gets even one answer of three.
    pub fn does_not_reach(&self, target: &str) -> Outcome {
        let output = self.run(&["ping", "-c", "3", "-i", "0.3", "-W", "1", target], ASK)?;
        ensure!(!output.success(), "{} still reaches {target}", self.name);
        Ok(())
    }

    /// Waits for a direct path to a peer.
    pub fn direct_to(&self, peer: &str, limit: Duration) -> Outcome {
        self.context.eventually(&format!("{} has a direct path to {peer}", self.name), limit, || {
            let words = ["ping", "--until-direct", "-c", "10", "--timeout", "2s", peer];
            let output = self.tailscale(&words, ASK)?;
            let last = output.stdout.lines().last().unwrap_or_default();
            ensure!(output.success() && !last.contains("DERP"), "{}", output.complaint());
            Ok(())
        })
    }

    /// Waits for an answer of a peer by way of a relay.
    pub fn relayed_to(&self, peer: &str, limit: Duration) -> Outcome {
        self.context.eventually(&format!("{} has a relayed path to {peer}", self.name), limit, || {
            let words = ["ping", "--until-direct=false", "-c", "1", "--timeout", "4s", peer];
            let output = self.tailscale(&words, ASK)?.ok()?;
            ensure!(output.stdout.contains("via DERP("), "{}", output.stdout.trim());
            Ok(())
        })
    }

    /// Stays on the relay: of `count` pings none may find another way.
    pub fn stays_relayed(&self, peer: &str, count: usize) -> Outcome {
        for _ in 0..count {
            let words = ["ping", "--until-direct=false", "-c", "1", "--timeout", "4s", peer];
            let output = self.tailscale(&words, ASK)?.ok()?;
            ensure!(output.stdout.contains("via DERP("), "{} left the relay: {}", self.name, output.stdout.trim());
            std::thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    }

    /// Waits until a peer is in the client's map and, if asked, online.
    pub fn sees(&self, peer: &str, limit: Duration) -> Outcome {
        self.context.eventually(&format!("{} sees {peer} online", self.name), limit, || {
            let status = self.status()?;
            let found = status.peer(peer).ok_or_else(|| format!("peers: {:?}", status.peer_names()))?;
            ensure!(found["Online"] == true, "offline");
            Ok(())
        })
    }

    /// Waits until a peer is no longer in the client's map.
    pub fn forgets(&self, peer: &str, limit: Duration) -> Outcome {
        self.context.eventually(&format!("{} no longer sees {peer}", self.name), limit, || {
            ensure!(self.status()?.peer(peer).is_none(), "still there");
            Ok(())
        })
    }

    /// What is shared with the rest of the scenario.
    pub fn context(&self) -> &Rc<Context> {
        &self.context
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = self.host.ns.command(self.binaries.join("tailscale"));
        command.arg(format!("--socket={}", self.socket())).args(words).env("HOME", &self.dir);
        command
    }

    fn socket(&self) -> String {
        self.dir.join("d.sock").to_string_lossy().into_owned()
    }
}

fn binaries(context: &Context, version: &str) -> Outcome<PathBuf> {
    let binaries = context.options.clients_dir.join(version);
    ensure!(binaries.join("tailscaled").exists(), "client {version} is not built: run `ci/clients/build {version}`");
    Ok(binaries)
}
