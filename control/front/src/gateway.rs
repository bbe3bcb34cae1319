//! The front itself: one TCP port for clients, boxes and the front's own relay.
//!
//! Every stranger has limited time to say what they want, and every address a limited number of connections. A client's
//! bytes are copied between two sockets with bounded buffers; nothing of them is kept.

use crate::{
    boxes::{Boxes, BoxesError},
    caller::{self, Caller},
    hello::{Wants, look},
    members::{Member, Members},
    messages::{FrontRelay, Hello, Welcome},
    outside,
    tasks::Tasks,
    tunnel::{ANSWER_WITHIN, TunnelError},
};
use bytes::BytesMut;
use hearthgate_derp::{
    Admission, BootstrapDns, Front, Gate, Pages, Pass, Prefixed, Relay, RelayLimits, StunMetrics, TrustedProxies,
    identity::{self, IdentityError},
    serve_pages,
    tls::{Certificates, TlsError, pin_of},
    tune_tcp,
};
use hearthgate_http::spawn;
use hearthgate_keys::{MachinePrivate, MachinePublic, NodePublic};
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

/// File of the front's key.
const KEY_FILE: &str = "front_private.key";
/// Name that clients use for TLS with the front's own relay. No DNS has it: the DERP map tells the address, too.
pub(crate) const RELAY_HOST: &str = "relay.front.internal";
/// Connections that may be between accept and knowing what they want.
const NEWCOMERS_MAX: usize = 512;
/// How long they may stay there.
const NEWCOMER: Duration = Duration::from_secs(15);
/// Connections that one address may have: a household behind one NAT address, two for each device.
const PER_SOURCE: u32 = 64;
/// Wait after accept fails (no file descriptors left): trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often the file of boxes is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// What somebody without TLS is told.
const NO_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
This front passes on encrypted connections only: use https:// in the URL.\n";

/// Why a front does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The file of boxes.
    #[error(transparent)]
    Boxes(#[from] BoxesError),
    /// A key file.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The relay's certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// How a front runs.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// Folder of its key and of its list of boxes.
    pub state_dir: PathBuf,
    /// UDP port of the STUN that runs beside it; 0 for none.
    pub stun_port: u16,
    /// It has a relay of its own, for nodes of its boxes.
    pub relay: bool,
    /// Networks that count as the Internet when a box is tried from outside, though their addresses are private: where
    /// a laboratory plays the Internet.
    pub internet: Vec<IpNet>,
}

/// A front.
pub struct Gateway {
    key: MachinePrivate,
    state_dir: PathBuf,
    members: Arc<Members>,
    gate: Arc<Gate>,
    relay: Option<(Front, Arc<Pages>, FrontRelay)>,
    stun_port: u16,
    internet: Vec<IpNet>,
    turns: outside::Turns,
}

