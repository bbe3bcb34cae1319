//! Ports of this box that the household's router opens to the world: that of the clients (TCP), that of STUN (UDP), and
//! the one that an authority looks for its token at. Off until somebody says that the world may come in, here or in the
//! configuration; given back when it is switched off, and at the end.
//!
//! Which way to ask and what to believe is `hearthgate-portmap`'s; here is what is asked for, and when.

use crate::{
    api_schema,
    api_v1::{problem, status_of},
    options::Options,
    reply::{self, Reply},
    state::App,
    writer::Unavailable,
};
use futures_util::future::join_all;
use hearthgate_addresses::{Scope, scope};
use hearthgate_core::{CoreError, World};
use hearthgate_gateway::{PortMap, default_gateway};
use hearthgate_http::spawn;
use hearthgate_portmap::{Gateway, Protocol, Status, Trouble, Wanted};
use hearthgate_read::{json, struct_of};
use hearthgate_web::portmap::{HTTPS, Port, Ports, Purpose, https_port};
use http::{HeaderValue, Method, StatusCode};
use serde_json::Value;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

const RECORD: &str = "web/port-mapping";
/// How often it is looked which router is in front of us.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often STUN servers are asked whether the address is the one that the router says.
const COMPARE_EVERY: Duration = Duration::from_secs(900);
/// Longest wait for routers to take the ports back at the end.
const END_WITHIN: Duration = Duration::from_secs(3);
/// The port that an authority looks at for HTTP-01 (RFC 8555 section 8.3).
const HTTP_01: u16 = 80;

/// What is wished: by a person, by the configuration, and of which ports.
#[derive(Debug, Clone, Default, PartialEq)]
struct Wish {
    chosen: Option<bool>,
    configured: bool,
    ports: Vec<(Purpose, Wanted)>,
    end: bool,
}

impl Wish {
    fn on(&self) -> bool {
        self.chosen.unwrap_or(self.configured)
    }

    fn now(&self) -> &[(Purpose, Wanted)] {
        if self.on() && !self.end { &self.ports } else { &[] }
    }
}

/// What is mapped.
#[derive(Debug, Default)]
struct Seen {
    /// It was looked which router there is.
    begun: bool,
    gateway: Option<Gateway>,
    ports: Vec<(Purpose, Wanted, Option<watch::Receiver<Status>>)>,
    /// What STUN servers see, of the address that a router told.
    compared: Option<(Instant, Ipv4Addr, Option<Ipv4Addr>)>,
}

/// The switch, and how it is.
#[derive(Debug)]
pub struct PortMapping {
    wish: watch::Sender<Wish>,
    seen: Mutex<Seen>,
    turn: tokio::sync::Mutex<()>,
}

