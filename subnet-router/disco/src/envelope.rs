//! The outside of a disco packet: magic, sender, nonce, box.

use crate::{Message, ParseError};
use hearthgate_keys::{BOX_NONCE_LEN, DiscoPublic, DiscoShared, KEY_LEN, OpenError};

/// First bytes of each disco packet (`TS` and a speech bubble in UTF-8).
pub const MAGIC: [u8; 6] = [0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac];
/// Bytes before the box.
pub const HEADER_LEN: usize = MAGIC.len() + KEY_LEN + BOX_NONCE_LEN;

/// Why a box gave no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The keys do not fit; usual for a while after a peer's restart.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The keys fit, but the content is no message.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

/// A disco packet that is not opened yet.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// Whose disco key it claims to be from; proven when the box opens.
    pub sender: DiscoPublic,
    nonce: &'a [u8; BOX_NONCE_LEN],
    sealed: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Whether a datagram has the length and the magic of a disco packet.
    #[must_use]
    pub fn looks_like(packet: &[u8]) -> bool {
        packet.len() >= HEADER_LEN && packet.starts_with(&MAGIC)
    }

    /// Takes the outside apart; `None` if the packet is not a disco packet.
    #[must_use]
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let rest = packet.strip_prefix(&MAGIC)?;
        let (sender, rest) = rest.split_first_chunk::<KEY_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        Some(Self { sender: DiscoPublic::from_bytes(*sender), nonce, sealed })
    }

    /// Opens the box with what our key and the sender's share.
    ///
    /// # Errors
    /// The box does not open, or what is in it is no message we know.
    pub fn open(&self, shared: &DiscoShared) -> Result<Message, EnvelopeError> {
        Ok(Message::parse(&shared.open(self.nonce, self.sealed)?)?)
    }
}

/// A whole packet with `message`, from the owner of `sender`. `nonce` must be random and never be used twice.
#[must_use]
pub fn seal(sender: &DiscoPublic, shared: &DiscoShared, nonce: &[u8; BOX_NONCE_LEN], message: &Message) -> Vec<u8> {
    let sealed = shared.seal(nonce, &message.encode());
    let mut out = Vec::with_capacity(HEADER_LEN + sealed.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(sender.as_bytes());
    out.extend_from_slice(nonce);
    out.extend_from_slice(&sealed);
    out
}
