//! The pairing line: where a front is, its key, and a secret that works once. One word, to be pasted.
//!
//! ```text
//! hgfront-BASE64URL( 01 | 32 key of the front | 16 secret | host:port | 4 checksum )
//! ```
//! The checksum (first bytes of SHA-256 of the rest) is for the person who copied half of it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hearthgate_keys::{KEY_LEN, MachinePublic};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// What every line begins with.
const PREFIX: &str = "hgfront-";
/// First byte: the form of the rest.
const FORM: u8 = 1;
/// Bytes of a secret.
const SECRET_LEN: usize = 16;
/// Bytes of the checksum.
const CHECK_LEN: usize = 4;
/// Longest address: a DNS name (RFC 1035) and a port.
const ADDRESS_MAX: usize = 253 + 6;
/// Longest line that is looked at, in bytes.
const LINE_MAX: usize = 512;

/// Why a text is no pairing line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Something else.
    #[error("this is no line of a front: `hearthgate front` prints it, and it begins with hgfront-")]
    Foreign,
    /// Part of it is missing or changed.
    #[error("this line of a front is not whole: copy all of it, from hgfront- to its end")]
    Damaged,
    /// From a newer program.
    #[error("this line was made by a newer hearthgate: upgrade this box")]
    Newer,
    /// The address in it, or the one to be put in, is none.
    #[error("the address of a front is a public name or IP address with a port, like front.example.org:443")]
    Address,
}

/// A secret that pairs one box.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PairingSecret([u8; SECRET_LEN]);

impl PairingSecret {
    /// From random bytes.
    #[must_use]
    pub const fn from_random(bytes: [u8; SECRET_LEN]) -> Self {
        Self(bytes)
    }

    /// As text, to be sent to the front.
    #[must_use]
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Reads the text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(URL_SAFE_NO_PAD.decode(Some(text).filter(|t| t.len() <= 2 * SECRET_LEN)?).ok()?.try_into().ok()?))
    }

    /// What is stored of it: 128 random bits need no slow hash.
    #[must_use]
    pub fn hash(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.0))
    }
}

impl fmt::Debug for PairingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// A pairing line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Host and port of the front.
    pub address: String,
    /// Its key.
    pub key: MachinePublic,
    /// The secret.
    pub secret: PairingSecret,
}

impl Line {
    /// A line for the front at `address` (host and port).
    ///
    /// # Errors
    /// The address is none.
    pub fn new(address: &str, key: MachinePublic, secret: PairingSecret) -> Result<Self, LineError> {
        parts(address).ok_or(LineError::Address)?;
        Ok(Self { address: address.to_owned(), key, secret })
    }

    /// Host (without brackets) and port.
    #[must_use]
    pub fn host_and_port(&self) -> (&str, u16) {
        parts(&self.address).unwrap_or(("", 0))
    }

    /// The text. Whoever reads it can pair a box with the front, once.
    #[must_use]
    pub fn reveal(&self) -> String {
        let mut bytes = vec![FORM];
        bytes.extend_from_slice(self.key.as_bytes());
        bytes.extend_from_slice(&self.secret.0);
        bytes.extend_from_slice(self.address.as_bytes());
        let check = Sha256::digest(&bytes);
        bytes.extend(check.iter().take(CHECK_LEN));
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Line {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        let text = text.trim();
        let rest = text.strip_prefix(PREFIX).filter(|_| text.len() <= LINE_MAX).ok_or(LineError::Foreign)?;
        let bytes = URL_SAFE_NO_PAD.decode(rest).map_err(|_| LineError::Damaged)?;
        let (body, check) = bytes.split_last_chunk::<CHECK_LEN>().ok_or(LineError::Damaged)?;
        if Sha256::digest(body).get(..CHECK_LEN) != Some(check) {
            return Err(LineError::Damaged);
        }
        let (form, body) = body.split_first().ok_or(LineError::Damaged)?;
        if *form != FORM {
            return Err(LineError::Newer);
        }
        let (key, body) = body.split_first_chunk::<KEY_LEN>().ok_or(LineError::Damaged)?;
        let (secret, address) = body.split_first_chunk::<SECRET_LEN>().ok_or(LineError::Damaged)?;
        let address = std::str::from_utf8(address).map_err(|_| LineError::Address)?;
        Self::new(address, MachinePublic::from_bytes(*key), PairingSecret(*secret))
    }
}

/// Host without brackets, and port.
fn parts(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':').filter(|_| address.len() <= ADDRESS_MAX)?;
    let port = port.parse().ok().filter(|p| *p != 0)?;
    if let Some(literal) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return literal.parse::<std::net::Ipv6Addr>().is_ok().then_some((literal, port));
    }
    let plain = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    plain.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(address: &str) -> Line {
        Line::new(address, MachinePublic::from_bytes([7; 32]), PairingSecret::from_random([9; 16])).unwrap()
    }

    #[test]
    fn a_line_survives_being_pasted() {
        for address in ["203.0.113.7:443", "front.example.org:8443", "[2001:db8::1]:443"] {
            let line = line(address);
            assert_eq!(format!("  {}\n", line.reveal()).parse(), Ok(line));
        }
        assert_eq!(line("[2001:db8::1]:443").host_and_port(), ("2001:db8::1", 443));
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        let good = line("203.0.113.7:443").reveal();
        assert_eq!("".parse::<Line>(), Err(LineError::Foreign));
        assert_eq!("tskey-auth-x".parse::<Line>(), Err(LineError::Foreign));
        assert_eq!(good[..good.len() - 1].parse::<Line>(), Err(LineError::Damaged));
        assert_eq!(good[..30].parse::<Line>(), Err(LineError::Damaged));
        for bad in ["", "host", "host:", "host:0", "host:70000", "a b:1", "[::1:1", "[x]:1", "a/b:1", ":443"] {
            assert!(Line::new(bad, MachinePublic::ZERO, PairingSecret([0; 16])).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        let line = line("203.0.113.7:443");
        assert!(!format!("{line:?}").contains(&line.secret.reveal()) && format!("{line:?}").contains("redacted"));
        assert_eq!(PairingSecret::parse(&line.secret.reveal()), Some(line.secret));
    }

    proptest! {
        #[test]
        fn a_changed_line_is_refused(at in 8usize..90, with in "[A-Za-z0-9_-]") {
            let good = line("203.0.113.7:443").reveal();
            let mut bad = good.clone();
            bad.replace_range(at..at + 1, &with);
            prop_assert!(bad == good || bad.parse::<Line>().is_err());
        }
    }
}
