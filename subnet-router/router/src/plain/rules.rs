//! What devices without a client may reach, as a packet filter. Pure.

use super::{Device, Network};
use crate::LocalNetwork;
use hearthgate_filter::{Filter, ParseError, Range, compile, local_nets};
use hearthgate_keys::NodePrivate;
use hearthgate_plane::{Desired, Peer};
use hearthgate_tailcfg::{FilterRule, NetPortRange, PortRange, TAILNET};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Whether a device may reach a kind of place.
type Ticked = fn(&Device) -> bool;

/// Unique local addresses (RFC 4193) are not the Internet, wherever they lead.
const UNIQUE_LOCAL: &str = "fc00::/7";
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
    // A machine without IPv6 could not take the address, and has nothing to reach by it.
    if local.addresses.iter().any(IpAddr::is_ipv6) {
        desired.addresses.push(IpNet::V6(network.address6));
    }
    desired.peers = network.devices.iter().map(|d| Peer::new(d.key, addresses(d).map(IpNet::from).into())).collect();
    desired.filter = filter(network, local)?;
    desired.forward = true;
    // Nobody beyond this machine has a route to addresses made up here.
    desired.snat6 = true;
    Ok(desired)
}

fn addresses(device: &Device) -> [IpAddr; 2] {
    [device.address.into(), device.address6.into()]
}

