//! HTTPS certificates of devices: `tailscale cert` at an authority (Pebble, the one of Let's Encrypt for tests), whose
//! challenge the server answers in a zone of BIND's by dynamic updates (RFC 2136, RFC 8945).
//!
//! ```text
//!                  internet
//!     ________________|________________
//!    |        |       |       |        |
//! authority  dns    server    a        b
//! ```

use std::path::Path;
use std::time::Duration;

use crate::client::{Client, LOGIN, MEET};
use crate::daemon::Daemon;
use crate::ensure;
use crate::internet::Host;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;
use crate::server_config;

use super::acme::{self, AUTHORITY, Looks, ORDER};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "cert",
    summary: "`tailscale cert` and `serve` by DNS-01 in a zone of BIND's; another device's name is refused",
    limit: Duration::from_secs(240),
    programs: &["openssl", "nginx", "named", "dig"],
    run,
    ..Scenario::BASE
};

pub(super) const ZONE: &str = "lab.test";
const BASE: &str = "net.lab.test";
/// Secret of the key `hearthgate`.
pub(super) const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// Port of what stands before the authority.
const GATE: u16 = 14443;
const STEP: Duration = Duration::from_secs(15);
/// What an answer to a challenge looks like.
const VALUE: &str = "LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmtoM";
/// What `a` serves.
const PAGE: &str = "served over https";

fn run(lab: &mut Lab) -> Outcome {
    let folder = lab.context.folder("authority")?;
    let (authority, dns) = (lab.internet()?.host("authority")?, lab.internet()?.host("dns")?);
    let _named = named(lab, &dns, &format!("subdomain {BASE}. TXT"))?;
    let server = format!("{}:53", dns.address);
    let looks = Looks { name_server: Some(server), life_seconds: 3600, ..Looks::at(&authority.address, 443) };
    let _pebble = acme::pebble(lab, &authority, &folder, &looks)?;
    let _gate = gate(&authority, &folder)?;

    let without = server_config::PLAIN.replace("lab.internal", BASE);
    lab.serve_with(&without, &server_config::url())?;
    let key = lab.reusable_key("alice")?;
    let [a, b] = ["a", "b"].map(|name| client(lab, name, &key, &authority, &folder));
    let (a, b) = (a?, b?);
    let refused = cert(&a, &format!("a.{BASE}"), &folder)?;
    ensure!(!refused.success(), "a certificate without a provider");
    let said = record(&a, &format!("a.{BASE}"))?;
    ensure!(said.contains("403") && said.contains("certificates.provider"), "what to configure: {said}");

    let with = format!(
        "{without}\n[certificates]\nprovider = \"rfc2136\"\nwait = \"0s\"\n[certificates.rfc2136]\nserver = \"{}\"\n\
         zone = \"{ZONE}\"\nkey_name = \"hearthgate\"\nkey_secret = \"{KEY}\"\n",
        dns.address
    );
    lab.server()?.stop()?;
    lab.server()?.configure(&with)?;
    lab.server()?.launch()?;
    lab.context.eventually("a is told its name", LOGIN, || {
        let domains = a.status()?.cert_domains();
        ensure!(domains == [format!("a.{BASE}")], "{domains:?}");
        Ok(())
    })?;

    cert(&a, &format!("a.{BASE}"), &folder)?.ok()?;
    let (roots, leaf) = (folder.join("roots.pem"), folder.join("a.crt"));
    verifies(&authority, &roots, &leaf, &format!("a.{BASE}"))?.ok()?;
    let other = verifies(&authority, &roots, &leaf, &format!("b.{BASE}"))?;
    ensure!(!other.success() && other.stderr.contains("hostname mismatch"), "for any name: {}", other.complaint());
    let there = a.run(&["dig", "+short", &at(&dns), "TXT", &format!("_acme-challenge.a.{BASE}")], STEP)?.ok()?;
    ensure!(there.stdout.trim().len() == VALUE.len() + 2, "one answer to one challenge: {}", there.stdout);

    // Not the client's word for it: asked past its command line, the server refuses.
    for name in [format!("b.{BASE}"), BASE.into(), "www.example.org".into()] {
        let said = record(&a, &name)?;
        ensure!(said.contains("403") && said.contains("its own challenge only"), "{name}: {said}");
        let found = a.run(&["dig", "+short", &at(&dns), "TXT", &format!("_acme-challenge.{name}")], STEP)?.ok()?;
        ensure!(found.stdout.trim().is_empty(), "{name} was written: {}", found.stdout);
    }
    let refused = cert(&a, &format!("b.{BASE}"), &folder)?;
    ensure!(!refused.success(), "b's certificate for a");

    a.tailscale(&["serve", "--bg", "--https=443", &format!("text:{PAGE}")], STEP)?.ok()?;
    b.sees("a", MEET)?;
    let roots = roots.to_string_lossy().into_owned();
    let url = format!("https://a.{BASE}/");
    lab.context.eventually("b reads a's page", ORDER, || {
        let page = b.run(&["curl", "-sS", "-m", "10", "--cacert", &roots, &url], STEP)?.ok()?.stdout;
        ensure!(page.contains(PAGE), "{page}");
        Ok(())
    })
}

