//! Devices without a client: peers of a plain WireGuard interface beside the network's own.
//!
//! They are no members: the network does not know them, the control server only keeps their public keys for us. They
//! reach what was ticked for each (`rules.rs`); everything leaves with this machine's address, so that neither LAN nor
//! network needs a route to them.

mod rules;

use crate::{
    LocalNetwork,
    network::{self, Link},
    portmap,
};
use hearthgate_keys::{NodePrivate, NodePublic};
use hearthgate_plane::{Config, DataPlane, PlaneError, Said};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

/// How often interface and networks are looked at.
const TICK: Duration = Duration::from_secs(3);
/// WireGuard's usual MTU: 1500 without its own headers and IPv6's.
const MTU: u16 = 1420;

/// One device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its WireGuard key.
    pub key: NodePublic,
    /// Its IPv4 address.
    pub address: Ipv4Addr,
    /// Its IPv6 address.
    pub address6: Ipv6Addr,
    /// It reaches the LAN.
    pub lan: bool,
    /// It reaches the Internet through this machine.
    pub internet: bool,
    /// It reaches the network's members.
    pub tailnet: bool,
}

/// All devices, and what they share.
#[derive(Debug, Clone)]
pub struct Network {
    /// The interface's key.
    pub private_key: NodePrivate,
    /// This machine's address among them, with the length of their network.
    pub address: Ipv4Net,
    /// The same for IPv6; left out where this machine has none.
    pub address6: Ipv6Net,
    /// What "the LAN" is.
    pub lan: Vec<IpNet>,
    /// The devices.
    pub devices: Vec<Device>,
}

impl PartialEq for Network {
    fn eq(&self, other: &Self) -> bool {
        self.private_key.secret_bytes() == other.private_key.secret_bytes()
            && self.address == other.address
            && self.address6 == other.address6
            && self.lan == other.lan
            && self.devices == other.devices
    }
}

struct Plain {
    config: Config,
    plane: Arc<dyn DataPlane>,
    link: Link,
    applied: Option<(Network, LocalNetwork)>,
    said: Said,
}

/// Runs the interface until `stop` is done: whatever `wanted` shows is made so; while it shows none, there is no
/// interface. Give `config` the data plane's kind, name and port.
pub async fn run(config: Config, mut wanted: watch::Receiver<Option<Network>>, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    let config = Config { plain: true, mtu: MTU, ..config };
    let (mut plain, mut port) = (None::<Plain>, Mapped::default());
    let mut said = Said::default();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let network = wanted.borrow_and_update().clone();
        match network {
            None => {
                plain = None;
                port.follow(None).await;
            }
            Some(network) => {
                if plain.as_mut().is_none_or(|plain| !plain.is_there()) {
                    // The old one lets go of name and port first.
                    drop(plain.take());
                    plain = started(&config, &mut said);
                    if let Some(plain) = &plain {
                        port.follow(Some(plain.plane.port())).await;
                        port.look();
                    }
                }
                if let Some(plain) = &mut plain
                    && plain.follow(network)
                {
                    port.look();
                }
            }
        }
        tokio::select! {
            () = &mut stop => break,
            changed = wanted.changed() => if changed.is_err() {
                break;
            },
            _ = tick.tick() => {}
        }
    }
    port.follow(None).await;
}

/// The mapping of the interface's port in the router in front of us.
#[derive(Default)]
struct Mapped(Option<(u16, hearthgate_gateway::PortMap)>);

impl Mapped {
    /// Maps this port or none; another one that is mapped is given back.
    async fn follow(&mut self, port: Option<u16>) {
        if self.0.as_ref().map(|(port, _)| *port) == port {
            return;
        }
        if let Some((_, map)) = self.0.take() {
            map.stop().await;
        }
        self.0 = port.and_then(|port| Some((port, portmap::or_none(port).0?)));
    }

    fn look(&self) {
        if let Some((_, map)) = &self.0 {
            map.look();
        }
    }
}

/// Starts it; a reason why not is told once, for it is tried every few seconds.
fn started(config: &Config, said: &mut Said) -> Option<Plain> {
    match Plain::start(config) {
        Ok(plain) => {
            said.clear();
            Some(plain)
        }
        Err(error) => {
            if said.is_news(&error) {
                tracing::error!(%error, "no interface for devices without a client");
            }
            None
        }
    }
}

impl Plain {
    fn start(config: &Config) -> Result<Self, PlaneError> {
        // Nothing but WireGuard comes to this port: what else it hears is dropped with the queue.
        let (plane, _) = hearthgate_plane::start(config)?;
        let link = Link::of(plane.interface());
        tracing::info!(interface = plane.interface(), port = plane.port(), "devices without a client");
        Ok(Self { config: config.clone(), plane, link, applied: None, said: Said::default() })
    }

    fn is_there(&mut self) -> bool {
        self.link.stays(&network::tunnel(&self.config.interface))
    }

