//! Messages about peer relays: nodes of the tailnet that forward packets for others over UDP (source:
//! `disco/disco.go`, `UDPRelayEndpoint` and its companions, and `net/udprelay` of tailscale.com v1.104.5).

use crate::{CALL_ME_MAYBE_LIMIT, ParseError, addr};
use hearthgate_keys::{DiscoPublic, KEY_LEN};
use std::{net::SocketAddr, time::Duration};

/// Bytes of a challenge.
pub const CHALLENGE_LEN: usize = 32;

/// A step of the handshake that binds our address to a relay's endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindEndpoint {
    /// The endpoint's number at the relay.
    pub vni: u32,
    /// Number of this handshake, not zero; the newest counts.
    pub generation: u32,
    /// Disco key of the node at the other end.
    pub remote: DiscoPublic,
    /// What the relay wants repeated; zeros in the first message.
    pub challenge: [u8; CHALLENGE_LEN],
}

/// What a relay keeps for two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayEndpoint {
    /// The relay's own disco key.
    pub server: DiscoPublic,
    /// The two nodes, in ascending order.
    pub clients: [DiscoPublic; 2],
    /// Grows with each endpoint of this relay; the greater one is the newer.
    pub lamport: u64,
    /// Number to put in the Geneve header.
    pub vni: u32,
    /// How long the relay waits for both to bind.
    pub bind_lifetime: Duration,
    /// How long the relay keeps it without traffic.
    pub steady_lifetime: Duration,
    /// Where the relay listens; at most [`CALL_ME_MAYBE_LIMIT`].
    pub addrs: Vec<SocketAddr>,
}

/// Request for an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocate {
    /// The two nodes, in ascending order.
    pub clients: [DiscoPublic; 2],
    /// Repeated in the answer.
    pub generation: u32,
}

/// Answer with an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocated {
    /// Of the request.
    pub generation: u32,
    /// The endpoint.
    pub endpoint: RelayEndpoint,
}

/// Takes fields off the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], ParseError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(ParseError::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, ParseError> {
        Ok(u32::from_be_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64, ParseError> {
        Ok(u64::from_be_bytes(self.take()?))
    }

    fn key(&mut self) -> Result<DiscoPublic, ParseError> {
        Ok(DiscoPublic::from_bytes(self.take::<KEY_LEN>()?))
    }
}

impl BindEndpoint {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.vni.to_be_bytes());
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(self.remote.as_bytes());
        out.extend_from_slice(&self.challenge);
    }

    pub(crate) fn get(body: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader(body);
        Ok(Self { vni: r.u32()?, generation: r.u32()?, remote: r.key()?, challenge: r.take()? })
    }
}

impl RelayEndpoint {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        for key in [&self.server, &self.clients[0], &self.clients[1]] {
            out.extend_from_slice(key.as_bytes());
        }
        out.extend_from_slice(&self.lamport.to_be_bytes());
        out.extend_from_slice(&self.vni.to_be_bytes());
        for lifetime in [self.bind_lifetime, self.steady_lifetime] {
            out.extend_from_slice(&u64::try_from(lifetime.as_nanos()).unwrap_or(u64::MAX).to_be_bytes());
        }
        for &addr in &self.addrs {
            addr::put(out, addr);
        }
    }

    pub(crate) fn get(body: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader(body);
        let endpoint = Self {
            server: r.key()?,
            clients: [r.key()?, r.key()?],
            lamport: r.u64()?,
            vni: r.u32()?,
            bind_lifetime: Duration::from_nanos(r.u64()?),
            steady_lifetime: Duration::from_nanos(r.u64()?),
            addrs: addr::list(r.0, CALL_ME_MAYBE_LIMIT),
        };
        if endpoint.addrs.is_empty() || !r.0.len().is_multiple_of(addr::LEN) {
            return Err(ParseError::Short);
        }
        Ok(endpoint)
    }
}

impl Allocate {
    /// A request for `a` and `b`, which are put in order.
    #[must_use]
    pub fn new(a: DiscoPublic, b: DiscoPublic, generation: u32) -> Self {
        Self { clients: if a <= b { [a, b] } else { [b, a] }, generation }
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.clients[0].as_bytes());
        out.extend_from_slice(self.clients[1].as_bytes());
        out.extend_from_slice(&self.generation.to_be_bytes());
    }

    pub(crate) fn get(body: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader(body);
        Ok(Self { clients: [r.key()?, r.key()?], generation: r.u32()? })
    }
}

impl Allocated {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.generation.to_be_bytes());
        self.endpoint.put(out);
    }

    pub(crate) fn get(body: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader(body);
        Ok(Self { generation: r.u32()?, endpoint: RelayEndpoint::get(r.0)? })
    }
}
