//! The configuration: a TOML file with Headscale's names and nesting where the meaning is the same, every key
//! overridable by environment, every mistake named with its place and a remedy.
//!
//! Reading is pure: file text and environment are handed in. [`KEYS`] is the one table of keys; the environment names
//! come from it, and a test holds it, the annotated example in `docs/config.toml` and the types together.

mod acme;
mod admin;
mod certificates;
mod duration;
mod dyndns;
mod env;
mod file;
mod front;
mod image;
mod load;
mod oidc;
mod problem;
mod read;
mod relay;
mod router;

pub use acme::AcmeConfig;
pub use admin::AdminConfig;
pub use certificates::{CertificatesConfig, HttpreqConfig, Rfc2136Config};
pub use duration::parse_duration;
pub use dyndns::DyndnsConfig;
pub use env::{KEYS, Kind, env_name};
pub use file::{
    CliConfig, Config, DerpConfig, DerpServer, DnsConfig, Ephemeral, ExtraRecord, Ha, LogConfig, Nameservers,
    NodeConfig, PolicyConfig, Prefixes, Routes, StoreConfig, Switch,
};
pub use front::FrontConfig;
pub use image::{ImageConfig, UpgradeConfig};
pub use load::{Loaded, load};
pub use oidc::{OidcConfig, Pkce};
pub use problem::{Problem, Severity};
pub use relay::{MeshConfig, RelayConfig, RelayLimitsConfig, VerifyConfig};
pub use router::{RouterConfig, WireguardConfig};
