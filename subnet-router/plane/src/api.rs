//! The trait [`DataPlane`] and its data: desired state in, counters and odd packets out.

use crate::PlaneError;
use hearthgate_filter::Filter;
use hearthgate_keys::{NodePrivate, NodePublic};
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};
use tokio::sync::mpsc;

/// Which implementation to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// WireGuard in the kernel if it has it, else in user space.
    #[default]
    Auto,
    /// WireGuard in the kernel, or fail.
    Kernel,
    /// WireGuard in user space.
    Userspace,
}

/// Which implementation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The kernel's WireGuard.
    Kernel,
    /// WireGuard in this process, on a TUN device.
    Userspace,
}

impl Kind {
    /// `kernel` or `userspace`, as on the command line and in the status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Userspace => "userspace",
        }
    }
}

/// What is fixed for the life of a data plane.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which implementation.
    pub mode: Mode,
    /// Name of the interface, at most 15 bytes, such as `tailscale0`.
    pub interface: String,
    /// UDP port on all addresses, both families; 0 is any free port. A port that is taken gives way to a free one.
    pub listen_port: u16,
    /// MTU of the interface in bytes; 1280 is what every client uses.
    pub mtu: u16,
    /// For devices that are no members of the network: the main routing table leads to them, nothing steers disco, and
    /// each is sent to where its last authentic packet came from.
    pub plain: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { mode: Mode::Auto, interface: "tailscale0".into(), listen_port: 41641, mtu: 1280, plain: false }
    }
}

/// How a peer is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Endpoint {
    /// Its packets come out as [`PlaneEvent::Relayed`]: through a DERP relay or a peer relay.
    #[default]
    Relayed,
    /// Straight to this address.
    Direct(SocketAddr),
    /// Straight and through the relay, each packet twice: the direct path is in doubt.
    Both(SocketAddr),
}

/// A peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its node key, which is its WireGuard key.
    pub key: NodePublic,
    /// Addresses whose packets go to it and may come from it.
    pub allowed_ips: Vec<IpNet>,
    /// How a **new** peer is reached; for a known peer see [`DataPlane::set_endpoint`].
    pub endpoint: Endpoint,
    /// Seconds between WireGuard keepalives; 0 is none, as the official clients have it.
    pub keepalive: u16,
}

impl Peer {
    /// A relayed peer without keepalive.
    #[must_use]
    pub fn new(key: NodePublic, allowed_ips: Vec<IpNet>) -> Self {
        Self { key, allowed_ips, endpoint: Endpoint::Relayed, keepalive: 0 }
    }
}

/// Everything the data plane shall be. [`DataPlane::apply`] makes it so; only differences reach the kernel.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Desired {
    /// Our node key.
    pub private_key: NodePrivate,
    /// Our own addresses (`/32` and `/128`).
    pub addresses: Vec<IpNet>,
    /// Addresses at which services of this host answer this host and its LAN, such as MagicDNS's. Packets to them end
    /// here, but the interface does not have them: who wants to be asked there binds with `IP_FREEBIND`.
    pub service_addresses: Vec<IpAddr>,
    /// Own addresses and TCP ports that every peer may reach, whatever the filter says: the peer API, which decides
    /// for itself.
    pub open: Vec<SocketAddr>,
    /// The peers.
    pub peers: Vec<Peer>,
    /// Destinations that go into the tunnel; they stand in table [`crate::ROUTE_TABLE`].
    pub routes: Vec<IpNet>,
    /// Destinations that keep out of the tunnel although a route above covers them (own networks beside an exit node).
    pub bypass: Vec<IpNet>,
    /// Routes of ours for IPv4 addresses behind IPv6 ones ([`crate::is_via`]), whose packets are translated.
    pub via: Vec<IpNet>,
    /// What may come out of the tunnel; [`hearthgate_filter::Filter::closed`] until the first network map.
    pub filter: Filter,
    /// Packets are passed on between the tunnel and other interfaces (subnet router, exit node).
    pub forward: bool,
    /// IPv4 packets that leave the tunnel for another interface get this host's address there as source.
    pub snat: bool,
    /// The same for IPv6.
    pub snat6: bool,
    /// Packets of the LAN that go into the tunnel get this node's address as source: peers need no route back.
    pub masquerade_lan: bool,
}

