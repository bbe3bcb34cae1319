//! Packets between data plane, relays and path machine, and what the path machine wants done.

use crate::{PingAnswer, Router, relay::RelayEvent, status};
use hearthgate_disco::geneve::{Header, Protocol};
use hearthgate_keys::NodePublic;
use hearthgate_paths::{Action, Event, Hop, Path, RegionId, Via};
use hearthgate_plane::{Endpoint, PlaneEvent, buffer};

/// Packets taken from one source before the others get their turn.
const BURST: usize = 64;

impl Router {
    pub(crate) fn plane_burst(&mut self, first: PlaneEvent) {
        let mut next = Some(first);
        // Who was the path machine told of last: once in a burst is enough.
        let mut told = None;
        for _ in 0..BURST {
            match next {
                Some(PlaneEvent::Side { from, bytes }) => self.tell(Event::Udp { from, bytes: &bytes }),
                Some(PlaneEvent::Relayed { peer, bytes }) => {
                    if told.replace(peer) != Some(peer) {
                        self.tell(Event::Traffic { peer, sent: true, received: false });
                    }
                    self.send_relayed(peer, bytes);
                }
                Some(_) => {}
                None => return,
            }
            next = self.plane_events.try_recv().ok();
        }
    }

    /// A WireGuard message for a peer that has no direct path.
    fn send_relayed(&mut self, peer: NodePublic, bytes: Vec<u8>) {
        let (hop, region) = match self.routes.get(&peer) {
            Some(Path::PeerRelay { addr, vni }) => (Some(Hop { addr: *addr, vni: Some(*vni) }), None),
            Some(Path::Both { hop, relay }) => (Some(*hop), *relay),
            Some(Path::Relay(region)) => (None, *region),
            // The path changed while the packet was on its way.
            Some(Path::Direct(addr)) => (Some(Hop::direct(*addr)), None),
            None => (None, None),
        };
        match hop {
            Some(Hop { addr, vni: Some(vni) }) => {
                let header = Header { protocol: Protocol::WireGuard, vni, control: false };
                self.udp(addr, &header.wrap(&bytes));
            }
            // The data plane sends the direct one of two copies itself.
            Some(Hop { addr, vni: None }) if region.is_none() => self.udp(addr, &bytes),
            _ => {}
        }
        match region {
            Some(region) => self.relays.send(region, peer, bytes),
            None => buffer::give(bytes),
        }
    }

    fn udp(&mut self, to: std::net::SocketAddr, bytes: &[u8]) {
        if let Err(error) = self.plane.send_udp(to, bytes) {
            tracing::debug!(%to, %error, "datagram");
            self.tell(Event::Unreachable(to));
        }
    }

    pub(crate) fn relay_burst(&mut self, first: RelayEvent) {
        let mut next = Some(first);
        // Packets of one peer, one after another: they are handed in together, and the path machine hears of the first.
        let (mut run, mut of) = (Vec::new(), None);
        for _ in 0..BURST {
            match next {
                Some(RelayEvent::Packet { region, from, bytes }) => {
                    let is_disco = hearthgate_derp_frame::is_disco(&bytes);
                    if is_disco || of != Some((region, from)) {
                        self.deliver(of, &mut run);
                        of = (!is_disco && self.known.contains(&from)).then_some((region, from));
                        self.tell(Event::Relayed { region, from, bytes: &bytes });
                        if of.is_some() {
                            self.tell(Event::Traffic { peer: from, sent: false, received: true });
                        }
                    }
                    if of.is_some() {
                        run.push(bytes);
                    } else {
                        buffer::give(bytes);
                    }
                }
                Some(RelayEvent::PeerGone { region, peer }) => self.tell(Event::RelayLost { region, peer }),
                Some(RelayEvent::Heard(region)) => self.tell(Event::RelayHeard(region)),
                None => break,
            }
            next = self.relay_events.try_recv().ok();
        }
        self.deliver(of, &mut run);
    }

