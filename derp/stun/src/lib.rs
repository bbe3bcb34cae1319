//! STUN as Tailscale uses it (RFC 8489 binding requests; `net/stun` of tailscale.com v1.104.5): bytes in, bytes out.
//!
//! A request is answered only if it comes from a Tailscale client: SOFTWARE is `tailnode`, and the last attribute is a
//! right FINGERPRINT. An answer carries one XOR-MAPPED-ADDRESS and is barely longer than a request, so the responder
//! is of no use for amplification.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Length of a transaction id.
pub const TXID_LEN: usize = 12;
/// The usual UDP port.
pub const DEFAULT_PORT: u16 = 3478;

/// CRC-32 as IEEE 802.3 has it.
static CRC32: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
const HEADER: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const ATTR_MAPPED: u16 = 0x0001;
const ATTR_XOR_MAPPED: u16 = 0x0020;
const ATTR_XOR_MAPPED_ALT: u16 = 0x8020;
const ATTR_SOFTWARE: u16 = 0x8022;
const ATTR_FINGERPRINT: u16 = 0x8028;
const SOFTWARE: &[u8; 8] = b"tailnode";
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// Identifies a request.
pub type TxId = [u8; TXID_LEN];

/// Why a packet is not a request to answer, or not an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StunError {
    /// Not STUN at all.
    #[error("not a STUN packet")]
    NotStun,
    /// STUN, but not a binding request.
    #[error("not a binding request")]
    NotBindingRequest,
    /// STUN, but not a binding answer.
    #[error("not a successful binding response")]
    NotSuccess,
    /// Attributes that do not fit the packet.
    #[error("malformed attributes")]
    Malformed,
    /// A request of other software.
    #[error("the request does not come from Tailscale software")]
    OtherSoftware,
    /// The last attribute is no fingerprint.
    #[error("the request does not end in a fingerprint")]
    NoFingerprint,
    /// The fingerprint is wrong.
    #[error("the fingerprint is wrong")]
    BadFingerprint,
    /// An answer without an address.
    #[error("the response has no mapped address")]
    NoAddress,
}

/// A request as clients send it.
#[must_use]
pub fn request(txid: &TxId) -> Vec<u8> {
    let mut out = Vec::with_capacity(40);
    out.extend_from_slice(&BINDING_REQUEST.to_be_bytes());
    out.extend_from_slice(&20u16.to_be_bytes());
    out.extend_from_slice(&COOKIE);
    out.extend_from_slice(txid);
    out.extend_from_slice(&ATTR_SOFTWARE.to_be_bytes());
    out.extend_from_slice(&8u16.to_be_bytes());
    out.extend_from_slice(SOFTWARE);
    let fingerprint = CRC32.checksum(&out) ^ FINGERPRINT_XOR;
    out.extend_from_slice(&ATTR_FINGERPRINT.to_be_bytes());
    out.extend_from_slice(&4u16.to_be_bytes());
    out.extend_from_slice(&fingerprint.to_be_bytes());
    out
}

/// Checks a request; answers its transaction id.
///
/// # Errors
/// The packet is not a request that a Tailscale client made.
pub fn parse_request(packet: &[u8]) -> Result<TxId, StunError> {
    let (kind, txid) = header(packet)?;
    if kind != BINDING_REQUEST {
        return Err(StunError::NotBindingRequest);
    }
    let mut software = false;
    let mut fingerprint: Option<(usize, u32)> = None;
    let mut at = HEADER;
    for attribute in Attributes(packet.get(HEADER..).unwrap_or_default()) {
        let (kind, value, used) = attribute?;
        if kind == ATTR_SOFTWARE && value == SOFTWARE {
            software = true;
        }
        let crc: Option<[u8; 4]> = (kind == ATTR_FINGERPRINT).then(|| value.try_into().ok()).flatten();
        fingerprint = crc.map(|crc| (at, u32::from_be_bytes(crc)));
        at += used;
    }
    if !software {
        return Err(StunError::OtherSoftware);
    }
    let (start, got) = fingerprint.ok_or(StunError::NoFingerprint)?;
    let wanted = CRC32.checksum(packet.get(..start).unwrap_or_default()) ^ FINGERPRINT_XOR;
    if got == wanted { Ok(txid) } else { Err(StunError::BadFingerprint) }
}

