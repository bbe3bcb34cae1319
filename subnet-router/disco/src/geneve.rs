//! The Geneve header (RFC 8926 §3.4, without options) in front of everything sent through a peer relay.

/// Bytes of the header.
pub const LEN: usize = 8;
/// Greatest virtual network identifier (24 bits).
pub const VNI_MAX: u32 = 0xff_ffff;

const CONTROL: u8 = 0x80;
const DISCO: u16 = 0x7a11;
const WIREGUARD: u16 = 0x7a12;

/// What follows the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A disco packet.
    Disco,
    /// A WireGuard message.
    WireGuard,
}

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What follows.
    pub protocol: Protocol,
    /// The relay's number for the pair of nodes; 24 bits.
    pub vni: u32,
    /// For the relay itself (the bind handshake), not to be forwarded.
    pub control: bool,
}

impl Header {
    /// The header's bytes. Bits of `vni` above [`VNI_MAX`] are lost.
    #[must_use]
    pub fn encode(&self) -> [u8; LEN] {
        let protocol = match self.protocol {
            Protocol::Disco => DISCO,
            Protocol::WireGuard => WIREGUARD,
        };
        let [p0, p1] = protocol.to_be_bytes();
        let [_, v0, v1, v2] = self.vni.to_be_bytes();
        [0, if self.control { CONTROL } else { 0 }, p0, p1, v0, v1, v2, 0]
    }

    /// Reads a header; answers it and what follows. `None` for anything that no Tailscale node sends.
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = packet.split_first_chunk::<LEN>()?;
        let [first, flags, p0, p1, v0, v1, v2, last] = *head;
        if first != 0 || flags & !CONTROL != 0 || last != 0 {
            return None;
        }
        let protocol = match u16::from_be_bytes([p0, p1]) {
            DISCO => Protocol::Disco,
            WIREGUARD => Protocol::WireGuard,
            _ => return None,
        };
        Some((Self { protocol, vni: u32::from_be_bytes([0, v0, v1, v2]), control: flags & CONTROL != 0 }, rest))
    }

    /// The header and `payload` as one datagram.
    #[must_use]
    pub fn wrap(&self, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(LEN + payload.len());
        out.extend_from_slice(&self.encode());
        out.extend_from_slice(payload);
        out
    }
}
