//! PCP (RFC 6887), on the same port as NAT-PMP.

use crate::{Protocol, Wanted};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// Bytes of a mapping's nonce.
pub const NONCE_LEN: usize = 12;
/// The gateway sees us at another address than the one in the request: there is a NAT between us and it.
pub const ADDRESS_MISMATCH: u8 = 12;

const VERSION: u8 = 2;
const OP_ANNOUNCE: u8 = 0;
const OP_MAP: u8 = 1;
const REPLY: u8 = 0x80;

/// A gateway's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It is there.
    Announce {
        /// 0 is success.
        result: u8,
        /// Its uptime; going back means that it forgot all mappings.
        epoch: Duration,
    },
    /// A mapping.
    Mapped {
        /// 0 is success.
        result: u8,
        /// See [`Reply::Announce`].
        epoch: Duration,
        /// How long it lasts, or with an error how long not to ask again.
        lifetime: Duration,
        /// Of the request.
        nonce: [u8; NONCE_LEN],
        /// What the ports are of.
        protocol: Protocol,
        /// Our port.
        internal: u16,
        /// The address outside.
        external: SocketAddr,
    },
}

fn header(op: u8, lifetime: Duration, client: Ipv4Addr) -> Vec<u8> {
    let mut out = vec![VERSION, op, 0, 0];
    out.extend_from_slice(&u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&client.to_ipv6_mapped().octets());
    out
}

/// Asks whether the gateway speaks PCP.
#[must_use]
pub fn announce_request(client: Ipv4Addr) -> Vec<u8> {
    header(OP_ANNOUNCE, Duration::ZERO, client)
}

/// Asks for a port, or ends a mapping with a lifetime of zero. `before` is the outside address to have again.
#[must_use]
pub fn map_request(
    client: Ipv4Addr,
    wanted: Wanted,
    before: Option<SocketAddr>,
    lifetime: Duration,
    nonce: &[u8; NONCE_LEN],
) -> Vec<u8> {
    let mut out = header(OP_MAP, lifetime, client);
    out.extend_from_slice(nonce);
    out.extend_from_slice(&[wanted.protocol.number(), 0, 0, 0]);
    out.extend_from_slice(&wanted.internal.to_be_bytes());
    let best = if lifetime.is_zero() { 0 } else { wanted.external.unwrap_or(0) };
    out.extend_from_slice(&before.map_or(best, |addr| addr.port()).to_be_bytes());
    let ip = match before.map(|addr| addr.ip()) {
        None => Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(),
        Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped(),
        Some(IpAddr::V6(v6)) => v6,
    };
    out.extend_from_slice(&ip.octets());
    out
}

/// Reads an answer; `None` if it is none.
#[must_use]
pub fn parse(packet: &[u8]) -> Option<Reply> {
    let (&[version, op, _, result, l0, l1, l2, l3, e0, e1, e2, e3], rest) = packet.split_first_chunk::<12>()?;
    let (_, rest) = rest.split_first_chunk::<12>()?;
    let epoch = Duration::from_secs(u32::from_be_bytes([e0, e1, e2, e3]).into());
    if version != VERSION {
        return None;
    }
    match op.checked_sub(REPLY)? {
        OP_ANNOUNCE => Some(Reply::Announce { result, epoch }),
        OP_MAP => {
            let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
            let (&[protocol, _, _, _, i0, i1, x0, x1], rest) = rest.split_first_chunk::<8>()?;
            let ip = Ipv6Addr::from(*rest.first_chunk::<16>()?);
            let protocol = [Protocol::Udp, Protocol::Tcp].into_iter().find(|p| p.number() == protocol)?;
            Some(Reply::Mapped {
                result,
                epoch,
                lifetime: Duration::from_secs(u32::from_be_bytes([l0, l1, l2, l3]).into()),
                nonce: *nonce,
                protocol,
                internal: u16::from_be_bytes([i0, i1]),
                external: SocketAddr::new(IpAddr::V6(ip).to_canonical(), u16::from_be_bytes([x0, x1])),
            })
        }
        _ => None,
    }
}
