//! The Internet checksum (RFC 1071). Sums are kept folded, as the number that two bytes mean in network order.

use std::net::IpAddr;

/// Sum of 16-bit words; an odd last byte is the upper half of a word. Not yet complemented.
#[must_use]
pub fn sum(bytes: &[u8]) -> u16 {
    // Ones' complement sums are the same in either byte order, but for a swap of the result. 64 bits cannot overflow:
    // a packet has fewer than 2^32 words.
    let mut words = bytes.chunks_exact(4);
    let mut total = 0_u64;
    for word in &mut words {
        total += u64::from(word.first_chunk().map_or(0, |word| u32::from_ne_bytes(*word)));
    }
    let mut rest = [0; 4];
    for (to, from) in rest.iter_mut().zip(words.remainder()) {
        *to = *from;
    }
    total += u64::from(u32::from_ne_bytes(rest));
    u16::from_be(fold(total))
}

/// Sum of two sums.
#[must_use]
pub fn add(a: u16, b: u16) -> u16 {
    fold(u64::from(a) + u64::from(b))
}

/// Sum of the pseudo header before TCP and UDP; `len` is of their header and payload.
#[must_use]
pub fn pseudo(source: IpAddr, destination: IpAddr, protocol: u8, len: usize) -> u16 {
    let address = |ip| match ip {
        IpAddr::V4(ip) => sum(&ip.octets()),
        IpAddr::V6(ip) => sum(&ip.octets()),
    };
    let tail = fold(len as u64 + u64::from(protocol));
    add(add(address(source), address(destination)), tail)
}

fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    // It fits now.
    total as u16
}
