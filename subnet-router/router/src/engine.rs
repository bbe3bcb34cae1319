//! The task in the middle: everything that happens comes in here, one thing after another.

use crate::{
    PingAnswer, Request,
    network::{self, LocalNetwork},
    plan,
    relay::{self, RelayEvent, Relays},
    status,
};
use hearthgate_client::{Control, ControlError, Netmap, Phase, Prefs, Report, StateDir, StateError, View, requests};
use hearthgate_disco::geneve::{Header, Protocol};
use hearthgate_fetch::Fetch;
use hearthgate_keys::{DiscoPrivate, NodePublic, Secret};
use hearthgate_paths::{
    Action, Config as PathsConfig, Event, Hop, NetInfo, Now, Path, Paths, Region, RegionId, RegionNode,
};
use hearthgate_plane::{Config as PlaneConfig, DataPlane, Desired, Endpoint, Events, PlaneError, PlaneEvent};
use hearthgate_tailcfg::DerpMap;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, interval, sleep_until},
};

/// Packets from relays that wait for us.
const RELAY_QUEUE: usize = 256;
/// Results of background work that wait for us.
const RESULT_QUEUE: usize = 32;
/// How often counters and interfaces are looked at.
const TICK: Duration = Duration::from_secs(3);
/// Pings and network checks of people that wait at one time.
const WAITING_MAX: usize = 64;
/// Packets taken from one source before the others get their turn.
const BURST: usize = 64;
/// STUN's port.
const STUN_PORT: u16 = 3478;

/// The router cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// The control client.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The data plane.
    #[error(transparent)]
    Plane(#[from] PlaneError),
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    Random,
}

/// What a router is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the operator wants.
    pub prefs: Prefs,
    /// Keys and the last network map.
    pub state: StateDir,
    /// Interface, port and implementation of the data plane.
    pub plane: PlaneConfig,
}

/// Work done in the background.
enum Done {
    Resolved(Vec<Region>),
    HttpsLatency { region: RegionId, latency: Option<Duration> },
}

/// A running router.
pub struct Router {
    pub(crate) prefs: Prefs,
    state: StateDir,
    control: Control,
    view: watch::Receiver<View>,
    pub(crate) shown: View,
    report: watch::Sender<Report>,
    log_id: String,
    pub(crate) plane: Arc<dyn DataPlane>,
    plane_events: Events,
    port_is_fixed: bool,
    disco: DiscoPrivate,
    pub(crate) paths: Paths,
    pub(crate) relays: Relays,
    relay_events: mpsc::Receiver<RelayEvent>,
    fetch: Arc<Fetch>,
    results: mpsc::Sender<Done>,
    done: mpsc::Receiver<Done>,
    requests: mpsc::Receiver<Request>,
    start: Instant,
    local: LocalNetwork,
    net_info: NetInfo,
    known: BTreeSet<NodePublic>,
    pub(crate) routes: BTreeMap<NodePublic, Path>,
    pub(crate) counters: BTreeMap<NodePublic, (u64, u64)>,
    derp: DerpMap,
    pings: BTreeMap<u64, oneshot::Sender<Result<PingAnswer, String>>>,
    next_ping: u64,
    checks: Vec<oneshot::Sender<Value>>,
    pub(crate) plane_problem: Option<String>,
}

