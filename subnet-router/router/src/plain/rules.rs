//! What devices without a client may reach, as a packet filter. Pure.

use super::{Device, Network};
use hearthgate_filter::{Filter, ParseError, Range, compile, local_nets};
use hearthgate_keys::NodePrivate;
use hearthgate_plane::{Desired, Peer};
use hearthgate_tailcfg::{FilterRule, NetPortRange, PortRange};
use ipnet::{IpNet, Ipv4Net};

/// Addresses of networks of this kind, IPv4.
const TAILNET: &str = "100.64.0.0/10";

/// Everything the data plane of these devices shall be. `attached` are the networks of this machine's interfaces:
/// none of them is "the Internet".
///
/// # Errors
/// More devices and networks than a filter has room for.
pub(super) fn desired(network: &Network, attached: &[IpNet]) -> Result<Desired, ParseError> {
    let mut desired = Desired::new(NodePrivate::from_bytes(*network.private_key.secret_bytes()));
    desired.addresses = vec![IpNet::V4(network.address)];
    desired.peers =
        network.devices.iter().map(|d| Peer::new(d.key, vec![IpNet::from(std::net::IpAddr::V4(d.address))])).collect();
    desired.filter = filter(network, attached)?;
    desired.forward = true;
    Ok(desired)
}

fn filter(network: &Network, attached: &[IpNet]) -> Result<Filter, ParseError> {
    let everything: Ipv4Net = Ipv4Net::default();
    let tailnet = TAILNET.parse::<IpNet>().into_iter().collect::<Vec<_>>();
    let except: Vec<IpNet> = attached.iter().chain(&network.lan).copied().collect();
    let internet = local_nets(&[], &[IpNet::V4(everything)], &except, &[]);
    let plain = |nets: &[IpNet]| -> Vec<Range> {
        nets.iter().filter(|net| net.addr().is_ipv4()).map(|net| Range::from(net.trunc())).collect()
    };
    let places: [(fn(&Device) -> bool, Vec<Range>); 3] = [
        (|device| device.lan, plain(&network.lan)),
        (|device| device.internet, internet),
        (|device| device.tailnet, plain(&tailnet)),
    ];
    let mut rules = Vec::new();
    for (may, ranges) in &places {
        let src_ips: Vec<String> =
            network.devices.iter().filter(|device| may(device)).map(|device| device.address.to_string()).collect();
        if src_ips.is_empty() || ranges.is_empty() {
            continue;
        }
        let to = |range: &Range| NetPortRange {
            ip: format!("{}-{}", range.first, range.last),
            ports: PortRange { first: 0, last: u16::MAX },
            ..Default::default()
        };
        rules.push(FilterRule { src_ips, dst_ports: ranges.iter().map(to).collect(), ..Default::default() });
    }
    let reach: Vec<Range> = places.iter().flat_map(|(_, ranges)| ranges).copied().collect();
    compile(&rules, &reach, |_| Vec::new())
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

    /// Whether a device may open a connection to this address.
    fn may(filter: &Filter, from: u8, to: &str) -> bool {
        let (from, to) = (std::net::IpAddr::from([10, 9, 9, from]), to.parse().unwrap());
        let class = filter.sources.iter().find(|(range, _)| range.contains(from)).map(|(_, class)| *class);
        let doors = class.and_then(|class| filter.classes.get(class)).into_iter().flatten();
        filter.local.iter().any(|range| range.contains(to)) && doors.into_iter().any(|door| door.to.contains(to))
    }

    #[test]
    fn each_reaches_what_was_ticked_and_nothing_else() {
        let attached: Vec<IpNet> =
            ["192.168.1.1/24", "203.0.113.7/24", "10.9.9.1/24"].map(|n| n.parse().unwrap()).into();
        let all = vec![
            device(2, true, false, false),
            device(3, false, true, false),
            device(4, false, false, true),
            device(5, false, false, false),
            device(6, true, true, true),
        ];
        let desired = desired(&network(all), &attached).unwrap();
        let (lan, internet, tailnet) = ("192.168.1.20", "198.51.100.9", "100.64.0.3");
        let reached = |from| [lan, internet, tailnet].map(|to| may(&desired.filter, from, to));
        assert_eq!(reached(2), [true, false, false]);
        assert_eq!(reached(3), [false, true, false]);
        assert_eq!(reached(4), [false, false, true]);
        assert_eq!(reached(5), [false, false, false]);
        assert_eq!(reached(6), [true, true, true]);
        assert_eq!(reached(9), [false, false, false], "an address that nobody was given");
        // Neither this machine, nor the other devices, nor networks it is in, nor other private ones.
        for place in ["10.9.9.1", "10.9.9.2", "203.0.113.7", "203.0.113.9", "192.168.2.1", "10.0.0.1", "169.254.1.1"] {
            assert!((2..=6).all(|from| !may(&desired.filter, from, place)), "{place}");
        }
        assert_eq!(desired.peers.len(), 5);
        assert!(desired.forward && desired.snat && desired.routes.is_empty());
        assert_eq!(desired.peers[0].allowed_ips, ["10.9.9.2/32".parse::<IpNet>().unwrap()]);
    }

    #[test]
    fn without_devices_nobody_comes_in() {
        let desired = desired(&network(Vec::new()), &[]).unwrap();
        assert!(desired.filter.sources.is_empty() && desired.peers.is_empty());
    }
}
