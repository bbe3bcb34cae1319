//! TSMP, the small control protocol inside the tunnel (IP protocol 99; source: `net/packet/tsmp.go` of tailscale.com
//! v1.104.5). These are the payloads behind the IP header; the data plane makes the IP packets.

use hearthgate_keys::{DiscoPublic, KEY_LEN};

/// IP protocol number.
pub const IP_PROTOCOL: u8 = 99;
/// Bytes of a ping's data.
pub const PING_LEN: usize = 8;

const REJECT: u8 = b'!';
const PING: u8 = b'p';
const PONG: u8 = b'o';
const DISCO_KEY: u8 = b'a';

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The packet filter.
    Acl,
    /// The node takes no connections at all.
    Shields,
    /// Forwarding is off.
    ForwardingOff,
    /// The host's own firewall.
    HostFirewall,
    /// The address behind a router is not known.
    UnknownTransit,
    /// One this crate does not know.
    Other(u8),
}

/// A TSMP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tsmp {
    /// "Your connection was refused."
    Reject {
        /// IP protocol of the refused packet.
        protocol: u8,
        /// Why.
        reason: Reason,
        /// Its source port.
        source_port: u16,
        /// Its destination port.
        destination_port: u16,
        /// The refusing side may be at fault itself.
        maybe_broken: bool,
    },
    /// "Are you there?"; to be answered with the same bytes.
    Ping([u8; PING_LEN]),
    /// The answer.
    Pong {
        /// Of the ping.
        data: [u8; PING_LEN],
        /// Port of the answering node's peer API; 0 if it has none.
        peer_api_port: u16,
    },
    /// The sender's disco key: proven to be its own, since it came through the tunnel.
    DiscoKey(DiscoPublic),
}

impl Tsmp {
    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Reject { protocol, reason, source_port, destination_port, maybe_broken } => {
                let mut out = vec![REJECT, *protocol, reason.byte()];
                out.extend_from_slice(&source_port.to_be_bytes());
                out.extend_from_slice(&destination_port.to_be_bytes());
                // Official nodes leave the flags out when there are none.
                if *maybe_broken {
                    out.push(1);
                }
                out
            }
            Self::Ping(data) => [&[PING][..], data].concat(),
            Self::Pong { data, peer_api_port } => [&[PONG][..], data, &peer_api_port.to_be_bytes()].concat(),
            Self::DiscoKey(key) => [&[DISCO_KEY][..], key.as_bytes()].concat(),
        }
    }

    /// Reads a payload; `None` if it is too short or of another kind.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (&kind, body) = payload.split_first()?;
        match kind {
            REJECT => {
                let (&[protocol, reason, s0, s1, d0, d1], rest) = body.split_first_chunk::<6>()?;
                Some(Self::Reject {
                    protocol,
                    reason: Reason::from_byte(reason),
                    source_port: u16::from_be_bytes([s0, s1]),
                    destination_port: u16::from_be_bytes([d0, d1]),
                    maybe_broken: rest.first().is_some_and(|flags| flags & 1 != 0),
                })
            }
            PING => Some(Self::Ping(*body.first_chunk()?)),
            PONG => {
                let (data, rest) = body.split_first_chunk()?;
                // Old nodes send no port.
                let peer_api_port = rest.first_chunk().map_or(0, |port| u16::from_be_bytes(*port));
                Some(Self::Pong { data: *data, peer_api_port })
            }
            DISCO_KEY => Some(Self::DiscoKey(DiscoPublic::from_bytes(*body.first_chunk::<KEY_LEN>()?))),
            _ => None,
        }
    }
}

impl Reason {
    const fn byte(self) -> u8 {
        match self {
            Self::Acl => b'A',
            Self::Shields => b'S',
            Self::ForwardingOff => b'F',
            Self::HostFirewall => b'W',
            Self::UnknownTransit => b'T',
            Self::Other(byte) => byte,
        }
    }

    const fn from_byte(byte: u8) -> Self {
        match byte {
            b'A' => Self::Acl,
            b'S' => Self::Shields,
            b'F' => Self::ForwardingOff,
            b'W' => Self::HostFirewall,
            b'T' => Self::UnknownTransit,
            other => Self::Other(other),
        }
    }
}
