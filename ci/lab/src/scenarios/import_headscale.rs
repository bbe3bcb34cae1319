//! A tailnet moves from Headscale to hearthgate: the same address, other program; clients go on without a new login.
//!
//! ```text
//!        internet
//!    ____|____|_____
//!   |        |      |
//! server     a      gw (advertises a route)
//! ```
//! Needs Headscale itself (ci/clients/headscale), so it is not among `all`.

use std::process::Command;
use std::time::Duration;

use crate::client::MEET;
use crate::command::Output;
use crate::ensure;
use crate::internet::SERVER;
use crate::lab::Lab;
use crate::outcome::{Failure, Outcome};
use crate::scenario::Scenario;
use crate::server_config::{PLAIN, PORT, url};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "import-headscale",
    summary: "clients of a real Headscale go on with hearthgate after an import",
    limit: Duration::from_secs(240),
    usual: false,
    run,
    ..Scenario::BASE
};

const COMMAND: Duration = Duration::from_secs(20);
const RECONNECT: Duration = Duration::from_secs(60);
const ROUTE: &str = "192.168.77.0/24";

fn config(folder: &str) -> String {
    format!(
        "server_url: {}\nlisten_addr: 0.0.0.0:{PORT}\nmetrics_listen_addr: 127.0.0.1:9090\ngrpc_listen_addr: 127.0.0.1:50443\n\
         noise: {{private_key_path: {folder}/noise_private.key}}\n\
         prefixes: {{v4: 100.64.0.0/10, v6: \"fd7a:115c:a1e0::/48\", allocation: sequential}}\n\
         derp: {{server: {{enabled: true, region_id: 999, region_code: home, region_name: Home, stun_listen_addr: \"0.0.0.0:3478\", \
         private_key_path: {folder}/derp_server_private.key, automatically_add_embedded_derp_region: true, ipv4: {SERVER}}}, \
         urls: [], paths: [], auto_update_enabled: false}}\n\
         database: {{type: sqlite, sqlite: {{path: {folder}/db.sqlite}}}}\n\
         dns: {{magic_dns: true, base_domain: lab.internal, override_local_dns: false, nameservers: {{global: []}}}}\n\
         policy: {{mode: database}}\nunix_socket: {folder}/headscale.sock\nunix_socket_permission: \"0770\"\n",
        url()
    )
}

fn run(lab: &mut Lab) -> Outcome {
    let program = lab.context.options.clients_dir.with_file_name("headscale").join("headscale");
    ensure!(program.exists(), "{} is missing: build it with ci/clients/headscale", program.display());
    // Hearthgate's own folder and address are made first; nothing of it runs while Headscale does.
    lab.serve_with(PLAIN, &url())?;
    lab.server()?.stop()?;
    let folder = lab.server()?.file("headscale");
    std::fs::create_dir_all(&folder)?;
    let file = format!("{folder}/config.yaml");
    std::fs::write(&file, config(&folder))?;
    let headscale = |lab: &Lab, words: &[&str]| -> Outcome<Output> {
        let mut command = Command::new(&program);
        command.args(["-c", &file]).args(words);
        lab.context.run(&mut command, COMMAND)
    };
    let mut command = lab.server()?.host.ns.command(&program);
    command.args(["-c", &file, "serve"]);
    let running = lab.server()?.host.ns.spawn("headscale", &mut command)?;
    lab.context.eventually("Headscale answers", COMMAND, || headscale(lab, &["users", "list"])?.ok().map(drop))?;
    headscale(lab, &["users", "create", "anna", "--email", "anna@home.example"])?.ok()?;
    let key = headscale(lab, &["preauthkeys", "create", "--user", "1", "--reusable"])?.ok()?.stdout;
    let key = key.lines().last().unwrap_or_default().trim().to_owned();
    let a = lab.join("a", &key, &[])?;
    let gw = lab.join("gw", &key, &[&format!("--advertise-routes={ROUTE}")])?;
    a.reaches("gw", MEET)?;
    headscale(lab, &["nodes", "approve-routes", "-i", "2", "-r", ROUTE])?.ok()?;
    headscale(lab, &["nodes", "rename", "-i", "1", "laptop"])?.ok()?;
    lab.pause(Duration::from_secs(2));
    let before = (a.status()?.own_addresses(), gw.status()?.own_addresses());
    // As a power cut would: part of it is in the write-ahead log only.
    running.kill()?;

    let db = format!("{folder}/db.sqlite");
    let dry = lab.server()?.command(&["import", "headscale", "--db", &db, "--dry-run"])?.ok()?.stdout;
    ensure!(dry.contains("laptop") && dry.contains("dry run"), "{dry}");
    let not_empty = lab.server()?.command(&["import", "headscale", "--db", &db])?;
    ensure!(not_empty.success(), "hearthgate's folder has no tailnet yet: {}", not_empty.complaint());
    let twice = lab.server()?.command(&["import", "headscale", "--db", &db])?;
    ensure!(!twice.success(), "imported over a tailnet: {}", twice.stdout);
    lab.server()?.wipe("log")?;
    lab.server()?.command(&["import", "headscale", "--db", &db])?.ok()?;
    lab.server()?.launch()?;
    for name in ["laptop", "gw"] {
        lab.server()?.wait_online(name, true, RECONNECT)?;
    }
    ensure!(a.status()?.backend() == "Running" && gw.status()?.backend() == "Running", "a client was logged out");
    let after = (a.status()?.own_addresses(), gw.status()?.own_addresses());
    ensure!(after == before, "addresses were {before:?}, now {after:?}");
    a.reaches("gw", MEET)?;
    gw.reaches("laptop", MEET)?;
    let node = lab.server()?.node("gw")?;
    ensure!(node["user"]["email"] == "anna@home.example", "{node}");
    lab.context.eventually("gw serves its route", MEET, || {
        let node = lab.running()?.node("gw")?;
        if node["subnetRoutes"].to_string().contains(ROUTE) { Ok(()) } else { Err(Failure(node.to_string())) }
    })?;
    // New devices get new numbers and addresses.
    let key = lab.server()?.key("1", &[])?;
    let c = lab.join("c", &key, &[])?;
    c.reaches("gw", MEET)
}