    fn deliver(&self, from: Option<(RegionId, NodePublic)>, run: &mut Vec<Vec<u8>>) {
        if let Some((_, from)) = from
            && !run.is_empty()
        {
            // A peer that left meanwhile, or a message WireGuard does not want.
            let _ = self.plane.deliver_all(&from, run);
        }
        run.drain(..).for_each(buffer::give);
    }

    /// Carries out what the path machine wants.
    pub(crate) fn act(&mut self) {
        while let Some(action) = self.paths.poll() {
            match action {
                Action::SendUdp { to, bytes } => self.udp(to, &bytes),
                Action::SendRelay { region, peer, bytes } => self.relays.send(region, peer, bytes),
                Action::Inject { peer, bytes } => {
                    // As with relayed packets: what WireGuard does not want is lost.
                    let _ = self.plane.deliver(&peer, &bytes);
                }
                Action::SetPath { peer, path } => {
                    tracing::debug!(?peer, %path, "path");
                    self.routes.insert(peer, path);
                    if let Err(error) = self.plane.set_endpoint(&peer, endpoint(path)) {
                        tracing::debug!(?peer, %error, "endpoint");
                    }
                    if matches!(path, Path::Direct(_) | Path::PeerRelay { .. }) {
                        self.greeter.path_found(&peer, self.now());
                    }
                }
                Action::Heard { peer, via } => {
                    self.awake.insert(peer);
                    self.greeter.heard(peer, matches!(via, Via::Hop(_)), self.now());
                    // It will get a packet: a path is looked for.
                    self.tell(Event::Traffic { peer, sent: true, received: false });
                }
                Action::Endpoints(endpoints) => {
                    let endpoints = endpoints.iter().map(|e| (e.addr, e.kind as u8)).collect();
                    self.report.send_modify(|report| report.endpoints = endpoints);
                }
                Action::NetInfo(info) => {
                    self.relays.set_home(info.home);
                    self.net_info = info;
                    self.describe();
                }
                Action::MeasureHttps(region) => self.measure_https(region),
                Action::Checked(report) => {
                    let json = status::netcheck(&report, &self.net_info, &self.derp);
                    for check in self.checks.drain(..) {
                        // Whoever asked may be gone.
                        let _ = check.send(json.clone());
                    }
                }
                Action::PingReply { id, peer, via, latency } => {
                    if let Some(answer) = self.pings.remove(&id) {
                        let (ip, name) = status::address_and_name(self.shown.netmap.as_deref(), &peer);
                        let code = |region| status::region_code(&self.derp, region);
                        // Whoever asked may be gone.
                        let _ = answer.send(Ok(PingAnswer::new(ip, name, via, latency, code)));
                    }
                }
                Action::MapPort => self.map_port(),
                other => tracing::debug!(?other, "not carried out"),
            }
        }
        self.greet();
    }

    /// Sends peers that were heard for the first time something through the tunnel, so that a session begins from here.
    fn greet(&mut self) {
        while let Some((peer, first)) = self.greeter.due(self.now()) {
            // Something authentic came out of the tunnel: there is a session.
            if first && self.counters.get(&peer).is_some_and(|(received, _)| *received > 0) {
                self.greeter.forget(&peer);
                continue;
            }
            let map = self.member_map();
            let node = map.iter().flat_map(|map| map.nodes()).find(|node| node.key == peer);
            if let Some(address) = node.and_then(|node| node.addresses.first()) {
                tracing::debug!(?peer, to = %address.addr(), "greeting");
                self.services.greet(address.addr());
            }
        }
    }
}

/// A path as the data plane knows it.
pub(crate) const fn endpoint(path: Path) -> Endpoint {
    match path {
        Path::Direct(addr) => Endpoint::Direct(addr),
        Path::Both { hop: Hop { addr, vni: None }, relay: Some(_) } => Endpoint::Both(addr),
        Path::Both { hop: Hop { addr, vni: None }, relay: None } => Endpoint::Direct(addr),
        Path::Relay(_) | Path::PeerRelay { .. } | Path::Both { .. } => Endpoint::Relayed,
    }
}
