//! The machine's own resolvers, and who may be led to them.
//!
//! A forwarder on this machine (dnsmasq, Pi-hole) may ask us about all it does not know. So nobody here is led to it: that
//! would be a circle. A peer is, for its question comes back at most once, and then from here.

use super::{RESOLVER_V4, RESOLVER_V6, zone::Upstream};
use nix::{ifaddrs::getifaddrs, net::if_::if_nametoindex};
use std::{
    fs,
    net::{IpAddr, SocketAddr, SocketAddrV6},
};

/// Files that name the machine's resolvers: OpenWrt's, written by its WAN; everybody's; and that of systemd-resolved, behind
/// whose own address the one before may hide them.
const RESOLV_CONF: [&str; 3] =
    ["/tmp/resolv.conf.d/resolv.conf.auto", "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/// DNS's port.
const PORT: u16 = 53;
/// Most resolvers asked for one question.
const RESOLVERS: usize = 4;

/// Who asks a question that others have to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// This machine, or its forwarder for the LAN.
    Here,
    /// A peer that uses us as exit node.
    Peer,
}

/// Whom to ask, as the machine's files have it now.
pub(super) fn resolvers(asker: Asker) -> Vec<Upstream> {
    let texts = RESOLV_CONF.map(|file| fs::read_to_string(file).unwrap_or_default());
    let own: Vec<IpAddr> = getifaddrs()
        .into_iter()
        .flatten()
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        })
        .collect();
    choose(&texts, &own, asker)
}

/// Those of the first file that names one elsewhere; without any, and for a peer, those on this machine.
fn choose(texts: &[String], own: &[IpAddr], asker: Asker) -> Vec<Upstream> {
    let ours = |ip: IpAddr| ip == RESOLVER_V4 || ip == RESOLVER_V6;
    let is_here = |at: &SocketAddr| at.ip().is_loopback() || at.ip().is_unspecified() || own.contains(&at.ip());
    let named = |text: &String| -> Vec<SocketAddr> {
        text.lines().filter_map(nameserver).filter(|at| !ours(at.ip())).collect()
    };
    let (mut elsewhere, mut here) = (Vec::new(), Vec::new());
    for found in texts.iter().map(named) {
        let (near, far): (Vec<_>, Vec<_>) = found.into_iter().partition(is_here);
        here.extend(near);
        elsewhere = far;
        if !elsewhere.is_empty() {
            break;
        }
    }
    if elsewhere.is_empty() && asker == Asker::Peer {
        elsewhere = here;
    }
    elsewhere.into_iter().take(RESOLVERS).map(Upstream::Plain).collect()
}

/// The resolver that a line names; a link-local one names its interface.
fn nameserver(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_whitespace();
    let text = words.next().filter(|word| *word == "nameserver").and(words.next())?;
    if let Ok(ip) = text.parse() {
        return Some(SocketAddr::new(ip, PORT));
    }
    let (ip, interface) = text.split_once('%')?;
    let scope = interface.parse().ok().or_else(|| if_nametoindex(interface).ok())?;
    Some(SocketAddrV6::new(ip.parse().ok()?, PORT, 0, scope).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(texts: &[&str], asker: Asker) -> Vec<String> {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        let own = ["127.0.0.1".parse().unwrap(), "192.168.1.1".parse().unwrap()];
        let plain = choose(&texts, &own, asker).into_iter().map(|upstream| match upstream {
            Upstream::Plain(at) => at.to_string(),
            Upstream::Peer(at) => panic!("{at}"),
        });
        plain.collect()
    }

    #[test]
    fn nobody_here_is_led_in_a_circle() {
        let forwarder = "search lan\nnameserver 192.168.1.1\nnameserver 100.100.100.100\n";
        assert!(found(&[forwarder], Asker::Here).is_empty(), "the forwarder on our own LAN address asks us");
        assert!(found(&["nameserver 127.0.0.53"], Asker::Here).is_empty());
        assert_eq!(found(&["", &format!("{forwarder}nameserver 192.0.2.53")], Asker::Here), ["192.0.2.53:53"]);
    }

    #[test]
    fn a_peer_is_led_to_the_forwarder_here_if_there_is_no_other() {
        assert_eq!(found(&["nameserver 127.0.0.1"], Asker::Peer), ["127.0.0.1:53"]);
        assert_eq!(found(&["nameserver 127.0.0.1", "nameserver 192.0.2.53"], Asker::Peer), ["192.0.2.53:53"]);
        assert!(found(&["nameserver 100.100.100.100", "nameserver fd7a:115c:a1e0::53"], Asker::Peer).is_empty());
    }

    #[test]
    fn behind_systemds_stub_are_the_resolvers_it_asks() {
        let files =
            ["", "nameserver 127.0.0.53\noptions edns0 trust-ad\n", "nameserver 192.0.2.1\nnameserver 2001:db8::1"];
        assert_eq!(found(&files, Asker::Here), ["192.0.2.1:53", "[2001:db8::1]:53"]);
    }

    #[test]
    fn lines_are_read_as_the_system_reads_them() {
        assert_eq!(nameserver("nameserver\t192.0.2.1  # home"), Some("192.0.2.1:53".parse().unwrap()));
        let scope = if_nametoindex("lo").unwrap();
        let local = SocketAddrV6::new("fe80::1".parse().unwrap(), 53, 0, scope);
        assert_eq!(nameserver("nameserver fe80::1%lo"), Some(local.into()));
        for line in ["nameservers 192.0.2.1", "#nameserver 192.0.2.1", "nameserver", "nameserver fe80::1%", "search a"]
        {
            assert_eq!(nameserver(line), None, "{line}");
        }
    }
}