impl PortMapping {
    /// As it was left.
    pub(crate) fn new(world: &World) -> Self {
        let wish = Wish { chosen: world.record(RECORD), ..Wish::default() };
        Self { wish: watch::Sender::new(wish), seen: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// What the configuration says. `listen` is where the server listens.
    pub(crate) fn configure(&self, options: &Options, listen: SocketAddr) {
        let ports = wanted(options, listen);
        self.wish.send_if_modified(|wish| {
            let new = Wish { configured: options.port_mapping, ports, ..wish.clone() };
            std::mem::replace(wish, new.clone()) != new
        });
    }

    /// Gives back what is mapped, for good.
    pub(crate) async fn end(&self) {
        self.wish.send_modify(|wish| wish.end = true);
        // Nobody listens any more when all is done.
        let _ = timeout(END_WITHIN, self.wish.closed()).await;
    }

    /// The public address that the router told, unless others see another one.
    pub(crate) fn address(&self) -> Option<Ipv4Addr> {
        let seen = self.lock();
        let told = seen.told()?;
        seen.outside(told).is_none_or(|outside| outside == told).then_some(told)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// The public address that the router told.
    fn told(&self) -> Option<Ipv4Addr> {
        let mapped = |status: &watch::Receiver<Status>| match status.borrow().mapped?.1.ip() {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        };
        self.ports.iter().filter_map(|(.., status)| status.as_ref()).find_map(mapped)
    }

    fn outside(&self, told: Ipv4Addr) -> Option<Ipv4Addr> {
        self.compared.filter(|(_, of, _)| *of == told).and_then(|(.., seen)| seen)
    }
}

/// The ports that the world needs: those that are not for this machine only.
fn wanted(options: &Options, listen: SocketAddr) -> Vec<(Purpose, Wanted)> {
    let tcp =
        |port: SocketAddr, outside| Wanted { protocol: Protocol::Tcp, internal: port.port(), external: Some(outside) };
    // Clients take plain http from nobody outside, so it is the port of https.
    let outside = https_port(&options.settings.server_url).unwrap_or(HTTPS);
    let clients = Some(listen).map(|l| (Purpose::Clients, l, tcp(l, outside)));
    let stun = options.derp.stun_listen.filter(|_| options.derp.enabled);
    let stun = stun.map(|s| (Purpose::Stun, s, Wanted { external: Some(s.port()), ..Wanted::udp(s.port()) }));
    let authority = options.acme.as_ref().and_then(|acme| acme.listen);
    let authority = authority.map(|a| (Purpose::Authority, a, tcp(a, HTTP_01)));
    let all = [clients, stun, authority].into_iter().flatten();
    all.filter(|(_, at, _)| !at.ip().to_canonical().is_loopback())
        .map(|(purpose, _, wanted)| (purpose, wanted))
        .collect()
}

/// Has the ports mapped while that is wished.
pub(crate) async fn keep(app: App) {
    let mut wishes = app.portmap.wish.subscribe();
    let mut running: Vec<(Purpose, Wanted, Option<PortMap>)> = Vec::new();
    let mut gateway = None;
    loop {
        let wish = wishes.borrow_and_update().clone();
        if !running.iter().map(|(purpose, wanted, _)| (*purpose, *wanted)).eq(wish.now().iter().copied()) {
            *app.portmap.lock() = Seen::default();
            join_all(running.drain(..).filter_map(|(.., map)| map).map(PortMap::stop)).await;
            let start = |(purpose, wanted): &(Purpose, Wanted)| (*purpose, *wanted, PortMap::or_none(*wanted, None).0);
            running = wish.now().iter().map(start).collect();
            let status = |map: &Option<PortMap>| map.as_ref().map(PortMap::status);
            app.portmap.lock().ports = running.iter().map(|(p, w, map)| (*p, *w, status(map))).collect();
            gateway = None;
        }
        if wish.end {
            return;
        }
        if !running.is_empty() {
            // With a public address nobody has to open anything.
            let now = default_gateway().filter(|g| scope(g.own.into()) != Scope::Global);
            if gateway != now {
                running.iter().filter_map(|(.., map)| map.as_ref()).for_each(|map| map.ask(now));
                gateway = now;
            }
            app.portmap.lock().gateway = now;
        }
        app.portmap.lock().begun = wish.on();
        let idle = running.is_empty();
        let rest = async {
            // It may take seconds, and whoever switches it off does not wait for it.
            compare(&app).await;
            sleep(LOOK_EVERY).await;
        };
        tokio::select! {
            changed = wishes.changed() => if changed.is_err() { return },
            () = rest, if !idle => {}
        }
    }
}

/// Asks STUN servers whether the world sees the address that the router told.
async fn compare(app: &App) {
    let told = {
        let seen = app.portmap.lock();
        let fresh = |told| seen.compared.is_some_and(|(at, of, _)| of == told && at.elapsed() < COMPARE_EVERY);
        seen.told().filter(|told| !fresh(*told))
    };
    if let Some(told) = told {
        let outside = crate::dyndns::by_stun(app).await;
        app.portmap.lock().compared = Some((Instant::now(), told, outside));
    }
}

/// What the pages show.
pub(crate) fn seen(app: &App) -> Ports {
    let wish = app.portmap.wish.borrow().clone();
    let seen = app.portmap.lock();
    let port = |(purpose, wanted, status): &(Purpose, Wanted, Option<watch::Receiver<Status>>)| Port {
        purpose: *purpose,
        wanted: *wanted,
        status: status.as_ref().map_or_else(Status::default, |status| *status.borrow()),
    };
    let outside = seen.told().and_then(|told| seen.outside(told));
    Ports {
        on: wish.on(),
        chosen: wish.chosen.is_some(),
        begun: seen.begun,
        gateway: seen.gateway.map(|g| g.address),
        ports: seen.ports.iter().map(port).collect(),
        outside,
    }
}

/// Switches it, or goes back to the configuration, and notes who did. Whoever asked may go away meanwhile.
pub(crate) async fn choose(app: &App, actor: String, on: Option<bool>) -> Result<Result<(), CoreError>, Unavailable> {
    let app = app.clone();
    spawn(async move { store_and_tell(&app, actor, on).await }).await.unwrap_or(Err(Unavailable))
}

async fn store_and_tell(app: &App, actor: String, on: Option<bool>) -> Result<Result<(), CoreError>, Unavailable> {
    let _turn = app.portmap.turn.lock().await;
    let done = app.control.call(move |world, c| {
        let what = match on {
            Some(on) => {
                world.put_record(RECORD, &on)?;
                if on { "on" } else { "off" }
            }
            None => {
                world.delete_record(RECORD);
                "as configured"
            }
        };
        world.audit(&actor, "switched the port mapping", what, c.now);
        Ok(())
    });
    let done = done.await?;
    if done.is_ok() {
        app.portmap.wish.send_modify(|wish| wish.chosen = on);
    }
    Ok(done)
}

#[derive(Default)]
struct Switch {
    on: bool,
}
struct_of!(Switch;
must { on: "on" }
may {}
not {});

/// `/api/v1/portmap`: GET tells it, POST switches, DELETE goes back to the configuration.
pub(crate) async fn api(app: &App, actor: String, method: &Method, body: &[u8]) -> Reply {
    let done = match *method {
        Method::GET => Ok(Ok(())),
        Method::POST => match serde_json::from_slice::<Switch>(body) {
            Ok(switch) => choose(app, actor, Some(switch.on)).await,
            Err(e) => Ok(Err(CoreError::Invalid(format!("the request body is not as expected: {e}")))),
        },
        Method::DELETE => choose(app, actor, None).await,
        _ => return api_schema::not_this_method(HeaderValue::from_static("DELETE, GET, POST")),
    };
    match done {
        Ok(Ok(())) => reply::json(&view(&seen(app))),
        Ok(Err(e)) => problem(status_of(&e), &e.to_string()),
        Err(e) => problem(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
    }
}

fn view(ports: &Ports) -> Value {
    let router = ports.gateway.is_some();
    let one = |port: &Port| {
        let (state, told) = match (port.status.mapped, port.status.trouble) {
            (Some((_, at)), _) => ("mapped", Some(at)),
            (None, Some(Trouble::Inside(at))) => ("inside", Some(at)),
            (None, Some(Trouble::Refused(..))) => ("refused", None),
            (None, Some(Trouble::Silent)) => ("silent", None),
            (None, None) if ports.begun && !router => ("no router", None),
            (None, None) => ("asking", None),
        };
        json!({
            "protocol": port.wanted.protocol.name(),
            "port": port.wanted.internal,
            "wanted": port.wanted.external,
            "state": state,
            "address": told,
            "by": port.status.mapped.map(|(method, _)| method.name()),
        })
    };
    json!({
        "on": ports.on,
        "chosen": ports.chosen,
        "router": ports.gateway,
        "seen": ports.outside,
        "ports": ports.ports.iter().map(one).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str, stun: Option<&str>) -> Options {
        let mut options = Options::new(std::path::Path::new("/nowhere"), ([0, 0, 0, 0], 8080).into());
        options.settings.server_url = url.into();
        options.derp.stun_listen = stun.map(|s| s.parse().unwrap());
        options
    }

    #[test]
    fn what_the_world_needs_is_asked_for_and_what_is_for_this_machine_is_not() {
        let of = |options: &Options, listen: &str| -> Vec<(Protocol, u16, Option<u16>)> {
            let all = wanted(options, listen.parse().unwrap());
            all.iter().map(|(_, w)| (w.protocol, w.internal, w.external)).collect()
        };
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        let named = options("https://home.example.org:8443", Some("0.0.0.0:3478"));
        assert_eq!(of(&named, "0.0.0.0:8080"), [(tcp, 8080, Some(8443)), (udp, 3478, Some(3478))]);
        assert_eq!(of(&named, "127.0.0.1:8080"), [(udp, 3478, Some(3478))], "a proxy is in front");
        assert_eq!(of(&options("http://192.168.1.2:8080", None), "[::]:8080"), [(tcp, 8080, Some(443))]);
        let mut no_relay = named.clone();
        no_relay.derp.enabled = false;
        assert_eq!(of(&no_relay, "[::1]:1"), []);
    }

    #[test]
    fn nothing_is_wished_until_somebody_says_so() {
        let ports = wanted(&options("https://home.example.org", None), "0.0.0.0:443".parse().unwrap());
        let wish = |chosen, configured, end| Wish { chosen, configured, ports: ports.clone(), end };
        for (wish, some) in [
            (wish(None, false, false), false),
            (wish(None, true, false), true),
            (wish(Some(false), true, false), false),
            (wish(Some(true), false, false), true),
            (wish(Some(true), true, true), false),
        ] {
            assert_eq!(!wish.now().is_empty(), some, "{wish:?}");
        }
    }
}
