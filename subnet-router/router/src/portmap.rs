//! Ports that the router in front of us maps for this one: past the tunnel.

use hearthgate_gateway::PortMap;
use hearthgate_plane::BYPASS_MARK;
use hearthgate_portmap::Wanted;
use std::net::SocketAddr;
use tokio::sync::mpsc;

/// A mapper for WireGuard's port, and what it has mapped; where it cannot be started there is no mapping.
pub(crate) fn or_none(port: u16) -> (Option<PortMap>, mpsc::Receiver<Option<SocketAddr>>) {
    PortMap::or_none(Wanted::udp(port), Some(BYPASS_MARK))
}
