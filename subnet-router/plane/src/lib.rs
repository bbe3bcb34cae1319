//! Data plane of the subnet router: what carries packets, behind one trait.
//!
//! Two implementations: WireGuard in the kernel, set up through netlink, and WireGuard in user space on a TUN
//! device where the kernel has none. Both keep addresses, routes and policy rules of the interface through netlink;
//! no program (`ip`, `wg`, `nft`) is ever run.
//!
//! Decisions are made elsewhere: the control client says what the network is ([`Desired`]), the path machine says how
//! each peer is reached ([`DataPlane::set_endpoint`]). The plane reports what it cannot decide ([`PlaneEvent`]).

mod api;
pub mod buffer;
mod error;
mod firewall;
mod gone;
mod host;
mod keeper;
mod kernel;
mod netlink;
mod nft;
mod port;
mod said;
mod sysctl;
mod userspace;
mod via;

pub use api::{Config, DataPlane, Desired, Endpoint, Events, Kind, Mode, Peer, PeerCounters, PlaneEvent};
pub use error::PlaneError;
pub use gone::gone;
pub use host::{BYPASS_MARK, ROUTE_TABLE};
pub use said::Said;
pub use sysctl::strict_interface;
pub use via::{is_via, via_address};

use std::sync::Arc;

/// Starts a data plane: makes the interface, without peers, and opens the UDP port.
///
/// # Errors
/// [`PlaneError`] when the interface or the port cannot be had; nothing is left behind then.
pub fn start(config: &Config) -> Result<(Arc<dyn DataPlane>, Events), PlaneError> {
    let mut reason = None;
    if config.mode != Mode::Userspace {
        match kernel::Kernel::start(config) {
            Ok((plane, events)) => return Ok((Arc::new(plane), events)),
            Err(error) if config.mode == Mode::Kernel => return Err(error),
            Err(error) => reason = Some(error),
        }
    }
    let (plane, events) = userspace::Userspace::start(config)?;
    // Told only now: who fails here tries again every few seconds.
    if let Some(error) = reason {
        tracing::info!(%error, "WireGuard runs in user space");
    }
    Ok((Arc::new(plane), events))
}

/// Removes what a crashed process left of a data plane, if it did, as [`clean`] does. What is not known as ours, by a
/// table of our name, stays: routes and rules have the official client's numbers, and may be its own.
///
/// # Errors
/// As [`clean`].
pub fn clean_left(interface: &str) -> Result<bool, PlaneError> {
    let left = keeper::is_left(interface)?;
    if left {
        keeper::clean(interface)?;
    }
    Ok(left)
}

/// Removes what a crashed process may have left of a data plane: interface, routes, rules, table.
///
/// # Errors
/// [`PlaneError`] when the kernel cannot be asked at all.
pub fn clean(interface: &str) -> Result<(), PlaneError> {
    keeper::clean(interface)
}
