//! Our own place in the network: endpoints, home relay, and the network checks that find them.

use crate::{
    Action, Endpoint, EndpointKind, NetInfo, Now, Paths, Region, RegionId, Report,
    haste::probe_target,
    netcheck::{Basis, Check, HomeChooser, Step},
    score::is_link_local,
    timers::Timer,
    timing::{
        ENDPOINT_CACHE, ENDPOINTS_FRESH, FULL_CHECK, HASTE_INTERVAL, PING_INTERVAL, RESTUN_MIN, RESTUN_SPREAD,
        SESSION_ACTIVE,
    },
};
use hearthgate_keys::NodePublic;
use hearthgate_sorted::SortedMap;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Most endpoints of one kind that are reported.
const ENDPOINTS_LIMIT: usize = 32;

/// What is known about us.
#[derive(Debug)]
pub struct OwnNetwork {
    port: u16,
    port_is_fixed: bool,
    local: Vec<IpAddr>,
    explicit: Vec<SocketAddr>,
    port_mapped: Option<SocketAddr>,
    /// What STUN showed: when last, and to how many servers.
    seen: SortedMap<SocketAddr, (Now, u32)>,
    regions: Vec<Region>,
    heard: SortedMap<RegionId, Now>,
    home: HomeChooser,
    /// Chooses the home when nothing was ever measured; the same for the life of the process.
    seed: u32,
    check: Option<Check>,
    last: Option<Report>,
    last_full: Option<Now>,
    fresh_at: Option<Now>,
    endpoints: Vec<Endpoint>,
    net_info: NetInfo,
    restun_set: bool,
    /// The latest question whether UDP works again.
    pub(crate) probe: Option<(hearthgate_stun::TxId, Now)>,
}

impl OwnNetwork {
    pub fn new(port: u16, port_is_fixed: bool) -> Self {
        Self {
            port,
            port_is_fixed,
            local: Vec::new(),
            explicit: Vec::new(),
            port_mapped: None,
            seen: SortedMap::new(),
            regions: Vec::new(),
            heard: SortedMap::new(),
            home: HomeChooser::default(),
            seed: 0,
            check: None,
            last: None,
            last_full: None,
            fresh_at: None,
            endpoints: Vec::new(),
            net_info: NetInfo::default(),
            restun_set: false,
            probe: None,
        }
    }

    pub fn seed(&mut self, seed: u32) {
        self.seed = seed;
    }

    pub fn set_local(&mut self, addrs: Vec<IpAddr>) {
        self.local = addrs;
    }

    pub fn set_explicit(&mut self, addrs: Vec<SocketAddr>) {
        self.explicit = addrs;
    }

    pub fn set_port_mapped(&mut self, addr: Option<SocketAddr>) {
        self.port_mapped = addr;
    }

    pub fn heard(&mut self, region: RegionId, now: Now) {
        if self.regions.iter().any(|known| known.id == region) {
            self.heard.insert(region, now);
        }
    }

    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Whether the endpoints are new enough to be told to a peer.
    pub fn is_fresh(&self, now: Now) -> bool {
        self.fresh_at.is_some_and(|at| now.saturating_sub(at) < ENDPOINTS_FRESH)
    }

    /// A path in use died: perhaps our own address is another one now. The next call-me-maybe looks first.
    pub fn doubt(&mut self, now: Now) {
        self.fresh_at = self.fresh_at.filter(|at| now.saturating_sub(*at) < PING_INTERVAL);
    }

    /// The host changed its place: what was seen from outside counts no more.
    pub fn forget(&mut self) {
        self.seen.clear();
        self.port_mapped = None;
        self.fresh_at = None;
        self.last = None;
        // A check that is under way began in the old place.
        self.check = None;
    }

    /// The STUN server to ask whether UDP works again, if it did not and it is time.
    pub fn wants_probe(&self, now: Now) -> Option<SocketAddr> {
        let broken = self.last.as_ref().is_some_and(|last| !last.udp());
        let due = self.probe.is_none_or(|(_, at)| now.saturating_sub(at) >= HASTE_INTERVAL);
        if broken && due { probe_target(&self.regions, self.home.home(), self.has(false)) } else { None }
    }

