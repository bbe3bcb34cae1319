//! A front on this machine, and lines of it: for tests of the tunnel and of a server behind it.

use hearthgate_derp::StunMetrics;
use hearthgate_front::{Boxes, Gateway, GatewayOptions, Line, PairingSecret};
use std::{net::SocketAddr, path::Path, sync::Arc, time::SystemTime};
use tokio::{net::TcpListener, task::JoinHandle};

/// A front with its state in `dir` that listens at `at`, and to which the networks `internet` are the Internet.
pub async fn gateway(dir: &Path, at: &str, internet: &[&str]) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(at).await.unwrap();
    let address = listener.local_addr().unwrap();
    let internet = internet.iter().map(|n| n.parse().unwrap()).collect();
    let options = GatewayOptions { state_dir: dir.into(), stun_port: 3478, relay: true, internet };
    let gateway = Gateway::new(&options, Arc::new(StunMetrics::default())).unwrap();
    (address, tokio::spawn(gateway.serve(listener)))
}

/// A line of the front with its state in `dir`, for a box that is not paired yet.
pub fn line(dir: &Path, address: SocketAddr, secret: u8) -> Line {
    let secret = PairingSecret::from_random([secret; 16]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    Boxes::change(dir, |b| b.invite(&secret, now)).unwrap();
    Line::new(&address.to_string(), Gateway::key(dir).unwrap().public(), secret).unwrap()
}
