//! Ports and protocols: `*`, `80`, `80,443`, `1000-2000`; `tcp`, `17`; `udp:53`.
//!
//! Names and wording: `types/ipproto` and `tailcfg/proto_port_range.go` of tailscale.com v1.102.5.

use hearthgate_tailcfg::PortRange;

/// All ports.
pub(crate) const ALL_PORTS: PortRange = PortRange { first: 0, last: u16::MAX };

/// Protocol numbers by name; the first of several names of one number is its own.
const NAMES: [(&str, u8); 16] = [
    ("icmp", 1),
    ("igmp", 2),
    ("ipv4", 4),
    ("ip-in-ip", 4),
    ("tcp", 6),
    ("egp", 8),
    ("igp", 9),
    ("udp", 17),
    ("dccp", 33),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("sctp", 132),
    ("fc", 133),
    ("icmpv6", 58),
];

/// TCP, UDP, ICMP and ICMPv6: what a rule without a protocol lets through.
pub(crate) const DEFAULT_PROTOCOLS: [u8; 4] = [6, 17, 1, 58];
/// Protocols that have ports.
const WITH_PORTS: [u8; 3] = [6, 17, 132];

/// A protocol number; `None` for no protocol named.
pub(crate) type Protocol = Option<u8>;

/// Its name, or its number.
pub(crate) fn protocol_name(protocol: u8) -> String {
    NAMES.iter().find(|(_, n)| *n == protocol).map_or_else(|| protocol.to_string(), |(name, _)| (*name).to_owned())
}

pub(crate) fn parse_protocol(text: &str) -> Result<Protocol, String> {
    let lower = text.to_ascii_lowercase();
    if lower.is_empty() {
        return Ok(None);
    }
    if let Some((_, number)) = NAMES.iter().find(|(name, _)| *name == lower) {
        return Ok(Some(*number));
    }
    if lower.bytes().all(|b| b.is_ascii_digit()) {
        if lower.starts_with('0') {
            return Err(format!("leading 0 not permitted in protocol number {text:?}"));
        }
        return lower.parse().map(Some).map_err(|_| format!("protocol number out of range (0-255): {text}"));
    }
    Err(format!("proto name {text:?} not known; use protocol number 0-255 or protocol name (icmp, tcp, udp, etc.)"))
}

/// Whether the protocol has ports to choose from.
pub(crate) fn has_ports(protocol: Protocol) -> bool {
    protocol.is_none_or(|p| WITH_PORTS.contains(&p))
}

/// A list of ports; the error names the part at fault.
pub(crate) fn parse_ports(text: &str) -> Result<Vec<PortRange>, String> {
    if text == "*" {
        return Ok(vec![ALL_PORTS]);
    }
    text.split(',').map(|part| parse_range(part.trim()).map_err(|why| format!("port range {text:?}: {why}"))).collect()
}

fn parse_range(text: &str) -> Result<PortRange, &'static str> {
    let number = |t: &str| if t.bytes().all(|b| b.is_ascii_digit()) { t.parse::<u16>().ok() } else { None };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first = number(first).ok_or("invalid first integer")?;
    let last = number(last).ok_or("invalid last integer")?;
    if first > last {
        return Err("first port is greater than last port");
    }
    Ok(PortRange { first, last })
}

/// Ports of one protocol (an entry of a grant's `ip`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProtocolPorts {
    pub(crate) protocol: Protocol,
    pub(crate) ports: Vec<PortRange>,
}

/// `*`, `443`, `tcp:443`, `udp:5000-6000`, `icmp:*`.
pub(crate) fn parse_protocol_ports(text: &str) -> Result<ProtocolPorts, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("empty string".into());
    }
    let Some((protocol, ports)) = text.split_once(':') else {
        return Ok(ProtocolPorts { protocol: None, ports: parse_ports(text)? });
    };
    if ports.contains(':') {
        return Err("expected only one colon in Internet protocol and port type".into());
    }
    if protocol.is_empty() {
        return Err("empty protocol".into());
    }
    let protocol = if protocol == "*" { None } else { parse_protocol(protocol)? };
    Ok(ProtocolPorts { protocol, ports: parse_ports(ports)? })
}

/// Splits `target:ports` at its last colon, with brackets around an IPv6 address taken off.
pub(crate) fn split_target(text: &str) -> Result<(String, &str), String> {
    let Some((target, ports)) = text.rsplit_once(':') else {
        return Err("hostport must contain a colon (\":\")".into());
    };
    let target = target.trim();
    let inner = target.strip_prefix('[').and_then(|t| t.split_once(']'));
    match inner {
        // `[fd7a::1]:80`, `[fd7a::]/64:80`, `[fd7a::/64]:80`.
        Some((address, rest)) if rest.is_empty() || rest.starts_with('/') => {
            Ok((format!("{address}{rest}"), ports.trim()))
        }
        _ => Ok((target.to_owned(), ports.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        assert_eq!(
            parse_ports("80,443-500").unwrap(),
            [PortRange { first: 80, last: 80 }, PortRange { first: 443, last: 500 }]
        );
        assert_eq!(parse_ports("self").unwrap_err(), "port range \"self\": invalid first integer");
        assert_eq!(parse_ports("1-x").unwrap_err(), "port range \"1-x\": invalid last integer");
        for bad in ["", "70000", "-1", "+1", "2-1", "80,,81"] {
            assert!(parse_ports(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn protocols() {
        assert_eq!(parse_protocol("TCP"), Ok(Some(6)));
        assert_eq!(parse_protocol("17"), Ok(Some(17)));
        assert!(parse_protocol("*").unwrap_err().contains("not known"));
        assert!(parse_protocol("06").unwrap_err().contains("leading 0"));
        assert!(parse_protocol("256").is_err());
        assert_eq!(parse_protocol_ports("udp:53").unwrap().protocol, Some(17));
        assert!(parse_protocol_ports("tcp:1:2").unwrap_err().starts_with("expected only one colon"));
        assert!(!has_ports(Some(1)) && has_ports(None));
    }

    #[test]
    fn targets() {
        assert_eq!(split_target("tag:a:80"), Ok(("tag:a".into(), "80")));
        assert_eq!(split_target("[fd7a::1]:*"), Ok(("fd7a::1".into(), "*")));
        assert_eq!(split_target("[fd7a::]/64:22"), Ok(("fd7a::/64".into(), "22")));
        assert!(split_target("nas").is_err());
    }
}
