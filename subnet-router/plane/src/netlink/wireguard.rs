//! The kernel's WireGuard (`linux/wireguard.h`): a device's key and port, peers, counters.

use super::Netlink;
use crate::Peer;
use ipnet::IpNet;
use netlink_packet_generic::{
    GenlMessage,
    ctrl::{GenlCtrl, GenlCtrlCmd, nlas::GenlCtrlAttrs},
};
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute, WireguardCmd,
    WireguardMessage, WireguardPeer, WireguardPeerAttribute, WireguardPeerFlags,
};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};

/// Peers and allowed addresses in one message; a list of either must fit into an attribute of 64 KiB.
const PEERS: usize = 64;
const ADDRESSES: usize = 512;

/// What the kernel knows about a peer.
#[derive(Debug, Clone)]
pub(crate) struct PeerStatus {
    pub key: [u8; 32],
    pub endpoint: Option<SocketAddr>,
    pub rx: u64,
    pub tx: u64,
    /// Changes when its addresses do, whatever their order: [`sum_of`] of each, added up.
    pub addresses: u64,
    pub last_handshake: Option<SystemTime>,
}

/// A change of one peer.
pub(crate) struct PeerChange<'a> {
    /// Key, and the keepalive.
    pub peer: &'a Peer,
    /// The whole list, if it changed.
    pub allowed_ips: Option<&'a [IpNet]>,
    /// Where its packets go, if that shall change.
    pub endpoint: Option<SocketAddr>,
    /// It must be there already.
    pub update_only: bool,
}

/// Generic netlink for one WireGuard device.
pub(crate) struct Wireguard {
    netlink: Netlink,
    family: u16,
    name: String,
}