fn filter(network: &Network, local: &LocalNetwork) -> Result<Filter, ParseError> {
    let here = [network.address.addr().into(), network.address6.addr().into()];
    let own: BTreeSet<IpAddr> = local.addresses.iter().copied().chain(here).collect();
    let private = UNIQUE_LOCAL.parse::<IpNet>().ok();
    let except: Vec<IpNet> = local.attached.iter().chain(&network.lan).copied().chain(private).collect();
    let all = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
    let internet = local_nets(&[], &all, &except, &[]);
    let plain = |nets: &[IpNet]| -> Vec<Range> { nets.iter().map(|net| Range::from(net.trunc())).collect() };
    let places: [(Ticked, Vec<Range>, bool); 3] = [
        (|device| device.lan, plain(&network.lan), true),
        (|device| device.internet, internet, false),
        (|device| device.tailnet, plain(&TAILNET), true),
    ];
    let (mut rules, mut reach) = (Vec::new(), Vec::new());
    for (may, ranges, dns) in &places {
        let devices = network.devices.iter().filter(|device| may(device));
        let src_ips: Vec<String> = devices.flat_map(addresses).map(|ip| ip.to_string()).collect();
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

/// The parts of a range, each with whether it is an address of this machine's own.
fn split(range: Range, own: &BTreeSet<IpAddr>) -> Vec<(Range, bool)> {
    let (mut parts, mut next) = (Vec::new(), Some(range.first));
    // Addresses of IPv4 come before those of IPv6, and a range is of one family.
    for &ip in own.range(range.first..=range.last) {
        if let (Some(first), Some(last)) = (next.filter(|first| *first < ip), before(ip)) {
            parts.push((Range { first, last }, false));
        }
        parts.push((Range { first: ip, last: ip }, true));
        next = after(ip);
    }
    if let Some(first) = next.filter(|first| *first <= range.last) {
        parts.push((Range { first, last: range.last }, false));
    }
    parts
}

fn after(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().checked_add(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(ip) => ip.to_bits().checked_add(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

fn before(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().checked_sub(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(ip) => ip.to_bits().checked_sub(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_keys::NodePublic;

    const NET6: Ipv6Addr = Ipv6Addr::new(0xfd09, 9, 9, 0, 0, 0, 0, 0);

    fn device(last: u8, lan: bool, internet: bool, tailnet: bool) -> Device {
        let address6 = Ipv6Addr::from_bits(NET6.to_bits() + u128::from(last));
        let key = NodePublic::from_bytes([last; 32]);
        Device { key, address: [10, 9, 9, last].into(), address6, lan, internet, tailnet }
    }

    fn network(devices: Vec<Device>) -> Network {
        Network {
            private_key: NodePrivate::from_random([1; 32]),
            address: "10.9.9.1/24".parse().unwrap(),
            address6: "fd09:9:9::1/64".parse().unwrap(),
            lan: vec!["192.168.1.0/24".parse().unwrap(), "fd00:1::/64".parse().unwrap()],
            devices,
        }
    }

    /// Whether a device may open a TCP connection to port 80 of this address.
    fn may(filter: &Filter, from: u8, to: &str) -> bool {
        may_at(filter, from, to, 80)
    }

    fn may_at(filter: &Filter, from: u8, to: &str, port: u16) -> bool {
        let to: IpAddr = to.parse().unwrap();
        let [v4, v6] = addresses(&device(from, false, false, false));
        let from = if to.is_ipv4() { v4 } else { v6 };
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
        let v4 = ["192.168.1.1", "203.0.113.7", "100.64.0.1", "198.51.100.77"];
        let v6 = ["fd00:1::1", "2001:db8:1::7", "fd7a:115c:a1e0::1"];
        let local = LocalNetwork {
            addresses: v4.iter().chain(&v6).map(|a| a.parse().unwrap()).collect(),
            attached: ["192.168.1.1/24", "203.0.113.7/24", "10.9.9.1/24", "2001:db8:1::7/64"]
                .map(|n| n.parse().unwrap())
                .into(),
        };
        let all = vec![
            device(2, true, false, false),
            device(3, false, true, false),
            device(4, false, false, true),
            device(5, false, false, false),
            device(6, true, true, true),
        ];
        let desired = desired(&network(all), &local).unwrap();
        for places in
            [["192.168.1.20", "198.51.100.9", "100.64.0.3"], ["fd00:1::20", "2606:4700::9", "fd7a:115c:a1e0::3"]]
        {
            let reached = |from| places.map(|to| may(&desired.filter, from, to));
            assert_eq!(reached(2), [true, false, false]);
            assert_eq!(reached(3), [false, true, false]);
            assert_eq!(reached(4), [false, false, true]);
            assert_eq!(reached(5), [false, false, false]);
            assert_eq!(reached(6), [true, true, true]);
            assert_eq!(reached(9), [false, false, false], "an address that nobody was given");
        }
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
            "fd09:9:9::1",
            "fd09:9:9::2",
            "fd00:1::1",
            "fd00:2::1",
            "2001:db8:1::7",
            "2001:db8:1::9",
            "fd7a:115c:a1e0::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!((2..=6).all(|from| !may(&desired.filter, from, place)), "{place}");
        }
        // Names may be asked of it, by those who reach that side of it.
        let asks = |from, place| may_at(&desired.filter, from, place, 53);
        assert!(
            asks(2, "192.168.1.1") && asks(4, "100.64.0.1") && !asks(3, "192.168.1.1") && !asks(6, "198.51.100.77")
        );
        assert_eq!(desired.peers.len(), 5);
        assert!(asks(2, "fd00:1::1") && !asks(6, "2001:db8:1::7"));
        assert!(desired.forward && desired.snat && desired.snat6 && desired.routes.is_empty());
        let own = ["10.9.9.2/32", "fd09:9:9::2/128"].map(|net| net.parse::<IpNet>().unwrap());
        assert_eq!(desired.peers[0].allowed_ips, own);
        assert_eq!(desired.addresses.len(), 2);
    }

    #[test]
    fn without_devices_nobody_comes_in() {
        let desired = desired(&network(Vec::new()), &LocalNetwork::default()).unwrap();
        assert!(desired.filter.sources.is_empty() && desired.peers.is_empty());
        // This machine has no IPv6.
        assert_eq!(desired.addresses, ["10.9.9.1/24".parse::<IpNet>().unwrap()]);
    }
}
