//! `hearthgate serve`: start, say what to do next, reload on SIGHUP, stop on SIGTERM.

#[cfg(feature = "router")]
use crate::router::own::{OwnRouter, Server};
use crate::{Failure, args::Args, logging, place, setup};
use hearthgate_config::Config;
use hearthgate_server::{Options, Running};
use std::{
    fs,
    os::unix::process::CommandExt as _,
    time::{Duration, SystemTime},
};
use tokio::signal::unix::{SignalKind, signal};

/// How often the files of extra records and certificates are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// Longest time for going down.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs the server until it is told to stop.
pub(crate) fn serve(args: &Args) -> Result<(), Failure> {
    let config = setup::usable(args)?;
    logging::start(&config.log.level, &config.log.format);
    let options = setup::options(&config)?;
    place::raise_file_limit();
    place::make_state_dir(&options.state_dir)?;
    let runtime = place::runtime()?;
    match runtime.block_on(run(args, config, options))? {
        End::Stop => Ok(()),
        End::Anew => Err(start_anew()),
    }
}

/// Why the server ended.
enum End {
    /// It was told to.
    Stop,
    /// A backup waits to be put in place, which happens at a start.
    Anew,
}

/// Puts this program in the place of itself, with the same number, so that whoever looks after it sees no end. Returns
/// only if that failed: then it ends, and is started again by whoever looks after it.
fn start_anew() -> Failure {
    tracing::info!("starting anew");
    let mut words = std::env::args_os();
    let name = words.next();
    // Its file may have been replaced by an upgrade of the package meanwhile.
    let program = std::env::current_exe().ok().filter(|p| p.exists()).unwrap_or_else(|| "/proc/self/exe".into());
    let mut command = std::process::Command::new(&program);
    command.args(words);
    if let Some(name) = name {
        command.arg0(name);
    }
    Failure::Failed(format!("{} could not be started anew: {}", program.display(), command.exec()))
}

async fn run(args: &Args, mut config: Config, options: Options) -> Result<End, Failure> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = hearthgate_server::start(options.clone()).await?;
    greet(&options, &running);
    let mut shared = running.shared();
    #[cfg(feature = "router")]
    let own = own_router(&config, &options, &running).await;
    let mut watch = tokio::time::interval(WATCH_EVERY);
    let mut seen = changed_at(&config);
    let end = loop {
        tokio::select! {
            _ = terminate.recv() => break End::Stop,
            _ = interrupt.recv() => break End::Stop,
            () = running.restart_wanted() => break End::Anew,
            _ = hangup.recv() => {
                tracing::info!("reloading the configuration");
                config = reload(args, config, &running).await;
                seen = changed_at(&config);
                #[cfg(feature = "router")]
                if let Some(own) = &own {
                    own.reload(&offering(&config, &running), &beside(&options, &running)).await;
                }
            }
            Ok(()) = shared.changed() => {
                #[cfg(feature = "router")]
                if let Some(own) = &own {
                    own.reload(&offering(&config, &running), &beside(&options, &running)).await;
                }
            }
            _ = watch.tick() => {
                let now = changed_at(&config);
                if now != seen {
                    seen = now;
                    tracing::info!("a file that the configuration names has changed");
                    config = reload(args, config, &running).await;
                }
            }
        }
    };
    tracing::info!("stopping");
    #[cfg(feature = "router")]
    if let Some(own) = own {
        own.stop().await;
    }
    if tokio::time::timeout(DRAIN, running.stop()).await.is_err() {
        tracing::warn!("not everything stopped in time; what was acknowledged is stored");
    }
    Ok(end)
}

/// The router of this machine, if the configuration has one. Without it the server still serves.
#[cfg(feature = "router")]
async fn own_router(config: &Config, options: &Options, running: &Running) -> Option<OwnRouter> {
    if !config.router.enabled {
        OwnRouter::none(&options.state_dir);
        return None;
    }
    match OwnRouter::start(&offering(config, running), beside(options, running), running.plain_devices()).await {
        Ok(own) => {
            running.shows_router(own.asked_by());
            Some(own)
        }
        Err(error) => {
            tracing::error!(%error, "this machine's own router does not start");
            None
        }
    }
}

/// Its configuration, with what was chosen on the pages in place of what it offers by itself.
#[cfg(feature = "router")]
fn offering(config: &Config, running: &Running) -> hearthgate_config::RouterConfig {
    let mut router = config.router.clone();
    running.shares(hearthgate_server::Shared {
        routes: router.advertise_routes.clone(),
        exit_node: router.advertise_exit_node,
    });
    if let Some(chosen) = running.shared().borrow().clone() {
        (router.advertise_routes, router.advertise_exit_node) = (chosen.routes, chosen.exit_node);
    }
    router
}