impl Desired {
    /// Nothing but a key.
    #[must_use]
    pub fn new(private_key: NodePrivate) -> Self {
        Self {
            private_key,
            addresses: Vec::new(),
            service_addresses: Vec::new(),
            open: Vec::new(),
            peers: Vec::new(),
            routes: Vec::new(),
            bypass: Vec::new(),
            via: Vec::new(),
            filter: Filter::closed(),
            forward: false,
            snat: true,
            snat6: false,
            masquerade_lan: false,
        }
    }
}

/// Counters of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCounters {
    /// The peer.
    pub key: NodePublic,
    /// Bytes of WireGuard messages received from it.
    pub rx_bytes: u64,
    /// Bytes of WireGuard messages sent to it.
    pub tx_bytes: u64,
    /// When the last handshake was completed.
    pub last_handshake: Option<SystemTime>,
    /// How it is reached now. The kernel takes a new address from any authentic packet by itself.
    pub endpoint: Endpoint,
}

/// What the data plane has for others.
#[derive(Debug)]
#[non_exhaustive]
pub enum PlaneEvent {
    /// A datagram on WireGuard's port that is not WireGuard's: disco, STUN, Geneve.
    Side {
        /// Where it came from.
        from: SocketAddr,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// A WireGuard message to a peer whose endpoint is [`Endpoint::Relayed`] or [`Endpoint::Both`].
    Relayed {
        /// The peer.
        peer: NodePublic,
        /// All of it.
        bytes: Vec<u8>,
    },
}

/// Where [`PlaneEvent`]s come out. Bounded: when nobody reads, packets are dropped, as a network would.
pub type Events = mpsc::Receiver<PlaneEvent>;

/// Length of the queue behind [`Events`].
pub(crate) const EVENT_QUEUE: usize = 512;

/// A data plane. All calls are short; none waits for the network.
pub trait DataPlane: Send + Sync {
    /// Which implementation this is.
    fn kind(&self) -> Kind;

    /// The interface's name.
    fn interface(&self) -> &str;

    /// The UDP port that WireGuard has.
    fn port(&self) -> u16;

    /// Makes everything so. Sessions of peers that stay are kept, and their endpoints.
    ///
    /// # Errors
    /// [`PlaneError`] for the first thing that failed; what could be done is done, and a repetition does the rest.
    fn apply(&self, desired: &Desired) -> Result<(), PlaneError>;

    /// Sets how a peer is reached; its session is kept.
    ///
    /// # Errors
    /// [`PlaneError::UnknownPeer`], or what the kernel said.
    fn set_endpoint(&self, peer: &NodePublic, endpoint: Endpoint) -> Result<(), PlaneError>;

    /// Sends a datagram from WireGuard's port.
    ///
    /// # Errors
    /// [`PlaneError::Send`] with the system's reason; a full socket buffer counts as sent, for the packet is lost.
    fn send_udp(&self, to: SocketAddr, bytes: &[u8]) -> Result<(), PlaneError>;

    /// Hands in a WireGuard message that came from a peer through a relay.
    ///
    /// # Errors
    /// [`PlaneError::UnknownPeer`], or what the kernel said.
    fn deliver(&self, peer: &NodePublic, bytes: &[u8]) -> Result<(), PlaneError>;

    /// The same for several that came one after another.
    ///
    /// # Errors
    /// As for one; the others were handed in.
    fn deliver_all(&self, peer: &NodePublic, packets: &[Vec<u8>]) -> Result<(), PlaneError> {
        packets.iter().fold(Ok(()), |result, bytes| self.deliver(peer, bytes).and(result))
    }

    /// Counters of all peers. The kernel's are compared with what it was told: who was removed or changed by somebody
    /// else is put back, who was added is removed.
    ///
    /// # Errors
    /// What the kernel said.
    fn counters(&self) -> Result<Vec<PeerCounters>, PlaneError>;

    /// Takes away everything: interface, routes, rules, tables. Later calls fail; a second stop does nothing.
    fn stop(&self);
}

/// `last_handshake` from an age.
pub(crate) fn moment_ago(age: Duration) -> Option<SystemTime> {
    SystemTime::now().checked_sub(age)
}
