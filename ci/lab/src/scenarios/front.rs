//! A box that nothing reaches, behind the hardest NAT, and a front on the Internet. Clients know a name only, which leads
//! to the front; TLS ends at the box. The front tells that nothing reaches the box; ports are opened, and it tells that
//! too, and a client that comes by itself is seen. Both sides are killed, and the box is revoked.
//!
//! ```text
//!          internet (control.test = front)
//!     ________|__________________
//!    |        |        |         |
//!   home    front      a         rb     easy NAT
//!    | hard NAT                  |
//!  server                        b
//! ```

use std::path::Path;
use std::time::Duration;

use crate::client::{Client, MEET, Relay};
use crate::daemon::Daemon;
use crate::ensure;
use crate::internet::{GATEWAY, Host};
use crate::lab::Lab;
use crate::nat::NatKind;
use crate::outcome::{Failure, Outcome};
use crate::scenario::Scenario;
use crate::scenarios::acme::{self, NAME};
use crate::server_config::PORT;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "front",
    summary: "a box that nothing reaches: join through a front, direct and relayed paths, restarts, revoked",
    limit: Duration::from_secs(300),
    programs: &["openssl"],
    run,
    ..Scenario::BASE
};

pub(super) const ACME: Scenario = Scenario {
    name: "front-acme",
    summary: "a box behind a front gets its certificate by TLS-ALPN-01, which the front passes on like a client",
    limit: Duration::from_secs(180),
    programs: &["openssl"],
    run: run_acme,
    ..Scenario::BASE
};

/// Port of a URL without one, and of the front.
const HTTPS: u16 = 443;
/// What plays the Internet here has private addresses, which a front would else not take for it.
const INTERNET: &str = "10.77.0.0/24";
/// A public address of a client.
const PUBLIC: &str = "203.0.113.5";
const STEP: Duration = Duration::from_secs(15);
/// Time for a tunnel to come back: the waits of both sides, with room for a busy machine.
const BACK: Duration = Duration::from_secs(60);

fn run(lab: &mut Lab) -> Outcome {
    let folder = lab.context.folder("front")?;
    let front = lab.internet()?.host("front")?;
    let mut daemon = start(lab, &front)?;
    let line = pairing_line(lab, &mut daemon)?;

    let mut home = lab.internet()?.router("home", NatKind::Hard)?;
    let host = home.host("server")?;
    let inside = host.address.clone();
    certificate(lab, &folder, NAME)?;
    let url = format!("https://{NAME}");
    lab.serve_in(host, &config(&folder), &url, Vec::new())?;
    let nothing = front.ns.run(&["curl", "-sS", "-m", "3", &format!("http://{}:{PORT}/health", home.address)], STEP)?;
    ensure!(!nothing.success(), "the box can be reached from outside: {}", nothing.stdout);
    lab.server()?.command(&["front", "pair", &line])?.ok()?;
    connected(lab)?;
    let seen = outside(lab)?;
    ensure!(seen["reachable"] == false && seen["tcp"] == "silent" && seen["stun"] == "silent", "{seen}");
    ensure!(seen["address"] == home.address.as_str() && remedy(&seen), "{seen}");

    let key = lab.reusable_key("alice")?;
    let mut router = lab.internet()?.router("rb", NatKind::Easy)?;
    let hosts = [("a", lab.internet()?.host("a")?), ("b", router.host("b")?)];
    let mut clients = Vec::new();
    for (name, host) in hosts {
        host.ns.hosts_line(&format!("{} {NAME}", front.address))?;
        let mut client = Client::install(host, name, Relay::Tls)?;
        let roots = folder.join("cert.pem").to_string_lossy().into_owned();
        client.environment.push(("SSL_CERT_FILE".into(), roots));
        client.launch()?;
        client.up(&url, &key, &[])?;
        clients.push(client);
    }
    let [a, b] = clients.as_slice() else { return Err("two clients".into()) };
    a.sees("b", MEET)?;
    // Through what the front's STUN says: nothing else here tells b its public address.
    a.direct_to("b", MEET)?;
    a.reaches(&b.ip()?, MEET)?;
    only_what_strangers_may_have(lab, a, &home.ns, &inside)?;

    for client in [a, b] {
        client.host.block_udp()?;
    }
    a.relayed_to("b", BACK)?;
    let status = a.tailscale(&["ping", "--c=1", "--until-direct=false", "b"], STEP)?.ok()?.stdout;
    ensure!(status.contains("DERP(front)"), "not by the front's own relay: {status}");
    a.reaches(&b.ip()?, MEET)?;

    // A front without its relay: the box's own serves, through the tunnel.
    daemon.kill()?;
    let mut daemon = start_with(lab, &front, &["--without-relay"])?;
    connected(lab)?;
    online(lab)?;
    a.relayed_to("b", BACK)?;
    let status = a.tailscale(&["ping", "--c=1", "--until-direct=false", "b"], STEP)?.ok()?.stdout;
    ensure!(status.contains("DERP(home)"), "not by the box's relay: {status}");
    daemon.check()?;

    // The box loses its power.
    lab.server()?.kill()?;
    lab.server()?.launch()?;
    connected(lab)?;
    online(lab)?;
    a.reaches(&b.ip()?, MEET)?;

    // The owner forwards the ports, and a client knows the way without the front.
    home.ns.nft(&forwards(&inside))?;
    let seen = outside(lab)?;
    ensure!(seen["reachable"] == true && seen["ours"] == true && seen["stun"] == "answered", "{seen}");
    ensure!(!remedy(&seen), "{seen}");
    let visit = lab.running()?.json(&["front", "status"])?["visit"].clone();
    ensure!(visit.is_null(), "nobody came by themselves: {visit}");
    let a = clients.first_mut().ok_or("two clients")?;
    comes_by_itself(lab, a, &home.address)?;
    lab.context.eventually("the box saw a device from outside", BACK, || {
        let visit = lab.running()?.json(&["front", "status"])?["visit"].clone();
        ensure!(visit["name"] == "a", "{visit}");
        Ok(())
    })?;

    let state = lab.context.folder("front/state")?.to_string_lossy().into_owned();
    let (program, binary) = lab.context.options.program();
    let mut revoke = front.ns.command(program);
    revoke.args(binary).args(["front", "revoke", NAME, "--state-dir", &state]);
    lab.context.run(&mut revoke, STEP)?.ok()?;
    lab.context.eventually("the box is told that it was revoked", BACK, || {
        let status = lab.running()?.json(&["front", "status"])?;
        ensure!(status["state"] == "refused", "{status}");
        Ok(())
    })?;
    daemon.stop()
}

