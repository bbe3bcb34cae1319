//! The task in the middle: everything that happens comes in here, one thing after another.

use crate::{
    PingAnswer, Request,
    background::Done,
    greet::Greeter,
    network::{self, Link, LocalNetwork},
    plan, portmap,
    relay::{RelayEvent, Relays},
    resident,
    rules::Rules,
    services::Services,
    status,
    suspend::Suspension,
    traffic::endpoint,
    tsmp,
};
use hearthgate_client::{Control, ControlError, Netmap, Phase, Prefs, Report, StateDir, StateError, View, requests};
use hearthgate_fetch::Fetch;
use hearthgate_keys::{DiscoPrivate, DiscoPublic, NodePublic};
use hearthgate_paths::{Config as PathsConfig, Event, NetInfo, Now, Path, Paths};
use hearthgate_plane::{BYPASS_MARK, Config as PlaneConfig, DataPlane, Desired, Endpoint, Events, PlaneError, Said};
use hearthgate_sorted::{SortedMap, SortedSet};
use hearthgate_tailcfg::DerpMap;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

/// Packets from relays that wait for us.
const RELAY_QUEUE: usize = 256;
/// Results of background work that wait for us.
const RESULT_QUEUE: usize = 32;
/// How often counters and interfaces are looked at.
const TICK: Duration = Duration::from_secs(3);

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

/// A running router.
pub struct Router {
    pub(crate) prefs: Prefs,
    pub(crate) state: StateDir,
    pub(crate) control: Control,
    pub(crate) view: watch::Receiver<View>,
    pub(crate) shown: View,
    pub(crate) report: watch::Sender<Report>,
    pub(crate) log_id: String,
    pub(crate) plane: Arc<dyn DataPlane>,
    pub(crate) plane_config: PlaneConfig,
    /// The data plane's interface.
    pub(crate) tunnel: Link,
    pub(crate) plane_events: Events,
    pub(crate) port_is_fixed: bool,
    pub(crate) disco: DiscoPrivate,
    pub(crate) paths: Paths,
    pub(crate) relays: Relays,
    pub(crate) relay_events: mpsc::Receiver<RelayEvent>,
    pub(crate) fetch: Arc<Fetch>,
    pub(crate) results: mpsc::Sender<Done>,
    pub(crate) done: mpsc::Receiver<Done>,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) start: Instant,
    pub(crate) local: LocalNetwork,
    pub(crate) net_info: NetInfo,
    pub(crate) known: SortedSet<NodePublic>,
    pub(crate) routes: SortedMap<NodePublic, Path>,
    pub(crate) greeter: Greeter,
    pub(crate) counters: SortedMap<NodePublic, (u64, u64)>,
    /// Peers that were heard.
    pub(crate) awake: SortedSet<NodePublic>,
    pub(crate) derp: DerpMap,
    /// The look-up of the relays' names, while it lasts.
    pub(crate) resolving: Option<AbortHandle>,
    pub(crate) pings: SortedMap<u64, oneshot::Sender<Result<PingAnswer, String>>>,
    pub(crate) next_ping: u64,
    pub(crate) checks: Vec<oneshot::Sender<Value>>,
    pub(crate) plane_problem: Option<String>,
    /// What was told of it.
    pub(crate) plane_said: Said,
    /// What people should know of a data plane that works.
    pub(crate) plane_note: Option<String>,
    /// Why nothing leaves through the exit node.
    pub(crate) exit_problem: Option<String>,
    pub(crate) services: Services,
    pub(crate) port_map: Option<hearthgate_gateway::PortMap>,
    pub(crate) port_mapped: mpsc::Receiver<Option<std::net::SocketAddr>>,
    pub(crate) tunnel_disco: mpsc::Receiver<tsmp::Heard>,
    pub(crate) rules: Rules,
    /// When pages of the program are given back next.
    pub(crate) release_at: Instant,
    suspension: Suspension,
}

