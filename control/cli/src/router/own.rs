//! The server's own machine as a member of its network: the router inside `hearthgate serve`.
//!
//! It joins as any other machine does, over the loopback address. When the server asks for a login, which is so at the
//! first start, a key is made over the command socket and used once; what the configuration advertises is approved the
//! same way.

use super::kind;
use crate::{Failure, client};
use hearthgate_client::{Phase, Prefs, StateDir, View};
use hearthgate_config::RouterConfig;
use hearthgate_http::spawn;
use hearthgate_plane::{Config as PlaneConfig, Said};
use hearthgate_read::json;
use hearthgate_router::{Request, Router, Settings, plain, serve_socket, tidy};
use serde_json::{Map, Value};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};

/// Its folder in that of the server.
const STATE: &str = "router";
/// Requests that wait for the router.
const REQUESTS: usize = 16;
/// When a request to the server that failed is made again.
const AGAIN: Duration = Duration::from_secs(30);
/// Longest time for taking away what the router made in the system.
const STOP: Duration = Duration::from_secs(5);

/// The router inside the server.
pub(crate) struct OwnRouter {
    requests: mpsc::Sender<Request>,
    stop: Option<oneshot::Sender<()>>,
    wanted: watch::Sender<Prefs>,
    task: JoinHandle<()>,
    follower: JoinHandle<()>,
    /// The interface of devices without a client, and how it is stopped.
    plain: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// What devices without a client are to have, as the server tells it.
pub(crate) type PlainDevices = watch::Receiver<Option<hearthgate_server::PlainNetwork>>;

/// What it needs of the server.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Where the server listens.
    pub(crate) listen: SocketAddr,
    /// Folder of the server's state.
    pub(crate) state_dir: PathBuf,
    /// The server's command socket.
    pub(crate) socket: PathBuf,
}

impl OwnRouter {
    /// Starts it.
    ///
    /// # Errors
    /// The interface cannot be made, or the state is damaged. The server goes on without a router.
    pub(crate) async fn start(config: &RouterConfig, server: Server, devices: PlainDevices) -> Result<Self, Failure> {
        let state = StateDir::open(&server.state_dir.join(STATE))?;
        let plain = config.wireguard.enabled.then_some(config.wireguard.interface.as_str());
        let interfaces: Vec<&str> = [config.interface.as_str()].into_iter().chain(plain).collect();
        tidy(&state, &interfaces);
        let prefs = prefs(config, &server);
        let plane = PlaneConfig {
            mode: kind(&config.data_plane)?,
            interface: config.interface.clone(),
            listen_port: config.port,
            ..Default::default()
        };
        let (requests, asked) = mpsc::channel(REQUESTS);
        let router = Router::start(Settings { prefs: prefs.clone(), state, plane }, asked)?;
        let path =
            if config.socket.as_os_str().is_empty() { Path::new(hearthgate_router::SOCKET) } else { &config.socket };
        let socket = serve_socket(path, requests.clone()).await?;
        let view = router.view();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = spawn(async move {
            router
                .run(async {
                    // A sender that is gone says the same.
                    let _ = stopped.await;
                })
                .await;
            drop(socket);
        });
        let (wanted, prefs) = watch::channel(prefs);
        let follower = spawn(follow(view, prefs, config.tags.clone(), server, requests.clone()));
        let plain = config.wireguard.enabled.then(|| kind(&config.data_plane)).transpose()?;
        let plain = plain.map(|mode| start_plain(mode, config, devices));
        Ok(Self { requests, stop: Some(stop), wanted, task, follower, plain })
    }

    /// There is to be none: takes away what one of earlier left.
    pub(crate) fn none(state_dir: &Path) {
        let dir = state_dir.join(STATE);
        if dir.is_dir()
            && let Ok(state) = StateDir::open(&dir)
        {
            tidy(&state, &[]);
        }
    }

    /// How it is asked for its status; it takes no question while many wait.
    pub(crate) fn asked_by(&self) -> hearthgate_server::AskRouter {
        let requests = self.requests.clone();
        std::sync::Arc::new(move |answer| requests.try_send(Request::Status(answer)).is_ok())
    }

