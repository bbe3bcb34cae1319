//! Which way to ask, when to ask again, what to believe.

use crate::{
    Gateway, Method, Now, Status, Trouble, Wanted, pcp, pmp,
    upnp::{self, Command, Service, Url},
};
use hearthgate_addresses::{Scope, scope};
use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

/// How long answers to the first questions are waited for.
const PROBE: Duration = Duration::from_millis(250);
/// Searches are answered slowly: devices may take the two seconds that the search allows.
const SEARCH: Duration = Duration::from_millis(2250);
/// How long the answer to a request for a mapping is waited for, and how often it is sent.
const REQUEST: Duration = Duration::from_millis(500);
const TRIES: u32 = 3;
/// How long a mapping is asked for.
const LIFETIME: Duration = Duration::from_secs(7200);
/// A shorter life than this is taken for this long, so that a bad gateway is not asked all the time.
const LIFETIME_LEAST: Duration = Duration::from_secs(120);
/// A longer life than this is renewed as if it were this.
const LIFETIME_MOST: Duration = Duration::from_secs(24 * 3600);
/// When to look again after nothing was found.
const LOOK_AGAIN: Duration = Duration::from_secs(600);
/// How long the owner may take for an HTTP request.
const HTTP: Duration = Duration::from_secs(5);

