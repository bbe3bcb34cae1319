//! The messages in a disco packet.
//!
//! A message is its type (one byte), a version (one byte, always 0), and a body; bytes after the body are ignored. What
//! official nodes accept, we accept: a list with a broken length is an empty list, a node key of zeros is padding.

use crate::{
    addr,
    relay::{Allocate, Allocated, BindEndpoint, RelayEndpoint},
};
use hearthgate_keys::{KEY_LEN, NodePublic};
use std::net::SocketAddr;

/// Bytes of a transaction id.
pub const TXID_LEN: usize = 12;
/// Identifies a ping.
pub type TxId = [u8; TXID_LEN];
/// Most endpoints taken from one call-me-maybe or relay endpoint. A node reports a dozen; a relayed packet of 64 KiB
/// could hold 3,600, each of which would cost us a ping.
pub const CALL_ME_MAYBE_LIMIT: usize = 100;

const PING: u8 = 0x01;
const PONG: u8 = 0x02;
const CALL_ME_MAYBE: u8 = 0x03;
const BIND: u8 = 0x04;
const BIND_CHALLENGE: u8 = 0x05;
const BIND_ANSWER: u8 = 0x06;
const CALL_ME_MAYBE_VIA: u8 = 0x07;
const ALLOCATE: u8 = 0x08;
const ALLOCATED: u8 = 0x09;

/// Why an opened box holds no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Too few bytes for its type.
    #[error("short message")]
    Short,
    /// A type this crate does not know.
    #[error("unknown message type {0:#04x}")]
    Unknown(u8),
    /// A version this crate does not know, of a message that has no empty form.
    #[error("unknown version {0} of a message")]
    Version(u8),
}

/// Asks the receiver for a [`Pong`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// To be repeated in the answer.
    pub txid: TxId,
    /// The sender's node key, for receivers that know several nodes with the same disco key.
    pub node: Option<NodePublic>,
    /// Zero bytes behind it, to try a packet size.
    pub padding: usize,
}

/// Answers a [`Ping`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong {
    /// Of the ping.
    pub txid: TxId,
    /// Where the ping came from, as the answering node saw it; 127.3.3.40 and the region's number for a relay.
    pub source: SocketAddr,
}

/// A disco message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// "Are you there?"
    Ping(Ping),
    /// "Yes, and I see you at …"
    Pong(Pong),
    /// "Please ping me at these endpoints"; comes over a relay only.
    CallMeMaybe(Vec<SocketAddr>),
    /// To a peer relay: "I want to use this endpoint".
    Bind(BindEndpoint),
    /// From a peer relay: "Then repeat this challenge".
    BindChallenge(BindEndpoint),
    /// To a peer relay: the challenge again.
    BindAnswer(BindEndpoint),
    /// "Please reach me through this peer relay"; comes over a DERP relay only. `None`: unknown version.
    CallMeMaybeVia(Option<RelayEndpoint>),
    /// To a peer relay: "Make an endpoint for these two". `None`: unknown version.
    Allocate(Option<Allocate>),
    /// From a peer relay: the endpoint. `None`: unknown version.
    Allocated(Option<Allocated>),
}

impl Message {
    /// The message's bytes, as they go into the box.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.kind(), 0];
        match self {
            Self::Ping(ping) => {
                out.extend_from_slice(&ping.txid);
                if let Some(node) = &ping.node {
                    out.extend_from_slice(node.as_bytes());
                }
                out.resize(out.len() + ping.padding, 0);
            }
            Self::Pong(pong) => {
                out.extend_from_slice(&pong.txid);
                addr::put(&mut out, pong.source);
            }
            Self::CallMeMaybe(endpoints) => {
                for &endpoint in endpoints {
                    addr::put(&mut out, endpoint);
                }
            }
            Self::Bind(bind) | Self::BindChallenge(bind) | Self::BindAnswer(bind) => bind.put(&mut out),
            Self::CallMeMaybeVia(endpoint) => put(endpoint.as_ref(), RelayEndpoint::put, &mut out),
            Self::Allocate(request) => put(request.as_ref(), Allocate::put, &mut out),
            Self::Allocated(answer) => put(answer.as_ref(), Allocated::put, &mut out),
        }
        out
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`ParseError`] for what official nodes drop as well.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let (&[kind, version], body) = bytes.split_first_chunk::<2>().ok_or(ParseError::Short)?;
        Ok(match kind {
            PING => Self::Ping(parse_ping(body)?),
            PONG => Self::Pong(parse_pong(body)?),
            CALL_ME_MAYBE if version != 0 || !body.len().is_multiple_of(addr::LEN) => Self::CallMeMaybe(Vec::new()),
            CALL_ME_MAYBE => Self::CallMeMaybe(addr::list(body, CALL_ME_MAYBE_LIMIT)),
            BIND | BIND_CHALLENGE | BIND_ANSWER => {
                if version != 0 {
                    return Err(ParseError::Version(version));
                }
                let bind = BindEndpoint::get(body)?;
                match kind {
                    BIND => Self::Bind(bind),
                    BIND_CHALLENGE => Self::BindChallenge(bind),
                    _ => Self::BindAnswer(bind),
                }
            }
            CALL_ME_MAYBE_VIA => Self::CallMeMaybeVia(get(version, body, RelayEndpoint::get)?),
            ALLOCATE => Self::Allocate(get(version, body, Allocate::get)?),
            ALLOCATED => Self::Allocated(get(version, body, Allocated::get)?),
            other => return Err(ParseError::Unknown(other)),
        })
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Ping(_) => PING,
            Self::Pong(_) => PONG,
            Self::CallMeMaybe(_) => CALL_ME_MAYBE,
            Self::Bind(_) => BIND,
            Self::BindChallenge(_) => BIND_CHALLENGE,
            Self::BindAnswer(_) => BIND_ANSWER,
            Self::CallMeMaybeVia(_) => CALL_ME_MAYBE_VIA,
            Self::Allocate(_) => ALLOCATE,
            Self::Allocated(_) => ALLOCATED,
        }
    }
}

fn put<T>(value: Option<&T>, with: fn(&T, &mut Vec<u8>), out: &mut Vec<u8>) {
    if let Some(value) = value {
        with(value, out);
    }
}

fn get<T>(version: u8, body: &[u8], with: fn(&[u8]) -> Result<T, ParseError>) -> Result<Option<T>, ParseError> {
    if version == 0 { with(body).map(Some) } else { Ok(None) }
}

fn parse_ping(body: &[u8]) -> Result<Ping, ParseError> {
    let (txid, rest) = body.split_first_chunk::<TXID_LEN>().ok_or(ParseError::Short)?;
    let node = rest.first_chunk::<KEY_LEN>().map(|key| NodePublic::from_bytes(*key)).filter(|key| !key.is_zero());
    let padding = if node.is_some() { rest.len() - KEY_LEN } else { rest.len() };
    Ok(Ping { txid: *txid, node, padding })
}

fn parse_pong(body: &[u8]) -> Result<Pong, ParseError> {
    let (txid, rest) = body.split_first_chunk::<TXID_LEN>().ok_or(ParseError::Short)?;
    let source = rest.first_chunk().ok_or(ParseError::Short)?;
    Ok(Pong { txid: *txid, source: addr::get(source) })
}