impl Router {
    /// Starts everything. What people ask comes in through `requests`. Call [`Self::run`] then.
    ///
    /// # Errors
    /// [`RouterError`] for what could not be started; nothing stays behind then.
    pub fn start(settings: Settings, requests: mpsc::Receiver<Request>) -> Result<Self, RouterError> {
        let Settings { prefs, state, plane } = settings;
        if let Err(error) = state.store_prefs(&prefs) {
            // A full disk is no reason to be no router.
            tracing::warn!(%error, "the preferences are not stored");
        }
        let identity = state.identity()?;
        let disco = identity.disco.clone();
        let port_is_fixed = plane.listen_port != 0;
        let hostinfo = requests::hostinfo(&prefs, &network::host_name(), &identity.log_id);
        let (report, reports) = watch::channel(Report { hostinfo, disco: disco.public(), endpoints: Vec::new() });
        // Past the tunnel: who sends everything through a peer hears of another one from the control server alone.
        let fetch = Arc::new(Fetch::new().marked(BYPASS_MARK));
        let control = hearthgate_client::start(&prefs, state.clone(), reports, fetch.clone())?;
        let plane_config = plane;
        let (plane, plane_events) = hearthgate_plane::start(&plane_config)?;
        let tunnel = Link::of(plane.interface());
        let (services, tunnel_disco) = Services::start(plane.interface());
        let (port_map, port_mapped) = portmap::or_none(plane.port());
        let view = control.view();
        let shown = view.borrow().clone();
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
            plane_config,
            tunnel,
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
            known: SortedSet::new(),
            routes: SortedMap::new(),
            greeter: Greeter::default(),
            counters: SortedMap::new(),
            awake: SortedSet::new(),
            derp: DerpMap::default(),
            resolving: None,
            pings: SortedMap::new(),
            next_ping: 0,
            checks: Vec::new(),
            plane_problem: None,
            plane_said: Said::default(),
            plane_note: None,
            exit_problem: None,
            services,
            port_map,
            port_mapped,
            tunnel_disco,
            rules: Rules::default(),
            release_at: Instant::now() + resident::FIRST,
            suspension: Suspension::default(),
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
        // A machine that slept does not make up for it.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.map_port();
        self.look();
        self.see();
        self.act();
        let mut goodbye = None;
        loop {
            let timer = [self.paths.next_timer(), self.greeter.next_timer()].into_iter().flatten().min();
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
                Some(place) = self.port_mapped.recv() => self.tell(Event::PortMapped(place)),
                Some((from, disco)) = self.tunnel_disco.recv() => self.take_disco(from, disco),
                Some(event) = self.plane_events.recv() => {
                    self.plane_burst(event);
                    // The relays' tasks have short queues: they take theirs before the next burst.
                    tokio::task::yield_now().await;
                }
                Some(event) = self.relay_events.recv() => self.relay_burst(event),
            }
            self.act();
        }
        if let Some(port_map) = self.port_map.take() {
            port_map.stop().await;
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

    pub(crate) fn now(&self) -> Now {
        self.start.elapsed()
    }

    pub(crate) fn tell(&mut self, event: Event<'_>) {
        self.paths.handle(self.start.elapsed(), event);
    }

    /// Looks at the interfaces; who is somewhere else finds everything measured worthless.
    fn look(&mut self) {
        let Ok(local) = network::look(self.plane.interface()) else { return };
        if local == self.local {
            return;
        }
        let first = self.local == LocalNetwork::default();
        tracing::debug!(addresses = ?local.addresses, "interfaces");
        let moved = !local.same_place(&self.local);
        self.local = local;
        let own: SortedSet<_> = self.own_addresses().into_iter().collect();
        let addresses = self.local.addresses.iter().filter(|ip| !own.contains(*ip)).copied().collect();
        self.tell(Event::LocalAddresses(addresses));
        if first {
            return;
        }
        if moved {
            self.begin_anew();
        }
        self.apply();
    }

    /// Nothing measured counts, and no connection is known to live: we are somewhere else, or were suspended.
    fn begin_anew(&mut self) {
        self.tell(Event::LinkChanged);
        self.map_port();
        self.relays.reconnect();
    }

    /// Asks the router in front of us for a port, or renews what it gave.
    pub(crate) fn map_port(&self) {
        if let Some(map) = &self.port_map {
            map.look();
        }
    }

    fn own_addresses(&self) -> Vec<std::net::IpAddr> {
        let own = self.shown.netmap.as_ref().and_then(|map| map.own.as_ref());
        own.iter().flat_map(|own| &own.addresses).map(ipnet::IpNet::addr).collect()
    }

    /// Takes what the control client shows.
    pub(crate) fn see(&mut self) {
        let view = self.view.borrow_and_update().clone();
        if view.node_key.public() != self.shown.node_key.public() {
            self.relays.set_key(view.node_key.clone());
            self.begin_paths(&view);
            // Their sessions with us ended with the old key.
            self.greet_again();
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
        if map.is_some() {
            self.awake.retain(|peer| self.known.contains(peer));
        }
        for peer in gone {
            self.tell(Event::PeerGone(peer));
            self.routes.remove(&peer);
            self.counters.remove(&peer);
            self.awake.remove(&peer);
            self.greeter.forget(&peer);
        }
        self.apply();
    }

    /// Forgets how peers are reached: our key or our port is another one.
    pub(crate) fn begin_paths(&mut self, view: &View) {
        self.paths = paths(view, &self.disco, self.plane.port(), self.port_is_fixed);
        self.known.clear();
        self.routes.clear();
        self.counters.clear();
        self.derp = DerpMap::default();
        self.tell(Event::LocalAddresses(self.local.addresses.clone()));
    }

    /// The network map, if we may act on it: from flash while the server is away, but not once it shut us out.
    pub(crate) fn member_map(&self) -> Option<Arc<Netmap>> {
        match self.shown.phase {
            Phase::Starting | Phase::Running => self.shown.netmap.clone(),
            Phase::NeedsLogin(_) | Phase::NeedsMachineAuth => None,
        }
    }

    /// Makes the data plane what it shall be.
    pub(crate) fn apply(&mut self) {
        let key = self.shown.node_key.clone();
        let mut desired = match self.member_map() {
            Some(map) => {
                self.rules.follow(&map, &self.prefs, &self.local);
                let mut desired = plan::desired(&map, &self.prefs, key, &self.local.attached);
                desired.filter = self.rules.filter().clone();
                self.services.follow(&map, &self.prefs, self.rules.filter(), &mut desired);
                desired
            }
            None => {
                self.services.stop();
                Desired::new(key)
            }
        };
        self.describe();
        self.see_exit_node();
        // For those that are new to the data plane; the others keep what they have.
        for peer in &mut desired.peers {
            peer.endpoint = self.routes.get(&peer.key).map_or(Endpoint::Relayed, |path| endpoint(*path));
        }
        match self.plane.apply(&desired) {
            Ok(()) => self.plane_works(),
            // There is a better reason already.
            Err(PlaneError::Gone) => {}
            Err(error) => self.plane_fails(error.to_string()),
        }
    }

    /// Notes whether the exit node is there, and tells a change: without it nothing leaves.
    fn see_exit_node(&mut self) {
        let problem = self.member_map().and_then(|map| plan::exit_node_problem(&map, &self.prefs.exit_node));
        if let Some(problem) = problem.as_deref().filter(|_| problem != self.exit_problem) {
            tracing::warn!("{problem}");
        }
        self.exit_problem = problem;
    }

    fn plane_works(&mut self) {
        self.plane_problem = None;
        self.plane_said.clear();
    }

    /// Notes a trouble of the data plane, which is tried again every few seconds: it is told once.
    pub(crate) fn plane_fails(&mut self, problem: String) {
        if self.plane_said.is_news(&problem) {
            tracing::warn!(problem, "data plane");
        }
        self.plane_problem = Some(problem);
    }

    /// A peer told its disco key through the tunnel.
    fn take_disco(&mut self, from: std::net::IpAddr, disco: DiscoPublic) {
        if let Some(peer) = self.member_map().and_then(|map| map.peer_at(from).map(|peer| peer.key)) {
            self.tell(Event::PeerDisco { peer, disco });
        }
    }

    fn tick(&mut self) {
        self.release();
        if !self.has_plane() {
            return;
        }
        self.look();
        if self.suspension.look() {
            tracing::info!("the machine was suspended");
            self.begin_anew();
        }
        self.relays.close_idle();
        self.checks.retain(|check| !check.is_closed());
        self.pings.retain(|_, ping| !ping.is_closed());
        if self.plane_problem.is_some() {
            self.apply();
        }
        let Ok(counters) = self.plane.counters() else { return };
        // By their keys: another peer may stand in the place of ours.
        let still = counters.iter().filter(|peer| self.counters.contains_key(&peer.key)).count();
        if still < self.counters.len() {
            self.greet_returned(&counters);
        }
        let now = self.now();
        for peer in counters {
            let before = self.counters.insert(peer.key, (peer.rx_bytes, peer.tx_bytes)).unwrap_or_default();
            let (received, sent) = (peer.rx_bytes > before.0, peer.tx_bytes > before.1);
            if received || sent {
                self.paths.handle(now, Event::Traffic { peer: peer.key, sent, received });
            }
        }
    }

    /// Gives back what of the program only a start needs.
    fn release(&mut self) {
        if self.release_at > Instant::now() {
            return;
        }
        self.release_at = Instant::now() + resident::AGAIN;
        if let Err(error) = resident::release() {
            tracing::debug!(%error, "pages of the program");
        }
    }

    /// Tells the control server who we are.
    pub(crate) fn describe(&self) {
        let mut hostinfo = requests::hostinfo(&self.prefs, &network::host_name(), &self.log_id);
        hostinfo.services = self.services.announced(&self.prefs);
        // Nothing measured yet is nothing new.
        hostinfo.net_info = (self.net_info != NetInfo::default()).then(|| status::net_info(&self.net_info));
        self.report.send_if_modified(|report| {
            let changed = report.hostinfo != hostinfo;
            report.hostinfo = hostinfo;
            changed
        });
    }
}

fn paths(view: &View, disco: &DiscoPrivate, port: u16, port_is_fixed: bool) -> Paths {
    let config = PathsConfig { node: view.node_key.public(), disco: disco.clone(), port, port_is_fixed };
    // A kernel that has random numbers once has them always; without them no packet may be sealed.
    Paths::new(config, Box::new(|out: &mut [u8]| getrandom::fill(out).expect("random numbers")))
}
