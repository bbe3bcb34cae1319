//! The client's address behind reverse proxies.
//!
//! A proxy appends the address it was called from to `X-Forwarded-For` (RFC 7239 section 5.2 describes the practice).
//! Everything left of what the outermost trusted proxy wrote was written by the client, and may be a lie: the list is
//! read from its right end, over trusted proxies, to the first address that is none.

use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// Longest value of the header that is looked at, in bytes.
pub(crate) const FORWARDED_MAX: usize = 1024;

/// Networks whose word about client addresses is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts these networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether this is a trusted proxy.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|net| net.contains(&ip))
    }

    /// The client's address, given who connected and that connection's `X-Forwarded-For`.
    #[must_use]
    pub fn client(&self, remote: IpAddr, forwarded_for: Option<&str>) -> IpAddr {
        let mut client = remote.to_canonical();
        let mut names = forwarded_for.unwrap_or_default().rsplit(',').map(str::trim);
        while self.contains(client) {
            // What is no address ends the search: nobody vouches for what is left of it.
            let Some(next) = names.next().and_then(address) else { break };
            client = next;
        }
        client
    }
}

/// An address as proxies write it: bare, with a port, or in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let ip = text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|a| a.ip()));
    let ip = ip.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    ip.map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let client = |remote, header| proxies.client(ip(remote), header).to_string();
        // A stranger may write what they like.
        assert_eq!(client("192.0.2.1", Some("198.51.100.7")), "192.0.2.1");
        assert_eq!(client("10.0.0.1", Some("198.51.100.7")), "198.51.100.7");
        // The client's own lie is left of what the proxy wrote.
        assert_eq!(client("10.0.0.1", Some("203.0.113.9, 198.51.100.7")), "198.51.100.7");
        assert_eq!(client("10.0.0.1", Some("203.0.113.9, 198.51.100.7, 10.0.0.2")), "198.51.100.7");
        assert_eq!(client("::ffff:10.0.0.1", Some("[2001:db8::1]:443,fd00::5")), "2001:db8::1");
        assert_eq!(client("10.0.0.1", Some("198.51.100.7, unknown")), "10.0.0.1");
        assert_eq!(client("10.0.0.1", Some("")), "10.0.0.1");
        assert_eq!(client("10.0.0.1", None), "10.0.0.1");
        assert_eq!(TrustedProxies::default().client(ip("10.0.0.1"), Some("198.51.100.7")), ip("10.0.0.1"));
    }
}
