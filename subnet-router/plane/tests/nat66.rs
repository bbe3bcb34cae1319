//! NAT66: a LAN host without a route back answers over IPv6 once sources are rewritten, and not before.

mod common;

use common::{Net, Node, kernel_mode, open_filter};
use hearthgate_plane::{Endpoint, Mode};
use ipnet::IpNet;
use std::net::{TcpListener, TcpStream};

#[test]
fn ipv6_sources_are_rewritten_when_asked_for() {
    for mode in [Some(Mode::Userspace), kernel_mode()].into_iter().flatten() {
        let Some(net) = Net::new("hg6") else { return };
        let lan = net.lan_of_b();
        net.b.run("ip addr add fd20::1/64 dev eth1 nodad");
        lan.run("ip addr add fd20::9/64 dev eth0 nodad");
        let (user, router) = (Node::start(&net.a, mode, 1), Node::start(&net.b, mode, 2));
        user.knows(&router, Endpoint::Direct(router.addr(&net.b)));
        router.knows(&user, Endpoint::Direct(user.addr(&net.a)));
        let subnet: IpNet = "fd20::/64".parse().expect("prefix");
        user.change(|desired| {
            desired.peers[0].allowed_ips.push(subnet);
            desired.routes.push(subnet);
        });
        router.change(|desired| {
            desired.forward = true;
            desired.filter = open_filter(&[desired.addresses.clone(), vec![subnet]].concat());
        });
        assert!(!net.a.ping("fd20::9"), "the host has no route back");
        router.change(|desired| desired.snat6 = true);
        assert!(net.a.ping("fd20::9"));
        let listener = lan.enter(|| TcpListener::bind("[fd20::9]:7777").expect("bind"));
        let _kept = net.a.enter(|| TcpStream::connect("[fd20::9]:7777").expect("connected"));
        let (_, from) = listener.accept().expect("accept");
        assert_eq!(from.ip().to_string(), "fd20::1", "as the router");

        // A rule for one family leaves the other alone.
        lan.run("ip route add 100.64.0.0/10 via 10.20.0.1");
        let subnet: IpNet = "10.20.0.0/24".parse().expect("prefix");
        user.change(|desired| {
            desired.peers[0].allowed_ips.push(subnet);
            desired.routes.push(subnet);
        });
        router.change(|desired| {
            desired.snat = false;
            desired.filter = open_filter(&[desired.addresses.clone(), vec![subnet]].concat());
        });
        let listener = lan.enter(|| TcpListener::bind("10.20.0.9:7777").expect("bind"));
        let _kept = net.a.enter(|| TcpStream::connect("10.20.0.9:7777").expect("connected"));
        let (_, from) = listener.accept().expect("accept");
        assert_eq!(from.ip().to_string(), "100.64.0.1", "as it is");
    }
}
