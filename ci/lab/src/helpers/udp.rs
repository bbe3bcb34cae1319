//! Says how long each datagram is that arrives, broadcasts among them.

use std::net::UdpSocket;

use super::argument;
use crate::outcome::Outcome;

/// Role name: `__udp ADDRESS:PORT`.
pub const COMMAND: &str = "__udp";

/// Listens for good.
pub fn serve(arguments: &[String]) -> Outcome {
    let socket = UdpSocket::bind(argument(arguments, 0)?)?;
    let mut buffer = [0_u8; 1500];
    loop {
        let (count, from) = socket.recv_from(&mut buffer)?;
        eprintln!("{count} bytes from {from}");
    }
}