impl Gateway {
    /// The key of the front in this folder, made when it is missing.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn key(state_dir: &Path) -> Result<MachinePrivate, GatewayError> {
        Ok(identity::load_or_make(&state_dir.join(KEY_FILE), MachinePrivate::parse, |random| {
            MachinePrivate::from_random(random).reveal()
        })?)
    }

    /// Makes one. `stun` are the counters of the STUN beside it.
    ///
    /// # Errors
    /// A file of its state cannot be read or written.
    pub fn new(options: &GatewayOptions, stun: Arc<StunMetrics>) -> Result<Arc<Self>, GatewayError> {
        let members = Arc::new(Members::new(Boxes::load(&options.state_dir)?));
        let gate = Gate::new(PER_SOURCE);
        let relay = if options.relay { Some(own_relay(options, &members, &gate, stun)?) } else { None };
        Ok(Arc::new(Self {
            key: Self::key(&options.state_dir)?,
            state_dir: options.state_dir.clone(),
            members,
            gate,
            relay,
            stun_port: options.stun_port,
            internet: options.internet.clone(),
            turns: outside::Turns::default(),
        }))
    }

    /// Accepts connections for ever, and follows the file of boxes.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let newcomers = Arc::new(Semaphore::new(NEWCOMERS_MAX));
        let watching = spawn(self.clone().watch());
        loop {
            let Ok(permit) = newcomers.clone().acquire_owned().await else { break };
            let Ok((stream, remote)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Some(pass) = self.gate.enter(remote.ip()) else { continue };
            tune_tcp(&stream);
            let this = self.clone();
            spawn(async move {
                let (mut stream, mut head) = (stream, BytesMut::new());
                let wants = timeout(NEWCOMER, look(&mut stream, &mut head)).await;
                drop(permit);
                let Ok(Ok(wants)) = wants else { return };
                let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
                if let Err(e) = this.serve_one(stream, head, remote, pass, wants).await {
                    tracing::debug!(%remote, error = %e, "a connection ended");
                }
            });
        }
        watching.abort();
    }

    async fn serve_one(
        self: Arc<Self>,
        mut stream: TcpStream,
        head: BytesMut,
        remote: SocketAddr,
        pass: Pass,
        wants: Wants,
    ) -> Result<(), TunnelError> {
        match (wants, &self.relay) {
            (Wants::Plain, _) => stream.write_all(NO_TLS).await?,
            (Wants::Tunnel, _) => self.serve_box(stream, &head, remote, pass).await?,
            (Wants::Tls(Some(name)), Some((front, pages, _))) if name == RELAY_HOST => {
                // The relay's door counts with the same gate, for as long as its connections live.
                drop(pass);
                let pages = pages.clone();
                let stream = Box::new(Prefixed::new(head.freeze(), stream));
                front.clone().pass(stream, remote, move |s, remote| serve_pages(pages.clone(), s, remote)).await;
            }
            (Wants::Tls(name), _) => {
                let Some(caller) = self.members.for_name(name.as_deref()) else {
                    tracing::debug!(%remote, name = name.as_deref().unwrap_or_default(), "no box for this name");
                    return Ok(());
                };
                let (mut inner, _slot) = caller.open(remote).await?;
                inner.write_all(&head).await?;
                inner.flush().await?;
                drop(head);
                copy_bidirectional(&mut stream, &mut inner).await?;
                drop(pass);
            }
        }
        Ok(())
    }

    /// A box's tunnel, until it ends.
    async fn serve_box(
        &self,
        stream: TcpStream,
        head: &[u8],
        remote: SocketAddr,
        pass: Pass,
    ) -> Result<(), TunnelError> {
        let accepted = timeout(ANSWER_WITHIN, caller::accept(stream, head, &self.key)).await;
        let (key, stream) = accepted.map_err(std::io::Error::from)??;
        if !self.members.knows(&key) && !self.invites() {
            // It is told so, and nobody else's list is looked at for it.
            tracing::info!(%remote, "a box that is not paired, and no line is open");
        }
        let tasks = Tasks::default();
        let (caller, connection) = Caller::begin(stream, tasks.clone()).await?;
        let member = Member::new(key, caller.clone());
        let gone = member.gone();
        let greeting = async {
            let hello = caller.hello().await?;
            let welcome = self.admit(key, &hello);
            let served = welcome.refused.is_empty();
            caller.welcome(&welcome).await?;
            if served {
                tracing::info!(%remote, host = hello.host, "the tunnel of a box is up");
                self.members.enter(member);
                if hello.wishes {
                    // A box that has no more wishes, or none that can be read, is served all the same.
                    let _ = self.grant(&caller, key, remote.ip(), &hello.host).await;
                }
                std::future::pending::<()>().await;
            }
            tracing::info!(%remote, why = welcome.refused, "a box is not served");
            Ok(())
        };
        let ended = tokio::select! {
            ended = connection => ended.map_err(TunnelError::from),
            ended = greeting => ended,
            () = gone => Ok(()),
        };
        tasks.end();
        self.members.leave(&key, &caller);
        tracing::info!(%remote, "the tunnel of a box ended");
        drop(pass);
        ended
    }

    /// Tries from outside what a box wants tried, one after another, while its tunnel holds.
    async fn grant(&self, caller: &Caller, key: MachinePublic, address: IpAddr, host: &str) -> Result<(), TunnelError> {
        loop {
            let wish = caller.wish().await?;
            sleep(self.turns.next(key)).await;
            let reached = outside::look(address, &self.internet, host, &wish).await;
            tracing::info!(%address, public = reached.public, tcp = ?reached.tcp, stun = ?reached.stun, "tried whether a box is reached from here");
            caller.reached(&reached).await?;
        }
    }

    fn invites(&self) -> bool {
        Boxes::load(&self.state_dir).is_ok_and(|b| b.has_invitations(now()))
    }

    /// Takes a box in, on disk too if that changes anything.
    fn admit(&self, key: MachinePublic, hello: &Hello) -> Welcome {
        let admitted = Boxes::change(&self.state_dir, |boxes| boxes.admit(key, hello, now()));
        let refused = match admitted {
            Ok((boxes, result)) => {
                self.members.set(boxes);
                result.err().map(|e| e.to_string()).unwrap_or_default()
            }
            Err(e) => {
                tracing::error!(error = %e, "no box can be taken in");
                "the front cannot write its list of boxes".to_owned()
            }
        };
        let relay = self.relay.as_ref().map(|(_, _, told)| told.clone());
        Welcome { refused, stun_port: self.stun_port, relay, wishes: true }
    }

    /// Follows what the command line changes: revoked boxes lose their tunnel.
    async fn watch(self: Arc<Self>) {
        loop {
            sleep(WATCH_EVERY).await;
            match Boxes::load(&self.state_dir) {
                Ok(boxes) => self.members.set(boxes),
                Err(e) => tracing::error!(error = %e, "the list of boxes stays as it was"),
            }
        }
    }
}