fn run_acme(lab: &mut Lab) -> Outcome {
    let front = lab.internet()?.host("front")?;
    let mut daemon = start(lab, &front)?;
    let line = pairing_line(lab, &mut daemon)?;
    let folder = lab.context.folder("authority")?;
    let authority = lab.internet()?.host("authority")?;
    let _pebble = acme::pebble(lab, &authority, &folder, &acme::Looks::at(&front.address, HTTPS))?;

    let mut home = lab.internet()?.router("home", NatKind::Hard)?;
    let host = home.host("server")?;
    host.ns.hosts_line(&format!("{} {}", authority.address, acme::AUTHORITY))?;
    let url = format!("https://{NAME}");
    // The pairing stands in the configuration this time.
    let config = format!(
        "tls_letsencrypt_hostname = \"{NAME}\"\ntls_letsencrypt_challenge_type = \"TLS-ALPN-01\"\n\
         acme_url = \"https://{}:14000/dir\"\n[dns]\nbase_domain = \"lab.internal\"\n[front]\npairing = \"{line}\"\n",
        acme::AUTHORITY
    );
    let roots = folder.join("cert.pem").to_string_lossy().into_owned();
    lab.serve_in(host, &config, &url, vec![("SSL_CERT_FILE".into(), roots)])?;
    connected(lab)?;
    lab.context.eventually("the certificate is there, at the front's address", acme::ORDER, || {
        acme::shown(&authority, &folder, &front.address, HTTPS).map(drop)
    })?;

    let key = lab.reusable_key("alice")?;
    let host = lab.internet()?.host("a")?;
    host.ns.hosts_line(&format!("{} {NAME}", front.address))?;
    let mut client = Client::install(host, "a", Relay::Tls)?;
    client.environment.push(("SSL_CERT_FILE".into(), folder.join("roots.pem").to_string_lossy().into_owned()));
    client.launch()?;
    client.up(&url, &key, &[])?;
    lab.server()?.wait_online("a", true, MEET)?;
    daemon.stop()
}

/// Starts the front with its relay.
fn start(lab: &Lab, host: &Host) -> Outcome<Daemon> {
    start_with(lab, host, &[])
}

fn start_with(lab: &Lab, host: &Host, flags: &[&str]) -> Outcome<Daemon> {
    let state = lab.context.folder("front/state")?;
    let (program, binary) = lab.context.options.program();
    let mut command = host.ns.command(program);
    command.args(binary).args(["front", "--hostname", &host.address, "--public-networks", INTERNET, "--state-dir"]);
    command.arg(state).args(flags);
    let mut daemon = host.ns.spawn("front", &mut command)?;
    lab.context.eventually("the front listens", STEP, || {
        daemon.check()?;
        let url = format!("http://{}:443/", host.address);
        let answer = host.ns.run(&["curl", "-sS", "-m", "2", &url], STEP)?.stdout;
        ensure!(answer.contains("https://"), "plain http is not turned away: {answer}");
        Ok(())
    })?;
    Ok(daemon)
}

