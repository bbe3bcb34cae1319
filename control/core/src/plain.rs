//! Devices without a client: peers of a plain WireGuard interface of this box's router.
//!
//! They are no nodes: no map names them and no policy is about them. What each may reach is ticked by the owner. A
//! device's private key is made here, shown once in its configuration and forgotten; the interface's own is kept, so
//! that configurations outlive a change of hardware. Form of the configuration: `wg-quick(8)`.

use crate::{CoreError, Entropy, Now, Result, World, host_of};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hearthgate_keys::{NodePrivate, NodePublic, Secret};
use hearthgate_tailcfg::TAILNET;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

const INTERFACE: &str = "wireguard/interface";
const DEVICE: &str = "wireguard/device/";
/// Most devices.
pub const PLAIN_DEVICES_MAX: usize = 64;
/// Longest name of a device, in bytes.
const NAME_MAX: usize = 64;
/// What to do about a key that cannot be read.
const KEY_BROKEN: &str = "the stored key of the plain WireGuard interface (record part/wireguard/interface) is broken: \
    restore a backup. If there is none, remove all these devices and add them again, which makes a new key";
/// Seconds between signs of life, so that the LAN reaches a device behind NAT.
const KEEPALIVE_S: u32 = 25;

/// What the operator decides about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainSettings {
    /// Their network; its first address is the box's.
    pub network: Ipv4Net,
    /// Host that their configuration names; empty is the server's.
    pub endpoint: String,
    /// UDP port of the interface.
    pub port: u16,
    /// Resolvers in their configuration; none leaves the device's own.
    pub dns: Vec<IpAddr>,
    /// What "the LAN" is.
    pub lan: Vec<IpNet>,
}

impl PlainSettings {
    /// The box's own address among them.
    #[must_use]
    pub fn own_address(&self) -> Option<Ipv4Net> {
        Ipv4Net::new(self.network.hosts().next()?, self.network.prefix_len()).ok()
    }
}

/// What a device may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlainAccess {
    /// The LAN behind the box.
    pub lan: bool,
    /// The Internet, through the box.
    pub internet: bool,
    /// The network's members.
    pub tailnet: bool,
}

impl Default for PlainAccess {
    fn default() -> Self {
        Self { lan: true, internet: false, tailnet: false }
    }
}

/// A device, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlainDevice {
    /// Its number.
    pub id: u64,
    /// What people call it.
    pub name: String,
    /// Its WireGuard key.
    pub key: NodePublic,
    /// Its IPv4 address; its IPv6 address follows from it ([`plain_address6`]).
    pub address: Ipv4Addr,
    /// What it may reach.
    pub access: PlainAccess,
    /// When it was added.
    pub created: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Interface {
    /// Base64, as WireGuard writes keys.
    private_key: String,
}

impl World {
    /// The settings, if there is such an interface.
    ///
    /// # Errors
    /// It is not switched on.
    pub fn plain_settings(&self) -> Result<&PlainSettings> {
        let off =
            || CoreError::conflict("plain WireGuard is off: set `router.wireguard.enabled`, and `router.enabled`");
        self.settings.plain.as_ref().ok_or_else(off)
    }

    /// All devices, by number.
    #[must_use]
    pub fn plain_devices(&self) -> Vec<PlainDevice> {
        let mut all: Vec<PlainDevice> = self.records(DEVICE).collect();
        hearthgate_sorted::sort_by_key(&mut all, |device| device.id);
        all
    }

    /// The interface's key, once there was a device.
    ///
    /// # Errors
    /// What is stored is no key. It must not be replaced in silence: every device knows the public half of the true
    /// one.
    pub fn plain_key(&self) -> Result<Option<NodePrivate>> {
        if !self.has_record(INTERFACE) {
            return Ok(None);
        }
        let stored: Option<Interface> = self.record(INTERFACE);
        let bytes = stored.and_then(|s| STANDARD.decode(s.private_key).ok()).and_then(|b| b.try_into().ok());
        bytes.map(|b| Some(NodePrivate::from_bytes(b))).ok_or_else(|| CoreError::conflict(KEY_BROKEN))
    }

    /// Adds a device and tells its whole configuration, whose private key is kept nowhere.
    ///
    /// # Errors
    /// The name is bad or taken, it may reach nothing, there is no free address, the interface is off, or its stored key
    /// is broken.
    pub fn add_plain_device(
        &mut self,
        name: &str,
        access: PlainAccess,
        now: Now,
        rng: &mut dyn Entropy,
    ) -> Result<(PlainDevice, Secret)> {
        let settings = self.plain_settings()?.clone();
        let name = self.checked_plain(&settings, name, access, None)?;
        let devices = self.plain_devices();
        let free = settings.network.hosts().skip(1).find(|ip| devices.iter().all(|device| device.address != *ip));
        let address = free.filter(|_| devices.len() < PLAIN_DEVICES_MAX);
        let address = address.ok_or_else(|| CoreError::Full("no address is free for another device".into()))?;
        let own = match self.plain_key() {
            Ok(Some(key)) => key,
            Err(e) if !devices.is_empty() => return Err(e),
            // Nobody knows the public half of a broken one, if there are no devices.
            Ok(None) | Err(_) => {
                let key = new_key(rng);
                let private_key = STANDARD.encode(key.secret_bytes());
                self.put_record(INTERFACE, &Interface { private_key })?;
                key
            }
        };
        let key = new_key(rng);
        let (id, key_public) = (self.next_id(), key.public());
        let device = PlainDevice { id, name, key: key_public, address, access, created: now.wall };
        self.put_record(&format!("{DEVICE}{id}"), &device)?;
        self.fact(crate::Fact::PlainDevicesChanged);
        let text = configuration(&settings, &self.settings.server_url, &device, &key, &own.public());
        Ok((device, Secret::new(text)))
    }

