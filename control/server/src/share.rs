//! What this box's own router offers to the network, as chosen on the pages: networks behind it, and its way to the Internet.
//! It goes before the configuration, so that a person without a shell can set it. The command line hands it to the router.

use crate::{
    api_schema,
    api_v1::{problem, status_of},
    interfaces::nearby,
    reply::{Reply, json},
    state::App,
    writer::Unavailable,
};
use hearthgate_core::{CoreError, World};
use hearthgate_http::spawn;
use hearthgate_read::json;
use hearthgate_tailcfg::why_not_advertised;
use hearthgate_web::page::share::Share;
use http::{HeaderValue, Method, StatusCode};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
};
use tokio::sync::watch;

const RECORD: &str = "router/shared";
/// Most networks.
pub(crate) const ROUTES_MAX: usize = 32;

/// What the router offers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Shared {
    /// Networks behind it.
    pub routes: Vec<IpNet>,
    /// The Internet, through it.
    pub exit_node: bool,
}

/// What was chosen, and what the configuration says without a choice.
#[derive(Debug)]
pub struct Sharing {
    chosen: watch::Sender<Option<Shared>>,
    configured: Mutex<Shared>,
    turn: tokio::sync::Mutex<()>,
}

impl Sharing {
    /// As it was left.
    pub(crate) fn new(world: &World) -> Self {
        Self {
            chosen: watch::Sender::new(world.record(RECORD)),
            configured: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// What the configuration says.
    pub(crate) fn configure(&self, shared: Shared) {
        *self.configured.lock().unwrap_or_else(PoisonError::into_inner) = shared;
    }

    /// What was chosen, now and after each change.
    pub(crate) fn follow(&self) -> watch::Receiver<Option<Shared>> {
        self.chosen.subscribe()
    }

    fn now(&self) -> (Shared, bool) {
        match self.chosen.borrow().clone() {
            Some(chosen) => (chosen, true),
            None => (self.configured.lock().unwrap_or_else(PoisonError::into_inner).clone(), false),
        }
    }
}

/// Chooses, or goes back to the configuration, and notes who did. Whoever asked may go away meanwhile: the router is told
/// what was stored, in that order.
pub(crate) async fn choose(
    app: &App,
    actor: String,
    shared: Option<Shared>,
) -> Result<Result<(), CoreError>, Unavailable> {
    let app = app.clone();
    spawn(async move { store_and_tell(&app, actor, shared).await }).await.unwrap_or(Err(Unavailable))
}

async fn store_and_tell(
    app: &App,
    actor: String,
    shared: Option<Shared>,
) -> Result<Result<(), CoreError>, Unavailable> {
    let shared = match shared.map(checked).transpose() {
        Ok(shared) => shared,
        Err(e) => return Ok(Err(e)),
    };
    let _turn = app.sharing.turn.lock().await;
    let stored = shared.clone();
    let done = app.control.call(move |world, c| {
        let what = match &stored {
            Some(shared) => {
                world.put_record(RECORD, shared)?;
                let internet = shared.exit_node.then(|| "the Internet".to_owned());
                shared.routes.iter().map(ToString::to_string).chain(internet).collect::<Vec<_>>().join(", ")
            }
            None => {
                world.delete_record(RECORD);
                "as configured".to_owned()
            }
        };
        world.audit(&actor, "chose what this box shares", &what, c.now);
        Ok(())
    });
    let done = done.await?;
    if done.is_ok() {
        app.sharing.chosen.send_replace(shared);
    }
    Ok(done)
}

fn checked(mut shared: Shared) -> Result<Shared, CoreError> {
    let invalid = |text: String| Err(CoreError::Invalid(text));
    if shared.routes.len() > ROUTES_MAX {
        return invalid(format!("at most {ROUTES_MAX} networks"));
    }
    shared.routes = shared.routes.iter().map(IpNet::trunc).collect();
    shared.routes.sort_unstable();
    shared.routes.dedup();
    if let Some(why) = shared.routes.iter().find_map(why_not_advertised) {
        return invalid(why);
    }
    Ok(shared)
}

/// What the pages show.
pub(crate) fn seen(app: &App) -> Share {
    let (now, chosen) = app.sharing.now();
    Share { running: app.own_router.is_there(), routes: now.routes, exit_node: now.exit_node, chosen, nearby: nearby() }
}

/// `/api/v1/router/shared`: GET tells it, POST chooses, DELETE goes back to the configuration.
pub(crate) async fn api(app: &App, actor: String, method: &Method, body: &[u8]) -> Reply {
    let done = match *method {
        Method::GET => Ok(Ok(())),
        Method::POST => match serde_json::from_slice(body) {
            Ok(shared) => choose(app, actor, Some(shared)).await,
            Err(e) => Ok(Err(CoreError::Invalid(format!("the request body is not as expected: {e}")))),
        },
        Method::DELETE => choose(app, actor, None).await,
        _ => return api_schema::not_this_method(HeaderValue::from_static("DELETE, GET, POST")),
    };
    match done {
        Ok(Ok(())) => json(&view(app)),
        Ok(Err(e)) => problem(status_of(&e), &e.to_string()),
        Err(e) => problem(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
    }
}

fn view(app: &App) -> Value {
    let share = seen(app);
    json!({
        "running": share.running, "routes": share.routes, "exitNode": share.exit_node, "chosen": share.chosen,
        "nearby": share.nearby,
    })
}

/// What a form says: networks that are ticked, and more with spaces or commas between them.
pub(crate) fn of_form<'a>(
    ticked: impl Iterator<Item = &'a str>,
    more: &'a str,
    exit_node: bool,
) -> Result<Shared, CoreError> {
    let words = ticked.chain(more.split([' ', ',', '\t', '\n', '\r'])).filter(|w| !w.is_empty());
    let net = |word: &str| {
        let whole = || word.parse::<IpAddr>().map(IpNet::from);
        let wrong = |_| CoreError::Invalid(format!("{word:?} is no network: write it like 192.168.1.0/24"));
        word.parse::<IpNet>().or_else(|_| whole()).map_err(wrong)
    };
    Ok(Shared { routes: words.map(net).collect::<Result<_, _>>()?, exit_node })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_networks_behind_the_box_are_shared() {
        let fine = |text: &str| of_form(std::iter::empty(), text, false).and_then(checked).map(|s| s.routes);
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        assert_eq!(
            fine("192.168.1.7/24, 192.168.1.0/24 10.0.0.5").unwrap(),
            [net("10.0.0.5/32"), net("192.168.1.0/24")]
        );
        assert_eq!(fine("").unwrap(), []);
        for bad in
            ["0.0.0.0/0", "::/0", "100.64.0.0/10", "100.100.0.0/16", "127.0.0.0/8", "224.0.0.0/4", "home", "1.2.3.4/33"]
        {
            assert!(fine(bad).is_err(), "{bad}");
        }
        let many = (0..=ROUTES_MAX).map(|n| format!("10.{n}.0.0/16 ")).collect::<String>();
        assert!(fine(&many).is_err());
    }
}
