//! OpenID Connect logins, as pure functions: what to ask a provider, and what to make of its answers.
//!
//! The authorization-code flow of OpenID Connect Core 1.0 (with errata set 2), discovery by OpenID Connect Discovery
//! 1.0, PKCE by RFC 7636. Nothing in here opens a connection, reads a clock or makes random bytes:
//!
//! 1. [`Metadata::parse`] reads what the provider publishes at [`discovery_url`];
//! 2. [`Client::begin`] makes the URL that a browser is sent to, and the [`Flow`] to remember meanwhile;
//! 3. [`Client::token_request`] makes the request that turns the code into tokens;
//! 4. [`verify`] checks the ID token, [`Claims::merge`] adds what the user-info endpoint said, and [`Rules::check`]
//!    says whether that person may come in.

mod claims;
mod client;
mod jwt;
mod metadata;
mod rules;
mod token;

pub use claims::Claims;
pub use client::{Client, Flow, PkceMethod, RANDOM_BYTES, TokenRequest};
pub use metadata::{Metadata, discovery_url};
pub use rules::Rules;
pub use token::{Keys, Tokens, verify};

/// What is wrong with a provider, or with a login through it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OidcError {
    /// The provider's metadata cannot be used.
    #[error("the provider's discovery document cannot be used: {0}")]
    Metadata(String),
    /// The provider refused; its own words.
    #[error("the provider refused the login: {0}")]
    Refused(String),
    /// The answer of the token endpoint cannot be read.
    #[error("the provider's answer cannot be read: {0}")]
    Answer(String),
    /// The ID token is not to be trusted.
    #[error("the ID token is not valid: {0}")]
    Token(String),
    /// The person is known, and may not come in.
    #[error("{0}")]
    NotAllowed(String),
}
