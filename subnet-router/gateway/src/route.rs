//! Which router is in front of us.

use hearthgate_portmap::Gateway;
use nix::ifaddrs::getifaddrs;
use std::{fs, net::Ipv4Addr};

/// The kernel's IPv4 routes.
const ROUTES: &str = "/proc/net/route";
/// A route that is up and leads to a gateway (`RTF_UP`, `RTF_GATEWAY`).
const UP_AND_GATEWAY: u32 = 3;

/// The router that the default route leads to, and our address towards it.
#[must_use]
pub fn default_gateway() -> Option<Gateway> {
    let (interface, address) = gateway_of(&fs::read_to_string(ROUTES).ok()?)?;
    let own = getifaddrs().ok()?.filter(|found| found.interface_name == interface).find_map(|found| {
        let net =
            |a: Option<nix::sys::socket::SockaddrStorage>| a.and_then(|a| a.as_sockaddr_in().map(|a| a.ip().to_bits()));
        let (own, mask) = (net(found.address)?, net(found.netmask)?);
        (own & mask == address.to_bits() & mask).then(|| Ipv4Addr::from(own))
    })?;
    Some(Gateway { address, own })
}

/// Interface and gateway of the default route with the least metric, in the kernel's table of routes.
fn gateway_of(table: &str) -> Option<(String, Ipv4Addr)> {
    let routes = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [interface, destination, gateway, flags, _, _, metric, mask, ..] = fields.as_slice() else { return None };
        let number = |text: &str| u32::from_str_radix(text, 16).ok();
        let default = number(destination)? == 0 && number(mask)? == 0;
        let usable = number(flags)? & UP_AND_GATEWAY == UP_AND_GATEWAY;
        // Addresses are printed as numbers of the machine, with the bytes in the network's order.
        let gateway = Ipv4Addr::from(number(gateway)?.to_ne_bytes());
        (default && usable).then(|| (metric.parse::<u32>().unwrap_or(u32::MAX), (*interface).to_owned(), gateway))
    });
    routes.min_by_key(|(metric, ..)| *metric).map(|(_, interface, gateway)| (interface, gateway))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_least_metric_counts() {
        let hex = |ip: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(ip));
        let table = format!(
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             wlan0\t00000000\t{}\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
             eth0\t00000000\t{}\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
             eth0\t{}\t00000000\t0001\t0\t0\t0\t{}\t0\t0\t0\n",
            hex([10, 0, 0, 1]),
            hex([192, 168, 1, 1]),
            hex([192, 168, 1, 0]),
            hex([255, 255, 255, 0]),
        );
        assert_eq!(gateway_of(&table), Some(("eth0".into(), Ipv4Addr::new(192, 168, 1, 1))));
        assert_eq!(gateway_of("nonsense\n"), None);
    }
}
