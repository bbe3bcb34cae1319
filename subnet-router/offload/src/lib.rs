//! Many packets in one system call: what a TUN device with `IFF_VNET_HDR` hands over and takes. Pure.
//!
//! The kernel gives out up to 64 KB of a TCP stream as one packet to be cut ([`Segments`]), and takes such a packet
//! back ([`Merger`]). Before each packet stands a [`VnetHeader`] that says how. Sources: `linux/virtio_net.h` of Linux
//! 6.12; RFC 791, 8200, 9293 and 768 for the headers, RFC 1071 for the checksum.

pub mod checksum;
mod headers;
mod merge;
mod segment;
#[cfg(test)]
mod tests;
mod vnet;

pub use merge::Merger;
pub use segment::Segments;
pub use vnet::{Gso, PLAIN, VNET_LEN, VnetHeader};
