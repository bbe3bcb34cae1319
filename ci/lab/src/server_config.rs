//! Every piece of server configuration the scenarios use, in one place.
//!
//! What is in the environment is the same for all runs; the texts are the configuration file.

use crate::internet::SERVER;

/// Port of the control server, and of the relay on the same listener.
pub const PORT: u16 = 8080;
/// Port of the relay with TLS in the scenario that has it.
pub const TLS_PORT: u16 = 8443;
/// MagicDNS suffix.
pub const BASE_DOMAIN: &str = "lab.internal";
/// Name of a record that no node has.
pub const EXTRA_RECORD: (&str, &str) = ("printer.lab.internal", "100.64.7.7");
/// Domain that is resolved by a resolver of its own.
pub const SPLIT_DOMAIN: &str = "corp.example";

/// Configuration of the plain case: control and relay over HTTP on one port, STUN beside it.
pub const PLAIN: &str = r#"
[dns]
magic_dns = true
base_domain = "lab.internal"
override_local_dns = false

[derp.server]
enabled = true
stun_listen_addr = "0.0.0.0:3478"
ipv4 = "10.77.0.2"

[node.ephemeral]
inactivity_timeout = "5s"
"#;

/// Split DNS and an extra record.
pub const DNS: &str = r#"
[dns]
magic_dns = true
base_domain = "lab.internal"
override_local_dns = false

[[dns.extra_records]]
name = "printer.lab.internal"
type = "A"
value = "100.64.7.7"

[dns.nameservers.split]
"corp.example" = ["198.51.100.10"]

[derp.server]
enabled = true
stun_listen_addr = "0.0.0.0:3478"
ipv4 = "10.77.0.2"
"#;

/// A relay over TLS with the certificate the server makes for itself and pins in the DERP map.
pub const TLS_RELAY: &str = r#"
[dns]
magic_dns = true
base_domain = "lab.internal"
override_local_dns = false

[derp.server]
enabled = true
stun_listen_addr = "0.0.0.0:3478"
ipv4 = "10.77.0.2"
tls_listen_addr = "0.0.0.0:8443"
"#;

/// Behind a reverse proxy that ends TLS for `control.test`.
pub const PROXIED: &str = r#"
trusted_proxies = ["127.0.0.1/32", "10.77.0.2/32"]

[dns]
magic_dns = true
base_domain = "lab.internal"
override_local_dns = false

[derp.server]
enabled = true
stun_listen_addr = "0.0.0.0:3478"
ipv4 = "10.77.0.2"
"#;

/// URL of the server for clients in the plain case. An IP literal: see [`crate::internet`].
pub fn url() -> String {
    format!("http://{SERVER}:{PORT}")
}
