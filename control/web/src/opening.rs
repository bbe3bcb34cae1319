//! At which address somebody opens the pages: the URL for clients where the gate lets it through, else an address of this
//! machine on its LAN, else its loopback address through an SSH tunnel.

use crate::gate::Gate;
use hearthgate_core::host_of;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What to do to see the pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The page.
    pub url: String,
    /// The command that has to run meanwhile on the machine with the browser; `None` on the local network.
    pub tunnel: Option<String>,
}

/// Where to open the pages. `server_url` is the URL for clients, `listen` where the server listens, `addresses` are those
/// of this machine's interfaces, the ones that others on its LAN know first.
#[must_use]
pub fn opening(server_url: &str, listen: SocketAddr, gate: &Gate, addresses: &[IpAddr]) -> Opening {
    let host = host_of(server_url);
    let port = listen.port();
    let local = |ip: &IpAddr| gate.admits(*ip);
    let known = match host.parse::<IpAddr>() {
        Ok(ip) => local(&ip),
        // A name that the gate does not know would be refused as rebinding.
        Err(_) => gate.knows(host),
    };
    if known {
        return Opening { url: format!("{server_url}/admin/"), tunnel: None };
    }
    let here = listen.ip();
    let heard = |ip: &IpAddr| if here.is_unspecified() { here.is_ipv6() || ip.is_ipv4() } else { *ip == here };
    let on_the_lan = addresses.iter().find(|ip| !ip.is_loopback() && !is_link_local(ip) && local(ip) && heard(ip));
    if let Some(ip) = on_the_lan {
        return Opening { url: format!("http://{}/admin/", SocketAddr::new(*ip, port)), tunnel: None };
    }
    let target = if here.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { here };
    let target = SocketAddr::new(target, port);
    Opening {
        url: format!("http://127.0.0.1:{port}/admin/"),
        tunnel: Some(format!("ssh -N -L {port}:{target} root@{host}")),
    }
}

/// Addresses that need the name of an interface beside them.
fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::LAN;

    fn open(url: &str, listen: &str, addresses: &[&str]) -> (String, Option<String>) {
        let networks = LAN.iter().map(|n| n.parse().expect("a network")).collect();
        let gate = Gate { networks, hosts: vec!["box.lan".into()] };
        let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().expect("an address")).collect();
        let o = opening(url, listen.parse().expect("an address"), &gate, &addresses);
        (o.url, o.tunnel)
    }

    #[test]
    fn a_url_on_the_lan_is_the_page() {
        for url in ["http://192.168.1.1:8080", "http://127.0.0.1:8080", "https://box.lan", "http://[fd00::1]:8080"] {
            assert_eq!(open(url, "0.0.0.0:8080", &[]), (format!("{url}/admin/"), None));
        }
    }

    #[test]
    fn behind_a_public_url_it_is_an_address_on_the_lan() {
        let addresses = ["127.0.0.1", "169.254.3.4", "203.0.113.7", "192.168.1.1", "fd00::1"];
        for url in ["https://203.0.113.7:8080", "https://vpn.example.org"] {
            assert_eq!(open(url, "0.0.0.0:8080", &addresses), ("http://192.168.1.1:8080/admin/".into(), None));
        }
        let six = open("https://vpn.example.org", "[::]:8080", &["fe80::1", "fd00::1"]);
        assert_eq!(six, ("http://[fd00::1]:8080/admin/".into(), None));
        let (url, _) = open("https://vpn.example.org", "[::]:8080", &["fd7a:115c:a1e0::1", "100.64.0.1"]);
        assert_eq!(url, "http://127.0.0.1:8080/admin/", "its own address in the network is not on the LAN");
    }

    #[test]
    fn without_a_lan_it_is_a_tunnel() {
        let (url, tunnel) = open("https://203.0.113.7:8443", "0.0.0.0:8443", &["203.0.113.7", "127.0.0.1"]);
        assert_eq!(url, "http://127.0.0.1:8443/admin/");
        assert_eq!(tunnel.expect("a tunnel"), "ssh -N -L 8443:127.0.0.1:8443 root@203.0.113.7");
        // What listens on one address only is reached at that one; it counts as this machine's own.
        let (_, tunnel) = open("https://vpn.example.org", "203.0.113.7:443", &["203.0.113.7", "192.168.1.1"]);
        assert_eq!(tunnel.expect("a tunnel"), "ssh -N -L 443:203.0.113.7:443 root@vpn.example.org");
    }
}
