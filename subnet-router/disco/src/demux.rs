//! What a datagram on WireGuard's port is (source: `wgengine/magicsock/magicsock.go`, `packetLooksLike`).
//!
//! There is no ambiguity: WireGuard messages begin with a small type and three zero bytes.

use crate::{Envelope, geneve};

/// Kinds of datagrams that share the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A STUN message.
    Stun,
    /// Something inside a Geneve header, from a peer relay.
    Geneve,
    /// A disco packet.
    Disco,
    /// A WireGuard message, or rubbish: WireGuard finds out.
    WireGuard,
}

/// Tells the kind of a datagram from its first bytes.
#[must_use]
pub fn kind(packet: &[u8]) -> Kind {
    if is_stun(packet) {
        Kind::Stun
    } else if geneve::Header::parse(packet).is_some() {
        Kind::Geneve
    } else if Envelope::looks_like(packet) {
        Kind::Disco
    } else {
        Kind::WireGuard
    }
}

/// A STUN header with a binding method: top bits zero, method 1, the magic cookie (RFC 8489 §5).
fn is_stun(packet: &[u8]) -> bool {
    let Some(head) = packet.first_chunk::<20>() else {
        return false;
    };
    head[0] & 0xc0 == 0 && head[1] == 0x01 && head[4..8] == [0x21, 0x12, 0xa4, 0x42]
}

#[cfg(test)]
mod tests {
    use super::{Kind, kind};

    #[test]
    fn kinds() {
        let mut stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        stun.resize(20, 7);
        assert_eq!(kind(&stun), Kind::Stun);
        assert_eq!(kind(&[0, 0x80, 0x7a, 0x11, 0, 0, 7, 0]), Kind::Geneve);
        let mut disco = crate::MAGIC.to_vec();
        disco.resize(62, 0);
        assert_eq!(kind(&disco), Kind::Disco);
        disco.pop();
        assert_eq!(kind(&disco), Kind::WireGuard, "too short for a disco packet");
        assert_eq!(kind(&[4, 0, 0, 0, 1, 2, 3, 4]), Kind::WireGuard);
        assert_eq!(kind(&[]), Kind::WireGuard);
    }
}
