//! Namespaces, nodes and a relay for tests.

#![allow(dead_code, reason = "each test uses a part")]

use hearthgate_filter::{Filter, Range, compile};
use hearthgate_keys::{NodePrivate, NodePublic};
use hearthgate_plane::{Config, DataPlane, Desired, Endpoint, Events, Mode, Peer, PlaneError, PlaneEvent};
use hearthgate_tailcfg::FilterRule;
use nix::sched::{CloneFlags, setns};
use std::{
    fs::File,
    net::{IpAddr, SocketAddr},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// A network namespace, removed at the end.
pub struct Ns {
    name: String,
    /// Its address on the wire.
    pub ip: IpAddr,
}

impl Ns {
    /// Runs a command line in it; panics if that fails, gives what it wrote.
    pub fn run(&self, line: &str) -> String {
        let out = self.try_run(line);
        assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Runs a command line in it.
    pub fn try_run(&self, line: &str) -> std::process::Output {
        let line = line.to_owned();
        self.enter(move || Command::new("sh").args(["-c", &line]).output().expect("sh runs"))
    }

    /// Runs code in it, on a thread of its own.
    pub fn enter<T: Send + 'static>(&self, code: impl FnOnce() -> T + Send + 'static) -> T {
        enter(&self.name, code)
    }

    /// Whether a host answers within a few seconds.
    pub fn ping(&self, to: &str) -> bool {
        self.try_run(&format!("ping -n -c 2 -i 0.2 -W 1 {to}")).status.success()
    }

    /// Whether there is an interface of this name.
    pub fn has_interface(&self, name: &str) -> bool {
        self.try_run(&format!("ip link show {name}")).status.success()
    }
}

impl Drop for Ns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// Two namespaces, joined by a cable.
pub struct Net {
    /// 10.9.0.1
    pub a: Ns,
    /// 10.9.0.2
    pub b: Ns,
}

impl Net {
    /// Makes them. Without root that fails, or is `None` if `HEARTHGATE_WITHOUT_ROOT` says that this is meant.
    pub fn new(prefix: &str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            let meant = std::env::var_os("HEARTHGATE_WITHOUT_ROOT").is_some();
            assert!(meant, "needs root (HEARTHGATE_WITHOUT_ROOT=1 leaves such tests out)");
            return None;
        }
        let name = |end: &str| format!("{prefix}{}{end}", std::process::id());
        let make = |end: &str, last: u8| {
            sh(&format!("ip netns add {}", name(end)));
            Ns { name: name(end), ip: IpAddr::from([10, 9, 0, last]) }
        };
        let net = Self { a: make("a", 1), b: make("b", 2) };
        sh(&format!("ip -n {} link add eth0 type veth peer name eth0 netns {}", net.a.name, net.b.name));
        for ns in [&net.a, &net.b] {
            ns.run("ip link set lo up; ip link set eth0 up");
            ns.run(&format!("ip addr add {}/24 dev eth0", ns.ip));
            ns.run(&format!("ip addr add {}/64 dev eth0 nodad", v6(ns.ip)));
        }
        Some(net)
    }
}

impl Net {
    /// A LAN host 10.20.0.9 behind `b`, which is 10.20.0.1 there. It has no default route.
    pub fn lan_of_b(&self) -> Ns {
        let name = format!("{}l", self.b.name);
        sh(&format!("ip netns add {name}"));
        let lan = Ns { name, ip: IpAddr::from([10, 20, 0, 9]) };
        sh(&format!("ip -n {} link add eth1 type veth peer name eth0 netns {}", self.b.name, lan.name));
        self.b.run("ip link set eth1 up; ip addr add 10.20.0.1/24 dev eth1");
        lan.run("ip link set lo up; ip link set eth0 up; ip addr add 10.20.0.9/24 dev eth0");
        lan
    }
}

/// The kernel's WireGuard if it is there; must be there if `HEARTHGATE_KERNEL_WIREGUARD` is set.
pub fn kernel_mode() -> Option<Mode> {
    let there = std::path::Path::new("/sys/module/wireguard").exists();
    assert!(there || std::env::var_os("HEARTHGATE_KERNEL_WIREGUARD").is_none(), "no WireGuard in this kernel");
    if !there {
        eprintln!("left out: no WireGuard in this kernel");
    }
    there.then_some(Mode::Kernel)
}

/// The IPv6 address on the wire that goes with an IPv4 address.
fn v6(ip: IpAddr) -> IpAddr {
    let last = match ip {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(_) => 0,
    };
    IpAddr::from([0xfd09, 0, 0, 0, 0, 0, 0, u16::from(last)])
}

fn enter<T: Send + 'static>(ns: &str, code: impl FnOnce() -> T + Send + 'static) -> T {
    let path = format!("/run/netns/{ns}");
    let inside = move || {
        setns(File::open(path).expect("namespace"), CloneFlags::CLONE_NEWNET).expect("setns");
        code()
    };
    thread::spawn(inside).join().expect("no panic inside")
}

/// Everything may come to these addresses.
pub fn open_filter(local: &[ipnet::IpNet]) -> Filter {
    let local: Vec<Range> = local.iter().map(|net| Range::from(*net)).collect();
    compile(&[FilterRule::allow_all()], &local, |_| vec![]).expect("compiles")
}

