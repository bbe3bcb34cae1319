//! The wires: an "Internet" that is one Ethernet segment, machines on it, and home routers with
//! machines behind them.
//!
//! ```text
//!   web 198.51.100.10 (loopback of the Internet namespace)
//!        |
//!   [internet: br0 10.77.0.1/24, fd77::1/64]----+----------------+---------------+
//!        |                                      |                |               |
//!   [server 10.77.0.2]                    [a 10.77.0.N]    [router 10.77.0.M]   ...
//!                                                                | 192.168.K.1
//!                                                          [b 192.168.K.N]
//! ```
//!
//! The segment has private addresses although it plays the Internet: with a plain `http://`
//! server URL official clients insist on port 443 on a second try within two minutes, except
//! when the host is a private or loopback IP literal (`control/ts2021/client.go`).

use std::rc::Rc;

use crate::context::Context;
use crate::nat::{self, NatKind};
use crate::netns::Namespace;
use crate::outcome::Outcome;

/// Address of the web server that stands for "the rest of the Internet".
pub const WEB: &str = "198.51.100.10";
/// Our end of the Internet segment: default gateway of all machines on it.
pub const GATEWAY: &str = "10.77.0.1";
/// The server's address.
pub const SERVER: &str = "10.77.0.2";

/// First host number given out on any segment.
const FIRST_HOST: u8 = 10;

/// The segment everything is on.
pub struct Internet {
    /// The namespace with the bridge; also the web server's.
    pub ns: Namespace,
    next_host: u8,
    next_lan: u8,
}

/// A machine with one interface.
pub struct Host {
    /// Its namespace.
    pub ns: Namespace,
    /// Its IPv4 address.
    pub address: String,
}

/// A home router: one interface to the Internet, one bridge to its LAN, NAT between them.
pub struct Router {
    /// Its namespace.
    pub ns: Namespace,
    /// Its address on the Internet segment.
    pub address: String,
    /// The LAN in CIDR form.
    pub lan: String,
    stem: String,
    next_host: u8,
}

impl Internet {
    /// Makes the segment.
    pub fn new(context: &Rc<Context>) -> Outcome<Self> {
        let ns = Namespace::new(context, "internet")?;
        bridge(&ns, &format!("{GATEWAY}/24"))?;
        ns.ip(&format!("addr add {WEB}/32 dev lo"))?;
        if Namespace::has_ipv6() {
            ns.ip("addr add fd77::1/64 dev br0 nodad")?;
        }
        Ok(Self { ns, next_host: FIRST_HOST, next_lan: 1 })
    }

    /// The machine of the server, at its fixed address.
    pub fn server(&mut self) -> Outcome<Host> {
        self.host_at("server", SERVER, 2)
    }

    /// A machine directly on the Internet.
    pub fn host(&mut self, role: &str) -> Outcome<Host> {
        let number = next(&mut self.next_host);
        self.host_at(role, &format!("10.77.0.{number}"), number)
    }

    fn host_at(&mut self, role: &str, address: &str, number: u8) -> Outcome<Host> {
        let ns = Namespace::new(self.ns.context(), role)?;
        plug(&self.ns, &ns, "eth0", &format!("{address}/24"), Some(GATEWAY))?;
        if Namespace::has_ipv6() {
            ns.ip(&format!("addr add fd77::{number}/64 dev eth0 nodad"))?;
        }
        Ok(Host { ns, address: address.to_owned() })
    }

    /// A machine gets other addresses, as when its line was dialled anew.
    pub fn renumber(&mut self, host: &mut Host) -> Outcome {
        let number = next(&mut self.next_host);
        host.address = format!("10.77.0.{number}");
        host.ns.ip("addr flush dev eth0 scope global")?;
        host.ns.ip(&format!("addr add {}/24 dev eth0", host.address))?;
        host.ns.ip(&format!("route add default via {GATEWAY}"))?;
        if Namespace::has_ipv6() {
            host.ns.ip(&format!("addr add fd77::{number}/64 dev eth0 nodad"))?;
        }
        Ok(())
    }

    /// A home router with a LAN of its own.
    pub fn router(&mut self, role: &str, kind: NatKind) -> Outcome<Router> {
        let host = self.host(role)?;
        let stem = format!("192.168.{}", next(&mut self.next_lan));
        bridge(&host.ns, &format!("{stem}.1/24"))?;
        host.ns.sysctl("net.ipv4.ip_forward", "1")?;
        host.ns.nft(&nat::ruleset(kind))?;
        Ok(Router { ns: host.ns, address: host.address, lan: format!("{stem}.0/24"), stem, next_host: FIRST_HOST })
    }
}

impl Router {
    /// A machine on the router's LAN.
    pub fn host(&mut self, role: &str) -> Outcome<Host> {
        let ns = Namespace::new(self.ns.context(), role)?;
        let address = format!("{}.{}", self.stem, next(&mut self.next_host));
        let gateway = format!("{}.1", self.stem);
        plug(&self.ns, &ns, "eth0", &format!("{address}/24"), Some(&gateway))?;
        Ok(Host { ns, address })
    }

    /// The router as a machine to install something on. Machines on its LAN come before.
    pub fn into_host(self) -> Host {
        Host { ns: self.ns, address: self.address }
    }
}

impl Host {
    /// Drops all UDP that arrives from the network, as a strict firewall in front of it would.
    pub fn block_udp(&self) -> Outcome {
        self.ns.nft(nat::UDP_BLOCK)
    }

    /// Takes that firewall away.
    pub fn unblock_udp(&self) -> Outcome {
        self.ns.nft("delete table inet lab_udp\n")
    }

    /// A second interface, on the LAN of `router`.
    pub fn join_lan(&self, router: &mut Router) -> Outcome<String> {
        let address = format!("{}.{}", router.stem, next(&mut router.next_host));
        plug(&router.ns, &self.ns, "eth1", &format!("{address}/24"), None)?;
        Ok(address)
    }
}

/// A plain bridge `br0` with an address. Its hardware address is given: left to itself a bridge
/// takes the lowest of its ports', so that plugging in a machine would break the others' ARP.
pub fn bridge(ns: &Namespace, address: &str) -> Outcome {
    ns.ip("link add br0 address 02:00:00:00:00:01 type bridge")?;
    ns.ip(&format!("addr add {address} dev br0"))?;
    ns.ip("link set br0 up")?;
    Ok(())
}

/// A cable from the bridge in `from` to a new interface in `to`.
pub fn plug(from: &Namespace, to: &Namespace, interface: &str, address: &str, gateway: Option<&str>) -> Outcome {
    // The port's name has to be unique on the bridge's side only; roles are short.
    let port = format!("{}-{interface}", to.role);
    from.ip(&format!("link add {port} type veth peer name {interface} netns {}", to.name))?;
    from.ip(&format!("link set {port} master br0 up"))?;
    to.ip(&format!("addr add {address} dev {interface}"))?;
    to.ip(&format!("link set {interface} up"))?;
    if let Some(gateway) = gateway {
        to.ip(&format!("route add default via {gateway}"))?;
    }
    Ok(())
}

fn next(number: &mut u8) -> u8 {
    let given = *number;
    *number = number.saturating_add(1);
    given
}