/// The relay, the door to it, and what boxes are told of it.
fn own_relay(
    options: &GatewayOptions,
    members: &Arc<Members>,
    gate: &Arc<Gate>,
    stun: Arc<StunMetrics>,
) -> Result<(Front, Arc<Pages>, FrontRelay), GatewayError> {
    let key = identity::relay_key(&options.state_dir)?;
    let pair = identity::own_certificate(&options.state_dir, RELAY_HOST)?;
    let certificates = Certificates::new(&pair, Some(&key.public()))?;
    let relay = Relay::new(key, Box::new(NodesOfBoxes(members.clone())), RelayLimits::default());
    let front = Front {
        relay: Some(relay.clone()),
        tls: certificates.server_config()?,
        alpn: Arc::default(),
        gate: gate.clone(),
        proxies: Arc::default(),
    };
    let pages = Pages {
        relay,
        stun,
        bootstrap_dns: BootstrapDns::new(),
        proxies: Arc::new(TrustedProxies::default()),
        metrics_for_all: false,
    };
    Ok((front, Arc::new(pages), FrontRelay { host_name: RELAY_HOST.to_owned(), pin: pin_of(&pair)? }))
}

/// Lets nodes of the boxes' networks use the relay: each box is asked.
struct NodesOfBoxes(Arc<Members>);

impl Admission for NodesOfBoxes {
    fn may_connect(&self, _key: &NodePublic, _source: Option<IpAddr>) -> bool {
        true
    }

    fn confirm<'a>(
        &'a self,
        key: &NodePublic,
        _source: Option<IpAddr>,
    ) -> Option<Pin<Box<dyn Future<Output = bool> + Send + 'a>>> {
        let key = *key;
        Some(Box::pin(async move {
            // All at once: a box that does not answer has no say, and holds up nobody else's nodes.
            let mut asked = JoinSet::new();
            for caller in self.0.all() {
                asked.spawn(async move { caller.may_relay(&key).await.unwrap_or(false) });
            }
            while let Some(answer) = asked.join_next().await {
                if matches!(answer, Ok(true)) {
                    return true;
                }
            }
            false
        }))
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