fn sh(line: &str) {
    let out = Command::new("sh").args(["-c", line]).output().expect("sh runs");
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A data plane with a key and addresses.
pub struct Node {
    /// The plane.
    pub plane: Arc<dyn DataPlane>,
    private: NodePrivate,
    number: u8,
    ns: String,
    desired: Mutex<Desired>,
    relayed: Mutex<Option<Relayed>>,
    side: Mutex<mpsc::Receiver<PlaneEvent>>,
}

impl Node {
    /// Starts a plane in a namespace.
    pub fn start(ns: &Ns, mode: Mode, number: u8) -> Self {
        let (plane, events) = ns
            .enter(move || hearthgate_plane::start(&Config { mode, ..Config::default() }).expect("data plane starts"));
        let private = NodePrivate::from_random([number; 32]);
        let mut desired = Desired::new(private.clone());
        desired.addresses = addresses(number);
        desired.filter = open_filter(&desired.addresses);
        let (relayed, side) = split(events);
        let node = Self {
            plane,
            ns: ns.name.clone(),
            private,
            number,
            desired: Mutex::new(desired),
            relayed: Mutex::new(Some(relayed)),
            side: Mutex::new(side),
        };
        node.change(|_| ());
        node
    }

    /// Its node key.
    pub fn key(&self) -> NodePublic {
        self.private.public()
    }

    /// Its address on the wire.
    pub fn addr(&self, ns: &Ns) -> SocketAddr {
        SocketAddr::new(ns.ip, self.plane.port())
    }

    /// Its address on the wire in either family.
    pub fn wire(&self, ns: &Ns, family6: bool) -> SocketAddr {
        SocketAddr::new(if family6 { v6(ns.ip) } else { ns.ip }, self.plane.port())
    }

    /// Changes its state.
    pub fn change(&self, edit: impl FnOnce(&mut Desired)) {
        self.try_change(edit).expect("new state");
    }

    /// As above, where it may fail.
    pub fn try_change(&self, edit: impl FnOnce(&mut Desired)) -> Result<(), PlaneError> {
        let mut desired = self.desired.lock().expect("lock");
        edit(&mut desired);
        let (plane, desired) = (Arc::clone(&self.plane), desired.clone());
        enter(&self.ns, move || plane.apply(&desired))
    }

    /// Makes another node its peer.
    pub fn knows(&self, other: &Self, endpoint: Endpoint) {
        let nets = addresses(other.number);
        let peer = Peer { endpoint, ..Peer::new(other.key(), nets.clone()) };
        self.change(|desired| {
            desired.peers.push(peer);
            desired.routes.extend(nets);
        });
    }

    /// The peer stays, its addresses go.
    pub fn forgets_addresses_of(&self, other: &Self) {
        self.change(|desired| {
            for peer in desired.peers.iter_mut().filter(|peer| peer.key == other.key()) {
                peer.allowed_ips.clear();
            }
        });
    }

    /// The next packet of the side channel.
    pub fn side(&self, wait: Duration) -> Option<PlaneEvent> {
        self.side.lock().expect("lock").recv_timeout(wait).ok()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.plane.stop();
    }
}

fn addresses(number: u8) -> Vec<ipnet::IpNet> {
    [format!("100.64.0.{number}/32"), format!("fd7a:115c:a1e0::{number}/128")]
        .map(|text| text.parse().expect("address"))
        .to_vec()
}

type Relayed = mpsc::Receiver<(NodePublic, Vec<u8>)>;

fn split(mut events: Events) -> (Relayed, mpsc::Receiver<PlaneEvent>) {
    let (relayed, out) = mpsc::channel();
    let (side, side_out) = mpsc::channel();
    thread::spawn(move || {
        while let Some(event) = events.blocking_recv() {
            let _ = match event {
                PlaneEvent::Relayed { peer, bytes } => relayed.send((peer, bytes)).is_ok(),
                other => side.send(other).is_ok(),
            };
        }
    });
    (out, side_out)
}

/// Carries relayed packets between two nodes.
pub struct Relay {
    carried: [(NodePublic, Arc<AtomicUsize>); 2],
    stop: Arc<AtomicBool>,
}

impl Relay {
    /// Packets so far.
    pub fn carried(&self) -> usize {
        self.carried.iter().map(|(_, count)| count.load(Ordering::SeqCst)).sum()
    }

    /// Packets that a node sent so far.
    pub fn carried_from(&self, node: &Node) -> usize {
        let own = self.carried.iter().filter(|(key, _)| *key == node.key());
        own.map(|(_, count)| count.load(Ordering::SeqCst)).sum()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Starts a relay between two nodes.
pub fn relay(a: &Node, b: &Node) -> Relay {
    let relay = Relay { carried: [(a.key(), Arc::default()), (b.key(), Arc::default())], stop: Arc::default() };
    for ((from, to), (_, carried)) in [(a, b), (b, a)].into_iter().zip(&relay.carried) {
        let packets = from.relayed.lock().expect("lock").take().expect("one relay for a node");
        let (target, source, key) = (Arc::clone(&to.plane), from.key(), to.key());
        let (carried, stop) = (Arc::clone(carried), Arc::clone(&relay.stop));
        thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let Ok((peer, bytes)) = packets.recv_timeout(Duration::from_millis(100)) else { continue };
                assert_eq!(peer, key, "a packet for somebody else");
                carried.fetch_add(1, Ordering::SeqCst);
                let _ = target.deliver(&source, &bytes);
            }
        });
    }
    relay
}

/// Waits until something is so.
pub fn eventually(what: &str, limit: Duration, mut check: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}
