//! The other control server that people run: Headscale itself, on the machine of the server (ci/clients/headscale).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use crate::command::Output;
use crate::context::Context;
use crate::daemon::Daemon;
use crate::ensure;
use crate::internet::{Host, SERVER};
use crate::outcome::Outcome;
use crate::server_config::PORT;

const COMMAND: Duration = Duration::from_secs(20);

/// Headscale with its folder, running or not.
pub struct Headscale {
    program: PathBuf,
    folder: String,
    daemon: Option<Daemon>,
    context: Rc<Context>,
}

/// The whole configuration; `tls` are certificate and key.
fn config(folder: &str, url: &str, tls: Option<(&Path, &Path)>) -> String {
    let tls = tls.map_or_else(String::new, |(cert, key)| {
        format!("tls_cert_path: {}\ntls_key_path: {}\n", cert.display(), key.display())
    });
    format!(
        "server_url: {url}\nlisten_addr: 0.0.0.0:{PORT}\nmetrics_listen_addr: 127.0.0.1:9090\ngrpc_listen_addr: 127.0.0.1:50443\n\
         noise: {{private_key_path: {folder}/noise_private.key}}\n\
         prefixes: {{v4: 100.64.0.0/10, v6: \"fd7a:115c:a1e0::/48\", allocation: sequential}}\n\
         derp: {{server: {{enabled: true, region_id: 999, region_code: home, region_name: Home, stun_listen_addr: \"0.0.0.0:3478\", \
         private_key_path: {folder}/derp_server_private.key, automatically_add_embedded_derp_region: true, ipv4: {SERVER}}}, \
         urls: [], paths: [], auto_update_enabled: false}}\n\
         database: {{type: sqlite, sqlite: {{path: {folder}/db.sqlite}}}}\n\
         dns: {{magic_dns: true, base_domain: lab.internal, override_local_dns: false, nameservers: {{global: []}}}}\n\
         policy: {{mode: database}}\nunix_socket: {folder}/headscale.sock\nunix_socket_permission: \"0770\"\n{tls}"
    )
}

impl Headscale {
    /// Starts it on a machine, with what it stores in `folder`.
    pub fn start(host: &Host, folder: &str, url: &str, tls: Option<(&Path, &Path)>) -> Outcome<Self> {
        let context = host.ns.context().clone();
        let program = context.options.clients_dir.with_file_name("headscale").join("headscale");
        ensure!(program.exists(), "{} is missing: build it with ci/clients/headscale", program.display());
        std::fs::create_dir_all(folder)?;
        std::fs::write(format!("{folder}/config.yaml"), config(folder, url, tls))?;
        let mut made = Self { program, folder: folder.to_owned(), daemon: None, context };
        made.launch(host)?;
        Ok(made)
    }

    /// Starts it again.
    pub fn launch(&mut self, host: &Host) -> Outcome {
        let mut command = host.ns.command(&self.program);
        command.args(["-c", &self.config_file(), "serve"]);
        self.daemon = Some(host.ns.spawn("headscale", &mut command)?);
        self.context.eventually("Headscale answers", COMMAND, || self.command(&["users", "list"])?.ok().map(drop))
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) -> Outcome {
        self.daemon.take().map_or(Ok(()), Daemon::kill)
    }

    /// Runs its command line.
    pub fn command(&self, words: &[&str]) -> Outcome<Output> {
        let mut command = Command::new(&self.program);
        command.args(["-c", &self.config_file()]).args(words);
        self.context.run(&mut command, COMMAND)
    }

    /// Makes a user, who has number 1 when it is the first, and a reusable key for it.
    pub fn user_with_key(&self, name: &str, email: &str) -> Outcome<String> {
        self.command(&["users", "create", name, "--email", email])?.ok()?;
        let key = self.command(&["preauthkeys", "create", "--user", "1", "--reusable"])?.ok()?.stdout;
        Ok(key.lines().last().unwrap_or_default().trim().to_owned())
    }

    /// Its database.
    pub fn database(&self) -> String {
        format!("{}/db.sqlite", self.folder)
    }

    fn config_file(&self) -> String {
        format!("{}/config.yaml", self.folder)
    }
}
