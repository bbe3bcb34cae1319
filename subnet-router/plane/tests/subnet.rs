//! A subnet router: a host of its LAN is reached through the tunnel, with and without source NAT; the LAN's segments are
//! made small enough; a closed filter lets nobody through; a crash leaves nothing that a restart does not clear.

mod common;

use common::{Net, Node, kernel_mode, open_filter};
use hearthgate_filter::Filter;
use hearthgate_plane::{Config, Endpoint, Mode};
use ipnet::IpNet;
use std::{
    io::Read,
    net::{TcpListener, TcpStream},
    time::Duration,
};

#[test]
fn lan_behind_a_subnet_router() {
    for mode in [Some(Mode::Userspace), kernel_mode()].into_iter().flatten() {
        let Some(net) = Net::new("hgs") else { return };
        let lan = net.lan_of_b();
        let (user, router) = (Node::start(&net.a, mode, 1), Node::start(&net.b, mode, 2));
        user.knows(&router, Endpoint::Direct(router.addr(&net.b)));
        router.knows(&user, Endpoint::Direct(user.addr(&net.a)));
        let subnet: IpNet = "10.20.0.0/24".parse().expect("prefix");
        user.change(|desired| {
            desired.peers[0].allowed_ips.push(subnet);
            desired.routes.push(subnet);
        });
        router.change(|desired| {
            desired.forward = true;
            desired.filter = open_filter(&[desired.addresses.clone(), vec![subnet]].concat());
        });
        assert!(net.a.ping("10.20.0.9"), "with source NAT, the LAN host needs no route back");
        router.change(|desired| desired.snat = false);
        assert!(!net.a.ping("10.20.0.9"), "without it, answers do not find back");
        lan.run("ip route add 100.64.0.0/10 via 10.20.0.1");
        assert!(net.a.ping("10.20.0.9"), "with a route they do");
        lan.run("ip route del 100.64.0.0/10");

        let open = open_filter(&[subnet]);
        router.change(|desired| {
            desired.snat = true;
            desired.filter = Filter::closed();
        });
        assert!(!net.a.ping("10.20.0.9"), "a closed filter lets nobody through");
        router.change(|desired| desired.filter = open);
        assert!(net.a.ping("10.20.0.9"));
        assert!(!net.a.ping("100.64.0.2"), "the router itself is not open in this filter");

        // The LAN goes out through the tunnel, as this node. The user's interface would take larger segments than the
        // router's: what limits them is the router.
        router.change(|desired| {
            desired.masquerade_lan = true;
            desired.filter = open_filter(&[desired.addresses.clone(), vec![subnet]].concat());
        });
        user.change(|desired| desired.filter = open_filter(&desired.addresses.clone()));
        net.a.run("ip link set tailscale0 mtu 1400");
        let listener = net.a.enter(|| TcpListener::bind("100.64.0.1:7777").expect("bind"));
        lan.run("ip route add default via 10.20.0.1");
        let mut out = lan.enter(|| {
            let to = "100.64.0.1:7777".parse().expect("address");
            TcpStream::connect_timeout(&to, Duration::from_secs(10)).expect("LAN host connects through the tunnel")
        });
        let (mut inside, from) = listener.accept().expect("accept");
        assert_eq!(from.ip().to_string(), "100.64.0.2", "as the router");
        let text = net.a.run("ss -tin sport = :7777");
        let mss: u32 = text
            .split_whitespace()
            .find_map(|word| word.strip_prefix("mss:"))
            .and_then(|number| number.parse().ok())
            .expect("ss shows the segment size");
        assert!((1200..=1240).contains(&mss), "segments fit into 1280 bytes: {mss}");
        // And they arrive: 100 kB in full segments.
        std::thread::spawn(move || std::io::Write::write_all(&mut inside, &[5; 100_000]));
        let mut all = vec![0; 100_000];
        out.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
        out.read_exact(&mut all).expect("100 kB through the tunnel");
    }
}