impl Router {
    /// Starts everything. What people ask comes in through `requests`. Call [`Self::run`] then.
    ///
    /// # Errors
    /// [`RouterError`] for what could not be started; nothing stays behind then.
    pub fn start(settings: Settings, requests: mpsc::Receiver<Request>) -> Result<Self, RouterError> {
        let Settings { prefs, state, plane } = settings;
        state.store_prefs(&prefs)?;
        let identity = state.identity()?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| RouterError::Random)?;
        let disco = DiscoPrivate::from_random(seed);
        let port_is_fixed = plane.listen_port != 0;
        let hostinfo = requests::hostinfo(&prefs, &network::host_name(), &identity.log_id);
        let (report, reports) = watch::channel(Report { hostinfo, disco: disco.public(), endpoints: Vec::new() });
        let control = hearthgate_client::start(&prefs, state.clone(), reports)?;
        let (plane, plane_events) = hearthgate_plane::start(&plane)?;
        let view = control.view();
        let shown = view.borrow().clone();
        let fetch = Arc::new(Fetch::new());
        let (relay_sender, relay_events) = mpsc::channel(RELAY_QUEUE);
        let (results, done) = mpsc::channel(RESULT_QUEUE);
        let paths = paths(&shown, &disco, plane.port(), port_is_fixed);
        let relays = Relays::new(shown.node_key.clone(), fetch.clone(), relay_sender);
        Ok(Self {
            prefs,
            state,
            control,
            view,
            shown,
            report,
            log_id: identity.log_id,
            plane,
            plane_events,
            port_is_fixed,
            disco,
            paths,
            relays,
            relay_events,
            fetch,
            results,
            done,
            requests,
            start: Instant::now(),
            local: LocalNetwork::default(),
            net_info: NetInfo::default(),
            known: BTreeSet::new(),
            routes: BTreeMap::new(),
            counters: BTreeMap::new(),
            derp: DerpMap::default(),
            pings: BTreeMap::new(),
            next_ping: 0,
            checks: Vec::new(),
            plane_problem: None,
        })
    }

    /// How far the control client is, now and when it changes.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<View> {
        self.control.view()
    }

    /// Runs until it is told to stop by a request, or `stop` is done. The data plane is gone afterwards.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut tick = interval(TICK);
        self.look();
        self.see();
        self.act();
        let mut goodbye = None;
        loop {
            let timer = self.paths.next_timer();
            let timer = timer.map_or_else(|| Instant::now() + TICK, |at| self.start + at);
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(request) = self.requests.recv() => match request {
                    Request::Down(answer) => {
                        goodbye = Some(answer);
                        break;
                    }
                    request => self.answer(request),
                },
                changed = self.view.changed() => match changed {
                    Ok(()) => self.see(),
                    // The control task has ended, which it does only with us.
                    Err(_) => break,
                },
                () = sleep_until(timer) => self.tell(Event::Timer),
                _ = tick.tick() => self.tick(),
                Some(done) = self.done.recv() => self.finish(done),
                Some(event) = self.plane_events.recv() => self.plane_burst(event),
                Some(event) = self.relay_events.recv() => self.relay_burst(event),
            }
            self.act();
        }
        self.plane.stop();
        if let Some(map) = self.shown.netmap.as_deref().filter(|_| self.shown.live)
            && let Err(error) = self.state.store_netmap(map)
        {
            tracing::warn!(%error, "the network map is not stored");
        }
        if let Some(answer) = goodbye {
            // Whoever asked may be gone.
            let _ = answer.send(());
        }
    }

    fn now(&self) -> Now {
        self.start.elapsed()
    }

    fn tell(&mut self, event: Event<'_>) {
        self.paths.handle(self.start.elapsed(), event);
    }

    /// Looks at the interfaces; a change makes everything measured worthless.
    fn look(&mut self) {
        let local = network::look(self.plane.interface());
        if local == self.local {
            return;
        }
        let first = self.local == LocalNetwork::default();
        tracing::debug!(addresses = ?local.addresses, "interfaces");
        self.local = local;
        let own: BTreeSet<_> = self.own_addresses().into_iter().collect();
        let addresses = self.local.addresses.iter().filter(|ip| !own.contains(*ip)).copied().collect();
        self.tell(Event::LocalAddresses(addresses));
        if !first {
            self.tell(Event::LinkChanged);
            self.relays.reconnect();
            self.apply();
        }
    }

    fn own_addresses(&self) -> Vec<std::net::IpAddr> {
        let own = self.shown.netmap.as_ref().and_then(|map| map.own.as_ref());
        own.iter().flat_map(|own| &own.addresses).map(ipnet::IpNet::addr).collect()
    }

    /// Takes what the control client shows.
    fn see(&mut self) {
        let view = self.view.borrow_and_update().clone();
        if view.node_key.public() != self.shown.node_key.public() {
            self.paths = paths(&view, &self.disco, self.plane.port(), self.port_is_fixed);
            self.relays.set_key(view.node_key.clone());
            self.known.clear();
            self.routes.clear();
            self.derp = DerpMap::default();
            self.tell(Event::LocalAddresses(self.local.addresses.clone()));
        }
        if view.phase != self.shown.phase || view.problem != self.shown.problem {
            tracing::info!(state = view.phase.name(), problem = view.problem.as_deref().unwrap_or("none"), "control");
        }
        self.shown = view;
        let map = self.member_map();
        let now = self.now();
        let mut gone = std::mem::take(&mut self.known);
        if let Some(map) = &map {
            for peer in plan::peers(map) {
                gone.remove(&peer.node);
                self.known.insert(peer.node);
                self.paths.handle(now, Event::Peer(peer));
            }
            if map.derp != self.derp {
                self.derp = map.derp.clone();
                self.relays.set_map(&self.derp);
                self.resolve();
            }
        }
        for peer in gone {
            self.tell(Event::PeerGone(peer));
            self.routes.remove(&peer);
            self.counters.remove(&peer);
        }
        self.apply();
    }

    /// The network map, if we may act on it: from flash while the server is away, but not once it shut us out.
    pub(crate) fn member_map(&self) -> Option<Arc<Netmap>> {
        match self.shown.phase {
            Phase::Starting | Phase::Running => self.shown.netmap.clone(),
            Phase::NeedsLogin(_) | Phase::NeedsMachineAuth => None,
        }
    }

    /// Makes the data plane what it shall be.
    fn apply(&mut self) {
        let key = self.shown.node_key.clone();
        let desired = match self.member_map() {
            Some(map) => plan::desired(&map, &self.prefs, key, &self.local.attached),
            None => Desired::new(key),
        };
        let result = self.plane.apply(&desired);
        if let Err(error) = &result {
            tracing::warn!(%error, "data plane");
        }
        self.plane_problem = result.err().map(|error| error.to_string());
        // A peer that is new to the data plane begins relayed.
        for (peer, path) in &self.routes {
            set_endpoint(self.plane.as_ref(), peer, *path);
        }
    }

    fn tick(&mut self) {
        self.look();
        self.relays.close_idle();
        self.checks.retain(|check| !check.is_closed());
        self.pings.retain(|_, ping| !ping.is_closed());
        let Ok(counters) = self.plane.counters() else { return };
        let now = self.now();
        for peer in counters {
            let before = self.counters.insert(peer.key, (peer.rx_bytes, peer.tx_bytes)).unwrap_or_default();
            let (received, sent) = (peer.rx_bytes > before.0, peer.tx_bytes > before.1);
            if received || sent {
                self.paths.handle(now, Event::Traffic { peer: peer.key, sent, received });
            }
        }
        if self.plane_problem.is_some() {
            self.apply();
        }
    }

    fn plane_burst(&mut self, first: PlaneEvent) {
        let mut next = Some(first);
        for _ in 0..BURST {
            match next {
                Some(PlaneEvent::Side { from, bytes }) => self.tell(Event::Udp { from, bytes: &bytes }),
                Some(PlaneEvent::Relayed { peer, bytes }) => self.send_relayed(peer, &bytes),
                Some(_) => {}
                None => return,
            }
            next = self.plane_events.try_recv().ok();
        }
    }

    /// A WireGuard message for a peer that has no direct path.
    fn send_relayed(&mut self, peer: NodePublic, bytes: &[u8]) {
        self.tell(Event::Traffic { peer, sent: true, received: false });
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
                self.udp(addr, &header.wrap(bytes));
            }
            // The data plane sends the direct one of two copies itself.
            Some(Hop { addr, vni: None }) if region.is_none() => self.udp(addr, bytes),
            _ => {}
        }
        if let Some(region) = region {
            self.relays.send(region, &peer, bytes);
        }
    }

    fn udp(&mut self, to: std::net::SocketAddr, bytes: &[u8]) {
        if let Err(error) = self.plane.send_udp(to, bytes) {
            tracing::trace!(%to, %error, "datagram");
            self.tell(Event::Unreachable(to));
        }
    }

    fn relay_burst(&mut self, first: RelayEvent) {
        let mut next = Some(first);
        for _ in 0..BURST {
            match next {
                Some(RelayEvent::Packet { region, from, bytes }) => {
                    self.tell(Event::RelayHeard(region));
                    self.tell(Event::Relayed { region, from, bytes: &bytes });
                    if !hearthgate_derp_frame::is_disco(&bytes) && self.known.contains(&from) {
                        self.tell(Event::Traffic { peer: from, sent: false, received: true });
                        // A peer that left meanwhile, or a message WireGuard does not want.
                        let _ = self.plane.deliver(&from, &bytes);
                    }
                }
                Some(RelayEvent::PeerGone { region, peer }) => self.tell(Event::RelayLost { region, peer }),
                Some(RelayEvent::Heard(region)) => self.tell(Event::RelayHeard(region)),
                None => return,
            }
            next = self.relay_events.try_recv().ok();
        }
    }

    /// Carries out what the path machine wants.
    fn act(&mut self) {
        while let Some(action) = self.paths.poll() {
            match action {
                Action::SendUdp { to, bytes } => self.udp(to, &bytes),
                Action::SendRelay { region, peer, bytes } => self.relays.send(region, &peer, &bytes),
                Action::Inject { peer, bytes } => {
                    // As with relayed packets: what WireGuard does not want is lost.
                    let _ = self.plane.deliver(&peer, &bytes);
                }
                Action::SetPath { peer, path } => {
                    tracing::debug!(?peer, ?path, "path");
                    self.routes.insert(peer, path);
                    set_endpoint(self.plane.as_ref(), &peer, path);
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
                // No router in front of us is asked for a port.
                Action::MapPort => {}
                other => tracing::debug!(?other, "not carried out"),
            }
        }
    }

    /// Tells the control server who we are.
    fn describe(&self) {
        let mut hostinfo = requests::hostinfo(&self.prefs, &network::host_name(), &self.log_id);
        hostinfo.net_info = Some(status::net_info(&self.net_info));
        self.report.send_if_modified(|report| {
            let changed = report.hostinfo != hostinfo;
            report.hostinfo = hostinfo;
            changed
        });
    }

    /// Looks up the relays' names, in the background.
    fn resolve(&self) {
        let (map, results) = (self.derp.clone(), self.results.clone());
        tokio::spawn(async move {
            let mut regions = Vec::new();
            for region in map.regions.values() {
                let Ok(id) = RegionId::try_from(region.region_id) else { continue };
                let mut nodes = Vec::new();
                for node in region.nodes.iter().filter(|node| node.stun_port >= 0) {
                    let port = u16::try_from(node.stun_port).ok().filter(|&port| port != 0).unwrap_or(STUN_PORT);
                    let found = relay::addresses(node, port).await.unwrap_or_default();
                    nodes.push(RegionNode {
                        name: node.name.clone(),
                        v4: found.iter().find(|addr| addr.is_ipv4()).copied(),
                        v6: found.iter().find(|addr| addr.is_ipv6()).copied(),
                    });
                }
                let scores = map.home_params.as_ref();
                let score = scores.and_then(|params| params.region_score.get(&region.region_id)).copied().unwrap_or(1.0);
                let (avoid, no_measure) = (region.avoid, region.no_measure_no_home);
                regions.push(Region { id, avoid, no_measure, score, nodes });
            }
            // The router stopped meanwhile.
            let _ = results.send(Done::Resolved(regions)).await;
        });
    }

    fn measure_https(&self, region: RegionId) {
        let node = self.derp.regions.get(&i32::from(region)).and_then(|r| r.nodes.iter().find(|n| !n.stun_only).cloned());
        let (fetch, results) = (self.fetch.clone(), self.results.clone());
        tokio::spawn(async move {
            let latency = match node {
                Some(node) => relay::latency(&node, &fetch).await.ok(),
                None => None,
            };
            // The router stopped meanwhile.
            let _ = results.send(Done::HttpsLatency { region, latency }).await;
        });
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Resolved(regions) => self.tell(Event::RelayMap(regions)),
            Done::HttpsLatency { region, latency } => self.tell(Event::HttpsLatency { region, latency }),
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Status(answer) => {
                // Here and below: whoever asked may be gone.
                let _ = answer.send(status::status(self));
            }
            Request::Prefs(answer) => {
                let _ = answer.send(serde_json::to_value(&self.prefs).unwrap_or_default());
            }
            Request::Netcheck(answer) => {
                if self.checks.len() < WAITING_MAX {
                    self.checks.push(answer);
                    self.tell(Event::CheckNetwork);
                }
            }
            Request::Ping { target, answer } => {
                let map = self.member_map();
                let peer = map.as_deref().and_then(|map| plan::find_peer(map, &target)).map(|peer| peer.key);
                match peer.filter(|peer| self.known.contains(peer)) {
                    None => drop(answer.send(Err(format!("no peer is named {target:?}")))),
                    Some(_) if self.pings.len() >= WAITING_MAX => drop(answer.send(Err("too many pings at once".into()))),
                    Some(peer) => {
                        self.next_ping += 1;
                        self.pings.insert(self.next_ping, answer);
                        self.tell(Event::Ping { peer, id: self.next_ping });
                    }
                }
            }
            Request::Up { changes, answer } => {
                let _ = answer.send(self.up(&changes));
            }
            // Taken by the loop.
            Request::Down(_) => {}
        }
    }

    /// Takes changed preferences; another server or a key to join with begins the control client anew.
    fn up(&mut self, changes: &Map<String, Value>) -> Result<(), String> {
        let prefs = merge(&self.prefs, changes)?;
        let fresh = prefs.login_server != self.prefs.login_server || prefs.auth_key.is_some();
        self.state.store_prefs(&prefs).map_err(|e| e.to_string())?;
        self.prefs = prefs;
        self.describe();
        if fresh {
            let control = hearthgate_client::start(&self.prefs, self.state.clone(), self.report.subscribe());
            self.control = control.map_err(|e| e.to_string())?;
            self.view = self.control.view();
            self.prefs.auth_key = None;
        }
        self.see();
        Ok(())
    }
}

