//! Addresses as the rules write them.

use crate::Range;
use ipnet::IpNet;
use std::net::IpAddr;

/// A rule cannot be understood. The whole filter is refused then: half a filter would be another policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// An address, prefix or range is not one.
    #[error("`{0}` is no address, prefix or range")]
    Address(String),
    /// A protocol number does not fit into a byte.
    #[error("{0} is no IP protocol")]
    Protocol(i32),
    /// A port range ends before it begins.
    #[error("ports {0} to {1} are no range")]
    Ports(u16, u16),
    /// There are more pieces than a router should hold.
    #[error("the rules make more than {0} pieces")]
    TooLarge(usize),
}

/// `*`, an address, a prefix, or `a-b`.
pub(crate) fn ranges(text: &str) -> Result<Vec<Range>, ParseError> {
    if text == "*" {
        return Ok(vec![Range::V4, Range::V6]);
    }
    let bad = || ParseError::Address(text.chars().take(64).collect());
    if let Some((first, last)) = text.split_once('-') {
        let range = Range { first: first.parse().map_err(|_| bad())?, last: last.parse().map_err(|_| bad())? };
        let ordered = range.first.is_ipv4() == range.last.is_ipv4() && range.first <= range.last;
        return if ordered { Ok(vec![range]) } else { Err(bad()) };
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(vec![ip.into()]);
    }
    let net: IpNet = text.parse().map_err(|_| bad())?;
    Ok(vec![net.trunc().into()])
}