/// A client that turns to our authority.
fn client(lab: &mut Lab, name: &str, key: &str, authority: &Host, folder: &Path) -> Outcome<Client> {
    let host = lab.internet()?.host(name)?;
    host.ns.hosts_line(&format!("{} {AUTHORITY}", authority.address))?;
    let mut client = Client::install(host, name, crate::client::Relay::Tls)?;
    let trusted = folder.join("cert.pem").to_string_lossy().into_owned();
    client.environment.push(("SSL_CERT_FILE".into(), trusted));
    client.environment.push(("TS_DEBUG_ACME_DIRECTORY_URL".into(), format!("https://{AUTHORITY}:{GATE}/dir")));
    client.launch()?;
    client.up(&server_config::url(), key, &[])?;
    Ok(client)
}

/// `tailscale cert NAME`, into the folder.
fn cert(client: &Client, name: &str, folder: &Path) -> Outcome<crate::command::Output> {
    let place = |end: &str| folder.join(format!("{}.{end}", client.name)).to_string_lossy().into_owned();
    let (cert, key) = (format!("--cert-file={}", place("crt")), format!("--key-file={}", place("key")));
    client.tailscale(&["cert", &cert, &key, name], ORDER)
}

/// Has the client ask the server for a record straight away.
fn record(client: &Client, name: &str) -> Outcome<String> {
    let path = format!("set-dns?name=_acme-challenge.{name}&value={VALUE}");
    Ok(client.local_api(&path)?.stdout)
}

fn verifies(host: &Host, roots: &Path, leaf: &Path, name: &str) -> Outcome<crate::command::Output> {
    let (roots, leaf) = (roots.to_string_lossy(), leaf.to_string_lossy());
    let words = ["openssl", "verify", "-CAfile", &roots, "-untrusted", &leaf, "-verify_hostname", name, &leaf];
    host.ns.run(&words, STEP)
}

/// nginx before the authority, which says where an order is when it is finalised. Pebble 2.10 does not, and the client's
/// ACME library (`tempfork/acme` of tailscale.com v1.102.5) asks nowhere else; Let's Encrypt's Boulder does, as in the
/// example of RFC 8555 section 7.4.
fn gate(host: &Host, folder: &Path) -> Outcome<Daemon> {
    let dir = folder.display();
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {dir}/{kind};\n"))
        .concat();
    let config = format!(
        r"daemon off;
user root;
worker_processes 1;
pid {dir}/nginx.pid;
error_log stderr info;
events {{}}
http {{
    access_log off;
{temp}    server {{
        listen {GATE} ssl;
        ssl_certificate {dir}/cert.pem;
        ssl_certificate_key {dir}/key.pem;
        proxy_set_header Host $http_host;
        location / {{ proxy_pass https://127.0.0.1:14000; }}
        location ~ ^/finalize-order/(.*)$ {{
            proxy_pass https://127.0.0.1:14000;
            add_header Location https://$http_host/my-order/$1;
        }}
    }}
}}
"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config)?;
    let mut command = host.ns.command("nginx");
    host.ns.spawn("gate", command.arg("-c").arg(file))
}

pub(super) fn at(dns: &Host) -> String {
    format!("@{}", dns.address)
}

/// BIND as the primary of [`ZONE`], which takes what is `granted` (a rule of `update-policy`) from the holder of [`KEY`].
pub(super) fn named(lab: &mut Lab, host: &Host, granted: &str) -> Outcome<Daemon> {
    let dir = lab.context.folder("dns")?;
    let place = dir.to_string_lossy();
    let zone = format!(
        "$TTL 60\n@ IN SOA ns.{ZONE}. admin.{ZONE}. 1 60 60 600 60\n@ IN NS ns.{ZONE}.\nns IN A {}\n",
        host.address
    );
    std::fs::write(dir.join("zone"), zone)?;
    let config = format!(
        "options {{ directory \"{place}\"; pid-file none; session-keyfile none; recursion no;\n\
         \x20 listen-on {{ any; }}; listen-on-v6 {{ none; }}; dnssec-validation no; }};\n\
         controls {{ }};\n\
         key \"hearthgate\" {{ algorithm hmac-sha256; secret \"{KEY}\"; }};\n\
         zone \"{ZONE}\" {{ type primary; file \"zone\"; update-policy {{ grant hearthgate {granted}; }}; }};\n"
    );
    std::fs::write(dir.join("named.conf"), config)?;
    let mut command = host.ns.command("named");
    command.args(["-g", "-c"]).arg(dir.join("named.conf"));
    let daemon = host.ns.spawn("dns", &mut command)?;
    lab.context.eventually("the name server answers", STEP, || {
        let found = host.ns.run(&["dig", "+short", "+time=1", "+tries=1", &at(host), "SOA", ZONE], STEP)?.ok()?;
        ensure!(found.stdout.contains("admin."), "{}", found.stdout);
        Ok(())
    })?;
    Ok(daemon)
}
