//! nginx ends TLS in front of the server, for control and relay alike.
//!
//! ```text
//!               internet
//!    ______________|____|_____
//!   |                  #      #      # = UDP from the network is dropped
//! nginx :443 -> server a      b
//! (one machine)
//! ```

use std::path::Path;
use std::time::Duration;

use crate::client::{MEET, Relay};
use crate::ensure;
use crate::internet::{Host, SERVER};
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;
use crate::server_config::{self, PORT};

use super::relayed;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "reverse-proxy",
    summary: "nginx with TLS in front: join, relay through the proxy, and outlast its reload",
    limit: Duration::from_secs(240),
    programs: &["nginx", "openssl"],
    run,
    ..Scenario::BASE
};

const NAME: &str = "control.test";
const STEP: Duration = Duration::from_secs(15);

fn run(lab: &mut Lab) -> Outcome {
    let url = format!("https://{NAME}");
    lab.serve_with(server_config::PLAIN, &url)?;
    let folder = lab.context.folder("proxy")?;
    certificate(lab, &folder)?;
    std::fs::write(folder.join("nginx.conf"), nginx_conf(&folder))?;
    let conf = folder.join("nginx.conf").to_string_lossy().into_owned();
    let host = &lab.server()?.host;
    host.ns.run(&["nginx", "-t", "-c", &conf], STEP)?.ok()?;
    let mut command = host.ns.command("nginx");
    let _proxy = host.ns.spawn("nginx", command.args(["-c", &conf]))?;

    let roots = folder.join("cert.pem");
    let named = |host: &Host| host.ns.hosts_line(&format!("{SERVER} {NAME}"));
    let [a, b] = relayed::pair(lab, Relay::Tls, Some(&roots), named)?;
    relayed::meet(&a, &b)?;
    let access = std::fs::read_to_string(folder.join("access.log")).unwrap_or_default();
    ensure!(!access.contains(" 502 "), "the proxy could not reach the server: {access}");

    // A reload ends the workers' connections after a while; clients have to come back.
    lab.server()?.host.ns.run(&["nginx", "-s", "reload", "-c", &conf], STEP)?.ok()?;
    lab.pause(Duration::from_secs(5));
    for name in ["a", "b"] {
        lab.server()?.wait_online(name, true, MEET)?;
    }
    a.relayed_to("b", MEET)
}

fn certificate(lab: &mut Lab, folder: &Path) -> Outcome {
    let (key, cert) = (folder.join("key.pem"), folder.join("cert.pem"));
    let (key, cert) = (key.to_string_lossy(), cert.to_string_lossy());
    let subject = format!("/CN={NAME}");
    let names = format!("subjectAltName=DNS:{NAME}");
    let mut command = std::process::Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    command.args(["-nodes", "-days", "30", "-subj", &subject, "-addext", &names]);
    command.args(["-keyout", &key, "-out", &cert]);
    lab.context.run(&mut command, STEP)?.ok().map(drop)
}

/// What `docs/lab.md` recommends: pass the upgrade on, do not buffer, be patient.
fn nginx_conf(folder: &Path) -> String {
    let dir = folder.display();
    format!(
        r#"daemon off;
user root;
worker_processes 1;
worker_shutdown_timeout 2s;
pid {dir}/nginx.pid;
error_log stderr info;
events {{}}
http {{
    access_log {dir}/access.log;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    server {{
        listen 443 ssl;
        server_name {NAME};
        ssl_certificate {dir}/cert.pem;
        ssl_certificate_key {dir}/key.pem;
        location / {{
            proxy_pass http://127.0.0.1:{PORT};
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_buffering off;
            proxy_read_timeout 5m;
            proxy_send_timeout 5m;
        }}
    }}
}}
"#
    )
}
