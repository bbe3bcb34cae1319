//! The peer API: HTTP on our own addresses, for peers alone. It says who we are, answers DNS questions of those who use us
//! as exit node, takes files, and wakes machines on the LAN (`ipn/ipnlocal/peerapi.go` of tailscale.com v1.102.5; DNS over HTTPS: RFC 8484).
//!
//! The packet filter lets every peer in here; who may ask what is decided by the address the question comes from, which
//! WireGuard has proven.

mod answer;
mod place;
#[cfg(test)]
mod tests;

use crate::{
    dns::{self, Zone},
    taildrop::Inbox,
};
use answer::{answer, text};
use hearthgate_http::{Handler, Http1, spawn};
use hearthgate_sorted::SortedMap;
use http::StatusCode;
use place::Place;
use socket2::{Protocol, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};

/// CRC-32 as IEEE 802.3 has it.
static CRC32: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
/// Ports tried before any free one.
const TRIES: u8 = 5;
/// Connections that are answered at one time.
const CONNECTIONS: usize = 32;
/// Connections beside these that wait for their turn, with what the kernel holds of them alone: users of the exit node ask
/// many names at once, each on a connection.
const WAITING: usize = 64;
/// How long they wait: longer than a connection stays without a question.
const TURN: Duration = Duration::from_secs(10);
/// How long nobody is let in after that failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long a connection may take for its questions.
const CONNECTION: Duration = Duration::from_secs(60);
/// What is put up with on one.
const HTTP: Http1 = Http1 { head_within: Duration::from_secs(5), head_max: 16 * 1024, keep_alive: true };

/// A peer, as far as the peer API is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its name, whole.
    pub name: String,
    /// Its stable id.
    pub id: String,
    /// Whether it may ask DNS questions.
    pub dns: bool,
    /// Whether it may send files.
    pub files: bool,
    /// Whether it may wake machines.
    pub wake: bool,
}

/// Peers by address.
pub type Callers = SortedMap<IpAddr, Caller>;

/// What the answers are made of.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Who may call.
    pub callers: watch::Receiver<Arc<Callers>>,
    /// What names mean.
    pub zone: watch::Receiver<Arc<Zone>>,
    /// Where files arrive, if they are taken.
    pub inbox: watch::Receiver<Option<Arc<Inbox>>>,
    /// Name of the tunnel's interface.
    pub tunnel: Arc<str>,
}

/// A running peer API; it stops when this is dropped.
#[derive(Debug)]
pub struct PeerApi {
    tasks: Vec<AbortHandle>,
    places: Vec<SocketAddr>,
}

impl Drop for PeerApi {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl PeerApi {
    /// Listens on these addresses of ours. One that cannot be had is left out.
    #[must_use]
    pub fn start(own: &[IpAddr], facts: &Facts) -> Self {
        let mut api = Self { tasks: Vec::new(), places: Vec::new() };
        for ip in own {
            match listen(*ip) {
                Ok((listener, place)) => {
                    api.places.push(place);
                    api.tasks.push(spawn(serve(listener, facts.clone())).abort_handle());
                }
                Err(error) => tracing::info!(%ip, %error, "no peer API"),
            }
        }
        api
    }

    /// Where it listens.
    #[must_use]
    pub fn places(&self) -> &[SocketAddr] {
        &self.places
    }
}

fn listen(ip: IpAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for port in (0..TRIES).map(|attempt| port(ip, attempt)).chain([0]) {
        let bound = dns::socket(SocketAddr::new(ip, port), Type::STREAM, Protocol::TCP).and_then(|socket| {
            socket.listen(CONNECTIONS as i32)?;
            TcpListener::from_std(socket.into())
        });
        match bound {
            Ok(listener) => {
                let place = listener.local_addr()?;
                return Ok((listener, place));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The port for an address: the same after each start, so that connection tracking on the way stays right.
fn port(ip: IpAddr, attempt: u8) -> u16 {
    let octets = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let [.., a, b, c] = octets.as_slice() else { return 0 };
    let sum = CRC32.checksum(&[a.wrapping_add(attempt), *b, *c]);
    0x8000 | u16::try_from(sum & 0x7fff).unwrap_or(0)
}

async fn serve(listener: TcpListener, facts: Facts) {
    let room = Arc::new(Semaphore::new(CONNECTIONS + WAITING));
    let turns = Arc::new(Semaphore::new(CONNECTIONS));
    let held = Arc::default();
    while let Ok(permit) = room.clone().acquire_owned().await {
        let Ok((stream, from)) = listener.accept().await else {
            // There are no more files to be had, say: asking at once again would not help.
            sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let from = from.ip().to_canonical();
        // Strangers get no answer: only the tunnel leads here, but the LAN might route to us.
        if !facts.callers.borrow().contains_key(&from) {
            continue;
        }
        let Ok(here) = stream.local_addr() else { continue };
        let Some(place) = Place::take(&held, from) else { continue };
        let (facts, turns) = (facts.clone(), turns.clone());
        spawn(async move {
            // One caller's wait for each other first, so that they take no turns of others meanwhile.
            let turn = async { (place.turns.acquire().await, turns.acquire().await) };
            let Ok((Ok(_own), Ok(_turn))) = timeout(TURN, turn).await else { return };
            let transfer = Arc::new(());
            let seen = Arc::downgrade(&transfer);
            let handler = Handler::new(move |request| {
                let (facts, transfer) = (facts.clone(), Arc::downgrade(&transfer));
                // Rights change while a connection stays.
                let caller = facts.callers.borrow().get(&from).cloned();
                async move {
                    match caller {
                        Some(caller) => answer(request, &caller, here, &facts, &transfer).await,
                        None => text(StatusCode::FORBIDDEN, "you are not in this network any more\n"),
                    }
                }
            });
            let mut connection = Box::pin(HTTP.serve(stream, handler));
            // Large files take their time, within limits of their own. Whoever asked may have gone away in the middle:
            // nobody is left to tell.
            while timeout(CONNECTION, &mut connection).await.is_err() && seen.strong_count() > 1 {}
            drop(permit);
        });
    }
}
