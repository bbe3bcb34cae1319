//! What is known about one peer, and the decisions that need nothing else.

use crate::{
    Hop, Measured, Now, Path, PeerInfo, RegionId, SAFE_WIRE_MTU,
    candidate::Candidates,
    score::is_better,
    timing::{DOUBT, GOOD_ENOUGH, RELAY_DISCOVERY, SESSION_ACTIVE, TRUST, UPGRADE},
};
use hearthgate_keys::DiscoPublic;

/// A peer.
#[derive(Debug)]
pub struct Peer {
    pub info: PeerInfo,
    /// The disco key to send to: the one last announced or seen at work.
    pub disco: DiscoPublic,
    /// A key that came through the tunnel, if it is not the map's.
    pub tunnel_disco: Option<DiscoPublic>,
    pub candidates: Candidates,
    pub best: Option<Measured>,
    pub trust_until: Now,
    pub last_sent: Option<Now>,
    pub last_received: Option<Now>,
    pub last_round: Option<Now>,
    pub last_relay_discovery: Option<Now>,
    /// The region through which the peer was last heard.
    pub heard_on: Option<RegionId>,
    /// It was heard at all.
    pub heard: bool,
    /// A heartbeat timer is set.
    pub beating: bool,
    /// A trust timer is set.
    pub watched: bool,
    /// A call-me-maybe waits for endpoints.
    pub calling: bool,
    /// The next look for a direct path is set: packets go over a relay.
    pub hastening: bool,
    /// When a packet that comes over a relay, while our own path is direct, is reason for a call-me-maybe.
    pub call_at: Now,
    /// The path that was last announced.
    pub announced: Option<Path>,
}

impl Peer {
    pub fn new(info: PeerInfo, now: Now) -> Self {
        let mut candidates = Candidates::default();
        candidates.set_map(&info.endpoints, now);
        Self {
            disco: info.disco,
            tunnel_disco: None,
            candidates,
            best: None,
            trust_until: Now::ZERO,
            last_sent: None,
            last_received: None,
            last_round: None,
            last_relay_discovery: None,
            heard_on: None,
            heard: false,
            beating: false,
            watched: false,
            calling: false,
            hastening: false,
            call_at: Now::ZERO,
            announced: None,
            info,
        }
    }

    /// The disco keys under which packets of this peer may come.
    pub fn disco_keys(&self) -> impl Iterator<Item = DiscoPublic> + use<> {
        let keys = [Some(self.info.disco), self.tunnel_disco.filter(|key| *key != self.info.disco)];
        keys.into_iter().flatten().filter(|key| !key.is_zero())
    }

    /// The relay to use for this peer.
    pub fn region(&self) -> Option<RegionId> {
        self.info.home.or(self.heard_on)
    }

    pub fn is_trusted(&self, now: Now) -> bool {
        self.best.is_some() && now < self.trust_until
    }

    /// Trusted, and without a peer relay.
    pub fn is_direct(&self, now: Now) -> bool {
        self.is_trusted(now) && self.best.is_some_and(|best| best.hop.is_direct())
    }

    /// Whether we sent something lately.
    pub fn is_active(&self, now: Now) -> bool {
        self.last_sent.is_some_and(|at| now.saturating_sub(at) < SESSION_ACTIVE)
    }

    /// How packets go at this moment.
    pub fn path(&self, now: Now) -> Path {
        match self.best {
            None => Path::Relay(self.region()),
            Some(best) if now >= self.trust_until => Path::Both { hop: best.hop, relay: self.region() },
            Some(Measured { hop: Hop { addr, vni: Some(vni) }, .. }) => Path::PeerRelay { addr, vni },
            Some(Measured { hop: Hop { addr, vni: None }, .. }) => Path::Direct(addr),
        }
    }

    /// Takes the result of a ping: a better path, or fresh trust in the one in use.
    pub fn measured(&mut self, path: Measured, now: Now) {
        if self.best.is_none_or(|best| now >= self.trust_until || is_better(&path, &best)) {
            self.best = Some(path);
        }
        if let Some(best) = self.best.as_mut().filter(|best| best.hop == path.hop) {
            best.latency = path.latency;
            self.trust_until = now + TRUST;
        }
    }

    /// When the trust in the best path has ended: takes the best other one that answered lately. (Ours; the official
    /// client waits for its next round of pings.)
    pub fn fall_back(&mut self, now: Now) {
        if self.is_trusted(now) {
            return;
        }
        let dead = self.best.map(|best| best.hop);
        let others = || self.candidates.iter().filter(|(addr, _)| Some(Hop::direct(*addr)) != dead);
        // A peer that moved has just answered from where it is, and a moment before from where it was.
        let newest = others().filter_map(|(_, candidate)| candidate.pong).map(|(_, at)| at).max().unwrap_or_default();
        let oldest = newest.saturating_sub(DOUBT);
        for (addr, candidate) in others() {
            let Some((latency, at)) = candidate.pong.filter(|(_, at)| now < *at + TRUST && *at >= oldest) else {
                continue;
            };
            let path = Measured { hop: Hop::direct(addr), latency, mtu: SAFE_WIRE_MTU };
            if self.best.is_none_or(|best| now >= self.trust_until || is_better(&path, &best)) {
                self.best = Some(path);
                self.trust_until = at + TRUST;
            }
        }
    }

    /// Whether a heartbeat should ping every candidate.
    pub fn wants_round(&self, now: Now) -> bool {
        let (Some(best), Some(last)) = (self.best, self.last_round) else {
            return true;
        };
        if !best.hop.is_direct() || now >= self.trust_until {
            return true;
        }
        best.latency > GOOD_ENOUGH && now.saturating_sub(last) >= UPGRADE
    }

    /// Whether to ask peer relays for a path.
    pub fn wants_relay(&self, now: Now) -> bool {
        let interval = if self.is_trusted(now) { UPGRADE } else { RELAY_DISCOVERY };
        !self.is_direct(now) && self.last_relay_discovery.is_none_or(|at| now.saturating_sub(at) >= interval)
    }

    /// Nothing measured counts any more.
    pub fn forget_measurements(&mut self) {
        self.best = None;
        self.trust_until = Now::ZERO;
        self.last_round = None;
        self.last_relay_discovery = None;
        self.candidates.forget_history();
    }
}
