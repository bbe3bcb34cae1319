//! 4via6: a LAN host that has IPv4 alone is reached by an IPv6 address that names its site, on the real kernel.

mod common;

use common::{Net, Node, eventually, kernel_mode, open_filter};
use hearthgate_plane::{Endpoint, Mode, via_address};
use ipnet::IpNet;
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

const HOST: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 9);
const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn an_ipv4_host_behind_an_ipv6_address() {
    for mode in [Some(Mode::Userspace), kernel_mode()].into_iter().flatten() {
        let Some(net) = Net::new("hgv") else { return };
        let lan = net.lan_of_b();
        let (user, router) = (Node::start(&net.a, mode, 1), Node::start(&net.b, mode, 2));
        user.knows(&router, Endpoint::Direct(router.addr(&net.b)));
        router.knows(&user, Endpoint::Direct(user.addr(&net.a)));
        let route: IpNet = "fd7a:115c:a1e0:b1a:0:7:a14:0/120".parse().expect("prefix");
        user.change(|desired| {
            desired.peers[0].allowed_ips.push(route);
            desired.routes.push(route);
        });
        router.change(|desired| {
            desired.forward = true;
            // Whatever it is for other routes: this one cannot be without.
            desired.snat = false;
            desired.via = vec![route];
            desired.filter = open_filter(&[desired.addresses.clone(), vec![route]].concat());
        });
        let host = via_address(7, HOST);
        assert!(net.a.ping(&host.to_string()), "echo");
        assert!(!net.a.ping(&via_address(7, Ipv4Addr::new(10, 20, 0, 77)).to_string()), "nobody is there");

        // 300 kB each way fill packets of every kind.
        let listener = lan.enter(|| TcpListener::bind((HOST, 7777)).expect("bind"));
        let mut inside = net.a.enter(move || TcpStream::connect_timeout(&(host, 7777).into(), LIMIT).expect("TCP"));
        let (mut outside, from) = listener.accept().expect("accept");
        assert_eq!(from.ip().to_string(), "10.20.0.1", "the host sees its router");
        for _ in 0..2 {
            std::thread::scope(|scope| {
                let writer = scope.spawn(|| inside.write_all(&[5; 300_000]));
                outside.set_read_timeout(Some(LIMIT)).expect("timeout");
                outside.read_exact(&mut vec![0; 300_000]).expect("300 kB through the translator");
                writer.join().expect("no panic").expect("written");
            });
            std::mem::swap(&mut inside, &mut outside);
        }

        // Datagrams that need two packets in the tunnel, there and back.
        let answers = lan.enter(|| UdpSocket::bind((HOST, 53)).expect("bind"));
        let asks = net.a.enter(move || {
            let socket = UdpSocket::bind("[::]:0").expect("bind");
            socket.connect((host, 53)).expect("connect");
            socket
        });
        answers.set_read_timeout(Some(LIMIT)).expect("timeout");
        asks.set_read_timeout(Some(Duration::from_secs(1))).expect("timeout");
        for size in [20, 1200, 1300, 4000] {
            // The first that is too large for the way back tells the host so, which then cuts the next.
            let answered = (0..2).any(|_| {
                asks.send(&vec![6; size]).expect("sent");
                let mut buffer = [0; 5000];
                let (length, from) = answers.recv_from(&mut buffer).expect("a question of this size");
                assert_eq!(length, size);
                answers.send_to(&buffer[..length], from).expect("sent");
                asks.recv(&mut buffer).is_ok_and(|length| length == size)
            });
            assert!(answered, "no answer of {size} bytes");
        }

        // The host's own error: nobody listens.
        let refused = net.a.enter(move || TcpStream::connect_timeout(&(host, 7778).into(), LIMIT));
        assert_eq!(refused.map(drop).map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionRefused));
        let silent = net.a.enter(move || {
            let socket = UdpSocket::bind("[::]:0").expect("bind");
            socket.connect((host, 54)).expect("connect");
            socket.send(&[1]).expect("sent");
            socket.set_read_timeout(Some(LIMIT)).expect("timeout");
            socket.recv(&mut [0; 9])
        });
        assert_eq!(silent.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionRefused));

        // Nobody on the LAN begins anything with a client through it.
        lan.run("ip route add 198.19.252.0/22 via 10.20.0.1");
        assert!(!lan.ping("198.19.252.1"), "a stand-in is reached from the LAN");

        // What did not come through the tunnel has passed no filter: a LAN host with IPv6 is not translated.
        lan.run("ip addr add fd20::9/64 dev eth0 nodad");
        net.b.run("ip addr add fd20::1/64 dev eth1 nodad");
        lan.run(&format!("ip route add {route} via fd20::1"));
        assert!(lan.ping("fd20::1"), "the router is there");
        assert!(!lan.ping(&host.to_string()), "translated past the filter");

        net.b.run("ip link del tailscale0-via");
        let again = || net.a.ping(&host.to_string());
        eventually("it is made anew when somebody takes it away", LIMIT, again);

        router.change(|desired| desired.via.clear());
        assert!(!net.a.ping(&host.to_string()));
        assert!(!net.b.has_interface("tailscale0-via"), "the device stays behind");

        // Somebody has its name: it is made once that is free, without another change of the state.
        net.b.run("ip link add tailscale0-via type veth peer name hold0; ip addr add 10.99.0.1/24 dev tailscale0-via");
        assert!(router.try_change(|desired| desired.via = vec![route]).is_err());
        net.b.run("ip link del tailscale0-via");
        eventually("it is made after all", LIMIT, again);
    }
}
