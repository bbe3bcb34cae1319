//! The JSON of the Tailscale control protocol (`tailcfg` of tailscale.com v1.104.5, capability version 148).
//!
//! Field names are those of the wire in snake case. Absence has a meaning in this protocol: where "absent" and
//! "present but empty" differ, the field is an `Option` of a list or map, and each such field says what both mean.
//! Elsewhere an empty value is left out, as the official code does. Unknown fields are ignored, `null` is read as
//! "not there"; how they are read is `hearthgate_read`'s.
//!
//! The same types serve the server, which reads requests and writes responses, and a client, which does the reverse.

mod bytes;
mod capver;
mod derp;
mod dns;
mod endpoints;
mod filter;
mod hostinfo;
mod map_request;
mod map_response;
mod node;
mod ranges;
mod register;
mod ssh;
mod time;

pub use bytes::Bytes;
pub use capver::{CapabilityVersion, RELEASES};
pub use derp::{DerpHomeParams, DerpMap, DerpNode, DerpRegion};
pub use dns::{DnsConfig, DnsRecord, Resolver};
pub use endpoints::{
    EarlyNoise, OverTlsPublicKeyResponse, QueryFeatureRequest, QueryFeatureResponse, SetDnsRequest, TokenRequest,
    TokenResponse, VerifyRequest, VerifyResponse,
};
pub use filter::{CapGrant, FilterRule, NetPortRange, PortRange};
pub use hostinfo::{Hostinfo, Location, NetInfo, Service};
pub use map_request::MapRequest;
pub use map_response::{ClientVersion, Debug, DisplayMessage, MapResponse, PingRequest};
pub use node::{CapMap, Login, Node, PeerChange, User, UserProfile};
pub use ranges::{TAILNET, TAILNET_V4, TAILNET_V6, VIA, why_not_advertised};
pub use register::{RegisterRequest, RegisterResponse, RegisterResponseAuth};
pub use ssh::{SshAction, SshPolicy, SshPrincipal, SshRule};
pub use time::Time;

pub(crate) fn is_false(b: &bool) -> bool {
    !*b
}
pub(crate) fn is_zero<T: Default + PartialEq>(n: &T) -> bool {
    *n == T::default()
}
