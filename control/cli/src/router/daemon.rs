//! `hearthgate router up`: runs the router until it is stopped, or changes one that runs.

use super::{
    args::Line,
    ask::{self, socket},
    kind, login_url, show,
};
use crate::{Failure, logging};
use hearthgate_client::{Prefs, StateDir};
use hearthgate_http::spawn;
use hearthgate_plane::Config;
use hearthgate_router::{Router, Settings, merge, serve_socket, tidy};
use serde_json::Value;
use std::{path::PathBuf, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// Requests that wait for the router.
const REQUESTS: usize = 16;
/// How often a router that was changed is asked whether it is in.
const POLL: Duration = Duration::from_millis(250);
/// Longest wait for a router that was changed; a person who has to log in is told so at once.
const SETTLE: Duration = Duration::from_secs(30);

pub(super) fn up(line: &Line) -> Result<(), Failure> {
    if ask::is_running(&socket(line)) {
        return change(line);
    }
    logging::start(if line.has("verbose") { "debug" } else { "info" }, "text");
    let settings = settings(line)?;
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(2).enable_all().build()?;
    runtime.block_on(run(line, settings))
}

/// Changes the preferences of a running router, and waits until it is in.
fn change(line: &Line) -> Result<(), Failure> {
    if let Some(flag) = wants_another(line, &ask::call(line, "GET", "/status", None)?) {
        return Err(Failure::Usage(format!(
            "--{flag} holds from the start on: stop the router that runs (`hearthgate router down`), then start it with this"
        )));
    }
    ask::call(line, "POST", "/up", Some(&Value::Object(line.changes()?)))?;
    let start = std::time::Instant::now();
    while start.elapsed() < SETTLE {
        let status = ask::call(line, "GET", "/status", None)?;
        if status["BackendState"] == "Running" {
            return Ok(());
        }
        if let Some(url) = login_url(&status) {
            print!("{}", show::login(url));
            return Ok(());
        }
        std::thread::sleep(POLL);
    }
    let status = ask::call(line, "GET", "/status", None)?;
    let why = status["Health"][0].as_str().unwrap_or("the control server was not reached yet");
    Err(Failure::Failed(format!("the settings are taken, but the router is not in: {why} (`hearthgate status`)")))
}

/// The flag that names something else than what the router that runs was started with.
fn wants_another(line: &Line, status: &Value) -> Option<&'static str> {
    let other = |flag: &&str, has: &str| line.value(flag).is_some_and(|wanted| wanted != has);
    let port = status["Port"].to_string();
    let has = |name: &str| status[name].as_str().unwrap_or_default();
    // Any port, and any data plane, are those that it has.
    let chosen = |flag: &&str| !matches!(line.value(flag), Some("0" | "auto"));
    let flags = [("interface", has("Interface")), ("port", port.as_str()), ("data-plane", has("DataPlane"))];
    flags.into_iter().find(|(flag, has)| chosen(flag) && other(flag, has)).map(|(flag, _)| flag)
}

/// What was stored, changed by what was given.
fn settings(line: &Line) -> Result<Settings, Failure> {
    let dir: PathBuf = line.value("state-dir").unwrap_or(hearthgate_router::STATE_DIR).into();
    let state = StateDir::open(&dir)?;
    let stored = state.prefs()?.unwrap_or_else(Prefs::default);
    let prefs = merge(&stored, &line.changes()?).map_err(Failure::Usage)?;
    if prefs.login_server.is_empty() {
        return Err(Failure::Usage("a control server is needed: --login-server URL".into()));
    }
    let mut plane = Config::default();
    if let Some(name) = line.value("interface") {
        name.clone_into(&mut plane.interface);
    }
    if let Some(port) = line.value("port") {
        plane.listen_port = port.parse().map_err(|_| Failure::Usage(format!("{port:?} is no port")))?;
    }
    plane.mode = kind(line.value("data-plane").unwrap_or("auto"))?;
    Ok(Settings { prefs, state, plane })
}

async fn run(line: &Line, settings: Settings) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, requests) = mpsc::channel(REQUESTS);
    tidy(&settings.state, &[&settings.plane.interface]);
    let router = Router::start(settings, requests)?;
    let socket = serve_socket(&socket(line), sender).await?;
    let mut view = router.view();
    let announcer = spawn(async move {
        let mut told = None;
        while view.changed().await.is_ok() {
            let phase = view.borrow_and_update().phase.clone();
            if told.as_ref() == Some(&phase) {
                continue;
            }
            match &phase {
                hearthgate_client::Phase::NeedsLogin(Some(url)) => print!("{}", show::login(url)),
                hearthgate_client::Phase::NeedsMachineAuth => println!("An administrator has to let this machine in."),
                hearthgate_client::Phase::Running => println!("The router is running."),
                _ => {}
            }
            told = Some(phase);
        }
    });
    router
        .run(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
    announcer.abort();
    drop(socket);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_running_router_cannot_change_is_refused() {
        let status = json!({ "Interface": "tailscale0", "Port": 41641, "DataPlane": "userspace" });
        let flag = |words: &str| {
            let words = format!("router up {words}");
            let line = super::super::args::parse(words.split_whitespace().map(std::ffi::OsString::from)).unwrap();
            wants_another(&line, &status)
        };
        for same in ["", "--interface tailscale0 --port 41641 --data-plane userspace", "--port 0 --data-plane auto"] {
            assert_eq!(flag(same), None, "{same}");
        }
        assert_eq!(flag("--interface ts1"), Some("interface"));
        assert_eq!(flag("--accept-routes --port 41642"), Some("port"));
        assert_eq!(flag("--data-plane kernel"), Some("data-plane"));
    }
}