/// A kernel that forwards takes no router advertisements, unless it is told to: the box would lose its own IPv6 route.
#[test]
fn who_forwards_keeps_its_own_route() {
    let Some(net) = Net::new("hgr") else { return };
    net.a.run("sysctl -qw net.ipv6.conf.all.forwarding=0 net.ipv6.conf.eth0.accept_ra=1 net.ipv6.conf.lo.accept_ra=0");
    let node = Node::start(&net.a, Mode::Userspace, 1);
    let settings = || {
        let names = ["all.forwarding", "eth0.accept_ra", "lo.accept_ra"].map(|name| format!("net.ipv6.conf.{name}"));
        net.a.run(&format!("sysctl -n {}", names.join(" "))).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(settings(), "0 1 0", "who forwards nothing changes nothing");
    node.change(|desired| desired.forward = true);
    assert_eq!(settings(), "1 2 0");
    net.a.run("sysctl -qw net.ipv6.conf.eth0.accept_ra=1");
    node.change(|desired| desired.snat = false);
    assert_eq!(settings(), "1 1 0", "what somebody set while it forwards is meant");
}

#[test]
fn strict_checks_of_sources_are_seen() {
    let Some(net) = Net::new("hgt") else { return };
    let strict = || net.a.enter(|| hearthgate_plane::strict_interface("tailscale0"));
    let set = |all: u8, one: u8| {
        net.a.run(&format!("sysctl -qw net.ipv4.conf.all.rp_filter={all} net.ipv4.conf.eth0.rp_filter={one}"));
    };
    set(0, 1);
    assert_eq!(strict().as_deref(), Some("eth0"));
    for (all, one) in [(0, 0), (0, 2), (2, 1)] {
        set(all, one);
        assert_eq!(strict(), None, "{all} {one}");
    }
}

#[test]
fn a_crash_is_cleared_by_a_restart() {
    for mode in [Some(Mode::Userspace), kernel_mode()].into_iter().flatten() {
        let Some(net) = Net::new("hgc") else { return };
        // What a killed process leaves: rules and table, and the kernel's interface.
        net.a.run("ip rule add pref 5270 lookup 52; ip route add blackhole 10.66.0.0/16 table 52");
        net.a.run("nft 'add table inet hearthgate-tailscale0; add chain inet hearthgate-tailscale0 old'");
        if mode == Mode::Kernel {
            net.a.run("ip link add tailscale0 type wireguard");
        }
        let node = Node::start(&net.a, mode, 1);
        assert!(!net.a.run("nft list ruleset").contains("chain old"), "the old table was replaced");
        assert!(!net.a.run("ip route show table 52").contains("10.66"), "the old route is gone");
        drop(node);
        let rules = net.a.run("ip rule; ip -6 rule");
        assert!(!rules.contains("52"), "{rules}");
        // A crash without restart: the command to clean up.
        net.a.run("ip rule add pref 5270 lookup 52; nft 'add table inet hearthgate-tailscale0'");
        net.a.enter(|| hearthgate_plane::clean("tailscale0")).expect("cleaned");
        let rules = net.a.run("ip rule; ip -6 rule");
        assert!(!rules.contains("52"), "{rules}");
        assert!(!net.a.run("nft list tables").contains("hearthgate"));
    }
}

#[test]
fn only_what_is_known_as_ours_is_cleaned_without_being_asked() {
    let Some(net) = Net::new("hgk") else { return };
    let clean = || net.a.enter(|| hearthgate_plane::clean_left("tailscale0")).expect("asked");
    net.a.run("ip rule add pref 5270 lookup 52; ip tuntap add tailscale0 mode tun");
    assert!(!clean());
    assert!(net.a.has_interface("tailscale0") && net.a.run("ip rule").contains("5270:"), "the official client's");
    net.a.run("nft 'add table inet hearthgate-tailscale0; add chain inet hearthgate-tailscale0 c; add rule inet hearthgate-tailscale0 c drop'");
    assert!(clean());
    assert!(!net.a.has_interface("tailscale0") && !net.a.run("ip rule").contains("5270:"));
    assert!(!clean());
}

#[test]
fn an_interface_of_somebody_else_is_left_alone() {
    let Some(net) = Net::new("hgo") else { return };
    net.a.run("ip link add br-lan type veth peer name lan1");
    let started = net.a.enter(|| {
        let config = Config { interface: "br-lan".into(), ..Config::default() };
        hearthgate_plane::start(&config).map(drop)
    });
    assert!(started.is_err(), "a name that is taken");
    assert!(net.a.enter(|| hearthgate_plane::clean("br-lan")).is_err());
    assert!(net.a.has_interface("br-lan"), "it was removed");
}