    /// Takes another configuration, as far as it can be changed while running.
    pub(crate) async fn reload(&self, config: &RouterConfig, server: &Server) {
        let prefs = prefs(config, server);
        let Ok(Value::Object(changes)) = serde_json::to_value(&prefs) else { return };
        let (answer, answered) = oneshot::channel();
        if self.requests.send(Request::Up { changes, answer }).await.is_err() {
            return;
        }
        match answered.await {
            Ok(Err(error)) => tracing::error!(error, "the router keeps its settings"),
            _ => drop(self.wanted.send_replace(prefs)),
        }
    }

    /// Stops it; interface, routes and rules are gone afterwards.
    pub(crate) async fn stop(mut self) {
        self.follower.abort();
        if let Some((stop, task)) = self.plain.take() {
            // It may have stopped by itself.
            let _ = stop.send(());
            if tokio::time::timeout(STOP, task).await.is_err() {
                tracing::warn!("the interface of devices without a client was not taken away in time");
            }
        }
        // The router may have stopped by itself.
        let _ = self.stop.take().map(|stop| stop.send(()));
        if tokio::time::timeout(STOP, &mut self.task).await.is_err() {
            tracing::warn!("the router did not stop in time");
        }
    }
}

/// Serves devices without a client, as the server tells of them.
fn start_plain(
    mode: hearthgate_plane::Mode,
    config: &RouterConfig,
    mut devices: PlainDevices,
) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (interface, listen_port) = (config.wireguard.interface.clone(), config.wireguard.port);
    let plane = PlaneConfig { mode, interface, listen_port, ..Default::default() };
    let (shown, wanted) = watch::channel(None);
    let (stop, stopped) = oneshot::channel::<()>();
    let task = spawn(async move {
        let follow = async {
            loop {
                shown.send_replace(devices.borrow_and_update().as_ref().and_then(plain_network));
                if devices.changed().await.is_err() {
                    return;
                }
            }
        };
        let end = async {
            tokio::select! {
                () = follow => {}
                // A sender that is gone says the same.
                _ = stopped => {}
            }
        };
        plain::run(plane, wanted, end).await;
    });
    (stop, task)
}

fn plain_network(told: &hearthgate_server::PlainNetwork) -> Option<plain::Network> {
    let settings = &told.settings;
    let address = settings.own_address()?;
    let key = told.key.public();
    let address6 = hearthgate_core::plain_address6(&key, address.addr());
    let device = |d: &hearthgate_core::PlainDevice| plain::Device {
        key: d.key,
        address: d.address,
        address6: hearthgate_core::plain_address6(&key, d.address).addr(),
        lan: d.access.lan,
        internet: d.access.internet,
        tailnet: d.access.tailnet,
    };
    let devices = told.devices.iter().map(device).collect();
    Some(plain::Network { private_key: told.key.clone(), address, address6, lan: settings.lan.clone(), devices })
}

fn prefs(config: &RouterConfig, server: &Server) -> Prefs {
    let ip: IpAddr = match server.listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    Prefs {
        login_server: format!("http://{}", SocketAddr::new(ip, server.listen.port())),
        auth_key: None,
        hostname: config.hostname.clone(),
        advertise_routes: config.advertise_routes.clone(),
        advertise_exit_node: config.advertise_exit_node,
        advertise_tags: Vec::new(),
        accept_routes: config.accept_routes,
        accept_dns: config.accept_dns,
        exit_node: config.exit_node.clone(),
        exit_node_allow_lan_access: config.exit_node_allow_lan_access,
        snat_subnet_routes: config.snat_subnet_routes,
        nat66: config.nat66,
        taildrop_dir: config.taildrop_dir.clone(),
        shields_up: false,
    }
}

