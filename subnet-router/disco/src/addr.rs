//! An address with port on the wire: 16 bytes (IPv4 mapped into IPv6) and the port, big endian.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Bytes of one address.
pub const LEN: usize = 18;

/// Appends `addr`.
pub fn put(out: &mut Vec<u8>, addr: SocketAddr) {
    let ip = match addr.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    out.extend_from_slice(&ip.octets());
    out.extend_from_slice(&addr.port().to_be_bytes());
}

/// Reads an address; a mapped IPv4 address becomes a plain one, or addresses would not compare equal.
pub fn get(bytes: &[u8; LEN]) -> SocketAddr {
    let mut ip = [0; 16];
    ip.copy_from_slice(&bytes[..16]);
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from(ip)).to_canonical(), u16::from_be_bytes([bytes[16], bytes[17]]))
}

/// Reads a list of addresses; the rest that is no whole address is left out.
pub fn list(bytes: &[u8], limit: usize) -> Vec<SocketAddr> {
    bytes.as_chunks::<LEN>().0.iter().take(limit).map(get).collect()
}
