//! Hearthgate's own subnet router on a machine of its own.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::command::Output;
use crate::context::Context;
use crate::daemon::Supervised;
use crate::ensure;
use crate::internet::Host;
use crate::outcome::{Failure, Outcome};
use crate::status::Status;

/// Limit for a command that only asks the local router.
const ASK: Duration = Duration::from_secs(20);
/// Limit for joining.
const JOIN: Duration = Duration::from_secs(30);

/// A router, running or not.
pub struct Router {
    /// Its machine.
    pub host: Host,
    /// Host name it asks for.
    pub name: String,
    dir: PathBuf,
    daemon: Supervised,
    context: Rc<Context>,
}

impl Router {
    /// Joins with a key; `flags` are those of `router up`.
    pub fn join(host: Host, name: &str, url: &str, key: &str, flags: &[&str]) -> Outcome<Self> {
        let mut router = Self::install(host, name)?;
        let mut words = vec!["--login-server", url, "--authkey", key, "--hostname", name];
        words.extend_from_slice(flags);
        router.launch(&words)?;
        Ok(router)
    }

    /// Starts it and waits until it is in. Without flags it comes back with what it has stored.
    pub fn launch(&mut self, flags: &[&str]) -> Outcome {
        self.start(flags)?;
        self.context.eventually(&format!("{} is in", self.name), JOIN, || {
            let state = self.status()?.backend();
            ensure!(state == "Running", "{state}");
            Ok(())
        })
    }

    /// A router on its machine that has not joined yet, to be started with flags.
    pub fn install(host: Host, name: &str) -> Outcome<Self> {
        let context = host.ns.context().clone();
        let dir = context.folder(&format!("{name}/router"))?;
        Ok(Self { host, name: name.to_owned(), dir, daemon: Supervised::new(name), context })
    }

    /// Starts it without waiting for the control server.
    pub fn start(&mut self, flags: &[&str]) -> Outcome {
        let state = self.dir.join("state");
        let mut command = self.command(&["router", "up", "--verbose"]);
        command.arg("--state-dir").arg(state).args(flags);
        let daemon = self.host.ns.spawn(&self.name, &mut command)?;
        self.daemon.runs(daemon.answers(&self.context, ASK, || self.status().map(drop))?);
        Ok(())
    }

    /// Ends it as a service manager would.
    pub fn stop(&mut self) -> Outcome {
        self.daemon.stop()
    }

    /// Ends it without a word, as a power cut would.
    pub fn kill(&mut self) -> Outcome {
        self.daemon.kill()
    }

    /// Fails if it has ended by itself.
    pub fn check(&mut self) -> Outcome {
        self.daemon.check()
    }

    /// Runs one of the router's commands.
    pub fn hearthgate(&self, words: &[&str], limit: Duration) -> Outcome<Output> {
        self.context.run(&mut self.command(words), limit)
    }

    /// Everything it has written to its log.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Number of the running process.
    pub fn pid(&self) -> Outcome<u32> {
        self.daemon.pid()
    }

    /// Runs a program on its machine.
    pub fn run(&self, words: &[&str], limit: Duration) -> Outcome<Output> {
        self.host.ns.run(words, limit)
    }

    /// What it says of itself and its peers.
    pub fn status(&self) -> Outcome<Status> {
        let file = format!("{}.status.json", self.name);
        let output = self.context.run_quietly(&mut self.command(&["status", "--json"]), ASK, &file)?;
        Status::read(&output.stdout).map_err(|e| Failure(format!("{e}; {}", output.complaint())))
    }

    /// Its own IPv4 address in the tailnet.
    pub fn ip(&self) -> Outcome<String> {
        let addresses = self.status()?.own_addresses();
        let v4 = addresses.into_iter().find(|address| !address.contains(':'));
        v4.ok_or_else(|| Failure(format!("{} has no address", self.name)))
    }

    /// Pings with the machine's own `ping` until one answer comes: real packets through the tunnel.
    pub fn reaches(&self, target: &str, limit: Duration) -> Outcome {
        self.context.eventually(&format!("{} reaches {target}", self.name), limit, || {
            self.run(&["ping", "-c", "1", "-W", "2", target], ASK)?.ok().map(drop)
        })
    }

    /// Waits until a peer is in its map and online.
    pub fn sees(&self, peer: &str, limit: Duration) -> Outcome {
        self.context.eventually(&format!("{} sees {peer} online", self.name), limit, || {
            let status = self.status()?;
            let found = status.peer(peer).ok_or_else(|| format!("peers: {:?}", status.peer_names()))?;
            ensure!(found["Online"] == true, "offline");
            Ok(())
        })
    }

    /// Waits for an answer to `hearthgate ping` whose words contain `via`.
    pub fn pings(&self, peer: &str, via: &str, limit: Duration) -> Outcome {
        self.context.eventually(&format!("{} pings {peer} via {via}", self.name), limit, || {
            let output = self.hearthgate(&["ping", "-c", "1", "--until-direct=false", peer], ASK)?.ok()?;
            ensure!(output.stdout.contains(via), "{}", output.stdout.trim());
            Ok(())
        })
    }

    /// Waits until `hearthgate ping` is answered straight from the peer.
    pub fn direct_to(&self, peer: &str, limit: Duration) -> Outcome {
        self.context.eventually(&format!("{} has a direct path to {peer}", self.name), limit, || {
            let output = self.hearthgate(&["ping", "-c", "1", "--until-direct=false", peer], ASK)?.ok()?;
            ensure!(output.stdout.contains(" via ") && !output.stdout.contains("DERP"), "{}", output.stdout.trim());
            Ok(())
        })
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let (program, binary) = self.context.options.program();
        let mut command = self.host.ns.command(program);
        command.args(binary).args(words).arg("--socket").arg(self.dir.join("r.sock"));
        command
    }
}