/// What happened.
#[derive(Debug)]
pub enum MapperEvent<'a> {
    /// The default route leads there now; `None`: nowhere, or nobody wants a mapping. Also after each link change.
    Gateway(Option<Gateway>),
    /// A datagram came to the mapper's socket.
    Udp {
        /// From where.
        from: SocketAddr,
        /// All of it.
        bytes: &'a [u8],
    },
    /// The body of the answer to the last HTTP request, whatever its status; `None` if there was no answer.
    Http(Option<&'a [u8]>),
    /// The moment of [`Mapper::next_timer`] has come.
    Timer,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapperAction {
    /// Send a datagram from the mapper's socket.
    Send {
        /// To there.
        to: SocketAddr,
        /// This.
        bytes: Vec<u8>,
    },
    /// Fetch a document with GET. No redirects; at most [`upnp::BODY_LIMIT`] bytes.
    Get(Url),
    /// Send a command with POST.
    Post(Command),
    /// The mapping changed: tell whoever uses it.
    Mapped(Option<SocketAddr>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Nothing to ask, or not yet again.
    Idle,
    /// The first questions are out.
    Probing { pmp: Option<Ipv4Addr>, pcp: bool, upnp: Option<Url>, started: Now },
    /// A mapping was asked for by datagram.
    Asking { method: Method, tries: u32 },
    /// The device's description was asked for.
    Describing(Url),
    /// A mapping was asked for by command.
    Commanding { services: VecDeque<Service>, external: u16, lease: Duration, tries: u32 },
    /// The mapping is there; its outside address was asked for.
    Addressing { service: Service, external: u16, lease: Duration },
    /// The mapping is there.
    Mapped,
}

/// What was mapped and how.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mapping {
    method: Method,
    external: SocketAddr,
    expires: Now,
    service: Option<Service>,
}

/// Keeps one port mapped. Handle events, then poll until `None`.
#[derive(Debug)]
pub struct Mapper {
    wanted: Wanted,
    nonce: [u8; pcp::NONCE_LEN],
    gateway: Option<Gateway>,
    state: State,
    mapping: Option<Mapping>,
    pmp_address: Option<Ipv4Addr>,
    trouble: Option<Trouble>,
    epoch: Option<(Duration, Now)>,
    timer: Option<Now>,
    actions: VecDeque<MapperAction>,
}

impl Mapper {
    /// For this port. `nonce` is random, and the same for the life of the mapper.
    #[must_use]
    pub fn new(wanted: Wanted, nonce: [u8; pcp::NONCE_LEN]) -> Self {
        Self {
            wanted,
            nonce,
            gateway: None,
            state: State::Idle,
            mapping: None,
            pmp_address: None,
            trouble: None,
            epoch: None,
            timer: None,
            actions: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<MapperAction> {
        self.actions.pop_front()
    }

    /// When [`MapperEvent::Timer`] is wanted.
    #[must_use]
    pub const fn next_timer(&self) -> Option<Now> {
        self.timer
    }

    /// What is mapped, and how.
    #[must_use]
    pub fn mapped(&self) -> Option<(Method, SocketAddr)> {
        self.mapping.as_ref().map(|mapping| (mapping.method, mapping.external))
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> Status {
        let mapped = self.mapped();
        Status { gateway: self.gateway, mapped, trouble: self.trouble.filter(|_| mapped.is_none()) }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Now, event: MapperEvent<'_>) {
        match event {
            MapperEvent::Gateway(gateway) => self.set_gateway(gateway, now),
            MapperEvent::Udp { from, bytes } => self.udp(from, bytes, now),
            MapperEvent::Http(body) => self.http(body, now),
            MapperEvent::Timer => {
                if self.timer.is_some_and(|at| at <= now) {
                    self.timer = None;
                    self.timeout(now);
                }
            }
        }
    }

    /// The requests that end the mapping, for a clean stop.
    #[must_use]
    pub fn release(&self) -> Option<MapperAction> {
        let (mapping, gateway) = (self.mapping.as_ref()?, self.gateway?);
        let to = SocketAddr::from((gateway.address, pmp::PORT));
        Some(match mapping.method {
            Method::Pmp => MapperAction::Send { to, bytes: pmp::map_request(self.wanted, 0, Duration::ZERO) },
            Method::Pcp => {
                let bytes = pcp::map_request(gateway.own, self.wanted, None, Duration::ZERO, &self.nonce);
                MapperAction::Send { to, bytes }
            }
            Method::Upnp => {
                MapperAction::Post(mapping.service.as_ref()?.delete(self.wanted.protocol, mapping.external.port()))
            }
        })
    }

    fn set_gateway(&mut self, gateway: Option<Gateway>, now: Now) {
        // With a public address nobody has to map anything, and a public gateway is nobody's home router.
        let gateway = gateway.filter(|g| is_inside(g.address) && is_inside(g.own));
        if gateway != self.gateway {
            self.gateway = gateway;
            self.epoch = None;
            self.trouble = None;
            self.lose();
            self.probe(now);
        } else if matches!(self.state, State::Idle | State::Mapped) {
            // The owner may have forgotten it, and the router too.
            if let Some(mapping) = &self.mapping {
                self.actions.push_back(MapperAction::Mapped(Some(mapping.external)));
            }
            self.renew(now);
        }
    }

    /// The mapping is gone.
    fn lose(&mut self) {
        if self.mapping.take().is_some() {
            self.actions.push_back(MapperAction::Mapped(None));
        }
    }

    fn probe(&mut self, now: Now) {
        self.state = State::Idle;
        self.timer = None;
        let Some(gateway) = self.gateway else { return };
        let to = SocketAddr::from((gateway.address, pmp::PORT));
        self.send(to, pmp::address_request());
        self.send(to, pcp::announce_request(gateway.own));
        for search in upnp::searches() {
            self.send(upnp::MULTICAST.into(), search.clone());
            self.send(SocketAddr::from((gateway.address, upnp::MULTICAST.port())), search);
        }
        self.state = State::Probing { pmp: None, pcp: false, upnp: None, started: now };
        self.timer = Some(now + PROBE);
    }

    fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.actions.push_back(MapperAction::Send { to, bytes });
    }

    fn timeout(&mut self, now: Now) {
        if self.mapping.as_ref().is_some_and(|mapping| mapping.expires <= now) {
            self.lose();
        }
        match self.state.clone() {
            State::Idle | State::Mapped => self.renew(now),
            State::Probing { pmp, pcp, upnp, started } => {
                if pmp.is_some() {
                    self.ask(Method::Pmp, 1, now);
                } else if pcp {
                    self.ask(Method::Pcp, 1, now);
                } else if let Some(url) = upnp {
                    self.describe(url, now);
                } else if now < started + SEARCH {
                    self.timer = Some(started + SEARCH);
                } else {
                    self.fail(Trouble::Silent, now);
                }
            }
            State::Asking { method, tries } if tries < TRIES => self.ask(method, tries + 1, now),
            _ => self.fail(Trouble::Silent, now),
        }
    }

    fn fail(&mut self, why: Trouble, now: Now) {
        // Silence after a clear no is no news.
        if !matches!((why, self.trouble), (Trouble::Silent, Some(Trouble::Refused(..) | Trouble::Inside(_)))) {
            self.trouble = Some(why);
        }
        self.give_up(now);
    }

    /// Nothing helped: a mapping that still lives is used until it ends.
    fn give_up(&mut self, now: Now) {
        self.state = State::Idle;
        let again = now + LOOK_AGAIN;
        self.timer = Some(self.mapping.as_ref().map_or(again, |mapping| mapping.expires.min(again)));
    }

    fn renew(&mut self, now: Now) {
        match self.mapping.clone() {
            Some(Mapping { method: Method::Upnp, service: Some(service), external, .. }) => {
                self.command(VecDeque::from([service]), external.port(), LIFETIME, 1, now);
            }
            Some(mapping) => {
                // The line may have another address by now, which an answer about the port does not tell.
                if let (Method::Pmp, Some(gateway)) = (mapping.method, self.gateway) {
                    self.send(SocketAddr::from((gateway.address, pmp::PORT)), pmp::address_request());
                }
                self.ask(mapping.method, 1, now);
            }
            None => self.probe(now),
        }
    }

    fn ask(&mut self, method: Method, tries: u32, now: Now) {
        let Some(gateway) = self.gateway else { return };
        let before = self.mapping.as_ref().map(|mapping| mapping.external);
        let bytes = match method {
            Method::Pcp => pcp::map_request(gateway.own, self.wanted, before, LIFETIME, &self.nonce),
            _ => {
                let best = self.wanted.external.unwrap_or(0);
                pmp::map_request(self.wanted, before.map_or(best, |addr| addr.port()), LIFETIME)
            }
        };
        self.send(SocketAddr::from((gateway.address, pmp::PORT)), bytes);
        self.state = State::Asking { method, tries };
        self.timer = Some(now + REQUEST * tries);
    }

    fn udp(&mut self, from: SocketAddr, bytes: &[u8], now: Now) {
        let Some(gateway) = self.gateway else { return };
        if from.ip().to_canonical() != IpAddr::V4(gateway.address) {
            return;
        }
        if from.port() != pmp::PORT {
            let found = upnp::parse_search_reply(bytes, gateway.address.into());
            let waited = match &mut self.state {
                State::Probing { upnp, started, .. } if upnp.is_none() => {
                    *upnp = found;
                    upnp.is_some() && now >= *started + PROBE
                }
                _ => false,
            };
            if waited {
                self.timeout(now);
            }
            return;
        }
        if let Some(reply) = pmp::parse(bytes) {
            match reply {
                pmp::Reply::Address { result: 0, epoch, external } => {
                    if self.saw_epoch(epoch, now) {
                        return;
                    }
                    self.pmp_address = Some(external);
                    if let State::Probing { pmp, .. } = &mut self.state {
                        *pmp = Some(external);
                    }
                }
                pmp::Reply::Mapped { result: 0, epoch, protocol, internal, external, lifetime }
                    if (protocol, internal) == (self.wanted.protocol, self.wanted.internal) =>
                {
                    let asked = matches!(self.state, State::Asking { method: Method::Pmp, .. });
                    if let (Some(ip), true) = (self.pmp_address, asked) {
                        self.epoch = Some((epoch, now));
                        self.done(Method::Pmp, SocketAddr::from((ip, external)), lifetime, None, now);
                    }
                }
                pmp::Reply::Address { result, .. } if result != 0 => {
                    self.trouble = Some(Trouble::Refused(Method::Pmp, result));
                }
                pmp::Reply::Mapped { result, .. }
                    if result != 0 && matches!(self.state, State::Asking { method: Method::Pmp, .. }) =>
                {
                    self.fail(Trouble::Refused(Method::Pmp, result), now);
                }
                _ => {}
            }
        } else if let Some(reply) = pcp::parse(bytes) {
            match reply {
                pcp::Reply::Announce { result: 0, epoch } => {
                    if self.saw_epoch(epoch, now) {
                        return;
                    }
                    if let State::Probing { pcp, .. } = &mut self.state {
                        *pcp = true;
                    }
                }
                pcp::Reply::Mapped { result, epoch, lifetime, nonce, protocol, internal, external }
                    if nonce == self.nonce
                        && (protocol, internal) == (self.wanted.protocol, self.wanted.internal)
                        && matches!(self.state, State::Asking { method: Method::Pcp, .. }) =>
                {
                    if result == 0 {
                        self.epoch = Some((epoch, now));
                        self.done(Method::Pcp, external, lifetime, None, now);
                    } else {
                        self.fail(Trouble::Refused(Method::Pcp, result.into()), now);
                    }
                }
                _ => {}
            }
        }
    }

    /// Notes the gateway's uptime; `true` if it has restarted and we start over.
    fn saw_epoch(&mut self, epoch: Duration, now: Now) -> bool {
        let before = self.epoch.replace((epoch, now));
        // RFC 6886 §3.6: the epoch may run an eighth slower than our clock, and is rounded.
        let restarted = before.is_some_and(|(old, at)| {
            let passed = now.saturating_sub(at);
            epoch + Duration::from_secs(2) < old + passed - passed / 8
        });
        if restarted && self.mapping.is_some() {
            self.lose();
            self.probe(now);
            return true;
        }
        false
    }

    fn done(&mut self, method: Method, external: SocketAddr, life: Duration, service: Option<Service>, now: Now) {
        // A gateway that is itself behind a NAT maps a port that nobody outside reaches.
        if external.port() == 0 || life.is_zero() || !is_outside(external.ip()) {
            self.lose();
            let refused = external.port() == 0 || life.is_zero();
            self.fail(if refused { Trouble::Refused(method, 0) } else { Trouble::Inside(external) }, now);
            return;
        }
        self.trouble = None;
        let life = life.clamp(LIFETIME_LEAST, LIFETIME_MOST);
        let before = self.mapping.replace(Mapping { method, external, expires: now + life, service });
        if before.map(|mapping| mapping.external) != Some(external) {
            self.actions.push_back(MapperAction::Mapped(Some(external)));
        }
        self.state = State::Mapped;
        self.timer = Some(now + life / 2);
    }

    fn describe(&mut self, url: Url, now: Now) {
        self.actions.push_back(MapperAction::Get(url.clone()));
        self.state = State::Describing(url);
        self.timer = Some(now + HTTP);
    }

    fn command(&mut self, services: VecDeque<Service>, external: u16, lease: Duration, tries: u32, now: Now) {
        let (Some(service), Some(gateway)) = (services.front(), self.gateway) else {
            self.fail(Trouble::Silent, now);
            return;
        };
        self.actions.push_back(MapperAction::Post(service.add(gateway.own, self.wanted, external, lease)));
        self.state = State::Commanding { services, external, lease, tries };
        self.timer = Some(now + HTTP);
    }

    /// The outside port to ask UPnP for first, which leaves no choice to the router.
    fn best(&self) -> u16 {
        self.wanted.external.unwrap_or(self.wanted.internal)
    }

    fn http(&mut self, body: Option<&[u8]>, now: Now) {
        match (self.state.clone(), body) {
            (State::Describing(url), Some(body)) => {
                let services = upnp::parse_description(body, &url).into();
                self.command(services, self.best(), LIFETIME, 1, now);
            }
            (State::Commanding { mut services, external, lease, tries }, Some(body)) => {
                let answer = upnp::parse_answer(body);
                match answer.error {
                    None => {
                        let Some(service) = services.pop_front() else { return };
                        let external = answer.port.unwrap_or(external);
                        self.actions.push_back(MapperAction::Post(service.external_address()));
                        self.state = State::Addressing { service, external, lease };
                        self.timer = Some(now + HTTP);
                    }
                    Some(upnp::ONLY_PERMANENT) if !lease.is_zero() => {
                        self.command(services, external, Duration::ZERO, tries, now);
                    }
                    Some(upnp::CONFLICT) if tries < TRIES => {
                        // Another machine has the port: any other port will do.
                        let [a, b, ..] = self.nonce;
                        let other = 1024 + u16::from_be_bytes([a, b]).wrapping_add(tries as u16 * 7919) % 64_000;
                        self.command(services, other, lease, tries + 1, now);
                    }
                    Some(code) => {
                        self.trouble = Some(Trouble::Refused(Method::Upnp, code));
                        services.pop_front();
                        self.command(services, self.best(), LIFETIME, 1, now);
                    }
                }
            }
            (State::Addressing { service, external, lease }, Some(body)) => {
                match upnp::parse_answer(body).external {
                    Some(ip) => {
                        // A permanent lease is looked after like any other.
                        let life = if lease.is_zero() { LIFETIME } else { lease };
                        self.done(Method::Upnp, SocketAddr::from((ip, external)), life, Some(service), now);
                    }
                    None => self.fail(Trouble::Refused(Method::Upnp, 0), now),
                }
            }
            (State::Describing(_) | State::Commanding { .. } | State::Addressing { .. }, None) => {
                self.fail(Trouble::Silent, now);
            }
            _ => {}
        }
    }
}

/// RFC 1918, link-local, or the shared space of RFC 6598.
fn is_inside(ip: Ipv4Addr) -> bool {
    matches!(scope(ip.into()), Scope::Local | Scope::Carrier) && !ip.is_unspecified()
}

/// An address that others can perhaps reach.
fn is_outside(ip: IpAddr) -> bool {
    scope(ip) == Scope::Global
}
