//! Certificates from an ACME authority (RFC 8555) such as Let's Encrypt: ordered, kept in a folder, renewed when a third
//! of their time is left.
//!
//! The authority sees that a name is ours by a request to port 80 (HTTP-01, [`http_page`]) or by a TLS handshake on port
//! 443 (TLS-ALPN-01 of RFC 8737, [`hearthgate_derp::tls::AlpnChallenges`]). A new certificate is handed to whoever shows
//! it; connections keep what they have. `instant-acme` speaks the protocol, over our own small HTTP client.

mod answers;
mod http_page;
mod keeper;
mod order;
mod schedule;
mod transport;
mod validity;

pub use answers::HttpAnswers;
pub use http_page::{http_page, serve_http};
pub use keeper::Keeper;
pub use order::AcmeError;
pub use schedule::{renew_at, wait_after};
pub use validity::{Validity, validity};

/// How the authority sees that the name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeKind {
    /// A page on port 80 of the name.
    Http01,
    /// A handshake on port 443 of the name.
    TlsAlpn01,
}

/// What certificate is wanted, and from whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// URL of the authority's directory.
    pub directory: String,
    /// Mail address that it may write to; empty for none.
    pub email: String,
    /// The name.
    pub host: String,
    /// How it is proved.
    pub challenge: ChallengeKind,
}