    /// Makes a state so; true if that was done, and it is another one than before.
    fn follow(&mut self, network: Network) -> bool {
        let local = match (network::look(&self.config.interface), &self.applied) {
            (Ok(local), _) => local,
            (Err(_), Some((_, local))) => local.clone(),
            (Err(error), None) => return self.fails(&error.to_string()),
        };
        let state = (network, local);
        if self.applied.as_ref() == Some(&state) {
            return false;
        }
        let done = match rules::desired(&state.0, &state.1) {
            Ok(desired) => self.plane.apply(&desired).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match done {
            Ok(()) => {
                self.applied = Some(state);
                self.said.clear();
                true
            }
            Err(error) => self.fails(&error),
        }
    }

    /// It is not so: the next tick tries again.
    fn fails(&mut self, error: &str) -> bool {
        if self.said.is_news(&error) {
            tracing::warn!(error, "devices without a client");
        }
        false
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.plane.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_portmap::Gateway;
    use nix::sched::{CloneFlags, unshare};
    use std::{net::UdpSocket, process::Command};
    use tokio::{
        sync::mpsc,
        time::{sleep, timeout},
    };

    /// NAT-PMP (RFC 6886): the next request for a mapping, as port and lifetime; it gets what it asks for.
    fn next_mapping(gateway: &UdpSocket) -> (u16, u32) {
        let mut bytes = [0; 64];
        loop {
            let (length, from) = gateway.recv_from(&mut bytes).expect("a request");
            let be16 = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            let seconds = [0, 0, 0, 9];
            let answer = match (length, bytes[0], bytes[1]) {
                (2, 0, 0) => [&[0, 128, 0, 0], seconds.as_slice(), &[203, 0, 113, 7]].concat(),
                (12, 0, 1) => {
                    let mapped = [&[0, 129, 0, 0], seconds.as_slice(), &bytes[4..6], &bytes[4..6], &bytes[8..12]];
                    gateway.send_to(&mapped.concat(), from).expect("sent");
                    return (be16(4), u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]));
                }
                _ => continue,
            };
            gateway.send_to(&answer, from).expect("sent");
        }
    }

    /// Runs this in a network namespace of its own, which has a gateway's address, and with a runtime there.
    fn with_gateway<F: Future<Output = ()>>(
        test: impl FnOnce(Gateway, mpsc::Receiver<(u16, u32)>) -> F + Send + 'static,
    ) {
        if !nix::unistd::geteuid().is_root() {
            let meant = std::env::var_os("HEARTHGATE_WITHOUT_ROOT").is_some();
            assert!(meant, "needs root (HEARTHGATE_WITHOUT_ROOT=1 leaves such tests out)");
            return;
        }
        let inside = move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("namespace");
            let made =
                Command::new("sh").args(["-c", "ip link set lo up && ip addr add 10.255.77.1/24 dev lo"]).status();
            assert!(made.expect("sh runs").success());
            let address = Ipv4Addr::new(10, 255, 77, 1);
            let socket = UdpSocket::bind((address, 5351)).expect("bind");
            let (sender, asked) = mpsc::channel(16);
            std::thread::spawn(move || while sender.blocking_send(next_mapping(&socket)).is_ok() {});
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            let test = test(Gateway { address, own: address }, asked);
            runtime.block_on(async { timeout(Duration::from_secs(20), test).await }).expect("in time");
        };
        std::thread::spawn(inside).join().expect("no panic inside");
    }

    /// The next new mapping; the answer to it has arrived.
    async fn mapped(asked: &mut mpsc::Receiver<(u16, u32)>) -> u16 {
        let (port, life) = asked.recv().await.expect("a request");
        assert!(life > 0, "{port} is given back");
        sleep(Duration::from_millis(200)).await;
        port
    }

    #[test]
    fn a_port_is_given_back_when_another_or_none_is_wanted() {
        with_gateway(|gateway, mut asked| async move {
            let mut port = Mapped::default();
            port.follow(Some(1001)).await;
            port.0.as_ref().expect("mapper").1.ask(Some(gateway));
            assert_eq!(mapped(&mut asked).await, 1001);
            port.follow(Some(1001)).await;
            port.follow(Some(1002)).await;
            assert_eq!(asked.recv().await, Some((1001, 0)));
            port.0.as_ref().expect("mapper").1.ask(Some(gateway));
            assert_eq!(mapped(&mut asked).await, 1002);
            port.follow(None).await;
            assert_eq!(asked.recv().await, Some((1002, 0)));
        });
    }

    #[test]
    fn a_line_that_was_down_gets_its_mapping_again() {
        with_gateway(|gateway, mut asked| async move {
            let map = portmap::or_none(1003).0.expect("mapper");
            map.ask(Some(gateway));
            assert_eq!(mapped(&mut asked).await, 1003);
            map.ask(None);
            sleep(Duration::from_millis(200)).await;
            map.ask(Some(gateway));
            assert_eq!(mapped(&mut asked).await, 1003);
        });
    }
}
