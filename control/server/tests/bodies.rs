//! What strangers send is not kept: large bodies are turned away before they are read, whoever is asked.

mod support;

use hearthgate_server::AdminOptions;
use hearthgate_web::gate::{Gate, LAN};
use std::time::Duration;
use support::{TestServer, exchange};

/// The head of a request with a body of so many bytes, and the first of them.
fn begun(path: &str, length: usize, sent: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {length}\r\n\r\n{}", "x".repeat(sent))
}

#[tokio::test]
async fn a_stranger_hears_no_before_the_body_is_there() {
    let server = TestServer::start_with(|o| {
        let networks = LAN.iter().map(|n| n.parse().unwrap()).collect();
        o.admin = AdminOptions { enabled: true, gate: Gate { networks, hosts: Vec::new() } };
    })
    .await;
    for (path, length, status) in [
        ("/api/v2/tailnet/-/acl", 1_000_000, "401"),
        ("/api/v1/user", 1_000_000, "401"),
        ("/api/v2/oauth/token", 1_000_000, "413"),
        ("/admin/login", 400_000, "413"),
        ("/admin/policy", 400_000, "413"),
        ("/verify", 1_000_000, "413"),
    ] {
        // More than is taken of strangers, and the rest never comes.
        let answer = exchange(server.addr(), &begun(path, length, 40_000), 3000).await;
        assert!(answer.head.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {}", answer.head);
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    // Time stands still while something is left to do, and jumps when nothing is: a minute is over at once.
    let server = TestServer::start().await;
    let begun = begun("/api/v2/oauth/token", 100, 10);
    let before = tokio::time::Instant::now();
    let answer = exchange(server.addr(), &begun, 600_000).await;
    assert!(answer.head.starts_with("HTTP/1.1 408"), "{}", answer.head);
    assert!(before.elapsed() < Duration::from_secs(120));
    server.stop().await;
}