/// What that router needs of the server.
#[cfg(feature = "router")]
fn beside(options: &Options, running: &Running) -> Server {
    Server { listen: running.listen, state_dir: options.state_dir.clone(), socket: options.unix_socket.clone() }
}

/// When each file that is watched was changed.
fn changed_at(config: &Config) -> [Option<SystemTime>; 4] {
    let watched = [&config.dns.extra_records_path, &config.tls_cert_path, &config.tls_key_path, &config.policy.path];
    watched.map(|path| fs::metadata(path).and_then(|m| m.modified()).ok())
}

/// Takes what can be changed while running; says what cannot. A broken configuration changes nothing.
async fn reload(args: &Args, old: Config, running: &Running) -> Config {
    let loaded = match setup::read(args) {
        Ok(loaded) => loaded,
        Err(e) => {
            tracing::error!(error = %e, "not reloaded");
            return old;
        }
    };
    for problem in &loaded.problems {
        tracing::warn!(error = %problem, "in the configuration");
    }
    if !loaded.is_usable() {
        tracing::error!("not reloaded: the old configuration stays in force");
        return old;
    }
    let new = loaded.config;
    let fixed = [
        ("listen_addr", old.listen_addr != new.listen_addr),
        ("trusted_proxies", old.trusted_proxies != new.trusted_proxies),
        ("connections_per_address", old.connections_per_address != new.connections_per_address),
        ("metrics_listen_addr", old.metrics_listen_addr != new.metrics_listen_addr),
        ("tls_letsencrypt_hostname", old.acme() != new.acme()),
        ("derp.urls", old.derp.urls != new.derp.urls),
        ("state_dir", old.state_dir != new.state_dir),
        ("unix_socket", old.unix_socket != new.unix_socket),
        ("store.engine", old.store != new.store),
        ("derp.server", old.derp.server != new.derp.server),
        ("node.routes.ha", old.node.routes != new.node.routes),
        ("log", old.log != new.log),
        ("upgrade", old.upgrade != new.upgrade),
        ("router.enabled", old.router.enabled != new.router.enabled),
        ("router.tags", old.router.tags != new.router.tags),
        ("router.data_plane", old.router.data_plane != new.router.data_plane),
        ("router.interface", old.router.interface != new.router.interface),
        ("router.port", old.router.port != new.router.port),
        ("router.socket", old.router.socket != new.router.socket),
        ("router.wireguard", old.router.wireguard != new.router.wireguard),
    ];
    for (key, _) in fixed.iter().filter(|(_, changed)| *changed) {
        tracing::warn!(key, "this needs a restart to take effect");
    }
    let result = match setup::options(&new) {
        Ok(options) => running.reload(&options).await.map_err(Failure::from),
        Err(e) => Err(e),
    };
    match result {
        Ok(()) => new,
        Err(e) => {
            tracing::error!(error = %e, "not reloaded: the old configuration stays in force");
            old
        }
    }
}

/// Says where it is, where the state is, and the exact next commands.
fn greet(options: &Options, running: &Running) {
    let program = std::env::current_exe().map_or_else(|_| "hearthgate".into(), |p| p.display().to_string());
    let url = &running.server_url;
    println!("hearthgate {} is running.", env!("CARGO_PKG_VERSION"));
    println!();
    println!("  URL for clients   {url}");
    println!("  state             {}", options.state_dir.display());
    println!("  command socket    {}", options.unix_socket.display());
    if let Some(stun) = options.derp.stun_listen {
        println!("  relay and STUN    on the same port as the URL; STUN on {stun}");
    }
    if let Some(code) = running.setup_code() {
        let at = running.opening();
        println!();
        match &at.tunnel {
            None => {
                println!("Open {} in a browser on the local network, and claim this box with the setup code", at.url)
            }
            Some(tunnel) => {
                println!(
                    "The pages are for the local network only, and this machine has no address on one. On yours, run"
                );
                println!();
                println!("  {tunnel}");
                println!();
                println!("and meanwhile open {} there, and claim this box with the setup code", at.url);
            }
        }
        println!();
        println!("  {}", code.reveal());
        println!();
        if at.tunnel.is_none() {
            println!("{}", hearthgate_web::qr::console(&at.url));
        }
    }
    println!();
    println!("Or, in another terminal, make a user and a key:");
    println!();
    println!("  export HEARTHGATE_STATE_DIR={}", options.state_dir.display());
    println!("  {program} users create home");
    println!("  {program} preauthkeys create --user home");
    println!();
    println!("Then on each device, with the key that was printed:");
    println!();
    println!("  tailscale up --login-server {url} --authkey KEY");
    println!();
    println!("Without a key, `tailscale up --login-server {url}` prints a link that says how to let the device in.");
}
