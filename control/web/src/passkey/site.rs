//! The origin that the pages are seen under, and whether there can be passkeys in it.

use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// Why there are no passkeys here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOffered {
    /// The address in the URL is no name: passkeys belong to names.
    Address,
    /// Plain http: browsers have no passkeys there.
    Plain,
}

/// An origin with passkeys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// As browsers write it (RFC 6454 section 6.2): `https://box.example.org:8443`.
    pub origin: String,
    /// The relying party's identifier: the name alone.
    pub name: String,
}

impl Site {
    /// The site of a request with this `Host` header, over TLS or not.
    ///
    /// # Errors
    /// Browsers have no passkeys for it.
    pub fn of(host: &str, tls: bool) -> Result<Self, NotOffered> {
        let host = host.to_ascii_lowercase();
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') => (name, Some(port)),
            _ => (host.as_str(), None),
        };
        // With colons left it is an IPv6 address, in brackets or not.
        if name.is_empty() || name.contains([':', '[', ']']) || name.parse::<IpAddr>().is_ok() {
            return Err(NotOffered::Address);
        }
        if !tls && name != "localhost" {
            return Err(NotOffered::Plain);
        }
        let (scheme, usual) = if tls { ("https", "443") } else { ("http", "80") };
        let port = port.filter(|p| *p != usual).map(|p| format!(":{p}")).unwrap_or_default();
        Ok(Self { origin: format!("{scheme}://{name}{port}"), name: name.to_owned() })
    }

    pub(super) fn id_hash(&self) -> [u8; 32] {
        Sha256::digest(self.name.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_over_tls_and_this_machine_have_passkeys() {
        let origin = |host, tls| Site::of(host, tls).map(|s| s.origin);
        assert_eq!(origin("Box.example.org", true), Ok("https://box.example.org".into()));
        assert_eq!(origin("box.example.org:443", true), Ok("https://box.example.org".into()));
        assert_eq!(origin("box.lan:8443", true), Ok("https://box.lan:8443".into()));
        assert_eq!(Site::of("box.lan:8443", true).map(|s| s.name), Ok("box.lan".into()));
        assert_eq!(origin("localhost:8080", false), Ok("http://localhost:8080".into()));
        assert_eq!(origin("box.lan:8080", false), Err(NotOffered::Plain));
        for address in ["192.168.1.1", "192.168.1.1:8080", "[fd00::1]:8080", "[fd00::1]", "", ":443"] {
            assert_eq!(origin(address, true), Err(NotOffered::Address), "{address}");
        }
    }
}
