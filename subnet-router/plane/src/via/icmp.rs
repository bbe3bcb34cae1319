//! ICMP to ICMPv6 and back (RFC 7915 §4.2, §4.3, §5.2, §5.3): echo, and errors with the packet they are about. Pure.

use super::translate::{ICMP, ICMPV6, TCP, UDP, V4_LEN, V6_LEN, adjust, read_v4, read_v6, write_v4, write_v6};
use hearthgate_offload::checksum;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Length of the header before an error's packet, or an echo's data.
const HEADER: usize = 8;
/// By so much an IPv6 packet is longer.
const DIFFERENCE: u32 = (V6_LEN - V4_LEN) as u32;
/// No IPv6 path takes less.
const V6_MTU_MIN: u32 = 1280;

/// Writes the ICMP message that an ICMPv6 message means, checksum and all. `pair` gives the addresses of an inner packet.
pub(super) fn to_v4(
    message: &[u8],
    to: &mut Vec<u8>,
    pair: impl FnOnce(Ipv6Addr, Ipv6Addr) -> Option<(Ipv4Addr, Ipv4Addr)>,
) -> Option<()> {
    let ([kind, code, _, _, rest @ ..], body) = message.split_first_chunk::<HEADER>()?;
    let size = u32::from_be_bytes(*rest);
    let error = match (*kind, *code) {
        (128 | 129, _) => {
            to.extend_from_slice(&[if *kind == 128 { 8 } else { 0 }, 0, 0, 0]);
            to.extend_from_slice(rest);
            to.extend_from_slice(body);
            return seal(to, 0);
        }
        (1, 1) => (3, 10, 0),
        (1, 4) => (3, 3, 0),
        (1, _) => (3, 1, 0),
        (2, _) => (3, 4, size.saturating_sub(DIFFERENCE).min(0xffff)),
        (3, code) => (11, code, 0),
        (4, 1) => (3, 2, 0),
        _ => return None,
    };
    to.extend_from_slice(&[error.0, error.1, 0, 0]);
    to.extend_from_slice(&error.2.to_be_bytes());
    let (head, source, destination, payload) = read_v6(body)?;
    if head.is_part() || head.protocol == ICMPV6 && !matches!(payload.first(), Some(128 | 129)) {
        return None;
    }
    let new = pair(source, destination)?;
    let protocol = if head.protocol == ICMPV6 { ICMP } else { head.protocol };
    let declared = usize::from(u16::from_be_bytes([*body.get(4)?, *body.get(5)?]));
    write_v4(to, &head.with(protocol), 0, new, declared)?;
    let at = to.len();
    to.extend_from_slice(payload);
    inner(to.get_mut(at..)?, head.protocol, (source.into(), destination.into()), (new.0.into(), new.1.into()));
    seal(to, 0)
}

/// Writes the ICMPv6 message that an ICMP message means, but for its checksum ([`seal_v6`]).
pub(super) fn to_v6(
    message: &[u8],
    outer: (Ipv6Addr, Ipv6Addr),
    to: &mut Vec<u8>,
    pair: impl FnOnce(Ipv4Addr, Ipv4Addr) -> Option<(Ipv6Addr, Ipv6Addr)>,
) -> Option<()> {
    let ([kind, code, _, _, rest @ ..], body) = message.split_first_chunk::<HEADER>()?;
    let size = u32::from_be_bytes(*rest) & 0xffff;
    let error = match (*kind, *code) {
        (8 | 0, _) => {
            to.extend_from_slice(&[if *kind == 8 { 128 } else { 129 }, 0, 0, 0]);
            to.extend_from_slice(rest);
            to.extend_from_slice(body);
            return Some(());
        }
        // The pointer is to the next header field.
        (3, 2) => (4, 1, 6),
        (3, 3) => (1, 4, 0),
        (3, 4) => (2, 0, (size + DIFFERENCE).max(V6_MTU_MIN)),
        (3, 9 | 10 | 13 | 15) => (1, 1, 0),
        (3, 0 | 1 | 5..=8 | 11 | 12) => (1, 0, 0),
        (11, code) => (3, code, 0),
        _ => return None,
    };
    to.extend_from_slice(&[error.0, error.1, 0, 0]);
    to.extend_from_slice(&error.2.to_be_bytes());
    let (head, source, destination, payload) = read_v4(body)?;
    if head.is_part() || head.protocol == ICMP && !matches!(payload.first(), Some(8 | 0)) {
        return None;
    }
    let new = pair(source, destination)?;
    // What is quoted is the client's own packet, or nobody can make use of the error.
    if new.0 != outer.1 {
        return None;
    }
    let next = if head.protocol == ICMP { ICMPV6 } else { head.protocol };
    let start = usize::from(body.first()? & 15) * 4;
    let declared = usize::from(u16::from_be_bytes([*body.get(2)?, *body.get(3)?])).checked_sub(start)?;
    write_v6(to, &head, next, new, declared)?;
    let at = to.len();
    to.extend_from_slice(payload);
    inner(to.get_mut(at..)?, head.protocol, (source.into(), destination.into()), (new.0.into(), new.1.into()));
    Some(())
}

/// Translates the first bytes of an inner packet's payload, as far as they are there.
fn inner(payload: &mut [u8], protocol: u8, old: (IpAddr, IpAddr), new: (IpAddr, IpAddr)) {
    if let (ICMP | ICMPV6, Some(kind)) = (protocol, payload.first_mut()) {
        *kind = match *kind {
            8 => 128,
            0 => 129,
            128 => 8,
            _ => 0,
        };
    } else if protocol == UDP && payload.get(6..8) == Some(&[0, 0]) {
        // It had none; nobody checks it here.
    } else if matches!(protocol, TCP | UDP) {
        // Of TCP there may be eight bytes alone, and the checksum is further behind.
        let _ = adjust(payload, protocol, old, new);
    }
}

/// Fills in the checksum of an ICMPv6 message that is whole.
pub(super) fn seal_v6(message: &mut [u8], pair: (Ipv6Addr, Ipv6Addr)) {
    let pseudo = checksum::pseudo(pair.0.into(), pair.1.into(), ICMPV6, message.len());
    // A message that was written has a header.
    let _ = seal(message, pseudo);
}

fn seal(message: &mut [u8], pseudo: u16) -> Option<()> {
    let sum = !checksum::add(pseudo, checksum::sum(message));
    message.get_mut(2..4)?.copy_from_slice(&sum.to_be_bytes());
    Some(())
}
