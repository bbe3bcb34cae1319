//! Showing pages.

use super::{
    front, lock, policy, reach,
    request::{Page, html, look, unavailable, viewer},
    see_other, tools,
};
use crate::{feed, reply::Reply, restore, state::App};
use hearthgate_core::NodeId;
use hearthgate_web::{Role, account, page, session::Join, text as t};
use http::StatusCode;

/// The page of a path.
pub(super) async fn page(app: &App, request: &Page) -> Reply {
    let (world, now) = match look(app).await {
        Ok(seen) => seen,
        Err(e) => return unavailable(e),
    };
    if !account::claimed(&world) {
        return html(StatusCode::OK, page::account::claim(None, ""));
    }
    let Some(viewer) = viewer(&app.admin, &world, request.cookie.as_deref(), true) else {
        return see_other("/admin/login");
    };
    let parts: Vec<&str> = request.path.split('/').collect();
    let all = viewer.role.sees_all();
    let shown = match parts.as_slice() {
        ["" | "devices"] => page::devices::devices(&viewer, &world, app.own_router.paths().await.as_ref(), now),
        ["device", id] => {
            let node = id.parse().ok().and_then(|id| world.node(NodeId(id)).ok()).filter(|n| viewer.sees(n));
            match node {
                Some(node) => page::device::device(&viewer, &world, node, app.own_router.paths().await.as_ref(), now),
                None => return not_found(&viewer),
            }
        }
        ["join"] if viewer.role != Role::Auditor => page::join::ask(&viewer, &world),
        ["join", id] => {
            let Some(join) = kept(app, request, id) else {
                return html(StatusCode::NOT_FOUND, page::message(Some(&viewer), t::JOIN_TITLE, t::JOIN_OVER));
            };
            page::join::wait(&viewer, &world, &join, now)
        }
        ["account"] => page::account::own(&viewer, &world, &request.site),
        ["users"] if all => page::users::users(&viewer, &world),
        ["keys"] if all => page::keys::keys(&viewer, &world, None, &tools::clients(&world), now),
        ["wireguard"] if all => page::plain::plain(&viewer, &world, None),
        ["map"] if all => page::map::map(&viewer, &world, app.own_router.paths().await.as_ref(), now),
        ["routes"] if all => page::routes::routes(&viewer, &world, now),
        ["policy"] if all => page::policy::policy(&viewer, &world, None),
        ["policy", "history"] if all => page::policy::history(&viewer, &world),
        ["policy", "reach"] if all => page::policy::reach(&viewer, &world, &policy::question(&world, request)),
        ["dns"] if all => page::dns::dns(&viewer, &world),
        ["relays"] if all => {
            let history = app.own_router.history();
            let own = app.own_router.own_id().await;
            let built_in =
                app.relay.as_ref().map(|_| page::relays::BuiltIn { region: app.relay_region, history: &history });
            page::relays::relays(&viewer, &world, built_in, own.as_deref())
        }
        ["health"] if all => {
            let mut found: Vec<_> = crate::dyndns::seen(app, &world).and_then(|d| d.failure()).into_iter().collect();
            found.extend(hearthgate_web::health::findings(&world, now));
            found.extend(page::tools::findings(&tools::hooks(app, &world), app.hooks.missed()));
            page::operation::health(&viewer, &found, &reach(app, &world), &app.own_router.history())
        }
        ["events"] if all => page::operation::events(&viewer, &world, &tools::hooks(app, &world), None),
        ["system"] if all => {
            let mut sections = Vec::new();
            if viewer.role.is_owner() {
                sections.push(page::restore::section(&viewer, restore::kept(app)));
            }
            if let Some(news) = feed::news(app).await {
                sections.push(page::feed::section(&viewer, &news));
            }
            if app.image.takes_upgrades() {
                sections.push(page::image::section(&viewer, app.image.status().await.as_ref()));
            }
            page::operation::system(&viewer, &world, env!("CARGO_PKG_VERSION"), &sections)
        }
        ["restore"] if viewer.role.is_owner() => match app.restores.waiting() {
            Some(summary) => page::restore::confirm(&viewer, &world, &summary),
            None => return see_other("/admin/system"),
        },
        ["setup"] if all => {
            let name = crate::network::name(&world).unwrap_or_default();
            let (front, dyndns) = (front(app), crate::dyndns::seen(app, &world));
            let ports = crate::portmap::seen(app);
            let ways = page::setup::WaysIn { ports: &ports, front: front.as_ref(), dyndns: dyndns.as_ref() };
            page::setup::setup(&viewer, &world, &name, &crate::share::seen(app), &reach(app, &world), ways)
        }
        _ => return not_found(&viewer),
    };
    html(StatusCode::OK, shown)
}

fn not_found(viewer: &page::Viewer) -> Reply {
    html(StatusCode::NOT_FOUND, page::message(Some(viewer), "Not here", t::NOT_FOUND))
}

/// A key that this session made for a device.
fn kept(app: &App, request: &Page, id: &str) -> Option<Join> {
    let mut sessions = lock(&app.admin.sessions);
    let session = sessions.find(request.cookie.as_deref()?, app.admin.now_ms())?;
    session.joins.iter().find(|j| j.key_id.to_string() == id).cloned()
}