/// The preferences with some of them changed.
///
/// # Errors
/// A name or value makes no sense; in words for people.
pub fn merge(prefs: &Prefs, changes: &Map<String, Value>) -> Result<Prefs, String> {
    let mut all = serde_json::to_value(prefs).map_err(|e| e.to_string())?;
    let fields = all.as_object_mut().ok_or("no preferences")?;
    let mut auth_key = None;
    for (name, value) in changes {
        if name == "auth-key" {
            auth_key = value.as_str().filter(|key| !key.is_empty()).map(|key| Secret::new(key.to_owned()));
        } else if fields.insert(name.clone(), value.clone()).is_none() {
            return Err(format!("there is no preference {name:?}"));
        }
    }
    let mut merged: Prefs = serde_json::from_value(all).map_err(|e| e.to_string())?;
    merged.auth_key = auth_key;
    Ok(merged)
}

fn paths(view: &View, disco: &DiscoPrivate, port: u16, port_is_fixed: bool) -> Paths {
    let config = PathsConfig { node: view.node_key.public(), disco: disco.clone(), port, port_is_fixed };
    // A kernel that has random numbers once has them always; without them no packet may be sealed.
    Paths::new(config, Box::new(|out: &mut [u8]| getrandom::fill(out).expect("random numbers")))
}

