//! The forms that restore a backup: the file itself, then what to do with it.

use super::{
    action::finish,
    request::{Page, html},
    see_other,
    upload::{Upload, open, refuse},
};
use crate::{
    reply::Reply,
    restore::{self, choose_kept, confirm, forget},
    state::App,
};
use hearthgate_core::CoreError;
use hearthgate_web::{
    page::{self, Viewer},
    text as t,
};
use http::{Request, StatusCode};
use hyper::body::Incoming;

/// Where what waits is shown.
const PAGE: &str = "/admin/restore";

/// Receives the form with a backup.
pub(super) async fn receive(app: &App, req: Request<Incoming>) -> Reply {
    let Upload { viewer, first, body, tail, length } = match open(app, req).await {
        Ok(upload) => upload,
        Err(reply) => return *reply,
    };
    match restore::receive(app, first, body, length, &tail).await {
        Ok(_) => see_other(PAGE),
        Err(e) => refuse(&viewer, StatusCode::BAD_REQUEST, &e.to_string()),
    }
}

/// What is done with it.
pub(super) async fn act(app: &App, request: &Page, viewer: &Viewer, what: &str) -> Reply {
    match what {
        "previous" => match choose_kept(app).await {
            Ok(_) => see_other(PAGE),
            Err(e) => finish(app, request, Err(e), "/admin/system"),
        },
        "forget" => finish(app, request, forget(app), "/admin/system"),
        "confirm" => match confirm(app, request.form.get("id"), &viewer.name).await {
            Ok(()) => html(StatusCode::OK, page::message(Some(viewer), t::RESTORE, t::RESTORE_RUNNING)),
            Err(e) => finish(app, request, Err(e), "/admin/system"),
        },
        _ => finish(app, request, Err(CoreError::NotFound("this action".into())), "/admin/system"),
    }
}