    /// UDP works again, and we are seen at this address.
    pub fn reopened(&mut self, seen: SocketAddr, now: Now) {
        self.probe = None;
        self.seen.insert(seen, (now, 1));
        self.fresh_at = Some(now);
        if let Some(last) = &mut self.last {
            last.v4 |= seen.is_ipv4();
            last.v6 |= seen.is_ipv6();
        }
        // The next check is a whole one, and one that is under way began without UDP.
        self.last_full = None;
        self.check = None;
    }

    /// All endpoints, the likeliest first.
    fn collect(&self) -> Vec<Endpoint> {
        let mut out: Vec<Endpoint> = Vec::new();
        let mut add = |addr: SocketAddr, kind| {
            if addr.port() != 0 && !addr.ip().is_unspecified() && !out.iter().any(|e| e.addr == addr) {
                out.push(Endpoint { addr, kind });
            }
        };
        if let Some(addr) = self.port_mapped {
            add(addr, EndpointKind::PortMapped);
        }
        let mut seen: Vec<_> = self.seen.iter().map(|(&addr, &(at, servers))| (addr, at, servers)).collect();
        hearthgate_sorted::sort_by_key(&mut seen, |&(addr, at, servers)| (std::cmp::Reverse((at, servers)), addr));
        seen.truncate(ENDPOINTS_LIMIT);
        for &(addr, ..) in &seen {
            add(addr, EndpointKind::Stun);
        }
        if self.port_is_fixed && self.last.as_ref().is_some_and(|report| report.mapping_varies == Some(true)) {
            for &(addr, ..) in seen.iter().filter(|(addr, ..)| addr.is_ipv4()) {
                add(SocketAddr::new(addr.ip(), self.port), EndpointKind::StunLocalPort);
            }
        }
        for &addr in &self.explicit {
            add(addr, EndpointKind::Explicit);
        }
        let usable = |ip: &&IpAddr| !ip.is_loopback() && !is_link_local(**ip) && !ip.is_multicast();
        let outside = self.local.iter().any(|ip| usable(&ip));
        let local = self.local.iter().filter(|ip| if outside { usable(ip) } else { ip.is_loopback() });
        for &ip in local.take(ENDPOINTS_LIMIT) {
            add(SocketAddr::new(ip, self.port), EndpointKind::Local);
        }
        out
    }

    fn has(&self, v6: bool) -> bool {
        let global = |ip: &IpAddr| ip.is_ipv6() == v6 && !ip.is_loopback() && !is_link_local(*ip);
        // Before the addresses are known, both are worth a try.
        self.local.is_empty() || self.local.iter().any(global)
    }

    fn start(&mut self, now: Now) {
        let full = self.last_full.is_none_or(|at| now.saturating_sub(at) >= FULL_CHECK);
        let last = self.last.as_ref().filter(|report| !full && report.udp());
        if last.is_none() {
            self.last_full = Some(now);
        }
        let basis = Basis { last, home: self.home.home(), v4: self.has(false), v6: self.has(true) };
        self.check = Some(Check::new(now, &self.regions, basis));
    }

    fn finish(&mut self, mut report: Report, now: Now) -> Report {
        for (&addr, &servers) in &report.observed {
            self.seen.insert(addr, (now, servers));
        }
        self.seen.retain(|_, (at, _)| now.saturating_sub(*at) < ENDPOINT_CACHE);
        let score = |id| self.regions.iter().find(|r| r.id == id).map_or(1.0, |r| r.score);
        let chosen = self.home.choose(now, &report, |id| self.heard.get(&id).copied(), score);
        report.home = chosen.or_else(|| self.arbitrary_home());
        self.fresh_at = Some(now);
        self.last = Some(report.clone());
        report
    }

    /// A relay is needed most where nothing can be measured.
    fn arbitrary_home(&self) -> Option<RegionId> {
        let usable: Vec<_> =
            self.regions.iter().filter(|r| !r.avoid && !r.no_measure && !r.nodes.is_empty()).map(|r| r.id).collect();
        usable.get(self.seed as usize % usable.len().max(1)).copied()
    }

    fn net_info(&self) -> NetInfo {
        let report = self.last.clone().unwrap_or_default();
        NetInfo {
            mapping_varies: report.mapping_varies,
            working_ipv6: report.v6,
            has_ipv6: !self.local.is_empty() && self.has(true),
            working_udp: report.udp(),
            home: report.home,
            port_mapped: self.port_mapped.is_some(),
            latency_v4: report.latency_v4,
            latency_v6: report.latency_v6,
        }
    }
}

