//! The packet filter of a node, without a packet in sight: rules of the control server in, disjoint ranges out.
//!
//! Source for the meaning: `wgengine/filter/filter.go` and `tailcfg.go` of tailscale.com v1.102.5; its decisions are
//! replayed in the tests. Two readers of one compiled form: nftables sets and maps (in the data plane), whose elements
//! must not overlap, and [`Filter::decide`] for questions asked in this process.
//!
//! Shape: a source address has at most one *class*; a class is a list of *doors* (protocol, destinations, ports). Two
//! look-ups decide, however many rules there are.

mod compile;
mod decide;
mod grant;
mod local;
mod parse;
mod range;

pub use compile::compile;
pub use decide::Decision;
pub use grant::Grants;
pub use local::local_nets;
pub use parse::ParseError;
pub use range::Range;

/// IP protocol numbers.
pub mod proto {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// Tailscale's own messages inside the tunnel.
    pub const TSMP: u8 = 99;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// Something that a class may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Door {
    /// IP protocol.
    pub proto: u8,
    /// Destination addresses.
    pub to: Range,
    /// Lowest and highest destination port; all for protocols without ports.
    pub ports: (u16, u16),
}

/// A compiled filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Destinations that can be ours at all; disjoint, in order.
    pub local: Vec<Range>,
    /// Source ranges with the number of their class; disjoint, in order.
    pub sources: Vec<(Range, usize)>,
    /// What each class may reach; the doors of a class do not overlap.
    pub classes: Vec<Vec<Door>>,
}

impl Filter {
    /// Nothing comes in, not even answers: for the time before the first network map.
    #[must_use]
    pub fn closed() -> Self {
        Self::default()
    }

    /// No rule: only answers come in (shields up).
    #[must_use]
    pub fn shields_up(local: &[Range]) -> Self {
        Self { local: range::union(local.to_vec()), ..Self::default() }
    }
}
