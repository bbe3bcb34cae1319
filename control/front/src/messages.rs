//! What box and front say to each other inside the tunnel, as JSON bodies of HTTP/2 requests of the front.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /hello` | – | [`Hello`] |
//! | `POST /welcome` | [`Welcome`] | 204 |
//! | `POST /may-relay` | a node key | [`MayRelay`] |
//! | `POST /wish` | – | a [`Wish`], as soon as the box has one |
//! | `POST /reached` | [`Reached`] | 204 |
//! | `CONNECT` | the client's bytes | the box's bytes |
//!
//! A CONNECT carries the client's address in [`SOURCE`].

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Header with the address and port that a client was accepted from.
pub const SOURCE: &str = "hearthgate-source";
/// Longest body of any of these, in bytes.
pub const BODY_MAX: usize = 4096;
/// The form of these messages.
pub const VERSION: u32 = 1;

/// What a box says of itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the box.
    pub version: u32,
    /// Host in the URL that its clients use.
    pub host: String,
    /// Secret of the pairing line; the front looks at it if it does not know the box.
    #[serde(default)]
    pub secret: String,
    /// It may be asked for a [`Wish`].
    #[serde(default)]
    pub wishes: bool,
}

impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hello").field("version", &self.version).field("host", &self.host).finish_non_exhaustive()
    }
}

/// What the front answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Why the box is not served; empty when it is. For the person who looks after the box.
    #[serde(default)]
    pub refused: String,
    /// UDP port of STUN at the front; 0 for none.
    #[serde(default)]
    pub stun_port: u16,
    /// The front's relay, on the port that the box dialled.
    #[serde(default)]
    pub relay: Option<FrontRelay>,
    /// It fulfils a [`Wish`].
    #[serde(default)]
    pub wishes: bool,
}

/// A relay of the front's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontRelay {
    /// Name for TLS. It need not be in any DNS.
    pub host_name: String,
    /// Pin of its certificate, as it stands in a DERP map (`sha256-raw:…`).
    pub pin: String,
}

/// What a box wants tried from outside: ports of the address that its tunnel comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Port of its URL.
    pub tcp_port: u16,
    /// UDP port of its STUN; 0 for none.
    #[serde(default)]
    pub stun_port: u16,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// The address that was tried.
    pub address: IpAddr,
    /// The front takes it for one of the Internet. Nothing else is tried; fronts that do not say this are older and try
    /// all.
    #[serde(default)]
    pub public: bool,
    /// The port that was wished for.
    pub tcp_port: u16,
    /// What came of TCP, TLS and `/key`.
    pub tcp: Outcome,
    /// The key that `/key` showed, if any (`mkey:…`).
    #[serde(default)]
    pub key: String,
    /// The port that was wished for.
    #[serde(default)]
    pub stun_port: u16,
    /// What came of STUN.
    pub stun: Outcome,
}

/// How one port answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was not tried.
    Skipped,
    /// No answer in time.
    Silent,
    /// The address says that nobody listens.
    Refused,
    /// Something answered that is no control server, or no STUN.
    Strange,
    /// As it should.
    Answered,
}

impl Outcome {
    /// The word in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Silent => "silent",
            Self::Refused => "refused",
            Self::Strange => "strange",
            Self::Answered => "answered",
        }
    }
}

/// Whether a node may use the front's relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MayRelay {
    /// It may.
    pub allow: bool,
}
