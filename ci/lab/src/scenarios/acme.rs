//! A public name's certificate from an ACME authority: Pebble, the one of Let's Encrypt for tests, with certificates that
//! are over in a minute, so that a renewal is seen too. Clients trust that authority alone, and nothing is pinned.
//!
//! ```text
//!               internet
//!     _____________|_____________
//!    |        |        #         #      # = UDP from the network is dropped
//! authority server     a         b
//! ```

use std::path::Path;
use std::time::Duration;

use crate::client::{MEET, Relay};
use crate::command::Output;
use crate::daemon::Daemon;
use crate::ensure;
use crate::internet::{Host, SERVER};
use crate::lab::Lab;
use crate::outcome::{Failure, Outcome};
use crate::scenario::Scenario;
use crate::server_config::{PLAIN, PORT};

use super::relayed;

const BASE: Scenario = Scenario { limit: Duration::from_secs(300), programs: &["openssl"], ..Scenario::BASE };

pub(super) const HTTP: Scenario = Scenario {
    name: "acme-http",
    summary: "a certificate by HTTP-01, renewed while clients stay connected, kept over a restart",
    run: |lab| run(lab, "HTTP-01"),
    ..BASE
};

pub(super) const TLS: Scenario = Scenario {
    name: "acme-tls",
    summary: "a certificate by TLS-ALPN-01, renewed while clients stay connected, kept over a restart",
    run: |lab| run(lab, "TLS-ALPN-01"),
    ..BASE
};

pub(super) const NAME: &str = "control.test";
pub(super) const AUTHORITY: &str = "authority.test";
const STEP: Duration = Duration::from_secs(15);
/// Life of a certificate; it is renewed a third of it before its end.
const LIFE_SECONDS: u64 = 75;
/// Time for an order, with room for a busy machine.
pub(super) const ORDER: Duration = Duration::from_secs(60);

fn run(lab: &mut Lab, challenge: &str) -> Outcome {
    let folder = lab.context.folder("authority")?;
    let authority = lab.internet()?.host("authority")?;
    let _pebble = pebble(lab, &authority, &folder, &Looks::at(SERVER, PORT))?;

    let url = format!("https://{NAME}:{PORT}");
    let config = format!(
        "tls_letsencrypt_hostname = \"{NAME}\"\ntls_letsencrypt_challenge_type = \"{challenge}\"\n\
         acme_url = \"https://{AUTHORITY}:14000/dir\"\nacme_email = \"admin@control.test\"\n{PLAIN}"
    );
    let roots = folder.join("cert.pem").to_string_lossy().into_owned();
    let host = lab.internet()?.server()?;
    host.ns.hosts_line(&format!("{} {AUTHORITY}", authority.address))?;
    lab.serve_in(host, &config, &url, vec![("SSL_CERT_FILE".into(), roots)])?;
    lab.context.eventually("the certificate is there", ORDER, || shown(&authority, &folder, SERVER, PORT).map(drop))?;

    let roots = folder.join("roots.pem");
    let named = |host: &Host| host.ns.hosts_line(&format!("{SERVER} {NAME}"));
    let [a, b] = relayed::pair(lab, Relay::Tls, Some(&roots), named)?;
    relayed::meet(&a, &b)?;
    let map = a.tailscale(&["debug", "derp-map"], MEET)?.ok()?.stdout;
    ensure!(!map.contains("sha256-raw:") && !map.contains("InsecureForTests"), "not by its name alone: {map}");

    let (first, connections) = (shown(&authority, &folder, SERVER, PORT)?, relay_connections(lab)?);
    let patience = Duration::from_secs(LIFE_SECONDS) + ORDER;
    lab.context.eventually("the certificate is renewed", patience, || {
        let now = shown(&authority, &folder, SERVER, PORT)?;
        ensure!(now != first, "still {first}");
        Ok(())
    })?;
    a.stays_relayed("b", 3)?;
    let after = relay_connections(lab)?;
    ensure!(after == connections, "clients had to connect again: {connections}, then {after}");

    let newest = shown(&authority, &folder, SERVER, PORT)?;
    lab.server()?.stop()?;
    lab.server()?.launch()?;
    ensure!(shown(&authority, &folder, SERVER, PORT)? == newest, "another certificate after the restart");
    a.relayed_to("b", MEET)
}

