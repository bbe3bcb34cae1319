//! A NAT: what it does to a datagram that leaves, and which it lets in.

use hearthgate_sorted::{SortedMap, SortedSet};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// How long a mapping lives after the last packet from inside (RFC 4787 asks for two minutes, many keep less).
pub const MAPPING_LIFE: Duration = Duration::from_secs(30);

/// Kinds of NAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// None: the address is public, a stateful firewall is not there either.
    Open,
    /// A stateful firewall on a public address.
    Firewall,
    /// One mapping for all destinations; lets in everybody.
    Cone,
    /// One mapping for all destinations; lets in who was sent to.
    Easy,
    /// A mapping for each destination; lets in who was sent to.
    Hard,
}

#[derive(Debug)]
struct Mapping {
    inside: SocketAddr,
    sent_to: SortedSet<SocketAddr>,
    last: Duration,
}

/// A NAT with one public address.
#[derive(Debug)]
pub struct Nat {
    pub kind: Kind,
    pub public: IpAddr,
    /// By public port.
    mappings: SortedMap<u16, Mapping>,
    next_port: u16,
}

impl Nat {
    pub fn new(kind: Kind, public: IpAddr) -> Self {
        Self { kind, public, mappings: SortedMap::new(), next_port: 20_000 }
    }

    /// Forgets all mappings, as after a reboot or `conntrack -F`.
    pub fn flush(&mut self) {
        self.mappings.clear();
    }

    /// A datagram leaves: from where do others see it come?
    pub fn out(&mut self, inside: SocketAddr, to: SocketAddr, now: Duration) -> SocketAddr {
        self.mappings.retain(|_, m| now.saturating_sub(m.last) < MAPPING_LIFE);
        if matches!(self.kind, Kind::Open) {
            return inside;
        }
        let hard = self.kind == Kind::Hard;
        let known = self
            .mappings
            .iter()
            .find(|(_, m)| m.inside == inside && (!hard || m.sent_to.contains(&to)))
            .map(|(&port, _)| port);
        let port = known.unwrap_or_else(|| {
            if self.kind == Kind::Firewall {
                return inside.port();
            }
            self.next_port += 7;
            self.next_port
        });
        let mapping = self.mappings.entry(port).or_insert(Mapping { inside, sent_to: SortedSet::new(), last: now });
        mapping.sent_to.insert(to);
        mapping.last = now;
        SocketAddr::new(self.public, port)
    }

    /// A datagram comes to a public port: who inside gets it?
    pub fn enter(&mut self, port: u16, from: SocketAddr, open_port: SocketAddr, now: Duration) -> Option<SocketAddr> {
        if self.kind == Kind::Open {
            return (port == open_port.port()).then_some(open_port);
        }
        let mapping = self.mappings.get(&port).filter(|m| now.saturating_sub(m.last) < MAPPING_LIFE)?;
        (self.kind == Kind::Cone || mapping.sent_to.contains(&from)).then_some(mapping.inside)
    }
}
