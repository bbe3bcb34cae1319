//! Wake-on-LAN for peers: a magic packet on the LANs of this machine (`feature/wakeonlan/wakeonlan.go` of tailscale.com
//! v1.102.5). Nothing but this one packet can be sent, and only to everybody on a network with private addresses.

use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};
use serde::Serialize;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    collections::BTreeSet,
    io,
    net::{Ipv4Addr, SocketAddr},
};

/// Where such packets go by custom ("discard"); network cards do not look.
const PORT: u16 = 9;
/// Interfaces that are written to at most.
const INTERFACES: usize = 16;

/// A hardware address.
pub type Mac = [u8; 6];

/// What was done.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Sent {
    /// Interfaces the packet was sent on.
    sent_to: Vec<String>,
    /// What failed on others.
    errors: Vec<String>,
}

/// Reads `00:11:22:aa:bb:cc`, or the same with `-`.
#[must_use]
pub fn parse(text: &str) -> Option<Mac> {
    let separator = if text.contains('-') { '-' } else { ':' };
    let byte = |part: &str| {
        let plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then(|| u8::from_str_radix(part, 16).ok()).flatten()
    };
    let bytes: Vec<u8> = text.split(separator).map(byte).collect::<Option<_>>()?;
    bytes.try_into().ok()
}

/// The packet: six bytes of ones, then the address sixteen times.
fn packet(mac: Mac) -> Vec<u8> {
    [&[0xff; 6], mac.repeat(16).as_slice()].concat()
}

/// Sends it on every LAN. `tunnel` is the interface that is none.
#[must_use]
pub fn send(mac: Mac, tunnel: &str) -> Sent {
    let mut sent = Sent::default();
    for name in lans(tunnel).into_iter().take(INTERFACES) {
        match send_on(&name, mac) {
            Ok(()) => sent.sent_to.push(name),
            Err(error) => sent.errors.push(format!("{name}: {error}")),
        }
    }
    sent
}

fn send_on(interface: &str, mac: Mac) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    let to = SockAddr::from(SocketAddr::from((Ipv4Addr::BROADCAST, PORT)));
    socket.send_to(&packet(mac), &to).map(drop)
}

/// Interfaces that are up, can be heard by all on them, and have a private address.
fn lans(tunnel: &str) -> BTreeSet<String> {
    let wanted = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_BROADCAST;
    let fits = |interface: &nix::ifaddrs::InterfaceAddress| {
        let address = interface.address.as_ref().and_then(|a| a.as_sockaddr_in().map(|a| a.ip()));
        interface.flags.contains(wanted) && address.is_some_and(|ip| ip.is_private())
    };
    let all = getifaddrs().into_iter().flatten().filter(fits).map(|interface| interface.interface_name);
    all.filter(|name| name != tunnel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_six_bytes() {
        let mac = [0, 0x11, 0x22, 0xaa, 0xbb, 0xcc];
        assert_eq!(parse("00:11:22:aa:BB:cc"), Some(mac));
        assert_eq!(parse("00-11-22-aa-bb-cc"), Some(mac));
        for bad in
            ["", "00:11:22:aa:bb", "00:11:22:aa:bb:cc:dd", "0:11:22:aa:bb:cc", "00:11:22:aa:bb:+c", "g0:11:22:aa:bb:cc"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_packet_says_it_sixteen_times() {
        let packet = packet([1, 2, 3, 4, 5, 6]);
        assert_eq!(packet.len(), 102);
        assert_eq!(packet[..8], [255, 255, 255, 255, 255, 255, 1, 2]);
        assert_eq!(packet[96..], [1, 2, 3, 4, 5, 6]);
    }
}
