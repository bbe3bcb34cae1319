//! NAT-PMP (RFC 6886), UDP port 5351 of the gateway.

use crate::{Protocol, Wanted};
use std::{net::Ipv4Addr, time::Duration};

/// The gateway's port, of NAT-PMP and of PCP.
pub const PORT: u16 = 5351;

const VERSION: u8 = 0;
const OP_ADDRESS: u8 = 0;
const OP_MAP_UDP: u8 = 1;
const OP_MAP_TCP: u8 = 2;
const REPLY: u8 = 0x80;

/// A gateway's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Its external address.
    Address {
        /// 0 is success.
        result: u16,
        /// Its uptime; going back means that it forgot all mappings.
        epoch: Duration,
        /// The address.
        external: Ipv4Addr,
    },
    /// A mapping.
    Mapped {
        /// 0 is success.
        result: u16,
        /// See [`Reply::Address`].
        epoch: Duration,
        /// What the ports are of.
        protocol: Protocol,
        /// Our port.
        internal: u16,
        /// The port outside.
        external: u16,
        /// How long it lasts.
        lifetime: Duration,
    },
}

/// Asks for the external address.
#[must_use]
pub fn address_request() -> Vec<u8> {
    vec![VERSION, OP_ADDRESS]
}

/// Asks for a port; `external` 0 leaves the choice to the gateway, a lifetime of zero ends a mapping.
#[must_use]
pub fn map_request(wanted: Wanted, external: u16, lifetime: Duration) -> Vec<u8> {
    let op = match wanted.protocol {
        Protocol::Udp => OP_MAP_UDP,
        Protocol::Tcp => OP_MAP_TCP,
    };
    let mut out = vec![VERSION, op, 0, 0];
    out.extend_from_slice(&wanted.internal.to_be_bytes());
    out.extend_from_slice(&external.to_be_bytes());
    out.extend_from_slice(&u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
    out
}

/// Reads an answer; `None` if it is none.
#[must_use]
pub fn parse(packet: &[u8]) -> Option<Reply> {
    let (&[version, op, r0, r1, e0, e1, e2, e3], rest) = packet.split_first_chunk::<8>()?;
    let result = u16::from_be_bytes([r0, r1]);
    let epoch = Duration::from_secs(u32::from_be_bytes([e0, e1, e2, e3]).into());
    if version != VERSION {
        return None;
    }
    // A refusal may leave the rest out.
    match op.checked_sub(REPLY)? {
        OP_ADDRESS => {
            let external = rest.first_chunk::<4>().map_or(Ipv4Addr::UNSPECIFIED, |ip| Ipv4Addr::from(*ip));
            (result != 0 || rest.len() >= 4).then_some(Reply::Address { result, epoch, external })
        }
        op @ (OP_MAP_UDP | OP_MAP_TCP) => {
            let &[i0, i1, x0, x1, l0, l1, l2, l3] = rest.first_chunk::<8>()?;
            Some(Reply::Mapped {
                result,
                epoch,
                protocol: if op == OP_MAP_UDP { Protocol::Udp } else { Protocol::Tcp },
                internal: u16::from_be_bytes([i0, i1]),
                external: u16::from_be_bytes([x0, x1]),
                lifetime: Duration::from_secs(u32::from_be_bytes([l0, l1, l2, l3]).into()),
            })
        }
        _ => None,
    }
}