/// The line that it printed.
fn pairing_line(lab: &Lab, daemon: &mut Daemon) -> Outcome<String> {
    lab.context.eventually("the front prints a line", STEP, || {
        daemon.check()?;
        let output = daemon.output();
        let line = output.lines().map(str::trim).find(|l| l.starts_with("hgfront-"));
        line.map(str::to_owned).ok_or_else(|| Failure(format!("no line in {output}")))
    })
}

fn connected(lab: &mut Lab) -> Outcome {
    lab.context.eventually("the box has its tunnel", BACK, || {
        let status = lab.running()?.json(&["front", "status"])?;
        ensure!(status["state"] == "connected", "{status}");
        Ok(())
    })
}

fn online(lab: &mut Lab) -> Outcome {
    for name in ["a", "b"] {
        lab.server()?.wait_online(name, true, BACK)?;
    }
    Ok(())
}

/// What the front sees of the box from outside.
fn outside(lab: &Lab) -> Outcome<serde_json::Value> {
    Ok(lab.running()?.json(&["front", "test"])?["outside"].clone())
}

/// Whether the words say which ports to forward.
fn remedy(seen: &serde_json::Value) -> bool {
    seen["findings"].to_string().contains("forward TCP port 443")
}

/// Gives a client a public address, from which it goes to the home router and not to the front.
fn comes_by_itself(lab: &mut Lab, client: &mut Client, home: &str) -> Outcome {
    client.stop()?;
    let machine = &client.host.ns;
    machine.ip(&format!("addr add {PUBLIC}/32 dev eth0"))?;
    machine.ip(&format!("route replace {home}/32 via {GATEWAY} src {PUBLIC}"))?;
    machine.hosts_move(NAME, home)?;
    let internet = &lab.internet()?.ns;
    internet.ip(&format!("route add {PUBLIC}/32 via {}", client.host.address))?;
    internet.sysctl("net.ipv4.ip_forward", "1")?;
    client.launch()
}

/// What an owner sets up on the home router.
fn forwards(inside: &str) -> String {
    format!(
        "
table ip lab_forward {{
    chain prerouting {{
        type nat hook prerouting priority -100;
        iifname \"eth0\" tcp dport {HTTPS} dnat to {inside}:{PORT}
        iifname \"eth0\" udp dport 3478 dnat to {inside}
    }}
}}
insert rule ip lab_nat forward ct status dnat accept
"
    )
}

/// What is for the LAN stays there.
fn only_what_strangers_may_have(lab: &Lab, a: &Client, lan: &crate::netns::Namespace, inside: &str) -> Outcome {
    for (path, wanted) in [("/health", "200"), ("/admin/", "404"), ("/metrics", "404"), ("/api/v1/node", "401")] {
        let url = format!("https://{NAME}{path}");
        let words = ["curl", "-ksS", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", &url];
        let got = a.host.ns.run(&words, STEP)?.ok()?.stdout;
        ensure!(got == wanted, "{url} answered {got}, not {wanted}");
    }
    let url = format!("http://{inside}:{PORT}/admin/login");
    let words = ["curl", "-sS", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", &url];
    let got = lan.run(&words, STEP)?.ok()?.stdout;
    ensure!(got == "200", "{url} on the LAN answered {got}");
    let status = lab.running()?.json(&["front", "status"])?;
    ensure!(status["passed"].as_u64() > Some(3), "nothing was passed on: {status}");
    Ok(())
}

pub(super) fn config(folder: &Path) -> String {
    let dir = folder.display();
    format!(
        "tls_cert_path = \"{dir}/cert.pem\"\ntls_key_path = \"{dir}/key.pem\"\n\
         [dns]\nbase_domain = \"lab.internal\"\n[derp.server]\nstun_listen_addr = \"0.0.0.0:3478\"\n"
    )
}

/// A certificate for `name`, and what to trust, in the folder.
pub(super) fn certificate(lab: &mut Lab, folder: &Path, name: &str) -> Outcome {
    let (key, cert) = (folder.join("key.pem"), folder.join("cert.pem"));
    let (key, cert) = (key.to_string_lossy(), cert.to_string_lossy());
    let (subject, names) = (format!("/CN={name}"), format!("subjectAltName=DNS:{name}"));
    let mut command = std::process::Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    command.args(["-nodes", "-days", "30", "-subj", &subject, "-addext", &names]);
    command.args(["-keyout", &key, "-out", &cert]);
    lab.context.run(&mut command, STEP)?.ok().map(drop)
}