/// The answer to a request that came from `from`.
#[must_use]
pub fn response(txid: &TxId, from: SocketAddr) -> Vec<u8> {
    let ip = from.ip().to_canonical();
    let (family, bytes): (u8, Vec<u8>) = match ip {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let mask = COOKIE.iter().chain(txid);
    let masked = bytes.iter().zip(mask).map(|(b, m)| b ^ m);
    // 4 or 16 bytes: it fits.
    let value_len = 4 + bytes.len() as u16;
    let mut out = Vec::with_capacity(HEADER + 4 + usize::from(value_len));
    out.extend_from_slice(&BINDING_SUCCESS.to_be_bytes());
    out.extend_from_slice(&(4 + value_len).to_be_bytes());
    out.extend_from_slice(&COOKIE);
    out.extend_from_slice(txid);
    out.extend_from_slice(&ATTR_XOR_MAPPED.to_be_bytes());
    out.extend_from_slice(&value_len.to_be_bytes());
    out.extend_from_slice(&[0, family]);
    out.extend_from_slice(&(from.port() ^ 0x2112).to_be_bytes());
    out.extend(masked);
    out
}

/// Reads an answer: its transaction id, and the address we were seen from.
///
/// # Errors
/// The packet is not a successful answer with an address.
pub fn parse_response(packet: &[u8]) -> Result<(TxId, SocketAddr), StunError> {
    let (kind, txid) = header(packet)?;
    if kind != BINDING_SUCCESS {
        return Err(StunError::NotSuccess);
    }
    let len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    // What lies beyond the length in the header is padding of some NATs.
    let body = packet.get(HEADER..HEADER + len).ok_or(StunError::Malformed)?;
    let mut fallback = None;
    for attribute in Attributes(body) {
        let (kind, value, _) = attribute?;
        match kind {
            ATTR_XOR_MAPPED | ATTR_XOR_MAPPED_ALT => {
                if let Some(addr) = address(value, Some(&txid)) {
                    return Ok((txid, addr));
                }
            }
            ATTR_MAPPED => fallback = address(value, None),
            _ => {}
        }
    }
    fallback.map(|addr| (txid, addr)).ok_or(StunError::NoAddress)
}

fn header(packet: &[u8]) -> Result<(u16, TxId), StunError> {
    let head: &[u8; HEADER] = packet.get(..HEADER).and_then(|h| h.try_into().ok()).ok_or(StunError::NotStun)?;
    if head[0] & 0xc0 != 0 || head[4..8] != COOKIE {
        return Err(StunError::NotStun);
    }
    let mut txid = [0; TXID_LEN];
    txid.copy_from_slice(&head[8..]);
    Ok((u16::from_be_bytes([head[0], head[1]]), txid))
}

/// Attributes one after the other: kind, value, bytes used with padding.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8], usize), StunError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let whole = std::mem::take(&mut self.0);
        let Some(head) = whole.get(..4) else { return Some(Err(StunError::Malformed)) };
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let padded = len.next_multiple_of(4);
        let Some(value) = whole.get(4..4 + len) else { return Some(Err(StunError::Malformed)) };
        let Some(rest) = whole.get(4 + padded..) else { return Some(Err(StunError::Malformed)) };
        self.0 = rest;
        Some(Ok((kind, value, 4 + padded)))
    }
}

fn address(value: &[u8], masked_by: Option<&TxId>) -> Option<SocketAddr> {
    let family = *value.get(1)?;
    let mut port = u16::from_be_bytes(value.get(2..4)?.try_into().ok()?);
    let mut bytes = value.get(4..)?.to_vec();
    if let Some(txid) = masked_by {
        port ^= 0x2112;
        for (b, m) in bytes.iter_mut().zip(COOKIE.iter().chain(txid)) {
            *b ^= m;
        }
    }
    let ip: IpAddr = match family {
        1 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into(),
        2 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}
