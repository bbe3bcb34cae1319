//! What goes into [`crate::Paths`] and what comes out.

use crate::{Hop, NetInfo, Region, RegionId};
use hearthgate_keys::{DiscoPrivate, DiscoPublic, NodePublic};
use std::{fmt, net::IpAddr, net::SocketAddr, time::Duration};

/// Who we are.
#[derive(Debug)]
pub struct Config {
    /// Our node key.
    pub node: NodePublic,
    /// Our disco key, fresh for each start of the process.
    pub disco: DiscoPrivate,
    /// The port that WireGuard has.
    pub port: u16,
    /// Whether the port was chosen by the operator, who may then have opened it in a router that is not ours.
    pub port_is_fixed: bool,
}

/// A peer as the network map has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its node key, by which it is known here.
    pub node: NodePublic,
    /// Its disco key; zero if it does not speak disco.
    pub disco: DiscoPublic,
    /// Where it says it can be reached.
    pub endpoints: Vec<SocketAddr>,
    /// Its home relay.
    pub home: Option<RegionId>,
    /// Whether control wants no heartbeats to it ("silent disco").
    pub silent: bool,
}

/// Kinds of our own endpoints, numbered as in map requests (`tailcfg.EndpointType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EndpointKind {
    /// An address of an interface.
    Local = 1,
    /// What a STUN server saw.
    Stun = 2,
    /// What a router mapped for us.
    PortMapped = 3,
    /// What STUN saw, with the local port instead.
    StunLocalPort = 4,
    /// Configured by the operator.
    Explicit = 5,
}

/// One of our own endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Where we can perhaps be reached.
    pub addr: SocketAddr,
    /// How we know.
    pub kind: EndpointKind,
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A peer is new, or something about it changed.
    Peer(PeerInfo),
    /// A peer is not in the network map any more.
    PeerGone(NodePublic),
    /// A peer told its disco key through the tunnel (TSMP).
    PeerDisco {
        /// The peer.
        peer: NodePublic,
        /// The key.
        disco: DiscoPublic,
    },
    /// A datagram on WireGuard's port that is not WireGuard's: disco, STUN or Geneve. Others are ignored.
    Udp {
        /// Where it came from; IPv4 may be mapped into IPv6.
        from: SocketAddr,
        /// All of it.
        bytes: &'a [u8],
    },
    /// A packet came through a DERP relay. Disco is handled, the rest is only noted: inject it yourself.
    Relayed {
        /// The relay's region.
        region: RegionId,
        /// The node that sent it, as the relay says.
        from: NodePublic,
        /// All of it.
        bytes: &'a [u8],
    },
    /// The relay said that a peer is not there any more.
    RelayLost {
        /// The relay's region.
        region: RegionId,
        /// The peer.
        peer: NodePublic,
    },
    /// Traffic with a peer since the last such event: from the kernel's counters, or a packet that was seen.
    Traffic {
        /// The peer.
        peer: NodePublic,
        /// We sent something (any WireGuard message).
        sent: bool,
        /// We received something.
        received: bool,
    },
    /// WireGuard took a peer's new address from a packet by itself.
    Roamed {
        /// The peer.
        peer: NodePublic,
        /// The address.
        to: SocketAddr,
    },
    /// The system refused a packet to this address (no route, host unreachable).
    Unreachable(SocketAddr),
    /// Addresses or routes of the host changed, or it woke up: nothing measured counts any more.
    LinkChanged,
    /// The addresses of the host's interfaces, without the tunnel's own.
    LocalAddresses(Vec<IpAddr>),
    /// Endpoints that the operator configured.
    ExplicitEndpoints(Vec<SocketAddr>),
    /// The relays, with names resolved.
    RelayMap(Vec<Region>),
    /// Something came from a relay (any frame).
    RelayHeard(RegionId),
    /// The answer to [`Action::MeasureHttps`].
    HttpsLatency {
        /// The relay's region.
        region: RegionId,
        /// Time of the request itself; `None` if it failed.
        latency: Option<Duration>,
    },
    /// A router mapped an external address to our port, or does not any more.
    PortMapped(Option<SocketAddr>),
    /// Nodes that may relay for us by the packet filter's grants, and whose capability version is 121 or more.
    PeerRelays(Vec<NodePublic>),
    /// A user wants to know how a peer is reached: answered by [`Action::PingReply`], or not at all.
    Ping {
        /// The peer.
        peer: NodePublic,
        /// Repeated in the answer.
        id: u64,
    },
    /// Check the network now and tell [`Action::Checked`].
    CheckNetwork,
    /// The moment of [`crate::Paths::next_timer`] has come.
    Timer,
}

/// How a peer's packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Through a DERP relay; `None`: no relay of the peer is known, so nowhere.
    Relay(Option<RegionId>),
    /// Straight to an address.
    Direct(SocketAddr),
    /// Through a peer relay: with a Geneve header to this address.
    PeerRelay {
        /// The peer relay's address.
        addr: SocketAddr,
        /// For the Geneve header.
        vni: u32,
    },
    /// The path is not sure any more: each packet goes there **and** through the DERP relay.
    Both {
        /// The path that is in doubt.
        hop: Hop,
        /// The relay's region.
        relay: Option<RegionId>,
    },
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relay(None) => f.write_str("nowhere"),
            Self::Relay(Some(region)) => write!(f, "relay {region}"),
            Self::Direct(addr) => addr.fmt(f),
            Self::PeerRelay { addr, vni } => write!(f, "peer relay {addr} {vni}"),
            Self::Both { hop, relay: None } => write!(f, "{} in doubt", hop.addr),
            Self::Both { hop, relay: Some(region) } => write!(f, "{} in doubt, relay {region}", hop.addr),
        }
    }
}

/// How a ping was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Straight or through a peer relay.
    Hop(Hop),
    /// Through a DERP relay.
    Relay(RegionId),
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Send a datagram from WireGuard's port.
    SendUdp {
        /// To there.
        to: SocketAddr,
        /// This.
        bytes: Vec<u8>,
    },
    /// Send a packet through a DERP relay.
    SendRelay {
        /// The relay's region.
        region: RegionId,
        /// The peer.
        peer: NodePublic,
        /// This.
        bytes: Vec<u8>,
    },
    /// Give a WireGuard message that came through a peer relay to WireGuard.
    Inject {
        /// The peer that sent it.
        peer: NodePublic,
        /// The message.
        bytes: Vec<u8>,
    },
    /// From now on send a peer's packets so.
    SetPath {
        /// The peer.
        peer: NodePublic,
        /// So.
        path: Path,
    },
    /// A peer was heard for the first time since it is known here: a disco packet of its, or anything through a relay.
    Heard {
        /// The peer.
        peer: NodePublic,
        /// How it came.
        via: Via,
    },
    /// Our endpoints changed: tell the control server.
    Endpoints(Vec<Endpoint>),
    /// What we know of our network changed, the home relay perhaps: tell the control server, connect to the home.
    NetInfo(NetInfo),
    /// Ask this relay over HTTPS (`/derp/latency-check`) how far it is, since UDP does not work.
    MeasureHttps(RegionId),
    /// A network check is done.
    Checked(crate::Report),
    /// Renew the port mapping if there is one, or look for a router that makes one.
    MapPort,
    /// A peer answered a user's ping.
    PingReply {
        /// Of the request.
        id: u64,
        /// The peer.
        peer: NodePublic,
        /// How.
        via: Via,
        /// Round-trip time.
        latency: Duration,
    },
}
