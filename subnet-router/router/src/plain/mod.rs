//! Devices without a client: peers of a plain WireGuard interface beside the network's own.
//!
//! They are no members: the network does not know them, the control server only keeps their public keys for us. They
//! reach what was ticked for each (`rules.rs`); everything leaves with this machine's address, so that neither LAN nor
//! network needs a route to them.

mod rules;

use crate::{LocalNetwork, network, portmap::PortMap};
use hearthgate_keys::{NodePrivate, NodePublic};
use hearthgate_plane::{Config, DataPlane, PlaneError};
use ipnet::{IpNet, Ipv4Net};
use std::{net::Ipv4Addr, sync::Arc, time::Duration};
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
    /// Its only address.
    pub address: Ipv4Addr,
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
    /// What "the LAN" is.
    pub lan: Vec<IpNet>,
    /// The devices.
    pub devices: Vec<Device>,
}

impl PartialEq for Network {
    fn eq(&self, other: &Self) -> bool {
        self.private_key.secret_bytes() == other.private_key.secret_bytes()
            && self.address == other.address
            && self.lan == other.lan
            && self.devices == other.devices
    }
}

struct Plain {
    config: Config,
    plane: Arc<dyn DataPlane>,
    /// The interface's number.
    index: Option<u32>,
    applied: Option<(Network, LocalNetwork)>,
}

/// Runs the interface until `stop` is done: whatever `wanted` shows is made so; while it shows none, there is no
/// interface. Give `config` the data plane's kind, name and port.
pub async fn run(config: Config, mut wanted: watch::Receiver<Option<Network>>, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    let config = Config { plain: true, mtu: MTU, ..config };
    let (mut plain, mut port_map): (Option<Plain>, Option<PortMap>) = (None, None);
    let mut told = String::new();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let network = wanted.borrow_and_update().clone();
        match network {
            None => plain = None,
            Some(network) => {
                if plain.as_ref().is_none_or(|plain| !plain.is_there()) {
                    // The old one lets go of name and port first.
                    drop(plain.take());
                    plain = started(&config, &mut told);
                    if let Some(plain) = &plain {
                        port_map = PortMap::or_none(plain.plane.port()).0;
                    }
                    if let Some(map) = &port_map {
                        map.look();
                    }
                }
                if let Some(plain) = &mut plain
                    && plain.follow(network)
                    && let Some(map) = &port_map
                {
                    map.look();
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
    if let Some(map) = port_map {
        map.stop().await;
    }
}

/// Starts it; a reason why not is told once, for it is tried every few seconds.
fn started(config: &Config, told: &mut String) -> Option<Plain> {
    match Plain::start(config) {
        Ok(plain) => {
            told.clear();
            Some(plain)
        }
        Err(error) => {
            let error = error.to_string();
            if *told != error {
                tracing::error!(error, "no interface for devices without a client");
                *told = error;
            }
            None
        }
    }
}

impl Plain {
    fn start(config: &Config) -> Result<Self, PlaneError> {
        // Nothing but WireGuard comes to this port: what else it hears is dropped with the queue.
        let (plane, _) = hearthgate_plane::start(config)?;
        let index = network::tunnel(plane.interface());
        tracing::info!(interface = plane.interface(), port = plane.port(), "devices without a client");
        Ok(Self { config: config.clone(), plane, index, applied: None })
    }

    fn is_there(&self) -> bool {
        network::tunnel(&self.config.interface) == self.index
    }

    /// Makes a state so; true if it is another one than before.
    fn follow(&mut self, network: Network) -> bool {
        let state = (network, network::look(&self.config.interface));
        if self.applied.as_ref() == Some(&state) {
            return false;
        }
        let done = match rules::desired(&state.0, &state.1) {
            Ok(desired) => self.plane.apply(&desired).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match done {
            Ok(()) => self.applied = Some(state),
            // The next tick tries again.
            Err(error) => tracing::warn!(error, "devices without a client"),
        }
        true
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.plane.stop();
    }
}
