//! `struct virtio_net_hdr`: how the packet behind it is to be cut, and which checksum is still missing. On a TUN device
//! its numbers are in the machine's own byte order.

/// Its bytes.
pub const VNET_LEN: usize = 10;
/// Before a packet that is whole.
pub const PLAIN: [u8; VNET_LEN] = [0; VNET_LEN];

/// The checksum from `csum_start` on is missing (`VIRTIO_NET_HDR_F_NEEDS_CSUM`).
const NEEDS_CSUM: u8 = 1;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
/// TCP with congestion marks; nothing else follows from it here.
const GSO_ECN: u8 = 0x80;

/// What is to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gso {
    /// Nothing.
    None,
    /// A TCP segment.
    Tcp,
    /// A UDP datagram.
    Udp,
}

/// The header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VnetHeader {
    /// What is to be cut.
    pub gso: Gso,
    /// The checksum that begins at `csum_start` is not complete: its place holds the sum of the pseudo header.
    pub needs_checksum: bool,
    /// Bytes of all headers before the payload.
    pub header_len: u16,
    /// Bytes of payload in each piece.
    pub gso_size: u16,
    /// Where the checksum's bytes begin.
    pub csum_start: u16,
    /// Of the checksum, from `csum_start`.
    pub csum_offset: u16,
}

impl VnetHeader {
    /// Reads it; `None` for a way of cutting that was never asked for.
    #[must_use]
    pub fn decode(bytes: [u8; VNET_LEN]) -> Option<Self> {
        let [flags, kind, h0, h1, g0, g1, s0, s1, o0, o1] = bytes;
        let gso = match kind & !GSO_ECN {
            0 => Gso::None,
            GSO_TCPV4 | GSO_TCPV6 => Gso::Tcp,
            GSO_UDP_L4 => Gso::Udp,
            _ => return None,
        };
        Some(Self {
            gso,
            needs_checksum: flags & NEEDS_CSUM != 0,
            header_len: u16::from_ne_bytes([h0, h1]),
            gso_size: u16::from_ne_bytes([g0, g1]),
            csum_start: u16::from_ne_bytes([s0, s1]),
            csum_offset: u16::from_ne_bytes([o0, o1]),
        })
    }

    /// Its bytes; `v6` is the packet's family.
    #[must_use]
    pub fn encode(self, v6: bool) -> [u8; VNET_LEN] {
        let kind = match self.gso {
            Gso::None => 0,
            Gso::Tcp if v6 => GSO_TCPV6,
            Gso::Tcp => GSO_TCPV4,
            Gso::Udp => GSO_UDP_L4,
        };
        let ([h0, h1], [g0, g1]) = (self.header_len.to_ne_bytes(), self.gso_size.to_ne_bytes());
        let ([s0, s1], [o0, o1]) = (self.csum_start.to_ne_bytes(), self.csum_offset.to_ne_bytes());
        [if self.needs_checksum { NEEDS_CSUM } else { 0 }, kind, h0, h1, g0, g1, s0, s1, o0, o1]
    }
}
