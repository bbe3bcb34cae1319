//! The server under test, and its command line.

use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::command::Output;
use crate::context::Context;
use crate::daemon::Supervised;
use crate::ensure;
use crate::internet::Host;
use crate::outcome::{Failure, Outcome};
use crate::server_config::{self, PORT};

/// Limit for one command of the server's command line.
const COMMAND: Duration = Duration::from_secs(15);
/// Limit for the server to answer after its start.
const START: Duration = Duration::from_secs(20);

/// A Hearthgate in the server namespace.
pub struct Server {
    /// Its machine.
    pub host: Host,
    /// What clients are told to log in to.
    pub url: String,
    config: PathBuf,
    state: PathBuf,
    /// Store engine other than the configured one.
    engine: Option<&'static str>,
    /// Further environment.
    more: Vec<(String, String)>,
    daemon: Supervised,
    context: Rc<Context>,
}

impl Server {
    /// Writes the configuration and starts it. `url` is what clients and the server itself use.
    pub fn start(host: Host, config: &str, url: &str) -> Outcome<Self> {
        Self::start_in(host, config, url, Vec::new())
    }

    /// The same with more in its environment.
    pub fn start_in(host: Host, config: &str, url: &str, environment: Vec<(String, String)>) -> Outcome<Self> {
        let context = host.ns.context().clone();
        let state = context.folder("server/state")?;
        let file = context.folder("server")?.join("config.toml");
        std::fs::write(&file, config)?;
        let mut server = Self {
            host,
            url: url.to_owned(),
            config: file,
            state,
            engine: None,
            more: environment,
            daemon: Supervised::new("the server"),
            context,
        };
        server.launch()?;
        Ok(server)
    }

    /// Starts the program and waits until it answers.
    pub fn launch(&mut self) -> Outcome {
        let (program, binary) = self.context.options.program();
        let mut command = self.host.ns.command(program);
        command.args(binary).arg("serve").arg("--config").arg(&self.config);
        self.environment(&mut command);
        let daemon = self.host.ns.spawn("server", &mut command)?;
        let health = format!("http://127.0.0.1:{PORT}/health");
        let daemon = daemon.answers(&self.context, START, || {
            let mut curl = self.host.ns.command("curl");
            curl.args(["-fsS", "-m", "2", health.as_str()]);
            self.context.run_quietly(&mut curl, COMMAND, "health.json")?.ok().map(drop)
        })?;
        self.daemon.runs(daemon);
        Ok(())
    }

    /// Ends it as a service manager would.
    pub fn stop(&mut self) -> Outcome {
        self.daemon.stop()
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) -> Outcome {
        self.daemon.kill()
    }

    /// Removes everything it has stored, as when a flash card is replaced, and chooses the engine of its next state.
    pub fn wipe(&mut self, engine: &'static str) -> Outcome {
        std::fs::remove_dir_all(&self.state)?;
        std::fs::create_dir(&self.state)?;
        self.engine = Some(engine);
        Ok(())
    }

    /// Gives it another configuration for its next start.
    pub fn configure(&mut self, config: &str) -> Outcome {
        Ok(std::fs::write(&self.config, config)?)
    }

    /// A path for a file beside its state.
    pub fn file(&self, name: &str) -> String {
        self.state.with_file_name(name).display().to_string()
    }

    /// Number of the running process.
    pub fn pid(&self) -> Outcome<u32> {
        self.daemon.pid()
    }

    /// Fails if the server has ended by itself.
    pub fn check(&mut self) -> Outcome {
        self.daemon.check()
    }

    /// Runs one command of its command line, e.g. `nodes list -o json`.
    pub fn command(&self, words: &[&str]) -> Outcome<Output> {
        self.context.run(&mut self.prepare(words), COMMAND)
    }

    fn prepare(&self, words: &[&str]) -> Command {
        let (program, binary) = self.context.options.program();
        let mut command = Command::new(program);
        command.args(binary).args(words);
        self.environment(&mut command);
        command
    }

    /// The same with JSON output, read.
    pub fn json(&self, words: &[&str]) -> Outcome<Value> {
        let mut words = words.to_vec();
        words.extend(["-o", "json"]);
        let file = format!("server.{}.json", words.iter().take(2).copied().collect::<Vec<_>>().join("-"));
        let mut command = self.prepare(&words);
        let output = self.context.run_quietly(&mut command, COMMAND, &file)?.ok()?;
        serde_json::from_str(&output.stdout)
            .map_err(|e| Failure(format!("`{}` is not JSON: {e}: {}", output.line, output.stdout)))
    }

