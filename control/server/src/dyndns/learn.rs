//! Where the public addresses come from, best first: this machine's interfaces; what the router in this process
//! reports of itself (port mapping, then STUN); STUN servers of the relays that devices are told of; what the
//! household's router said when it opened a port; what a front saw. All but the first are about IPv4, because nobody translates IPv6.

use crate::{admin::own_addresses, state::App};
use hearthgate_core::Snapshot;
use hearthgate_dyndns::{Addresses, Settings, best_v6, publishable};
use hearthgate_stun::TXID_LEN;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Mutex,
    time::{Duration, Instant},
};
use tokio::{
    net::{UdpSocket, lookup_host},
    time::timeout,
};

/// Kinds of endpoints of a node (`tailcfg/tailcfg.go` of tailscale.com v1.102.5): by STUN, by port mapping, by STUN
/// with the local port.
const BY_STUN: [u8; 2] = [2, 4];
const BY_PORT_MAPPING: u8 = 3;
/// Most STUN servers that are asked at once, and how long their answers may take.
const SERVERS_MAX: usize = 3;
const STUN_WITHIN: Duration = Duration::from_secs(2);
/// How long it may take to find one by its name.
const LOOKUP_WITHIN: Duration = Duration::from_secs(3);
/// They are asked again after this time.
const STUN_EVERY: Duration = Duration::from_secs(60);
/// Most packets of others that are read while waiting.
const PACKETS_MAX: usize = 16;
/// What a front saw counts for so long, in seconds.
#[cfg(feature = "front")]
const FRONT_FRESH_S: u64 = 600;

/// What STUN servers said, and when.
#[derive(Debug, Default)]
pub(super) struct Learner(Mutex<Option<(Instant, Option<Ipv4Addr>)>>);

#[cfg(test)]
impl Learner {
    /// What STUN servers are taken to have said.
    pub(super) fn say(&self, v4: Ipv4Addr) {
        *super::lock(&self.0) = Some((Instant::now(), Some(v4)));
    }
}

/// The public addresses now, of the families that are wanted. `before` is what the name leads to.
pub(super) async fn look(app: &App, settings: &Settings, before: Addresses) -> Addresses {
    let v4 = if settings.ipv4 { v4(app, before.v4).await } else { None };
    // Not there without IPv6.
    let table = || std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let v6 = if settings.ipv6 { best_v6(&table(), before.v6) } else { None };
    Addresses { v4, v6 }
}

async fn v4(app: &App, before: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
    let own: Vec<Ipv4Addr> = own_addresses(&app.admin).into_iter().filter_map(public_v4).collect();
    // Of several, the one that the name has already.
    if let Some(found) = before.filter(|b| own.contains(b)).or_else(|| own.first().copied()) {
        return Some(found);
    }
    let router = app.own_router.own_id().await;
    if let Some(found) = router.and_then(|id| of_router(&app.control.current(), &id)) {
        return Some(found);
    }
    match by_stun(app).await {
        Some(found) => Some(found),
        // At most as old as the mapping's last renewal, while STUN is a minute old.
        None => app.portmap.address().and_then(|ip| public_v4(ip.into())).or_else(|| of_front(app)),
    }
}

fn public_v4(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip.to_canonical() {
        IpAddr::V4(v4) if publishable(IpAddr::V4(v4)) => Some(v4),
        _ => None,
    }
}

/// What the box's own router told the control server of itself.
fn of_router(snap: &Snapshot, stable_id: &str) -> Option<Ipv4Addr> {
    let node = snap.nodes().find(|n| n.stable_id() == stable_id)?;
    let told = || node.path.endpoints.iter().zip(&node.path.endpoint_types);
    let by = |kinds: &[u8]| told().filter(|(_, k)| kinds.contains(k)).find_map(|(e, _)| public_v4(e.ip()));
    by(&[BY_PORT_MAPPING]).or_else(|| by(&BY_STUN))
}

/// What STUN servers see, at most a minute old.
pub(crate) async fn by_stun(app: &App) -> Option<Ipv4Addr> {
    let known = *super::lock(&app.dyndns.learner.0);
    if let Some((_, found)) = known.filter(|(at, _)| at.elapsed() < STUN_EVERY) {
        return found;
    }
    let found = timeout(LOOKUP_WITHIN + STUN_WITHIN, ask(servers(app))).await.ok().and_then(Result::ok).flatten();
    *super::lock(&app.dyndns.learner.0) = Some((Instant::now(), found));
    found
}

/// STUN servers that devices are told of: host, or address, and port. This box's own say nothing of the outside, but do
/// no harm.
fn servers(app: &App) -> Vec<(String, u16)> {
    let snap = app.control.current();
    let nodes = snap.derp_map.regions.values().flat_map(|r| &r.nodes);
    let with_stun = nodes.filter_map(|n| {
        let port = match n.stun_port {
            0 => hearthgate_stun::DEFAULT_PORT,
            port => u16::try_from(port).ok()?,
        };
        let v4 = n.ipv4.as_str();
        Some((if v4.parse::<Ipv4Addr>().is_ok() { v4 } else { n.host_name.as_str() }.to_owned(), port))
    });
    let foreign = with_stun.filter(|(host, _)| host.parse::<IpAddr>().map_or(true, publishable));
    foreign.take(SERVERS_MAX).collect()
}

async fn ask(servers: Vec<(String, u16)>) -> std::io::Result<Option<Ipv4Addr>> {
    if servers.is_empty() {
        return Ok(None);
    }
    let mut id = [0; TXID_LEN];
    crate::writer::fill_random(&mut id);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    for (host, port) in servers {
        let found = timeout(LOOKUP_WITHIN, lookup_host((host.as_str(), port))).await;
        let v4 = found.ok().and_then(Result::ok).and_then(|mut all| all.find(SocketAddr::is_ipv4));
        if let Some(v4) = v4 {
            // One that cannot be sent to is one that does not answer.
            let _ = socket.send_to(&hearthgate_stun::request(&id), v4).await;
        }
    }
    let answer = async {
        let mut buffer = [0; 512];
        for _ in 0..PACKETS_MAX {
            let Ok((count, _)) = socket.recv_from(&mut buffer).await else { continue };
            // The transaction's id is 96 random bits, which only they were told.
            if let Ok((of, seen)) = hearthgate_stun::parse_response(buffer.get(..count).unwrap_or_default())
                && of == id
                && let Some(found) = public_v4(seen.ip())
            {
                return Some(found);
            }
        }
        None
    };
    Ok(timeout(STUN_WITHIN, answer).await.ok().flatten())
}

#[cfg(feature = "front")]
fn of_front(app: &App) -> Option<Ipv4Addr> {
    let seen = crate::front::seen(app).outside.filter(|o| o.ago_s < FRONT_FRESH_S)?;
    public_v4(seen.address)
}

#[cfg(not(feature = "front"))]
fn of_front(_app: &App) -> Option<Ipv4Addr> {
    None
}
