//! Control pings of routers that share a prefix, so that a dead one is found before its connection times out.

use crate::state::App;
use hearthgate_http::spawn;
use std::time::Duration;

/// What a client's c2n handler gets: it sends the body back.
const ECHO: &str = "POST /echo HTTP/1.1\r\nHost: c2n\r\nContent-Length: 2\r\n\r\nok";

/// Asks every router that shares a prefix with another one, round after round.
pub(crate) async fn watch_routers(app: App, every: Duration, wait: Duration) {
    let mut round = tokio::time::interval(every);
    loop {
        round.tick().await;
        let Ok(routers) = app.control.call(|world, _| world.routers_to_probe()).await else { return };
        for node in routers {
            let app = app.clone();
            spawn(async move {
                let url = app.control.current().settings.server_url.clone();
                let healthy = app.pings.c2n(node, &url, ECHO, wait).await.is_some();
                app.control.cast(move |world, _| world.router_health(node, healthy));
            });
        }
    }
}