    /// What is not right about a device's name and what it reaches; `own` is the one that is changed. The name, trimmed.
    fn checked_plain(
        &self,
        settings: &PlainSettings,
        name: &str,
        access: PlainAccess,
        own: Option<u64>,
    ) -> Result<String> {
        let name = name.trim();
        if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
            return Err(CoreError::invalid(format!("a device needs a name of at most {NAME_MAX} bytes")));
        }
        if access == (PlainAccess { lan: false, internet: false, tailnet: false }) {
            return Err(CoreError::invalid("a device that may reach nothing is of no use: tick something"));
        }
        if access.lan && !settings.lan.iter().any(|net| net.addr().is_ipv4()) {
            return Err(CoreError::invalid(
                "the LAN's IPv4 network is not known: name it in `router.advertise_routes` or `router.wireguard.lan`",
            ));
        }
        if self.plain_devices().iter().any(|device| Some(device.id) != own && device.name == name) {
            return Err(CoreError::conflict(format!("there is a device {name:?} already")));
        }
        Ok(name.to_owned())
    }

    /// Gives a device another name, and lets it reach other things; `None` leaves it as it is. Its key and address stay.
    ///
    /// # Errors
    /// There is none of this number, the name is bad or taken, it would reach nothing, or the interface is off.
    pub fn change_plain_device(
        &mut self,
        id: u64,
        name: Option<&str>,
        access: Option<PlainAccess>,
    ) -> Result<PlainDevice> {
        let key = format!("{DEVICE}{id}");
        let device: Option<PlainDevice> = self.record(&key);
        let device = device.ok_or_else(|| CoreError::not_found(format!("device {id}")))?;
        let access = access.unwrap_or(device.access);
        let settings = self.plain_settings()?.clone();
        let name = self.checked_plain(&settings, name.unwrap_or(&device.name), access, Some(id))?;
        let device = PlainDevice { name, access, ..device };
        self.put_record(&key, &device)?;
        self.fact(crate::Fact::PlainDevicesChanged);
        Ok(device)
    }

    /// Removes a device; its name.
    ///
    /// # Errors
    /// There is none of this number.
    pub fn remove_plain_device(&mut self, id: u64) -> Result<String> {
        let key = format!("{DEVICE}{id}");
        let device: Option<PlainDevice> = self.record(&key);
        let device = device.ok_or_else(|| CoreError::not_found(format!("device {id}")))?;
        self.delete_record(&key);
        self.fact(crate::Fact::PlainDevicesChanged);
        Ok(device.name)
    }
}

/// The IPv6 address that goes with an IPv4 address of these devices, and the network of all. `own` is the interface's
/// key: it makes the network another one for each box, as RFC 4193 wants, and stays as long as configurations are good.
#[must_use]
pub fn plain_address6(own: &NodePublic, address: Ipv4Addr) -> Ipv6Net {
    let [a, b, c, d, e, ..] = *own.as_bytes();
    let head = [0xfd, a, b, c, d, e, 0, 0].map(u128::from).into_iter().fold(0, |bits, byte| bits << 8 | byte);
    let ip = Ipv6Addr::from_bits(head << 64 | u128::from(address.to_bits()));
    Ipv6Net::new_assert(ip, 64)
}

fn new_key(rng: &mut dyn Entropy) -> NodePrivate {
    let mut bytes = [0; 32];
    rng.fill(&mut bytes);
    NodePrivate::from_random(bytes)
}

fn configuration(
    settings: &PlainSettings,
    server_url: &str,
    device: &PlainDevice,
    key: &NodePrivate,
    own: &NodePublic,
) -> String {
    let host = if settings.endpoint.is_empty() { host_of(server_url) } else { &settings.endpoint };
    let v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
    let host = if v6 { format!("[{host}]") } else { host.to_owned() };
    let allowed: Vec<String> = if device.access.internet {
        vec!["0.0.0.0/0".into(), "::/0".into()]
    } else {
        let lan = settings.lan.iter().filter(|_| device.access.lan);
        let tailnet = TAILNET.iter().filter(|_| device.access.tailnet);
        lan.chain(tailnet).map(ToString::to_string).collect()
    };
    let mut text = String::from("[Interface]\n");
    // Writing to a String cannot fail.
    let _ = writeln!(text, "PrivateKey = {}", STANDARD.encode(key.secret_bytes()));
    let _ = writeln!(text, "Address = {}/32, {}/128", device.address, plain_address6(own, device.address).addr());
    if !settings.dns.is_empty() {
        let list: Vec<String> = settings.dns.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "DNS = {}", list.join(", "));
    }
    let _ = writeln!(text, "\n[Peer]\nPublicKey = {}", STANDARD.encode(own.as_bytes()));
    let _ = writeln!(text, "AllowedIPs = {}", allowed.join(", "));
    let _ = writeln!(text, "Endpoint = {host}:{}", settings.port);
    let _ = writeln!(text, "PersistentKeepalive = {KEEPALIVE_S}");
    text
}