/// Lets the router in when the server asks who it is, and approves what it advertises.
async fn follow(
    mut view: watch::Receiver<View>,
    mut wanted: watch::Receiver<Prefs>,
    tags: Vec<String>,
    server: Server,
    requests: mpsc::Sender<Request>,
) {
    // Once: an administrator who removes the machine from the network shall not see it come back at once.
    let mut joined = false;
    let mut approved = false;
    let mut said = Said::default();
    loop {
        let now = view.borrow_and_update().clone();
        let mut failed = None;
        match now.phase {
            Phase::NeedsLogin(_) if !joined => {
                match new_key(&server, &tags).await {
                    Ok(key) => {
                        joined = true;
                        let changes: Map<String, Value> =
                            [("auth-key".to_owned(), Value::from(key))].into_iter().collect();
                        let (answer, answered) = oneshot::channel();
                        // The router has stopped: then nobody joins.
                        let _ = requests.send(Request::Up { changes, answer }).await;
                        if let Ok(Err(error)) = answered.await {
                            tracing::error!(error, "the router does not join");
                        }
                        // Another control client runs now: its view is another one.
                        let (answer, answered) = oneshot::channel();
                        let _ = requests.send(Request::View(answer)).await;
                        match answered.await {
                            Ok(next) => view = next,
                            Err(_) => return,
                        }
                        continue;
                    }
                    Err(error) => failed = Some(format!("no key for the router: {error}")),
                }
            }
            Phase::Running if !approved => {
                let id = now.netmap.as_ref().and_then(|map| map.own.as_ref()).map(|own| own.id);
                if let Some(id) = id {
                    let routes: Vec<String> =
                        wanted.borrow_and_update().routable().iter().map(ToString::to_string).collect();
                    match approve(&server, id, routes).await {
                        Ok(()) => approved = true,
                        Err(error) => failed = Some(format!("the router's routes are not approved: {error}")),
                    }
                }
            }
            _ => {}
        }
        if let Some(error) = failed.as_ref().filter(|error| said.is_news(*error)) {
            tracing::error!("{error}");
        }
        // A full disk, say: it may have room later, and nothing else would tell.
        let again = async {
            match failed {
                Some(_) => sleep(AGAIN).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = again => {}
            changed = view.changed() => if changed.is_err() {
                return;
            },
            changed = wanted.changed() => match changed {
                Ok(()) => approved = false,
                Err(_) => return,
            },
        }
    }
}

/// Asks the server over its command socket.
async fn ask(server: &Server, path: String, body: Value) -> Result<Value, Failure> {
    let socket = server.socket.clone();
    let asked = spawn_blocking(move || client::call(&socket, "POST", &path, Some(&body)));
    asked.await?
}

/// A key that lets in one machine, for ten minutes.
async fn new_key(server: &Server, tags: &[String]) -> Result<String, Failure> {
    const LIFE_S: i64 = 600;
    let until = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(LIFE_S))?;
    let expiration = until.to_string();
    // This box belongs to the one who runs the server: nobody else has to approve it.
    let body = json!({ "aclTags": tags, "preauthorized": true, "expiration": expiration });
    let answer = ask(server, "/api/v1/preauthkey".into(), body).await?;
    let key = answer["preAuthKey"]["key"].as_str().map(str::to_owned);
    key.ok_or_else(|| Failure::Failed("the server made no key".into()))
}

/// Approves routes of a node beside those that are approved already.
async fn approve(server: &Server, id: i64, mut routes: Vec<String>) -> Result<(), Failure> {
    if routes.is_empty() {
        return Ok(());
    }
    let (socket, path) = (server.socket.clone(), format!("/api/v1/node/{id}"));
    let node = spawn_blocking(move || client::call(&socket, "GET", &path, None)).await??;
    let known = node["node"]["approvedRoutes"].as_array().cloned().unwrap_or_default();
    let known: Vec<String> = known.iter().filter_map(|route| route.as_str().map(str::to_owned)).collect();
    if routes.iter().all(|route| known.contains(route)) {
        return Ok(());
    }
    routes.extend(known);
    ask(server, format!("/api/v1/node/{id}/approve_routes"), json!({ "routes": routes })).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_joins_over_the_loopback_address() {
        let server =
            |listen: &str| Server { listen: listen.parse().unwrap(), state_dir: "s".into(), socket: "c".into() };
        let url = |listen| prefs(&RouterConfig::default(), &server(listen)).login_server;
        assert_eq!(url("0.0.0.0:8080"), "http://127.0.0.1:8080");
        assert_eq!(url("[::]:80"), "http://[::1]:80");
        assert_eq!(url("192.168.1.1:8080"), "http://192.168.1.1:8080");
    }
}