impl Paths {
    /// Our home relay, as far as it is known.
    #[must_use]
    pub fn home(&self) -> Option<RegionId> {
        self.own.net_info.home
    }

    /// Our endpoints, the likeliest first.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        self.own.endpoints()
    }

    /// What the last network check found.
    #[must_use]
    pub const fn report(&self) -> Option<&Report> {
        self.own.last.as_ref()
    }

    pub(crate) fn own_changed(&mut self, now: Now, change: impl FnOnce(&mut OwnNetwork)) {
        change(&mut self.own);
        self.tell_own(now);
    }

    pub(crate) fn relay_map(&mut self, regions: Vec<Region>, now: Now) {
        if self.own.regions == regions {
            return;
        }
        self.own.heard.retain(|id, _| regions.iter().any(|region| region.id == *id));
        self.own.regions = regions;
        self.own.last_full = None;
        self.own.check = None;
        self.start_check(now);
    }

    /// Starts a network check, if none is under way.
    pub(crate) fn start_check(&mut self, now: Now) {
        if self.own.check.is_none() {
            self.own.start(now);
            self.step_check(now);
        }
    }

    pub(crate) fn stun(&mut self, _from: SocketAddr, bytes: &[u8], now: Now) {
        if self.own.check.as_mut().is_some_and(|check| check.stun(bytes, now)) {
            self.step_check(now);
        } else if let Some((txid, _)) = self.own.probe
            && let Ok((answered, seen)) = hearthgate_stun::parse_response(bytes)
            && answered == txid
        {
            self.udp_works(seen, now);
        }
    }

    pub(crate) fn https_latency(&mut self, region: RegionId, latency: Option<Duration>, now: Now) {
        if let Some(check) = &mut self.own.check {
            check.https(region, latency);
            self.step_check(now);
        }
    }

    pub(crate) fn step_check(&mut self, now: Now) {
        loop {
            let Some(check) = &mut self.own.check else {
                return;
            };
            let entropy = &mut self.entropy;
            let step = check.step(now, || {
                let mut txid = [0; hearthgate_stun::TXID_LEN];
                entropy.fill(&mut txid);
                txid
            });
            match step {
                Step::Send { to, bytes } => self.actions.push_back(Action::SendUdp { to, bytes }),
                Step::Https(region) => self.actions.push_back(Action::MeasureHttps(region)),
                Step::Wait(at) => {
                    self.timers.set(at, Timer::Check);
                    return;
                }
                Step::Done => break,
            }
        }
        let Some(check) = self.own.check.take() else {
            return;
        };
        let report = self.own.finish(check.into_report(), now);
        self.tell_own(now);
        self.actions.push_back(Action::Checked(report));
        if !self.own.restun_set {
            self.own.restun_set = true;
            let spread = RESTUN_SPREAD.as_millis() as u32;
            let random = u32::from_ne_bytes(self.random()) % (spread + 1);
            self.timers.set(now + RESTUN_MIN + Duration::from_millis(random.into()), Timer::Restun);
        }
        let calling: Vec<NodePublic> = self.peers.iter().filter(|(_, p)| p.calling).map(|(n, _)| *n).collect();
        for node in calling {
            self.call_me_maybe(node);
        }
    }

    /// Keeps NAT mappings known while anybody talks to anybody; otherwise looks again later.
    pub(crate) fn restun(&mut self, now: Now) {
        self.own.restun_set = false;
        let lately = |at: Option<Now>| at.is_some_and(|at| now.saturating_sub(at) < SESSION_ACTIVE);
        if self.peers.values().any(|peer| lately(peer.last_sent) || lately(peer.last_received)) {
            self.start_check(now);
        } else {
            self.own.restun_set = true;
            self.timers.set(now + RESTUN_MIN, Timer::Restun);
        }
    }

    /// Tells the control server what changed about us.
    fn tell_own(&mut self, _now: Now) {
        let endpoints = self.own.collect();
        if endpoints != self.own.endpoints {
            self.own.endpoints.clone_from(&endpoints);
            self.actions.push_back(Action::Endpoints(endpoints));
        }
        let info = self.own.net_info();
        if info.differs(&self.own.net_info) {
            self.own.net_info = info.clone();
            self.actions.push_back(Action::NetInfo(info));
        }
    }
}