impl Wireguard {
    /// Opens a socket. Fails with `NotFound` where the kernel has no WireGuard.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        let mut netlink = Netlink::open(netlink_sys::protocols::NETLINK_GENERIC)?;
        let ask = GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: vec![GenlCtrlAttrs::FamilyName("wireguard".into())] };
        let answers = netlink.ask(GenlMessage::from_payload(ask))?;
        let family = answers.iter().flat_map(|answer| &answer.payload.nlas).find_map(|nla| match nla {
            GenlCtrlAttrs::FamilyId(id) => Some(*id),
            _ => None,
        });
        let family = family.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Self { netlink, family, name: name.into() })
    }

    fn set(&mut self, mut attributes: Vec<WireguardAttribute>) -> io::Result<()> {
        attributes.insert(0, WireguardAttribute::IfName(self.name.clone()));
        let message = self.message(WireguardCmd::SetDevice, attributes);
        self.netlink.change(message, 0)
    }

    fn message(&self, cmd: WireguardCmd, attributes: Vec<WireguardAttribute>) -> GenlMessage<WireguardMessage> {
        let mut message = GenlMessage::from_payload(WireguardMessage { cmd, attributes });
        message.set_resolved_family_id(self.family);
        message
    }

    /// Sets port and mark of the device.
    pub(crate) fn set_port(&mut self, port: u16, mark: u32) -> io::Result<()> {
        self.set(vec![WireguardAttribute::ListenPort(port), WireguardAttribute::Fwmark(mark)])
    }

    /// Sets the private key; sessions of another key end.
    pub(crate) fn set_key(&mut self, private: &[u8; 32]) -> io::Result<()> {
        self.set(vec![WireguardAttribute::PrivateKey(*private)])
    }

    /// Adds and changes peers.
    pub(crate) fn set_peers(&mut self, changes: &[PeerChange<'_>]) -> io::Result<()> {
        if !changes.is_empty() {
            tracing::debug!(peers = changes.len(), "told WireGuard");
        }
        let mut message = Vec::new();
        let mut addresses = 0;
        for change in changes {
            let all = change.allowed_ips.unwrap_or_default();
            let (now, later) = all.split_at(all.len().min(ADDRESSES));
            if message.len() == PEERS || (addresses + now.len() > ADDRESSES && !message.is_empty()) {
                self.set(vec![WireguardAttribute::Peers(std::mem::take(&mut message))])?;
                addresses = 0;
            }
            addresses += now.len();
            message.push(peer_of(change, now));
            for more in later.chunks(ADDRESSES) {
                self.set(vec![WireguardAttribute::Peers(std::mem::take(&mut message))])?;
                self.set(vec![WireguardAttribute::Peers(vec![WireguardPeer(vec![
                    WireguardPeerAttribute::PublicKey(*change.peer.key.as_bytes()),
                    WireguardPeerAttribute::Flags(WireguardPeerFlags::UpdateOnly),
                    WireguardPeerAttribute::AllowedIps(more.iter().map(allowed).collect()),
                ])])])?;
                addresses = 0;
            }
        }
        if message.is_empty() { Ok(()) } else { self.set(vec![WireguardAttribute::Peers(message)]) }
    }

    /// Removes peers.
    pub(crate) fn remove_peers(&mut self, keys: &[[u8; 32]]) -> io::Result<()> {
        for some in keys.chunks(PEERS) {
            let remove = |key: &[u8; 32]| {
                WireguardPeer(vec![
                    WireguardPeerAttribute::PublicKey(*key),
                    WireguardPeerAttribute::Flags(WireguardPeerFlags::RemoveMe),
                ])
            };
            self.set(vec![WireguardAttribute::Peers(some.iter().map(remove).collect())])?;
        }
        Ok(())
    }

    /// The device's port, and all peers. A peer with many addresses comes in several messages.
    pub(crate) fn status(&mut self) -> io::Result<(u16, Vec<PeerStatus>)> {
        let ask = self.message(WireguardCmd::GetDevice, vec![WireguardAttribute::IfName(self.name.clone())]);
        let (mut port, mut peers) = (0, Vec::<PeerStatus>::new());
        for answer in self.netlink.dump(ask)? {
            for attribute in answer.payload.attributes {
                match attribute {
                    WireguardAttribute::ListenPort(p) => port = p,
                    WireguardAttribute::Peers(list) => {
                        for status in list.iter().filter_map(|peer| status_of(peer)) {
                            match peers.last_mut().filter(|last| last.key == status.key) {
                                Some(last) => last.addresses = last.addresses.wrapping_add(status.addresses),
                                None => peers.push(status),
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok((port, peers))
    }
}

fn peer_of(change: &PeerChange<'_>, addresses: &[IpNet]) -> WireguardPeer {
    let mut flags = WireguardPeerFlags::empty();
    flags.set(WireguardPeerFlags::UpdateOnly, change.update_only);
    flags.set(WireguardPeerFlags::ReplaceAllowedIps, change.allowed_ips.is_some());
    let mut attributes =
        vec![WireguardPeerAttribute::PublicKey(*change.peer.key.as_bytes()), WireguardPeerAttribute::Flags(flags)];
    if let Some(endpoint) = change.endpoint {
        attributes.push(WireguardPeerAttribute::Endpoint(endpoint));
    }
    attributes.push(WireguardPeerAttribute::PersistentKeepalive(change.peer.keepalive));
    if !addresses.is_empty() {
        attributes.push(WireguardPeerAttribute::AllowedIps(addresses.iter().map(allowed).collect()));
    }
    WireguardPeer(attributes)
}

fn allowed(net: &IpNet) -> WireguardAllowedIp {
    let family = match net {
        IpNet::V4(_) => WireguardAddressFamily::Ipv4,
        IpNet::V6(_) => WireguardAddressFamily::Ipv6,
    };
    WireguardAllowedIp(vec![
        WireguardAllowedIpAttr::Family(family),
        WireguardAllowedIpAttr::IpAddr(net.addr()),
        WireguardAllowedIpAttr::Cidr(net.prefix_len()),
    ])
}

fn status_of(attributes: &[WireguardPeerAttribute]) -> Option<PeerStatus> {
    let mut status = PeerStatus { key: [0; 32], endpoint: None, rx: 0, tx: 0, addresses: 0, last_handshake: None };
    let mut known = false;
    for attribute in attributes {
        match attribute {
            WireguardPeerAttribute::PublicKey(key) => (status.key, known) = (*key, true),
            WireguardPeerAttribute::Endpoint(endpoint) => status.endpoint = Some(*endpoint),
            WireguardPeerAttribute::RxBytes(bytes) => status.rx = *bytes,
            WireguardPeerAttribute::TxBytes(bytes) => status.tx = *bytes,
            WireguardPeerAttribute::AllowedIps(all) => {
                status.addresses = all.iter().map(sum_of).fold(status.addresses, u64::wrapping_add);
            }
            WireguardPeerAttribute::LastHandshake(time) => {
                let seconds = u64::try_from(time.seconds).ok().filter(|s| *s > 0);
                status.last_handshake =
                    seconds.and_then(|s| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(s)));
            }
            _ => {}
        }
    }
    known.then_some(status)
}

/// A number for one address with its length (FNV-1a, 64 bits).
fn sum_of(address: &WireguardAllowedIp) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |byte: u8| sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    for part in &address.0 {
        match part {
            WireguardAllowedIpAttr::IpAddr(IpAddr::V4(ip)) => ip.octets().into_iter().for_each(&mut add),
            WireguardAllowedIpAttr::IpAddr(IpAddr::V6(ip)) => ip.octets().into_iter().for_each(&mut add),
            WireguardAllowedIpAttr::Cidr(length) => add(*length),
            _ => {}
        }
    }
    sum
}

impl Netlink {
    /// Asks for one thing; the answer is followed by the acknowledgement.
    fn ask<T>(&mut self, payload: T) -> io::Result<Vec<T>>
    where
        T: netlink_packet_core::NetlinkSerializable + netlink_packet_core::NetlinkDeserializable,
    {
        self.talk(payload, netlink_packet_core::NLM_F_REQUEST | netlink_packet_core::NLM_F_ACK)
    }
}
