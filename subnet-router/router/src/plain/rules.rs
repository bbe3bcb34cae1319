//! What devices without a client may reach, as a packet filter. Pure.

use super::{Device, Network};
use crate::LocalNetwork;
use hearthgate_filter::{Filter, ParseError, Range, compile, local_nets};
use hearthgate_keys::NodePrivate;
use hearthgate_plane::{Desired, Peer};
use hearthgate_tailcfg::{FilterRule, NetPortRange, PortRange, TAILNET_V4};
use ipnet::{IpNet, Ipv4Net};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

/// Whether a device may reach a kind of place.
type Ticked = fn(&Device) -> bool;

/// Port of DNS, the one service of this machine that devices have.
const DNS: PortRange = PortRange { first: 53, last: 53 };
const ALL: PortRange = PortRange { first: 0, last: u16::MAX };

/// Everything the data plane of these devices shall be. `local` are this machine's other interfaces: their networks are
/// not "the Internet", and their addresses answer DNS at most.
///
/// # Errors
/// More devices and networks than a filter has room for.
pub(super) fn desired(network: &Network, local: &LocalNetwork) -> Result<Desired, ParseError> {
    let mut desired = Desired::new(NodePrivate::from_bytes(*network.private_key.secret_bytes()));
    desired.addresses = vec![IpNet::V4(network.address)];
    desired.peers =
        network.devices.iter().map(|d| Peer::new(d.key, vec![IpNet::from(IpAddr::V4(d.address))])).collect();
    desired.filter = filter(network, local)?;
    desired.forward = true;
    Ok(desired)
}

fn filter(network: &Network, local: &LocalNetwork) -> Result<Filter, ParseError> {
    let own: BTreeSet<u32> = local
        .addresses
        .iter()
        .filter_map(|ip| if let IpAddr::V4(ip) = ip { Some(ip.to_bits()) } else { None })
        .chain([network.address.addr().to_bits()])
        .collect();
    let tailnet = [IpNet::V4(TAILNET_V4)];
    let except: Vec<IpNet> = local.attached.iter().chain(&network.lan).copied().collect();
    let internet = local_nets(&[], &[IpNet::V4(Ipv4Net::default())], &except, &[]);
    let plain = |nets: &[IpNet]| -> Vec<Range> { nets.iter().map(|net| Range::from(net.trunc())).collect() };
    let places: [(Ticked, Vec<Range>, bool); 3] = [
        (|device| device.lan, plain(&network.lan), true),
        (|device| device.internet, internet, false),
        (|device| device.tailnet, plain(&tailnet), true),
    ];
    let (mut rules, mut reach) = (Vec::new(), Vec::new());
    for (may, ranges, dns) in &places {
        let src_ips: Vec<String> =
            network.devices.iter().filter(|device| may(device)).map(|device| device.address.to_string()).collect();
        let mut dst_ports = Vec::new();
        for (range, ours) in ranges.iter().flat_map(|range| split(*range, &own)) {
            let ports = if ours { DNS } else { ALL };
            if !ours || *dns {
                reach.push(range);
                dst_ports.push(NetPortRange { ip: format!("{}-{}", range.first, range.last), ports });
            }
        }
        if !src_ips.is_empty() && !dst_ports.is_empty() {
            rules.push(FilterRule { src_ips, dst_ports, ..Default::default() });
        }
    }
    compile(&rules, &reach, |_| Vec::new())
}

