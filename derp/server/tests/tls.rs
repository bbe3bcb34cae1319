//! Handshakes: what a client sees of our certificates, and that they can be replaced.

#[path = "common/tls_client.rs"]
mod tls_client;

use hearthgate_derp::tls::{Certificates, pin_of, self_signed, server_config};
use hearthgate_keys::{NodePrivate, encode};
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

async fn chain_seen(config: Arc<rustls::ServerConfig>) -> (Vec<Vec<u8>>, Option<rustls::ProtocolVersion>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut tls = TlsAcceptor::from(config).accept(tcp).await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), None);
        tls.write_all(b"hi").await.unwrap();
        tls.shutdown().await.unwrap();
    });
    let mut client = tls_client::connect(TcpStream::connect(addr).await.unwrap()).await.unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hi");
    server.await.unwrap();
    let session = client.get_ref().1;
    let chain = session.peer_certificates().unwrap().iter().map(|c| c.to_vec()).collect();
    (chain, session.protocol_version())
}

fn contains(der: &[u8], part: &[u8]) -> bool {
    der.windows(part.len()).any(|w| w == part)
}

#[tokio::test]
async fn the_chain_is_the_pinned_leaf_and_the_meta_certificate() {
    let pair = self_signed(vec!["192.0.2.7".into(), "relay.example".into()]).unwrap();
    let relay = NodePrivate::from_random([5; 32]).public();
    let (chain, version) = chain_seen(server_config(&pair, Some(&relay)).unwrap()).await;
    assert_eq!(version, Some(rustls::ProtocolVersion::TLSv1_3));
    let [leaf, meta] = chain.as_slice() else { panic!("{} certificates", chain.len()) };
    let hash = ring::digest::digest(&ring::digest::SHA256, leaf);
    assert_eq!(pin_of(&pair).unwrap(), format!("sha256-raw:{}", encode(hash.as_ref())));
    assert!(contains(leaf, &[192, 0, 2, 7]) && contains(leaf, b"relay.example"));
    assert!(contains(meta, format!("derpkey{}", encode(relay.as_bytes())).as_bytes()));
    // Version 3, then serial number 2 in its shortest form; Go refuses any other.
    assert!(contains(meta, &[0xa0, 3, 2, 1, 2, 2, 1, 2]), "{meta:02x?}");
    // Basic constraints, and Ed25519.
    assert!(contains(meta, &[0x06, 3, 0x55, 0x1d, 0x13]) && contains(meta, &[0x06, 3, 0x2b, 0x65, 0x70]));
}

#[tokio::test]
async fn a_certificate_is_replaced_for_the_next_handshake_only_if_it_is_good() {
    let (first, second) =
        (self_signed(vec!["one.example".into()]).unwrap(), self_signed(vec!["two.example".into()]).unwrap());
    let certificates = Certificates::new(&first, None).unwrap();
    let config = certificates.server_config().unwrap();
    assert!(contains(&chain_seen(config.clone()).await.0[0], b"one.example"));
    let mixed = hearthgate_derp::tls::PemPair { certificate: second.certificate.clone(), key: first.key.clone() };
    assert!(certificates.replace(&mixed).is_err(), "a key that does not fit");
    let empty = hearthgate_derp::tls::PemPair { certificate: String::new(), key: first.key.clone() };
    assert!(certificates.replace(&empty).is_err());
    assert!(contains(&chain_seen(config.clone()).await.0[0], b"one.example"));
    certificates.replace(&second).unwrap();
    let chain = chain_seen(config).await.0;
    assert!(contains(&chain[0], b"two.example") && chain.len() == 1);
}
