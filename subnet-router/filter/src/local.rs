//! Which destinations can be ours: own addresses, advertised routes, and for an exit node the Internet.
//!
//! Source: `ipn/ipnlocal/local.go` (`shrinkDefaultRoute`, `removeFromDefaultRoute`) of tailscale.com v1.102.5.

use crate::{Range, range};
use hearthgate_tailcfg::TAILNET;
use ipnet::IpNet;

/// What an exit node's users do not reach through the default route besides addresses of the tailnet: private, link-local
/// and multicast ones.
const NOT_INTERNET: [&str; 7] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "224.0.0.0/4", "fe80::/10", "ff00::/8"];

/// The destinations for [`crate::compile`]: `own` addresses and `advertised` routes. A default route among them stands
/// for the Internet: without private networks, and without `attached`, the networks of the host's interfaces; the
/// host's own addresses there (`host`) stay reachable.
#[must_use]
pub fn local_nets(own: &[IpNet], advertised: &[IpNet], attached: &[IpNet], host: &[std::net::IpAddr]) -> Vec<Range> {
    let (default, plain): (Vec<&IpNet>, Vec<&IpNet>) = advertised.iter().partition(|net| net.prefix_len() == 0);
    let mut all: Vec<Range> = own.iter().chain(plain).map(|net| Range::from(net.trunc())).collect();
    if !default.is_empty() {
        let private = NOT_INTERNET.iter().filter_map(|text| text.parse::<IpNet>().ok()).chain(TAILNET).map(Range::from);
        let except = private.chain(attached.iter().map(|net| Range::from(net.trunc()))).collect();
        all.extend(range::without(default.iter().map(|net| Range::from(**net)).collect(), except));
        let families: Vec<bool> = default.iter().map(|net| net.addr().is_ipv4()).collect();
        all.extend(host.iter().filter(|ip| families.contains(&ip.is_ipv4())).map(|ip| Range::from(*ip)));
    }
    range::union(all)
}

#[cfg(test)]
mod tests {
    use super::local_nets;

    #[test]
    fn an_exit_node_is_the_internet_and_not_the_lan() {
        let nets = |list: &[&str]| list.iter().map(|text| text.parse().expect("prefix")).collect::<Vec<ipnet::IpNet>>();
        let local = local_nets(
            &nets(&["100.64.0.1/32"]),
            &nets(&["0.0.0.0/0", "192.168.7.0/24"]),
            &nets(&["203.0.113.0/24", "192.168.7.0/24"]),
            &["203.0.113.5".parse().expect("address")],
        );
        let has = |ip: &str| local.iter().any(|range| range.contains(ip.parse().expect("address")));
        for ip in ["100.64.0.1", "8.8.8.8", "192.168.7.9", "203.0.113.5"] {
            assert!(has(ip), "{ip}");
        }
        for ip in ["100.64.0.2", "10.0.0.1", "192.168.8.1", "203.0.113.6", "224.0.0.1", "2606:4700::1"] {
            assert!(!has(ip), "{ip}");
        }
    }
}
