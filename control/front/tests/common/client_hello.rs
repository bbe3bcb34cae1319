//! What a TLS client sends first, made by rustls (RFC 8446 §4.1.2).

use rustls::{ClientConfig, ClientConnection, RootCertStore, pki_types::ServerName};
use std::sync::Arc;

/// The hello of a client that wants this host.
pub fn client_hello(host: &str) -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut out = Vec::new();
    ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut out).unwrap();
    out
}