/// How the authority looks.
pub(super) struct Looks<'a> {
    /// For [`NAME`], at this address.
    pub(super) address: &'a str,
    /// There, for TLS-ALPN-01, at this port.
    pub(super) port: u16,
    /// For records, at this name server.
    pub(super) name_server: Option<String>,
    /// Life of its certificates.
    pub(super) life_seconds: u64,
}

impl<'a> Looks<'a> {
    pub(super) fn at(address: &'a str, port: u16) -> Self {
        Self { address, port, name_server: None, life_seconds: LIFE_SECONDS }
    }
}

/// Starts the authority. `roots.pem` in the folder is what its certificates are to be checked with.
pub(super) fn pebble(lab: &mut Lab, host: &Host, folder: &Path, looks: &Looks<'_>) -> Outcome<Daemon> {
    let program = lab.context.options.clients_dir.with_file_name("pebble").join("pebble");
    ensure!(program.exists(), "{} is missing: build it with ci/clients/pebble", program.display());
    let (key, cert) = (folder.join("key.pem"), folder.join("cert.pem"));
    let names = format!("subjectAltName=DNS:{AUTHORITY}");
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]);
    openssl.args(["-subj", "/CN=authority", "-addext", &names, "-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.arg("-keyout").arg(&key).arg("-out").arg(&cert);
    lab.context.run(&mut openssl, STEP)?.ok()?;
    let config = serde_json::json!({ "pebble": {
        "listenAddress": "0.0.0.0:14000",
        "managementListenAddress": "0.0.0.0:15000",
        "certificate": cert,
        "privateKey": key,
        "httpPort": 80,
        "tlsPort": looks.port,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": false,
        "profiles": { "default": { "description": "short", "validityPeriod": looks.life_seconds } },
    } });
    let file = folder.join("pebble.json");
    std::fs::write(&file, config.to_string())?;
    host.ns.hosts_line(&format!("{} {NAME}", looks.address))?;
    host.ns.hosts_line(&format!("127.0.0.1 {AUTHORITY}"))?;
    let mut command = host.ns.command(program);
    command.arg("-config").arg(&file).env("PEBBLE_VA_NOSLEEP", "1");
    if let Some(server) = &looks.name_server {
        command.args(["-dnsserver", server]);
    }
    let daemon = host.ns.spawn("authority", &mut command)?;
    let (roots, cert) = (folder.join("roots.pem"), cert.to_string_lossy().into_owned());
    lab.context.eventually("the authority answers", STEP, || {
        let url = format!("https://{AUTHORITY}:15000/roots/0");
        let answer = host.ns.run(&["curl", "-fsS", "-m", "5", "--cacert", &cert, &url], STEP)?.ok()?;
        Ok(std::fs::write(&roots, answer.stdout)?)
    })?;
    Ok(daemon)
}

/// Serial number of the certificate that is shown at an address, if it is the authority's and for [`NAME`].
pub(super) fn shown(from: &Host, folder: &Path, address: &str, port: u16) -> Outcome<String> {
    let roots = folder.join("roots.pem").to_string_lossy().into_owned();
    let script = format!(
        "openssl s_client -connect {address}:{port} -servername {NAME} -verify_hostname {NAME} -CAfile {roots} \
         -verify_return_error </dev/null 2>&1 | tee {0}/s_client.txt | openssl x509 -noout -serial",
        folder.display()
    );
    let Output { stdout, .. } = from.ns.run(&["sh", "-c", &script], STEP)?.ok()?;
    let seen = std::fs::read_to_string(folder.join("s_client.txt")).unwrap_or_default();
    ensure!(seen.contains("Verify return code: 0 (ok)"), "not trusted: {}", seen.lines().take(8).collect::<String>());
    Ok(stdout.trim().to_owned())
}

/// Connections to the relay since its start.
fn relay_connections(lab: &mut Lab) -> Outcome<String> {
    let url = format!("http://127.0.0.1:{PORT}/metrics");
    let text = lab.server()?.host.ns.run(&["curl", "-fsS", "-m", "5", &url], STEP)?.ok()?.stdout;
    let line = text.lines().find(|line| line.starts_with("derp_accepts "));
    line.map(str::to_owned).ok_or_else(|| Failure(format!("no derp_accepts in {text}")))
}