/// The parts of an IPv4 range, each with whether it is an address of this machine's own.
fn split(range: Range, own: &BTreeSet<u32>) -> Vec<(Range, bool)> {
    let (IpAddr::V4(first), IpAddr::V4(last)) = (range.first, range.last) else { return Vec::new() };
    let part = |first: u32, last: u32| {
        let ip = |bits: u32| IpAddr::V4(Ipv4Addr::from_bits(bits));
        Range { first: ip(first), last: ip(last) }
    };
    let (mut parts, mut next, last) = (Vec::new(), Some(first.to_bits()), last.to_bits());
    for &ip in own.range(first.to_bits()..=last) {
        if let Some(begin) = next.filter(|begin| *begin < ip) {
            parts.push((part(begin, ip - 1), false));
        }
        parts.push((part(ip, ip), true));
        next = ip.checked_add(1);
    }
    if let Some(begin) = next.filter(|begin| *begin <= last) {
        parts.push((part(begin, last), false));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_keys::NodePublic;

    fn device(last: u8, lan: bool, internet: bool, tailnet: bool) -> Device {
        Device { key: NodePublic::from_bytes([last; 32]), address: [10, 9, 9, last].into(), lan, internet, tailnet }
    }

    fn network(devices: Vec<Device>) -> Network {
        Network {
            private_key: NodePrivate::from_random([1; 32]),
            address: "10.9.9.1/24".parse().unwrap(),
            lan: vec!["192.168.1.0/24".parse().unwrap()],
            devices,
        }
    }

    /// Whether a device may open a TCP connection to port 80 of this address.
    fn may(filter: &Filter, from: u8, to: &str) -> bool {
        may_at(filter, from, to, 80)
    }

    fn may_at(filter: &Filter, from: u8, to: &str, port: u16) -> bool {
        let (from, to) = (std::net::IpAddr::from([10, 9, 9, from]), to.parse().unwrap());
        let class = filter.sources.iter().find(|(range, _)| range.contains(from)).map(|(_, class)| *class);
        let doors = class.and_then(|class| filter.classes.get(class)).into_iter().flatten();
        let open = |door: &hearthgate_filter::Door| {
            let tcp = door.proto == hearthgate_filter::proto::TCP;
            tcp && door.to.contains(to) && door.ports.0 <= port && port <= door.ports.1
        };
        filter.local.iter().any(|range| range.contains(to)) && doors.into_iter().any(open)
    }

    #[test]
    fn each_reaches_what_was_ticked_and_nothing_else() {
        let addresses = ["192.168.1.1", "203.0.113.7", "100.64.0.1", "198.51.100.77", "fd00::1"];
        let local = LocalNetwork {
            addresses: addresses.map(|a| a.parse().unwrap()).into(),
            attached: ["192.168.1.1/24", "203.0.113.7/24", "10.9.9.1/24"].map(|n| n.parse().unwrap()).into(),
        };
        let all = vec![
            device(2, true, false, false),
            device(3, false, true, false),
            device(4, false, false, true),
            device(5, false, false, false),
            device(6, true, true, true),
        ];
        let desired = desired(&network(all), &local).unwrap();
        let (lan, internet, tailnet) = ("192.168.1.20", "198.51.100.9", "100.64.0.3");
        let reached = |from| [lan, internet, tailnet].map(|to| may(&desired.filter, from, to));
        assert_eq!(reached(2), [true, false, false]);
        assert_eq!(reached(3), [false, true, false]);
        assert_eq!(reached(4), [false, false, true]);
        assert_eq!(reached(5), [false, false, false]);
        assert_eq!(reached(6), [true, true, true]);
        assert_eq!(reached(9), [false, false, false], "an address that nobody was given");
        // Neither this machine, nor the other devices, nor networks it is in, nor other private ones.
        for place in [
            "10.9.9.1",
            "10.9.9.2",
            "192.168.1.1",
            "100.64.0.1",
            "198.51.100.77",
            "203.0.113.7",
            "203.0.113.9",
            "192.168.2.1",
            "10.0.0.1",
            "169.254.1.1",
        ] {
            assert!((2..=6).all(|from| !may(&desired.filter, from, place)), "{place}");
        }
        // Names may be asked of it, by those who reach that side of it.
        let asks = |from, place| may_at(&desired.filter, from, place, 53);
        assert!(
            asks(2, "192.168.1.1") && asks(4, "100.64.0.1") && !asks(3, "192.168.1.1") && !asks(6, "198.51.100.77")
        );
        assert_eq!(desired.peers.len(), 5);
        assert!(desired.forward && desired.snat && desired.routes.is_empty());
        assert_eq!(desired.peers[0].allowed_ips, ["10.9.9.2/32".parse::<IpNet>().unwrap()]);
    }

    #[test]
    fn without_devices_nobody_comes_in() {
        let desired = desired(&network(Vec::new()), &LocalNetwork::default()).unwrap();
        assert!(desired.filter.sources.is_empty() && desired.peers.is_empty());
    }
}