    /// Makes a user and gives its id.
    pub fn user(&self, name: &str) -> Outcome<String> {
        self.command(&["users", "create", name])?.ok()?;
        let users = self.json(&["users", "list"])?;
        let user = list(&users)
            .iter()
            .find(|user| user["name"] == name)
            .ok_or_else(|| Failure(format!("user {name} is not in the list: {users}")))?;
        id(user)
    }

    /// Makes a pre-auth key.
    pub fn key(&self, user_id: &str, flags: &[&str]) -> Outcome<String> {
        self.make_key(user_id, "1h", flags)
    }

    /// Makes a pre-auth key with a lifetime such as `1s`.
    pub fn short_key(&self, user_id: &str, lifetime: &str) -> Outcome<String> {
        self.make_key(user_id, lifetime, &["--reusable"])
    }

    fn make_key(&self, user_id: &str, lifetime: &str, flags: &[&str]) -> Outcome<String> {
        let mut words = vec!["preauthkeys", "create", "-u", user_id, "-e", lifetime];
        words.extend_from_slice(flags);
        let key = self.json(&words)?;
        let text = key["key"].as_str().unwrap_or_default();
        ensure!(!text.is_empty(), "no key in {key}");
        Ok(text.to_owned())
    }

    /// All nodes.
    pub fn nodes(&self) -> Outcome<Vec<Value>> {
        Ok(list(&self.json(&["nodes", "list"])?).to_vec())
    }

    /// The node with that name in DNS.
    pub fn node(&self, name: &str) -> Outcome<Value> {
        let nodes = self.nodes()?;
        let found = nodes.iter().find(|node| field(node, "givenName", "given_name") == name);
        found.cloned().ok_or_else(|| Failure(format!("no node {name} in {}", names(&nodes))))
    }

    /// Its id.
    pub fn node_id(&self, name: &str) -> Outcome<String> {
        id(&self.node(name)?)
    }

    /// Its addresses as the server has them.
    pub fn addresses(&self, name: &str) -> Outcome<Vec<String>> {
        Ok(strings(field(&self.node(name)?, "ipAddresses", "ip_addresses")))
    }

    /// Approves routes of a node, by its name.
    pub fn approve(&self, name: &str, prefixes: &str) -> Outcome {
        let id = self.node_id(name)?;
        self.command(&["nodes", "approve-routes", "-i", &id, "-r", prefixes])?.ok().map(drop)
    }

    /// Waits until the server says that a node is, or is not, connected.
    pub fn wait_online(&self, name: &str, online: bool, limit: Duration) -> Outcome {
        let what = format!("the server has {name} as {}", if online { "online" } else { "offline" });
        self.context.eventually(&what, limit, || {
            let node = self.node(name)?;
            ensure!(node["online"].as_bool().unwrap_or(false) == online, "{node}");
            Ok(())
        })
    }

    fn environment(&self, command: &mut Command) {
        // Nothing of the caller's configuration: a run has to come out the same everywhere.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HEARTHGATE_") {
                command.env_remove(&name);
            }
        }
        command
            .env("HEARTHGATE_LOG_LEVEL", "debug")
            .env("HEARTHGATE_CONFIG", &self.config)
            .env("HEARTHGATE_STATE_DIR", &self.state)
            .env("HEARTHGATE_LISTEN_ADDR", format!("0.0.0.0:{PORT}"))
            .env("HEARTHGATE_SERVER_URL", &self.url);
        command.envs(self.more.iter().map(|(k, v)| (k, v)));
        if let Some(engine) = self.engine {
            command.env("HEARTHGATE_STORE_ENGINE", engine);
        }
    }
}

/// A node's field. The JSON output follows the HTTP API's spelling; the second spelling is the
/// one of older scripts.
pub fn field<'a>(node: &'a Value, name: &str, older: &str) -> &'a Value {
    node.get(name).unwrap_or_else(|| &node[older])
}

/// A list of texts.
pub fn strings(value: &Value) -> Vec<String> {
    list(value).iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// A list, where JSON `null` means an empty one.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The `id` of a user or node: a number, or a text with one in it.
fn id(value: &Value) -> Outcome<String> {
    match &value["id"] {
        Value::String(text) if !text.is_empty() => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(Failure(format!("no id in {value}"))),
    }
}

fn names(nodes: &[Value]) -> String {
    let names: Vec<String> = nodes.iter().map(|n| field(n, "givenName", "given_name").to_string()).collect();
    format!("[{}]", names.join(", "))
}

/// The configuration of the plain case, for scenarios without wishes.
pub fn plain(host: Host) -> Outcome<Server> {
    Server::start(host, server_config::PLAIN, &server_config::url())
}
