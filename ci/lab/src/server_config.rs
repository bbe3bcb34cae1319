//! Every piece of server configuration the scenarios use, in one place.
//!
//! What is in the environment is the same for all runs; the texts are the configuration file.

use crate::internet::SERVER;

/// Port of the control server, and of the relay on the same listener.
pub const PORT: u16 = 8080;
/// MagicDNS suffix.
pub const BASE_DOMAIN: &str = "lab.internal";
/// Name of a record that no node has.
pub const EXTRA_RECORD: (&str, &str) = ("printer.lab.internal", "100.64.7.7");
/// Domain that is resolved by a resolver of its own.
pub const SPLIT_DOMAIN: &str = "corp.example";

/// The plain case, and also the case behind a proxy: control and relay on one port, which takes
/// HTTP as well as TLS with a certificate the server makes for itself; STUN beside it.
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

/// URL of the server for clients in the plain case. An IP literal: see [`crate::internet`].
pub fn url() -> String {
    format!("http://{SERVER}:{PORT}")
}