fn set_endpoint(plane: &dyn DataPlane, peer: &NodePublic, path: Path) {
    let endpoint = match path {
        Path::Direct(addr) => Endpoint::Direct(addr),
        Path::Both { hop: Hop { addr, vni: None }, relay: Some(_) } => Endpoint::Both(addr),
        Path::Both { hop: Hop { addr, vni: None }, relay: None } => Endpoint::Direct(addr),
        Path::Relay(_) | Path::PeerRelay { .. } | Path::Both { .. } => Endpoint::Relayed,
    };
    if let Err(error) = plane.set_endpoint(peer, endpoint) {
        tracing::debug!(?peer, %error, "endpoint");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn flags_that_are_not_given_keep_their_values() {
        let before = Prefs { hostname: "gw".into(), accept_routes: true, ..Default::default() };
        let changes = json!({ "advertise-routes": ["192.168.1.0/24"], "auth-key": "k" });
        let after = merge(&before, changes.as_object().unwrap()).unwrap();
        assert_eq!((after.hostname.as_str(), after.accept_routes), ("gw", true));
        assert_eq!(after.advertise_routes, ["192.168.1.0/24".parse().unwrap()]);
        assert_eq!(after.auth_key.unwrap().reveal(), "k");
    }

    #[test]
    fn nonsense_is_refused() {
        for changes in [json!({ "no-such": 1 }), json!({ "advertise-routes": ["x"] }), json!({ "accept-routes": "yes" })] {
            assert!(merge(&Prefs::default(), changes.as_object().unwrap()).is_err(), "{changes}");
        }
    }
}
